"""How late an empty loop wakes here: the one fact that all others are about, measured."""

from __future__ import annotations

import time

from spinal.native.floor import Floor
from spinal.runtime.awake import AwakeProcessors
from spinal.runtime.preflight.finding import Finding, Status

PERIOD_NS = 1_000_000
GOOD_US, BAD_US = 100.0, 1000.0
"""Of p99 at 1 kHz: a tenth of a period, and all of it."""


def lateness(seconds: float, priority: int) -> Finding:
    """Runs an empty loop of 1 kHz for so long, at SCHED_FIFO ``priority`` where it is granted."""
    floor = Floor(PERIOD_NS, priority)
    with AwakeProcessors(True):  # as the controller does
        floor.start()
        time.sleep(seconds)
        floor.stop()
    figures = floor.summary()
    return judged(figures["p50"] / 1000, figures["p99"] / 1000, figures["max"] / 1000, floor.fifo is None)


def judged(p50_us: float, p99_us: float, max_us: float, fifo: bool) -> Finding:
    """The finding for what was measured."""
    status = Status.GOOD if p99_us <= GOOD_US else Status.WARN if p99_us <= BAD_US else Status.BAD
    fact = f"an empty loop of 1 kHz woke {p50_us:.0f} us late (median), {p99_us:.0f} (p99), {max_us:,.0f} at most"
    meaning = {
        Status.GOOD: "ticks come when they are due",
        Status.WARN: "one tick in a hundred uses a good part of its period for waking",
        Status.BAD: "one tick in a hundred of a 1 kHz loop is lost, whatever the software does",
    }[status]
    fix = "" if status is Status.GOOD else "mend what is above" if fifo else "mend the priority first"
    return Finding("lateness", status, fact, meaning, fix)
