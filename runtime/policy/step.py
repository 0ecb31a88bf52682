"""One policy step: an observation becomes a trajectory for the tick.

    fill inputs -> infer -> decode -> fit

What will be executed anyway until the answer can be in force, the prefix, is given to a model that was trained
for it: the steps that lie inside the measured delay, and no more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinal.native.trajectory import ActiveTrajectory
from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.limits import command_limits
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.decode import decode_chunk
from spinal.runtime.policy.session import Session
from spinal.runtime.trajectory import fit
from spinal.runtime.types import Array, Chunk, Observation, Trajectory


@dataclass(frozen=True, slots=True)
class Execution:
    """How chunks become trajectories; see [execution] in the robot file."""

    step_ns: int
    smoothing: float
    blend_min_ns: int
    blend_max_ns: int
    blend_share: float
    fresh_for_ns: int
    """Without the measured delay, which comes on top."""
    limits: Array
    """[joint, 5]: position_min, position_max, velocity, acceleration, jerk."""
    grippers: tuple[bool, ...]

    @staticmethod
    def of(robot: RobotConfig, step_ns: int) -> Execution:
        """As the robot file says, for a policy whose actions are ``step_ns`` apart."""
        if robot.policy is None:
            raise ValueError("a robot without a policy executes no chunks of one")
        chosen = robot.execution
        return Execution(
            step_ns=step_ns,
            smoothing=chosen.smoothing,
            blend_min_ns=chosen.blend_min_ms * 1_000_000,
            blend_max_ns=chosen.blend_max_ms * 1_000_000,
            blend_share=chosen.blend_share,
            fresh_for_ns=chosen.max_age_periods * robot.policy.period_ns,
            limits=np.array([command_limits(joint) for joint in robot.joints]),
            grippers=tuple(joint.kind == "gripper" for joint in robot.joints),
        )

    def trajectory(self, chunk: Chunk, command: Array, published_ns: int, delay_ns: int) -> Trajectory:
        """The spline from the motion commanded at the observation ([joint, 3]) through the chunk."""
        position, curvature = fit(command[:, 0], chunk.actions, chunk.step_ns * 1e-9, self.smoothing)
        for joint, gripper in enumerate(self.grippers):
            if gripper:
                position[1:, joint] = chunk.actions[:, joint]
        return Trajectory(
            observation_stamp_ns=chunk.observation_stamp_ns,
            sensor_stamp_ns=chunk.sensor_stamp_ns,
            published_ns=published_ns,
            origin_ns=chunk.first_ns - chunk.step_ns,
            step_ns=chunk.step_ns,
            fresh_for_ns=self.fresh_for_ns + delay_ns,
            blend_min_ns=self.blend_min_ns,
            blend_max_ns=self.blend_max_ns,
            blend_share=self.blend_share,
            position=np.ascontiguousarray(position),
            curvature=np.ascontiguousarray(curvature),
        )

    def motion_ahead(self, trajectory: Trajectory, command: Array, from_ns: int, times_ns: list[int]) -> Array:
        """Positions [time, joint] that the tick will command at ``times_ns`` if nothing new comes."""
        ahead = ActiveTrajectory(
            trajectory, trajectory.position, trajectory.curvature, command, self.limits, self.grippers, from_ns
        )
        return np.stack([ahead.sample(min(t, trajectory.end_ns))[:, 0] for t in times_ns])


class PolicyStep:
    """A model, its card, and how its chunks are executed. One thread; ``seed`` feeds a ``normal`` noise."""

    def __init__(self, card: PolicyCard, session: Session, execution: Execution, seed: int = 0) -> None:
        self.card = card
        self.execution = execution
        self._session = session
        self.restart(seed)

    def restart(self, seed: int) -> None:
        """Begins anew: the noise of a run depends on ``seed`` alone."""
        self._rng = np.random.default_rng(seed)

    def infer(self, observation: Observation, in_force: Trajectory | None, delay_ns: int) -> Chunk:
        """The chunk that answers ``observation``. Raises PolicyError for an answer that is not finite."""
        prefix, mask = self._prefix(observation, in_force, delay_ns)
        for tensor in self.card.inputs:
            self._session.inputs[tensor.name][...] = self._value(tensor.stream, observation, prefix, mask)
        self._session.run()
        return decode_chunk(self._session.output, observation, self.execution.step_ns)

    def _value(
        self, stream: str, observation: Observation, prefix: Array, mask: Array
    ) -> NDArray[np.float64] | float:
        match stream:
            case "joint_position":
                return observation.position
            case "joint_velocity":
                return observation.velocity
            case "command":
                return observation.command[:, 0]
            case "prefix":
                return prefix
            case "mask":
                return mask
            case "noise":
                return self._rng.normal(size=prefix.shape) if self.card.noise == "normal" else 0.0
        name, _, field = stream.removeprefix("stream:").partition(".")
        value = observation.streams[name]
        if field == "yaw":
            return value.yaw_rad
        return value.position_m if field == "position" else value.velocity_m_s

    def _prefix(
        self, observation: Observation, in_force: Trajectory | None, delay_ns: int
    ) -> tuple[Array, Array]:
        """(actions [steps, joints], mask [steps]) of what is executed before the answer can be in force."""
        steps, step_ns = self.card.chunk.steps, self.execution.step_ns
        prefix = np.broadcast_to(observation.command[:, 0], (steps, len(observation.position))).copy()
        mask = np.zeros(steps)
        frozen = min(delay_ns // step_ns, self.card.prefix.max_steps)
        if frozen and in_force is not None:
            times = [observation.stamp_ns + step_ns * (k + 1) for k in range(frozen)]
            prefix[:frozen] = self.execution.motion_ahead(
                in_force, observation.command, observation.stamp_ns, times
            )
            prefix[frozen:] = prefix[frozen - 1]
            mask[:frozen] = 1
        return prefix, mask
