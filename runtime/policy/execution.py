"""How chunks become trajectories: what stands in [execution] of the robot file."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from spinal.runtime.config.execution import ExecutionSettings
from spinal.runtime.config.limits import command_limits
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.trajectory import Interpolation, Path, make_interpolation, planned_positions
from spinal.runtime.types import Array, Chunk, Spline, Trajectory


@dataclass(frozen=True, slots=True)
class Execution:
    """How chunks become trajectories; see [execution] in the robot file."""

    step_ns: int
    """Between two actions, as they were taught."""
    blend_min_ns: int
    blend_max_ns: int
    blend_share: float
    period_ns: int
    late_periods: int
    """A chunk is fresh for so many policy periods, the measured delay, and that again where it is longer than
    a period: a policy that takes so long answers no more often."""
    grippers: tuple[bool, ...]
    interpolation: Interpolation
    """From a chunk to a path."""
    travel: Array = field(default_factory=lambda: np.zeros(0))
    """[joint]: from one end of its range to the other."""
    settings: ExecutionSettings = field(default_factory=ExecutionSettings)

    @staticmethod
    def of(robot: RobotConfig, step_ns: int) -> Execution:
        """As the robot file says, for a policy whose actions are ``step_ns`` apart."""
        if robot.policy is None:
            raise ValueError("a robot without a policy executes no chunks of one")
        chosen = robot.execution
        limits = np.array([command_limits(joint)[2:] for joint in robot.joints])
        limits[:, 1:] *= chosen.blend_share
        return Execution(
            step_ns=step_ns,
            blend_min_ns=chosen.blend_min_ms * 1_000_000,
            blend_max_ns=chosen.blend_max_ms * 1_000_000,
            blend_share=chosen.blend_share,
            period_ns=robot.policy.period_ns,
            late_periods=chosen.max_age_periods,
            grippers=tuple(joint.kind == "gripper" for joint in robot.joints),
            interpolation=make_interpolation(
                chosen.interpolation, chosen.smoothing, chosen.seam_smoothing, limits
            ),
            travel=np.array([j.limits.position_max - j.limits.position_min for j in robot.joints]),
            settings=chosen,
        )

    def trajectory(self, chunk: Chunk, command: Array, published_ns: int, delay_ns: int) -> Trajectory:
        """The spline from the motion commanded at the observation ([joint, 3]) through the chunk.

        A chunk that comes with a spline of its own is sent as that, with nothing fitted.
        """
        if chunk.spline is None:
            path = self.interpolation(command, chunk.actions, chunk.given, chunk.step_ns * 1e-9, _plan(chunk))
            origin_ns, step_ns = chunk.first_ns - chunk.step_ns, chunk.step_ns
        else:
            path, origin_ns, step_ns = _as_it_is(chunk, chunk.spline)
        before = len(path.position) - len(chunk.actions)  # waypoints before the first action
        for joint, gripper in enumerate(self.grippers):
            if gripper:
                path.position[: max(0, before), joint] = command[joint, 0]
                path.position[max(0, before) :, joint] = chunk.actions[max(0, -before) :, joint]
        return Trajectory(
            observation_stamp_ns=chunk.observation_stamp_ns,
            sensor_stamp_ns=chunk.sensor_stamp_ns,
            published_ns=published_ns,
            origin_ns=origin_ns,
            step_ns=step_ns,
            fresh_for_ns=delay_ns + max(delay_ns, self.period_ns) + (self.late_periods - 1) * self.period_ns,
            blend_min_ns=self.blend_min_ns,
            blend_max_ns=self.blend_max_ns,
            blend_share=self.blend_share,
            position=np.ascontiguousarray(path.position),
            curvature=np.ascontiguousarray(path.curvature),
            degree=path.degree,
            controls=path.controls,
        )


def _as_it_is(chunk: Chunk, spline: Spline) -> tuple[Path, int, int]:
    """(path, instant of its waypoint 0, ns between waypoints) of a chunk's own spline, which ends with the chunk.

    A waypoint for each action: the last ones fall together, and a duration that is no whole number of steps moves
    the others by less than a step.
    """
    duration_ns = round(spline.duration_s * 1e9)
    intervals = max(1, round(duration_ns / chunk.step_ns))
    step_ns = max(1, round(duration_ns / intervals))
    end_ns = chunk.first_ns + (len(chunk.actions) - 1) * chunk.step_ns
    return Path.of_spline(spline, intervals), end_ns - intervals * step_ns, step_ns


def _plan(chunk: Chunk) -> Array | None:
    """What ``chunk`` is to replace, at its own instants; None where nothing is under way by then."""
    path, origin_ns = chunk.under_way, chunk.first_ns - chunk.step_ns
    if path is None or origin_ns < path.origin_ns:
        return None
    return planned_positions(path, origin_ns, chunk.step_ns)
