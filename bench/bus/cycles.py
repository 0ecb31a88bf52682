"""Durations of cycles that were stamped one by one, put into buckets and cut into slices of time.

A loop that was stamped in another process is cut at the same instants of CLOCK_MONOTONIC as its floor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinal.bench.buckets import counts_of
from spinal.bench.statistics import Counts

Stamps = NDArray[np.int64]


def cut(stamps_ns: Stamps, values_ns: Stamps, borders_ns: Stamps) -> Counts:
    """[slice, bucket]: values whose stamp lies from one border up to the next; what lies outside is left out."""
    number = np.searchsorted(borders_ns, stamps_ns, side="right") - 1
    return np.stack([counts_of(values_ns[number == one]) for one in range(len(borders_ns) - 1)])


def unomitted(values_ns: Stamps, period_ns: int) -> Stamps:
    """With what the slots would have seen that a cycle longer than ``period_ns`` took away (coordinated omission,
    as in HdrHistogram): a value v adds v - period, v - 2 periods, and so on while that is positive."""
    longest = int(values_ns.max(initial=0)) // period_ns
    missed = [values_ns - skipped * period_ns for skipped in range(1, longest + 1)]
    return np.concatenate([values_ns, *(late[late > 0] for late in missed)])
