"""The interpolating quintic, as a clamped uniform B-spline (``runtime/bspline.py``)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.bspline import basis, basis_at

__all__ = ["MIN_ACTIONS", "QUINTIC", "basis", "basis_at", "quintic_matrix"]

Array = NDArray[np.float64]

QUINTIC = 5
MIN_ACTIONS = 2
"""Of an interpolating quintic."""


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
