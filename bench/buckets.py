"""Buckets of native histograms as the distributions of a result file."""

from __future__ import annotations

import numpy as np

from spinal.bench.result import Distribution
from spinal.bench.statistics import Counts
from spinal.native.histogram import UPPER_EDGES_NS


def distribution_us(name: str, counts: Counts, floor: Counts | None = None) -> Distribution:
    """``counts`` [bucket], as of ``histogram.UPPER_EDGES_NS``, in us; ``floor`` of the same.

    Empty ends are left out, except for one bucket below, whose edge is where the first begins. What is past the
    last finite edge (18 minutes) is counted in the bucket of that edge.
    """
    both = counts if floor is None else counts + floor
    filled = np.flatnonzero(both)
    first, last = (max(0, int(filled[0]) - 1), int(filled[-1])) if len(filled) else (0, 0)
    ours, theirs = counts.copy(), None if floor is None else floor.copy()
    finite = len(UPPER_EDGES_NS) - 2
    if last > finite:
        for side in (ours, theirs):
            if side is not None:
                side[finite] += side[last]
        last = finite
    return Distribution(
        name=name,
        unit="us",
        edges=[float(edge) / 1e3 for edge in UPPER_EDGES_NS[first : last + 1]],
        counts=[int(count) for count in ours[first : last + 1]],
        floor_counts=None if theirs is None else [int(count) for count in theirs[first : last + 1]],
    )


def counts_of(durations_ns: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Counts:
    """[bucket]: how many of ``durations_ns`` [n] each bucket of ``histogram.UPPER_EDGES_NS`` has."""
    buckets = np.searchsorted(UPPER_EDGES_NS, np.maximum(durations_ns, 0))
    return np.bincount(buckets, minlength=len(UPPER_EDGES_NS)).astype(np.uint64)
