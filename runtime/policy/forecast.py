"""What the tick will command if no new answer comes: the same hand-off and the same spline, looked up ahead.

The state names the trajectory in force, the motion that was commanded last and the end of the blend under way,
which together determine the rest of it. A trajectory that has been published and that no state names yet is
taken by the next tick, from the motion of then. Exact as long as the limiter lets requests pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spinal.native import layout
from spinal.native.trajectory import ActiveTrajectory
from spinal.runtime.config.limits import command_limits
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.types import Array, State, Trajectory

KEPT = 8
LONGEST_CARRY_NS = 20_000_000
"""Without a trajectory a commanded motion is carried no further than this."""
TAKEN_WITHIN_TICKS = 2
"""A trajectory that no state names so many ticks after its publication was refused."""


class Forecast:
    """Follows what was published and what the tick made of it. One thread."""

    def __init__(self, robot: RobotConfig) -> None:
        self._limits = np.array([command_limits(joint) for joint in robot.joints])
        self._grippers = tuple(joint.kind == "gripper" for joint in robot.joints)
        self._dt_ns = robot.control.period_ns
        self._kept: dict[int, tuple[Trajectory, int]] = {}

    def published(self, number: int, trajectory: Trajectory, at_ns: int) -> None:
        """``trajectory`` was put into the mailbox as ``number``."""
        self._kept[number] = (trajectory, at_ns)
        self._kept.pop(number - KEPT, None)

    def in_force(self, state: State) -> Trajectory | None:
        """The trajectory that ``state`` names, if it is one of the last published."""
        found = self._kept.get(state.trajectory_id)
        return found[0] if found else None

    def under_way(self, state: State) -> Trajectory | None:
        """The trajectory that runs on if no new answer comes; None while the robot follows none."""
        if state.mode != layout.MODE_RUNNING:
            return None
        new = self._next(state)
        return new[0] if new else self.in_force(state)

    def motion(self, state: State, times_ns: Sequence[int]) -> Array:
        """[time, joint, 3]: position, velocity, acceleration that will be commanded at ``times_ns``, rising.

        Behind a trajectory's end its last motion's position is held.
        """
        motions = self._setpoints(state, times_ns)
        before, before_ns = state.commanded[:, 0], state.command_ns
        for motion, t in zip(motions, times_ns, strict=True):  # a gripper goes to its step at limited speed
            reach = self._limits[:, 2] * max(0, t - before_ns) * 1e-9
            near = np.clip(motion[:, 0], before - reach, before + reach)
            motion[:, 0] = np.where(self._grippers, near, motion[:, 0])
            before, before_ns = motion[:, 0], t
        return motions

    def _setpoints(self, state: State, times_ns: Sequence[int]) -> Array:
        old = self._resumed(state)
        new, switch_ns = self._next(state), state.tick_ns
        if new is None:
            return np.stack([self._at(old, state, t) for t in times_ns])
        trajectory, published_ns = new
        if published_ns <= state.tick_ns:  # this very tick took it, after it had published the state
            switch_ns = state.command_ns
        joined = self._hand_off(trajectory, self._at(old, state, switch_ns), switch_ns, None)
        return np.stack(
            [
                self._at(old, state, t) if t < switch_ns else joined.sample(min(t, trajectory.end_ns))
                for t in times_ns
            ]
        )

    def _resumed(self, state: State) -> tuple[ActiveTrajectory, int] | None:
        found = self._kept.get(state.trajectory_id)
        if found is None or state.mode != layout.MODE_RUNNING:
            return None
        trajectory = found[0]
        return (
            self._hand_off(trajectory, state.commanded, state.command_ns, state.blend_end_ns),
            trajectory.end_ns,
        )

    def _next(self, state: State) -> tuple[Trajectory, int] | None:
        newest = max(self._kept, default=0)
        if newest <= state.trajectory_id:
            return None
        trajectory, published_ns = self._kept[newest]
        refused = state.tick_ns > published_ns + TAKEN_WITHIN_TICKS * self._dt_ns
        return None if refused else (trajectory, published_ns)

    def _hand_off(
        self, trajectory: Trajectory, motion: Array, switch_ns: int, blend_end_ns: int | None
    ) -> ActiveTrajectory:
        return ActiveTrajectory(
            trajectory,
            trajectory.position,
            trajectory.curvature,
            np.ascontiguousarray(motion),
            self._limits,
            self._grippers,
            switch_ns,
            blend_end_ns,
        )

    def _at(self, active: tuple[ActiveTrajectory, int] | None, state: State, t_ns: int) -> Array:
        if active is not None:
            return active[0].sample(min(t_ns, active[1]))
        dt = min(max(0, t_ns - state.command_ns), LONGEST_CARRY_NS) * 1e-9
        p, v, a = state.commanded.T
        return np.stack([p + v * dt + 0.5 * a * dt * dt, v + a * dt, a], axis=1)
