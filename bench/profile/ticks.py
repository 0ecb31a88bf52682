"""From records to stages: where each tick's time went, against its scheduled instant. Pure.

A tick that comes after skipped slots counts from the first slot that it missed: what a stall cost is seen whole
(coordinated omission).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STAGES = ("behind", "wake", "read", "plan", "compute", "write")
"""In their order. behind: the tick before was still at work; wake: until its thread ran; read: the bus; plan:
state, modes, hand-off; compute: sampling and limits; write: the bus again."""
BEHIND, WAKE, READ, PLAN, COMPUTE, WRITE = range(len(STAGES))

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ticks:
    """Ticks whose predecessor is known, in order of time."""

    number: Ints
    """[n] as the loop counts."""
    edge_ns: Ints
    """[n, 7] CLOCK_MONOTONIC: scheduled, free of the tick before, woke, read, planned, computed, written."""
    skipped: Ints
    """[n] slots that nobody came to, right before."""
    switched: NDArray[np.bool_]
    """[n] whether a trajectory was taken."""
    follows: NDArray[np.bool_]
    """[n] whether the row above is the tick before."""
    period_ns: int
    """0 while there are no two ticks."""
    gaps: int
    """Ticks in between whose records are missing."""

    @property
    def stage_ns(self) -> Ints:
        """[n, 6] in the order of STAGES."""
        return np.diff(self.edge_ns, axis=1)

    @property
    def total_ns(self) -> Ints:
        """[n] from the scheduled instant to written."""
        return self.edge_ns[:, -1] - self.edge_ns[:, 0]


def of_records(heads: NDArray[np.void]) -> Ticks:
    """``heads``: tick records in order; gaps, and a loop that begins anew, are allowed."""
    number = heads["tick"].astype(np.int64)
    step = np.diff(number)
    slot_ns = np.diff(heads["tick_ns"])
    known = step == 1
    period_ns = int(slot_ns[known].min()) if known.any() else 0
    after, before = heads[1:][known], heads[:-1][known]
    scheduled_ns = before["tick_ns"] + period_ns
    woke_ns = after["woke_ns"]
    edges = [scheduled_ns, np.clip(before["written_ns"], scheduled_ns, np.maximum(woke_ns, scheduled_ns))]
    edges += [after[f"{name}_ns"] for name in ("woke", "read", "planned", "computed", "written")]
    taken = np.flatnonzero(known)
    return Ticks(
        number=number[1:][known],
        edge_ns=np.stack(edges, axis=1),
        skipped=slot_ns[known] // max(1, period_ns) - 1,
        switched=after["switched"] != 0,
        follows=np.diff(taken, prepend=-2) == 1,
        period_ns=period_ns,
        gaps=int((step[step > 1] - 1).sum()),
    )


def worst(ticks: Ticks, count: int) -> Ints:
    """Rows of the ``count`` ticks that took longest, the worst first."""
    rows: Ints = np.argsort(-ticks.total_ns, kind="stable")[:count]
    return rows


def usual_ns(ticks: Ticks) -> Ints:
    """[6] the median of each stage."""
    usual: Ints = np.median(ticks.stage_ns, axis=0).astype(np.int64)
    return usual
