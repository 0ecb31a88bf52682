"""The ways from a chunk to a path, behind one signature; [execution] of the robot file names one.

- ``smooth``: the penalised fit of ``smooth.py``, with the jitter taken out and the seam smoothed.
- ``cubic``: the C2 cubic through every waypoint.
- ``quintic``: the C4 quintic B-spline through every waypoint.
- ``ruckig``: jerk-limited retargeting (``jerk_limited.py``).

The second and third keep whatever a chunk says, its jitter too: for decoders that are smooth by themselves.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np

from spinal.runtime.trajectory.bspline import QUINTIC, quintic_matrix
from spinal.runtime.trajectory.jerk_limited import JerkLimited
from spinal.runtime.trajectory.path import Path
from spinal.runtime.trajectory.smooth import Array, fit

InterpolationName = Literal["smooth", "cubic", "quintic", "ruckig"]


class Interpolation(Protocol):
    """A chunk becomes a path. Thread contract: one thread."""

    def __call__(
        self, command: Array, actions: Array, given: int, step_s: float, plan: Array | None = None
    ) -> Path:
        """The path from ``command`` through ``actions``; its waypoint 0 is the commanded position.

        ``command`` [joint, 3]: position, velocity, acceleration at the observation; ``actions`` [step, joint], the
        first of them a step behind it, ``given`` of them known; ``plan`` [step, joint]: where the trajectory under
        way would be from the observation on, as far as it goes.
        Raises ValueError for fewer than 4 actions.
        """
        ...


class Smooth:
    """``smoothing``, ``seam``: weights, see ``smooth.fit``; without any it is the interpolating cubic."""

    def __init__(self, smoothing: float, seam: float) -> None:
        self._weights = smoothing, seam

    def __call__(
        self, command: Array, actions: Array, given: int, step_s: float, plan: Array | None = None
    ) -> Path:
        """As ``Interpolation``."""
        return Path(*fit(command, actions, given, step_s, *self._weights, plan))


def quintic(command: Array, actions: Array, given: int, step_s: float, plan: Array | None = None) -> Path:
    """As ``Interpolation``; what is known and what is planned makes no difference to it."""
    if len(actions) < 4:
        raise ValueError(f"a chunk needs 4 actions at least, not {len(actions)}")
    controls: Array = quintic_matrix(len(actions), step_s) @ np.concatenate([command.T, actions])
    position = np.concatenate([command[None, :, 0], actions])
    return Path(position, np.zeros((0, len(command))), QUINTIC, controls)


def make_interpolation(
    name: InterpolationName, smoothing: float, seam: float, limits: Array
) -> Interpolation:
    """The one named. ``limits`` [joint, 3]: velocity, acceleration and jerk, for the jerk-limited one.

    Raises ConfigError where the package that it needs is missing.
    """
    if name == "smooth":
        return Smooth(smoothing, seam)
    if name == "cubic":
        return Smooth(0.0, 0.0)
    if name == "quintic":
        return quintic
    return JerkLimited(limits)
