"""How chunks become trajectories: what stands in [execution] of the robot file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.trajectory import fit, resample
from spinal.runtime.types import Array, Chunk, Trajectory


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
