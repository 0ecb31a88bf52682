"""Fitting a chunk: waypoints in, waypoints and curvature of a cubic spline out. Values only: no time, no I/O.

1. Known is the motion commanded at the observation (position, velocity, acceleration) and the positions that
   are commanded until an answer can be in force. Two points before the observation, on the parabola of that
   motion, tell the spline where it comes from, so that at the switch only what the chunk really wants to
   change is left to decay.
2. A penalty on the third difference takes out what moves faster than the motion: gain
   1 / (1 + s (2 sin(pi f dt))^6), with s = 0.1 and 50 Hz 0.99 at 5 Hz and 0.79 at 10 Hz. Where the answer
   joins the known motion the weight is higher by ``seam``: there sits what differs from one chunk to the
   next. From 8 steps behind it the chunk has its full bandwidth.
3. The curvature is that of the interpolating C2 cubic spline, not-a-knot at the start (two steps before the
   observation), natural at the end (the horizon's end comes to rest anyway).

All of it is linear, so one cached matrix product does it. What mismatch remains with the motion under way is
not solved here: the tick does that at the switch, from what it really commanded.

scipy's ``make_smoothing_spline`` solves a similar problem; it is not used because it answers one channel at
a time, has no fixed points and would cost the core a dependency.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

KNOWN_WEIGHT = 1e6
"""Of a known point against one action's."""
BEFORE = 2
"""Points before the observation."""
SEAM_STEPS = 3.0
"""Steps behind the seam at which its weight has fallen to 1/e; a Gaussian, so that little is left after 8. A weight
that falls at once puts the correction off until it costs more jerk than it saved."""


@lru_cache(maxsize=64)
def fit_matrices(steps: int, given: int, smoothing: float, seam: float) -> tuple[Array, Array]:
    """(smoother, curvature) for ``steps`` actions whose first ``given`` are known, for a step of 1.

    Both are [steps + 1, BEFORE + 1 + steps] and act on the points before, at and behind the observation.
    Raises ValueError for fewer than 4 actions.
    """
    if steps < 4:
        raise ValueError(f"a chunk needs 4 actions at least, not {steps}")
    points = BEFORE + 1 + steps
    third: Array = np.diff(np.eye(points), 3, axis=0)
    known = BEFORE + 1 + given
    behind = np.arange(points - 3) - (known - 3)  # 0: the first third difference with a free point
    penalty: Array = smoothing + seam * np.exp(-((np.maximum(behind, 0) / SEAM_STEPS) ** 2))
    weights = np.ones(points)
    weights[:known] = KNOWN_WEIGHT
    penalised = np.diag(weights) + third.T @ (penalty[:, None] * third)
    smoother = np.linalg.solve(penalised, np.diag(weights)).astype(np.float64)
    curvature: Array = _spline_curvature(points) @ smoother
    return smoother[BEFORE:], curvature[BEFORE:]


def fit(
    command: Array, actions: Array, given: int, step_s: float, smoothing: float, seam: float
) -> tuple[Array, Array]:
    """Waypoints [steps + 1, joints] and curvature of the spline from ``command`` [joints, 3] through ``actions``.

    The first waypoint is the commanded position and the next ``given`` are the actions themselves; the others
    may move by what the smoothing takes out.
    """
    q, v, a = command.T
    back = -step_s * np.arange(BEFORE, 0, -1)[:, None]
    points = np.concatenate([q + v * back + 0.5 * a * back * back, q[None], actions])
    smoother, curvature = fit_matrices(len(actions), given, smoothing, seam)
    waypoints: Array = smoother @ points
    waypoints[: given + 1] = points[BEFORE : BEFORE + given + 1]
    return waypoints, (curvature @ points) / (step_s * step_s)


def _spline_curvature(points: int) -> Array:
    """[points, points]: waypoints to second derivatives, step 1 (de Boor, "A Practical Guide to Splines")."""
    system = np.zeros((points, points))
    right = np.zeros((points, points))
    for k in range(1, points - 1):
        system[k, k - 1 : k + 2] = 1 / 6, 4 / 6, 1 / 6
        right[k, k - 1 : k + 2] = 1, -2, 1
    system[0, :3] = 1, -2, 1  # the third derivative does not jump at the second waypoint
    system[-1, -1] = 1
    return np.linalg.solve(system, right).astype(np.float64)
