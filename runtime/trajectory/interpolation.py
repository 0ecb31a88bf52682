"""The ways from a chunk to a path, behind one signature; [execution] of the robot file names one.

- ``smooth``: the penalised fit of ``smooth.py``, with the jitter taken out and the seam smoothed.
- ``cubic``: the C2 cubic through every action.
- ``quintic``: the C4 quintic B-spline through every action.
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
        """The path from ``command`` through ``actions``; where the answer does not go on from what is known, it may
        be off by as much until the answer begins, and the tick lets that decay.

        ``command`` [joint, 3]: position, velocity, acceleration at the observation; ``actions`` [step, joint], the
        first of them a step behind it, ``given`` of them known; ``plan`` [step, joint]: where the trajectory under
        way would be from the observation on, as far as it goes.
        Raises ValueError for fewer than 4 actions.
        """
        ...


class Smooth:
    """``smoothing``, ``seam``: weights, see ``smooth.fit``."""

    def __init__(self, smoothing: float, seam: float) -> None:
        self._weights = smoothing, seam

    def __call__(
        self, command: Array, actions: Array, given: int, step_s: float, plan: Array | None = None
    ) -> Path:
        """As ``Interpolation``."""
        return Path(*fit(command, actions, given, step_s, *self._weights, plan))


def cubic(command: Array, actions: Array, given: int, step_s: float, plan: Array | None = None) -> Path:
    """As ``Interpolation``; what is planned makes no difference to it."""
    return Path(*fit(*_led_in(command, actions, given, step_s), given, step_s, 0.0, 0.0))


def quintic(command: Array, actions: Array, given: int, step_s: float, plan: Array | None = None) -> Path:
    """As ``Interpolation``; what is planned makes no difference to it."""
    if len(actions) < 4:
        raise ValueError(f"a chunk needs 4 actions at least, not {len(actions)}")
    command, actions = _led_in(command, actions, given, step_s)
    controls: Array = quintic_matrix(len(actions), step_s) @ np.concatenate([command.T, actions])
    position = np.concatenate([command[None, :, 0], actions])
    return Path(position, np.zeros((0, len(command))), QUINTIC, controls)


def _led_in(command: Array, actions: Array, given: int, step_s: float) -> tuple[Array, Array]:
    """What is known, moved to where the answer goes on from it: (command, actions).

    A spline through every point would go through the corner between the two as well, within one step. So the path
    has none, and what it is off by until the answer begins is left to the tick, which lets it decay.
    """
    p, v, a = command.T
    known = [p - v * step_s + a * step_s**2 / 2, p, *actions[:given]]
    if given:
        here, one, two = known[-1], known[-2], known[-3]
        onward = 3 * here - 3 * one + two
    else:
        onward = p + v * step_s + a * step_s**2 / 2
    off = actions[given] - onward
    moved = actions.copy()
    moved[:given] += off
    return np.column_stack([p + off, v, a]), moved


def make_interpolation(
    name: InterpolationName, smoothing: float, seam: float, limits: Array
) -> Interpolation:
    """The one named. ``limits`` [joint, 3]: velocity, acceleration and jerk, for the jerk-limited one.

    Raises ConfigError where the package that it needs is missing.
    """
    if name == "smooth":
        return Smooth(smoothing, seam)
    if name == "cubic":
        return cubic
    if name == "quintic":
        return quintic
    return JerkLimited(limits)
