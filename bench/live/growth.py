"""Whether something grows: the slope of a series in time with an interval that is honest about short runs.

Samples of a process's memory are not independent: they stay where they are for minutes and then step. So a
series is cut into batches, the slope is that of their means by least squares, and its interval is Student's with
the batches as the sample (batch means: A. Law, Simulation Modeling and Analysis, ch. 9). To that comes what nobody
can see from outside: an allocator keeps what it got and takes the next megabyte when that is full, so growth below
one such step in the whole run has left no trace.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BATCHES = 10
STUDENT_95 = 2.306
"""Of BATCHES - 2 degrees of freedom, both sides."""
ARENA_BYTES = 1 << 20
"""What Python takes at once for its objects; the C library's steps are smaller."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Slope:
    """Per hour, with its 95 % interval; all NaN for a series that is too short."""

    value: float
    low: float
    high: float
    samples: int


def slope_per_hour(seconds: Array, values: Array, step: float = 0.0) -> Slope:
    """Of ``values`` [sample] at ``seconds`` [sample], rising. ``step``: the smallest growth that shows."""
    if len(values) < 2 * BATCHES:
        return Slope(math.nan, math.nan, math.nan, len(values))
    t = np.array([part.mean() for part in np.array_split(seconds, BATCHES)]) / 3600
    means = np.array([part.mean() for part in np.array_split(values, BATCHES)])
    apart = t - t.mean()
    spread = float(apart @ apart)
    value = float(apart @ (means - means.mean())) / spread
    left = means - means.mean() - value * apart
    error = math.sqrt(float(left @ left) / (BATCHES - 2) / spread)
    unseen = step * 3600 / float(seconds[-1] - seconds[0])
    half = math.hypot(STUDENT_95 * error, unseen)
    return Slope(value, value - half, value + half, len(values))


def lasting_growth(values: Array) -> float:
    """By how much the least of the last third is above the most of the first: what came and did not go again.

    0 or less when it did not grow, however much it went up and down; NaN for fewer than 3 samples.
    """
    third = len(values) // 3
    return float(values[-third:].min() - values[:third].max()) if third else math.nan
