"""The field's classes of control by their latency, and which of them a machine's reaction fits.

The bounds are those that the field states for the 99th percentile from an event to the motion that answers it.
A machine fits a class when its p99 is inside the class's upper bound; the lower bound says where that class
usually works, and being faster does no harm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from spinal.bench.report.text import NS, plain
from spinal.bench.result import Metric, Result
from spinal.bench.table import number

SUITE = "reaction"
METRIC = "reaction_ms.p99"
COMMAND = "spinal bench run reaction --json FILE"


@dataclass(frozen=True, slots=True)
class LatencyClass:
    """``low_ms`` is 0 where the field states an upper bound alone."""

    name: str
    low_ms: float
    high_ms: float

    @property
    def band(self) -> str:
        """As the field writes it."""
        return (
            f"{self.low_ms:.0f} to {self.high_ms:.0f} ms" if self.low_ms else f"under {self.high_ms:.0f} ms"
        )

    def fits(self, p99_ms: float) -> bool:
        """Whether a reaction of this p99 is fast enough."""
        return p99_ms <= self.high_ms if self.low_ms else p99_ms < self.high_ms


CLASSES = (
    LatencyClass("dexterous", 10, 50),
    LatencyClass("swarm", 10, 50),
    LatencyClass("navigation", 50, 100),
    LatencyClass("teleoperation", 0, 100),
)


@dataclass(frozen=True, slots=True)
class Reaction:
    """What the class is taken from: the metric and its value."""

    metric: str
    p99_ms: float


def reaction(result: Result) -> Reaction | None:
    """The machine's p99 from event to motion, None where it was not measured.

    The suite's ``reaction_ms.p99``; where it has that figure only under several conditions, the slowest.
    """
    suite = result.suites.get(SUITE)
    found = [_read(metric) for metric in suite.metrics] if suite else []
    known = [one for one in found if one is not None]
    whole = [one for one in known if one.metric == METRIC]
    return max(whole or known, key=lambda one: one.p99_ms, default=None)


def sentence(found: Reaction | None) -> str:
    """What the machine is fit for, in one sentence; without the figure, how to measure it."""
    if found is None:
        return f"Unknown: this file has no {METRIC} of the suite {SUITE}. Measure it: {COMMAND}"
    fit = [one.name for one in CLASSES if one.fits(found.p99_ms)]
    head = f"Reaction p99 {number(found.p99_ms)} ms"
    if not fit:
        return f"{head}: fits no class; the widest ends at {max(one.high_ms for one in CLASSES):.0f} ms."
    if len(fit) == len(CLASSES):
        return f"{head}: fits all {len(fit)} classes."
    return f"{head}: fits {' and '.join(fit)}."


def _read(metric: Metric) -> Reaction | None:
    named = metric.name == METRIC or metric.name.endswith(f".{METRIC}")
    if not named or metric.value is None or not math.isfinite(metric.value) or metric.unit not in NS:
        return None
    return Reaction(plain(metric.name), metric.value * NS[metric.unit] / NS["ms"])
