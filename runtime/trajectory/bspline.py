"""Clamped uniform B-splines (de Boor, "A Practical Guide to Splines", ch. IX and X), and the interpolating quintic.

Knots are [0]*p ++ linspace(0, 1, N-p+1) ++ [1]*p for N control points of degree p, as BEAST has them (arXiv
2506.06072). ``native/core/trajectory.c`` evaluates the same spline in the tick.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

QUINTIC = 5
MIN_ACTIONS = 2
"""Of an interpolating quintic."""


def basis_at(share: Array, degree: int, controls: int, order: int = 0) -> Array:
    """[len(share), controls]: weights of the control points at ``share`` of the spline's length, 0 to 1.

    ``order``: of the derivative, with respect to the share. Raises ValueError where there are too few controls.
    """
    if not 0 <= order <= degree < controls:
        raise ValueError(
            f"degree {degree} takes {degree + 1} control points at least, not {controls},"
            f" and has derivatives up to its own, not {order}"
        )
    spans = controls - degree
    knots = np.concatenate([np.zeros(degree), np.arange(spans + 1), np.full(degree, spans)])
    x = np.asarray(share, np.float64) * spans
    inside = np.clip(x.astype(np.int64), 0, spans - 1) + degree
    values = np.zeros((len(x), len(knots) - 1))
    values[np.arange(len(x)), inside] = 1
    for p in range(1, degree + 1):
        count = len(knots) - p - 1
        left, right = knots[p : p + count] - knots[:count], knots[p + 1 :] - knots[1 : count + 1]
        if p > degree - order:  # from here on each row is the derivative of the one before
            values = p * spans * (_ratio(values[:, :-1], left) - _ratio(values[:, 1:], right))
        else:
            rise = _ratio(values[:, :-1], left) * (x[:, None] - knots[:count])
            values = rise + _ratio(values[:, 1:], right) * (knots[p + 1 :] - x[:, None])
    return values


def _ratio(values: Array, widths: Array) -> Array:
    """A knot interval of no width holds nothing."""
    return np.divide(values, widths, out=np.zeros_like(values), where=widths > 0)


@lru_cache(maxsize=64)
def basis(degree: int, controls: int, intervals: int) -> Array:
    """[intervals + 1, controls]: ``basis_at`` equally spaced shares from 0 to 1."""
    found = basis_at(np.linspace(0, 1, intervals + 1), degree, controls)
    found.setflags(write=False)
    return found


@lru_cache(maxsize=64)
def quintic_matrix(steps: int, step_s: float) -> Array:
    """[steps + 5, 3 + steps]: control points of the quintic through ``steps`` actions, a span for each.

    Acts on position, velocity and acceleration where it begins, and below them the actions. Four times continuously
    differentiable; at its end the third and fourth derivative are 0, which is natural for a quintic.
    Raises ValueError for fewer than 2 actions.
    """
    if steps < MIN_ACTIONS:
        raise ValueError(f"a quintic needs {MIN_ACTIONS} actions at least, not {steps}")
    controls, duration_s = steps + QUINTIC, steps * step_s
    ends = np.array([0.0, 1.0])
    asked = [basis(QUINTIC, controls, steps)]
    for order in (1, 2):
        asked.append(basis_at(ends[:1], QUINTIC, controls, order) / duration_s**order)
    for order in (3, 4):
        asked.append(basis_at(ends[1:], QUINTIC, controls, order) / (steps**order))
    given = np.zeros((controls, 3 + steps))
    given[0, 0] = 1
    given[1 : steps + 1, 3:] = np.eye(steps)
    given[steps + 1, 1] = given[steps + 2, 2] = 1
    return np.linalg.solve(np.concatenate(asked), given).astype(np.float64)
