"""One policy step: an observation becomes a trajectory for the tick.

    fill inputs -> infer -> decode -> fit

What will be executed anyway until the answer can be in force, the prefix, is given to a model that was trained
for it: the steps that lie inside the measured delay, and no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spinal.native import clock
from spinal.native.tensor import TensorInput
from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.decode import decode_chunk
from spinal.runtime.policy.session import Session
from spinal.runtime.trajectory import fit, resample
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
            command,
            chunk.actions,
            chunk.given,
            chunk.step_ns * 1e-9,
            self.smoothing,
            self.seam_smoothing,
            _plan(chunk),
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


def _plan(chunk: Chunk) -> Array | None:
    """What ``chunk`` is to replace, at its own instants; None where nothing of its step is under way."""
    path = chunk.under_way
    if path is None or path.step_ns != chunk.step_ns:
        return None
    since = (chunk.first_ns - path.origin_ns) / path.step_ns - 1
    if since < 0:
        return None
    return resample(path.position, path.curvature, since, path.step_ns * 1e-9)


Fill = Callable[[Observation], None]


class PolicyStep:
    """A model, its card, and how its chunks are executed. One thread; ``seed`` feeds a ``normal`` noise.

    Who fills which of the session's buffers is settled once: at 50 Hz caches are cold, and each look-up by name
    would be paid in every step.
    """

    def __init__(self, card: PolicyCard, session: Session, execution: Execution, seed: int = 0) -> None:
        self.card = card
        self.execution = execution
        self.run_ns = (0, 0)
        """When the model's last run began and ended."""
        self._session = session
        self._fills = [self._fill(t.stream, TensorInput(session.inputs[t.name])) for t in card.inputs]
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
        for fill in self._fills:
            fill(observation)
        began_ns = clock.now_ns()
        self._session.run()
        self.run_ns = (began_ns, clock.now_ns())
        return decode_chunk(self._session.output, observation, self.execution.step_ns)

    def _fill(self, stream: str, into: TensorInput) -> Fill:
        """What puts ``stream`` of an observation into an input."""
        match stream:
            case "joint_position":
                return lambda observation: into.put(observation.position)
            case "joint_velocity":
                return lambda observation: into.put(observation.velocity)
            case "command":
                return lambda observation: into.put_column(observation.command, 0)
            case "prefix":
                return lambda observation: into.put_prefix(observation.ahead, observation.command)
            case "mask":
                return lambda observation: into.put_mask(len(observation.ahead))
            case "noise":
                return lambda observation: self._draw_noise(into)
        name, _, field = stream.removeprefix("stream:").partition(".")
        match field:
            case "yaw":
                return lambda observation: into.fill(observation.streams[name].yaw_rad)
            case "position":
                return lambda observation: into.put(observation.streams[name].position_m)
        return lambda observation: into.put(observation.streams[name].velocity_m_s)

    def _draw_noise(self, into: TensorInput) -> None:
        if self.card.noise == "normal":
            steps, joints = self.card.output.shape[1:]
            into.put(self._rng.normal(size=steps * joints))
        else:
            into.fill(0.0)
