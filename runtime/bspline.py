"""Clamped uniform B-splines (de Boor, "A Practical Guide to Splines", ch. IX and X).

Knots are [0]*p ++ linspace(0, 1, N-p+1) ++ [1]*p for N control points of degree p, as BEAST has them (arXiv
2506.06072). ``native/core/trajectory.c`` evaluates the same spline in the tick.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def knots(controls: int, degree: int) -> Array:
    """[controls + degree + 1]. Raises ValueError for fewer control points than degree + 1."""
    if controls <= degree:
        raise ValueError(f"{controls} control points of a spline of degree {degree}")
    inner = np.linspace(0, 1, controls - degree + 1)
    return np.concatenate([np.zeros(degree), inner, np.ones(degree)])


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


def start_controls(motion: Array, controls: int, degree: int, duration_s: float) -> Array:
    """[3, channel]: the first three control points of a spline that begins with ``motion`` [channel, 3], position,
    velocity and acceleration, and lasts ``duration_s``: C2 with what came before. For a degree of 2 and more.
    """
    if degree < 2:
        raise ValueError(f"a spline of degree {degree} has no acceleration to begin with")
    k, p, T = knots(controls, degree), degree, duration_s
    q, v, a = motion.T
    first, second = k[p + 1] - k[1], k[p + 2] - k[2]
    c1 = q + v * T * first / p
    c2 = c1 + second * ((c1 - q) / first + a * T * T * (k[p + 1] - k[2]) / (p * (p - 1)))
    return np.stack([q, c1, c2])


def fit_controls(actions: Array, controls: int, degree: int, ridge: float = 1e-9) -> Array:
    """[control point, channel] of the spline closest to ``actions`` [step, channel], from phase 0 to 1."""
    b = basis(degree, controls, len(actions) - 1)
    return np.linalg.solve(b.T @ b + ridge * np.eye(controls), b.T @ actions).astype(np.float64)
