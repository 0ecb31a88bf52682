"""What the kernel tells, beside the records, of the loop's thread and of the machine. Pure.

Counters are sampled about a hundred times a second by somebody who only reads. The one who samples is evidence
himself: when he was late too, and did not wait for a processor, then nothing ran.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

COARSEST_NS = 100_000_000
"""Two samples that are further apart than this, and the tick between them, say nothing about the tick."""


class Sample(NamedTuple):
    """Counters at one instant. Times in ns of CLOCK_MONOTONIC, durations in ns since boot or start."""

    due_ns: int
    """When it was to be taken."""
    began_ns: int
    done_ns: int
    thread: int
    """Kernel id of the loop's thread; 0: not to be read."""
    stopped: int
    """1: stopped by a signal, or traced."""
    waited_ns: int
    """Ready to run, in a run queue."""
    forced: int
    """How often it was taken off its processor against its will."""
    faults: int
    """Page faults, minor and major."""
    stolen_ns: int
    """Of all processors, by the hypervisor; in steps of a jiffy."""
    own_waited_ns: int
    """As ``waited_ns``, of the thread that samples; -1: this kernel does not tell."""


class Window(NamedTuple):
    """What rose between the two samples around a stage, less what usually does in that time."""

    length_ns: int
    waited_ns: int
    stolen_ns: int
    forced: int
    faults: int
    stopped: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """All samples of a watch. Make it with ``of_samples``."""

    samples: Ints
    """[n, fields of Sample]"""
    stall_ns: Ints
    """[n, 2] begin and end of what kept each sample back, other than waiting for a processor."""
    waited_rate: float
    """What the loop's thread usually waits, in ns a ns."""
    stolen_rate: float

    def around(self, begin_ns: int, end_ns: int) -> Window | None:
        """Between the last sample before and the first behind; None where they are too far apart or missing."""
        rows = self.samples
        first = int(np.searchsorted(rows[:, _DONE], begin_ns, side="right")) - 1
        last = int(np.searchsorted(rows[:, _BEGAN], end_ns, side="left"))
        if first < 0 or last >= len(rows):
            return None
        inside = rows[first : last + 1]
        length_ns = int(inside[-1, _BEGAN] - inside[0, _DONE])
        if length_ns - (end_ns - begin_ns) > COARSEST_NS or (inside[:, _THREAD] != inside[0, _THREAD]).any():
            return None
        if inside[0, _THREAD] == 0:
            return None
        rise = inside[-1] - inside[0]
        within = (inside[:, _DONE] >= begin_ns) & (inside[:, _BEGAN] <= end_ns)
        return Window(
            length_ns=length_ns,
            waited_ns=max(0, int(rise[_WAITED] - self.waited_rate * length_ns)),
            stolen_ns=max(0, int(rise[_STOLEN] - self.stolen_rate * length_ns)),
            forced=int(rise[_FORCED]),
            faults=int(rise[_FAULTS]),
            stopped=bool(inside[within, _STOPPED].any()),
        )

    def stood_still_ns(self, begin_ns: int, end_ns: int) -> int:
        """For how long of this the one who samples could not run either, and nobody else kept him from it."""
        begins, ends = self.stall_ns[:, 0], self.stall_ns[:, 1]
        overlap = np.minimum(ends, end_ns) - np.maximum(begins, begin_ns)
        return int(np.maximum(overlap, 0).sum())


def of_samples(samples: list[Sample]) -> Evidence:
    """In order of time."""
    rows = np.array(samples, np.int64).reshape(-1, len(Sample._fields))
    late_ns = rows[:, _BEGAN] - rows[:, _DUE]
    own_ns = np.maximum(np.diff(rows[:, _OWN], prepend=rows[:1, _OWN]), 0)
    usual_ns = int(np.median(late_ns)) if len(rows) else 0
    tells = rows[:, _OWN] >= 0
    begins = rows[:, _DUE] + usual_ns
    ends = np.where(tells, np.maximum(begins, rows[:, _BEGAN] - own_ns), begins)
    return Evidence(rows, np.stack([begins, ends], axis=1), _rate(rows, _WAITED), _rate(rows, _STOLEN))


def _rate(rows: Ints, column: int) -> float:
    """Median rise from sample to sample, a ns."""
    if len(rows) < 2:
        return 0.0
    took = np.maximum(np.diff(rows[:, _BEGAN]), 1)
    return max(0.0, float(np.median(np.diff(rows[:, column]) / took)))


_DUE, _BEGAN, _DONE, _THREAD, _STOPPED, _WAITED, _FORCED, _FAULTS, _STOLEN, _OWN = range(len(Sample._fields))
