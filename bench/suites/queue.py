"""The chunk store under random latencies: ``spinal bench run queue``. Exact: the clock is the test's own.

A million ticks of the native loop against a model of what it should do; see ``bench/seam/queue.py``.
"""

from __future__ import annotations

from dataclasses import fields

from spinal.bench import judge
from spinal.bench.bench import Bench
from spinal.bench.result import SuiteResult
from spinal.bench.seam import queue

TICKS, QUICK_TICKS = 1_000_000, 100_000


def measure(bench: Bench) -> SuiteResult:
    """Plays so many ticks. Whatever must not happen is judged against 0; the rest is how much was tried."""
    found = queue.run(bench.options.ticks or (QUICK_TICKS if bench.quick else TICKS))
    judged = [judge.exact(name, "", count, 0, n=found.ticks) for name, count in found.faults.items()]
    shown = [
        judge.exact(one.name, "", getattr(found, one.name))
        for one in fields(found)
        if one.name not in found.faults
    ]
    return SuiteResult(metrics=[*judged, *shown])
