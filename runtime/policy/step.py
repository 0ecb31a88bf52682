"""One policy step: an observation becomes a trajectory for the tick.

    fill inputs -> infer -> decode -> fit

What will be executed anyway until the answer can be in force, the prefix, is given to a model that was trained
for it: the steps that lie inside the measured delay, and no more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinal.native import clock
from spinal.runtime.config.card import PolicyCard
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
    seam_smoothing: float
    blend_min_ns: int
    blend_max_ns: int
    blend_share: float
    period_ns: int
    late_periods: int
    """A chunk is fresh for so many policy periods, the measured delay, and that again where it is longer than
    a period: a policy that takes so long answers no more often."""
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
            seam_smoothing=chosen.seam_smoothing,
            blend_min_ns=chosen.blend_min_ms * 1_000_000,
            blend_max_ns=chosen.blend_max_ms * 1_000_000,
            blend_share=chosen.blend_share,
            period_ns=robot.policy.period_ns,
            late_periods=chosen.max_age_periods,
            grippers=tuple(joint.kind == "gripper" for joint in robot.joints),
        )

    def trajectory(self, chunk: Chunk, command: Array, published_ns: int, delay_ns: int) -> Trajectory:
        """The spline from the motion commanded at the observation ([joint, 3]) through the chunk."""
        position, curvature = fit(
            command, chunk.actions, chunk.given, chunk.step_ns * 1e-9, self.smoothing, self.seam_smoothing
        )
        for joint, gripper in enumerate(self.grippers):
            if gripper:
                position[1:, joint] = chunk.actions[:, joint]
        return Trajectory(
            observation_stamp_ns=chunk.observation_stamp_ns,
            sensor_stamp_ns=chunk.sensor_stamp_ns,
            published_ns=published_ns,
            origin_ns=chunk.first_ns - chunk.step_ns,
            step_ns=chunk.step_ns,
            fresh_for_ns=delay_ns + max(delay_ns, self.period_ns) + (self.late_periods - 1) * self.period_ns,
            blend_min_ns=self.blend_min_ns,
            blend_max_ns=self.blend_max_ns,
            blend_share=self.blend_share,
            position=np.ascontiguousarray(position),
            curvature=np.ascontiguousarray(curvature),
        )


class PolicyStep:
    """A model, its card, and how its chunks are executed. One thread; ``seed`` feeds a ``normal`` noise."""

    def __init__(self, card: PolicyCard, session: Session, execution: Execution, seed: int = 0) -> None:
        self.card = card
        self.execution = execution
        self.run_ns = (0, 0)
        """When the model's last run began and ended."""
        self._session = session
        self.restart(seed)

    def restart(self, seed: int) -> None:
        """Begins anew: the noise of a run depends on ``seed`` alone."""
        self._rng = np.random.default_rng(seed)

    def ahead_ns(self, delay_ns: int) -> tuple[int, ...]:
        """How far an observation must look ahead for an answer in force after ``delay_ns``: steps inside it."""
        step_ns = self.execution.step_ns
        frozen = min(delay_ns // step_ns, self.card.prefix.max_steps)
        return tuple(step_ns * (k + 1) for k in range(frozen))

    def infer(self, observation: Observation) -> Chunk:
        """The chunk that answers ``observation``. Raises PolicyError for an answer that is not finite."""
        prefix, mask = self._prefix(observation)
        for tensor in self.card.inputs:
            self._session.inputs[tensor.name][...] = self._value(tensor.stream, observation, prefix, mask)
        began_ns = clock.now_ns()
        self._session.run()
        self.run_ns = (began_ns, clock.now_ns())
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

    def _prefix(self, observation: Observation) -> tuple[Array, Array]:
        """(actions [steps, joints], mask [steps]) of what is executed before the answer can be in force."""
        steps, given = self.card.chunk.steps, len(observation.ahead)
        prefix = np.empty((steps, len(observation.position)))
        prefix[:given] = observation.ahead
        prefix[given:] = observation.ahead[-1] if given else observation.command[:, 0]
        mask = np.zeros(steps)
        mask[:given] = 1
        return prefix, mask
