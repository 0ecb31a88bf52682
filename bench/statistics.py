"""Statistics of published figures: rates, quantiles of buckets, ratios of slices with their intervals.

A loop and its floor run at the same time; a run is cut into slices, each slice gives one ratio of the same
quantile, and the median of these is the figure. So a stall that hits a few slices moves it little, and one that
hits both sides not at all. Its interval is a bootstrap over slices (B. Efron, Ann. Statist. 7, 1979).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.uint64]
Array = NDArray[np.float64]

RESAMPLES = 2000
FEWEST_SLICES = 20


@dataclass(frozen=True, slots=True)
class Ratio:
    """Of slices: the pooled quantiles of both sides, and the median ratio with its 95 % interval."""

    value: float
    floor: float
    ratio: float
    low: float
    high: float
    slices: int
    n: int


def wilson(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a rate (E. B. Wilson, JASA 22, 1927). (0, 1) when nothing was tried."""
    if trials == 0:
        return 0.0, 1.0
    rate, spread = successes / trials, z * z / trials
    centre = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(rate * (1 - rate) / trials + spread / (4 * trials))
    return centre - half, centre + half


def paired_difference(
    first: Sequence[bool], second: Sequence[bool], z: float = 1.96
) -> tuple[float, float, float]:
    """(difference, low, high) of two rates of success on the same trials, from what only one of them solved
    (Q. McNemar, Psychometrika 12, 1947; the interval is Wald's with a half of a trial added to either side, so that
    no disagreement is not taken for certainty). Raises ValueError for none, or for another number of trials.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"{len(first)} and {len(second)} trials are no pairs")
    n = len(first)
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    difference = (only_first - only_second) / n
    apart = only_first + only_second + 1
    half = z * math.sqrt(apart - (only_first - only_second) ** 2 / n) / n
    return difference, difference - half, difference + half


def quantile(counts: Counts, edges: Array, fraction: float) -> float:
    """The value inside its bucket that ``fraction`` (0 to 1) of the records do not pass; NaN when empty.

    ``counts`` [bucket], ``edges`` [bucket]: upper edges. Linear inside the bucket: an edge alone would make the
    ratio of two alike loops jump by a bucket's width.
    """
    total = int(counts.sum())
    if total == 0:
        return math.nan
    wanted = fraction * total
    behind = np.cumsum(counts)
    bucket = int(np.searchsorted(behind, wanted))
    bucket = min(bucket, len(counts) - 1)
    below = float(edges[bucket - 1]) if bucket else 0.0
    above = float(edges[bucket])
    if not math.isfinite(above):
        return below
    inside = (wanted - (float(behind[bucket - 1]) if bucket else 0.0)) / max(1.0, float(counts[bucket]))
    return below + (above - below) * min(1.0, max(0.0, inside))


def slice_ratio(candidate: Counts, floor: Counts, edges: Array, fraction: float, seed: int = 0) -> Ratio:
    """Median over slices of candidate's quantile / floor's. Both [slice, bucket].

    Slices that are empty on a side are left out. All NaN when no slice has both.
    """
    pairs = [
        (quantile(ours, edges, fraction), quantile(theirs, edges, fraction))
        for ours, theirs in zip(candidate, floor, strict=True)
    ]
    ratios = np.array([ours / theirs for ours, theirs in pairs if theirs > 0 and math.isfinite(ours)])
    pooled = quantile(candidate.sum(axis=0), edges, fraction), quantile(floor.sum(axis=0), edges, fraction)
    if not len(ratios):
        return Ratio(*pooled, math.nan, math.nan, math.nan, 0, int(candidate.sum()))
    low, high = bootstrap_median(ratios, seed)
    return Ratio(*pooled, float(np.median(ratios)), low, high, len(ratios), int(candidate.sum()))


def bootstrap_median(values: Array, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the median of ``values`` [n >= 1]; the same numbers for the same seed."""
    chosen = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    medians = np.median(values[chosen], axis=1)
    return float(np.quantile(medians, 0.025)), float(np.quantile(medians, 0.975))
