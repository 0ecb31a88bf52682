"""Fitting a chunk: waypoints in, waypoints and curvature of a cubic spline out. Values only: no time, no I/O.

1. The spline begins at the observation's instant with the position that was commanded then, which is
   known, and goes on through the chunk's actions.
2. A penalty on the third difference (weight ``smoothing``) takes out what moves faster than the motion:
   gain 1 / (1 + s (2 sin(pi f dt))^6), with s = 0.1 and 50 Hz 0.99 at 5 Hz and 0.79 at 10 Hz.
3. The curvature is that of the interpolating C2 cubic spline, not-a-knot at the start (nothing is invented
   about the acceleration there), natural at the end (the horizon's end comes to rest anyway).

Both steps are linear, so one cached matrix product does them. The mismatch with the motion under way is not
solved here: the tick does that at the switch, from what it really commanded.

scipy's ``make_smoothing_spline`` solves a similar problem; it is not used because it answers one channel at
a time, has no fixed first point and would cost the core a dependency.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FIRST_POINT_WEIGHT = 1e6
"""Of the known first point against one action's."""


@lru_cache(maxsize=16)
def fit_matrices(points: int, smoothing: float) -> tuple[Array, Array]:
    """(smoother, curvature) for ``points`` waypoints, each [points, points], for a step of 1.

    ``smoother @ y`` are the waypoints, ``curvature @ y / step^2`` the second derivatives there.
    Raises ValueError for fewer than 5 points.
    """
    if points < 5:
        raise ValueError(f"a chunk needs 4 actions at least, not {points - 1}")
    third = np.diff(np.eye(points), 3, axis=0)
    weights = np.ones(points)
    weights[0] = FIRST_POINT_WEIGHT
    smoother = np.linalg.solve(np.diag(weights) + smoothing * third.T @ third, np.diag(weights))
    return smoother, _spline_curvature(points) @ smoother


def fit(first: Array, actions: Array, step_s: float, smoothing: float) -> tuple[Array, Array]:
    """Waypoints [steps + 1, joints] and curvature of the spline from ``first`` [joints] through ``actions``.

    The first waypoint is ``first``; the others may move by what the smoothing takes out.
    """
    known = np.concatenate([first[None, :], actions])
    smoother, curvature = fit_matrices(len(known), smoothing)
    waypoints = smoother @ known
    waypoints[0] = first
    return waypoints, (curvature @ known) / (step_s * step_s)


def _spline_curvature(points: int) -> Array:
    """[points, points]: waypoints to second derivatives, step 1 (de Boor, "A Practical Guide to Splines")."""
    system = np.zeros((points, points))
    right = np.zeros((points, points))
    for k in range(1, points - 1):
        system[k, k - 1 : k + 2] = 1 / 6, 4 / 6, 1 / 6
        right[k, k - 1 : k + 2] = 1, -2, 1
    system[0, :3] = 1, -2, 1  # the third derivative does not jump at the second waypoint
    system[-1, -1] = 1
    curvature: Array = np.linalg.solve(system, right)
    return curvature
