"""Fitting a chunk: waypoints in, waypoints and curvature of a cubic spline out. Values only: no time, no I/O.

1. Known is the motion commanded at the observation (position, velocity, acceleration) and the positions that
   are commanded until an answer can be in force. Two points before the observation, on the parabola of that
   motion, tell the spline where it comes from, so that at the switch only what the chunk really wants to
   change is left to decay.
2. A penalty on the eighth difference takes out what moves faster than the motion: gain
   1 / (1 + s (2 sin(pi f dt))^16), with s = 0.02 and 50 Hz 1.00 at 5 Hz, 0.79 at 10 Hz and less than 0.01 from
   20 Hz on. The jitter of single actions lies there, and jerk counts it with the third power of its frequency: a
   lower order that takes as much of it takes the 10 Hz too.
3. Where the answer joins the known motion sits what differs from one chunk to the next. So it is the change that
   is smoothed and not the motion: ``seam`` weighs the third difference of the waypoints less KEPT times that of
   the plan, the trajectory that they are to replace. A chunk that agrees with the plan changes nothing and has
   its full bandwidth. A plan that was kept whole would also keep each change that a later chunk took back; and
   behind the plan's end, or without one, KEPT is 0 and the motion itself is smoothed.
4. The curvature is that of the interpolating C2 cubic spline, not-a-knot at the start (two steps before the
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
SMOOTHED, CHANGED = 8, 3
"""Orders of the differences that are penalised: of a chunk, and of what it changes at the seam."""
SEAM_STEPS = 5.0
"""Steps behind the seam at which its weight has fallen to 1/e; a Gaussian, so that little is left after 12. A
weight that falls sooner puts the change off until it costs more jerk than it saved."""
KEPT = 0.85
"""The share of the plan's third difference that a chunk has to argue against."""


@lru_cache(maxsize=64)
def fit_matrix(steps: int, given: int, planned: int, step_s: float, smoothing: float, seam: float) -> Array:
    """Waypoints above, curvature below, for ``steps`` actions whose first ``given`` are known.

    [2 (steps + 1), 3 + steps + planned]; acts on position, velocity and acceleration commanded at the observation,
    below them the actions, and below these the plan's first ``planned`` points, from the observation on.
    Raises ValueError for fewer than 4 actions.
    """
    if steps < 4:
        raise ValueError(f"a chunk needs 4 actions at least, not {steps}")
    points = BEFORE + 1 + steps
    known = BEFORE + 1 + given
    smoothed, changed = _differences(points, SMOOTHED), _differences(points, CHANGED)
    behind = np.arange(points - CHANGED) - (known - CHANGED)  # 0: the first difference with a free point
    weighted = changed.T * (seam * np.exp(-((np.maximum(behind, 0) / SEAM_STEPS) ** 2)))
    weights = np.ones(points)
    weights[:known] = KNOWN_WEIGHT
    penalised = np.diag(weights) + smoothing * smoothed.T @ smoothed + weighted @ changed
    plan = np.zeros((points - CHANGED, planned))
    inside = _differences(planned, CHANGED)
    plan[BEFORE : BEFORE + len(inside)] = KEPT * inside
    waypoints = np.linalg.solve(penalised, np.hstack([np.diag(weights), weighted @ plan]))
    waypoints[:known] = np.eye(known, points + planned)
    curvature = _spline_curvature(points) @ waypoints / (step_s * step_s)
    from_motion = np.zeros((points + planned, 3 + steps + planned))
    from_motion[BEFORE:, 2:] = np.eye(1 + steps + planned)
    back = step_s * np.arange(-BEFORE, 1)
    from_motion[: BEFORE + 1, :3] = np.stack([np.ones(BEFORE + 1), back, back * back / 2], axis=1)
    both = np.concatenate([waypoints[BEFORE:], curvature[BEFORE:]]) @ from_motion
    return np.ascontiguousarray(both, np.float64)


def fit(
    command: Array,
    actions: Array,
    given: int,
    step_s: float,
    smoothing: float,
    seam: float,
    plan: Array | None = None,
) -> tuple[Array, Array]:
    """Waypoints [steps + 1, joints] and curvature of the spline from ``command`` [joints, 3] through ``actions``.

    ``plan`` [planned, joints] is where the trajectory under way would be at the observation and at each step behind
    it, as far as it goes. The first waypoint is the commanded position and the next ``given`` are the actions
    themselves; the others may move by what the smoothing takes out.
    """
    steps, planned = len(actions), 0
    parts = [command.T, actions]
    if plan is not None:
        planned = min(len(plan), steps + 1)
        parts.append(plan[:planned])
    both: Array = fit_matrix(steps, given, planned, step_s, smoothing, seam) @ np.concatenate(parts)
    return both[: steps + 1], both[steps + 1 :]


def resample(position: Array, curvature: Array, since: float, step_s: float) -> Array:
    """[waypoint, joint]: where the spline is ``since`` steps behind its origin and each step on, before its end."""
    first = int(since)
    b = since - first
    a = 1 - b
    bend = step_s * step_s / 6
    found: Array = a * position[first:-1] + b * position[first + 1 :]
    found += (bend * (a * a - 1) * a) * curvature[first:-1]
    found += (bend * (b * b - 1) * b) * curvature[first + 1 :]
    return found


def cubic_at(position: Array, curvature: Array, since: Array, step_s: float) -> Array:
    """[instant, joint]: where the spline is at each of ``since``, in steps behind its origin, up to its end."""
    first = np.clip(since.astype(np.int64), 0, len(position) - 2)
    b = (since - first)[:, None]
    a = 1 - b
    bend = step_s * step_s / 6
    found: Array = a * position[first] + b * position[first + 1]
    found += bend * ((a * a - 1) * a * curvature[first] + (b * b - 1) * b * curvature[first + 1])
    return found


def _differences(points: int, order: int) -> Array:
    """[points - order, points]: points to their differences; no row where they are too few."""
    found: Array = np.diff(np.eye(points), order, axis=0)
    return found


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
