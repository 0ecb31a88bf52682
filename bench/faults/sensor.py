"""The pose stream that the policy sees the world by."""

from __future__ import annotations

import numpy as np

from spinal.bench.faults.bus import simulated
from spinal.bench.faults.fault import CARRIES_ON, Cause, Fault, Promise
from spinal.native import layout

BLIND_MS = 750.0
"""A pose may be 100 ms old, the chunk before goes on for up to 400 ms, then the arm comes to rest."""
LATE_NS = 200_000_000
AT_TAIL = Promise(("holding",), react_ms=BLIND_MS)
STUCK_MS = 1200.0
"""A pose may be the same for half a second: nobody can tell it from a block that rests."""
GOES_ON = Promise(("running", "holding"), react_ms=BLIND_MS)
SEEN = ("blind", "bad answers", "starved ticks")


def _poses(kind: int = layout.POSE_AS_IT_IS, delay_ns: int = 0, every: int = 1) -> Cause:
    def change(faults: np.void) -> None:
        faults["pose_kind"], faults["pose_delay_ns"], faults["pose_every"] = kind, delay_ns, every

    return simulated(change)


FAULTS = [
    Fault(
        "pose-off",
        "no pose comes for 1.5 s",
        _poses(layout.POSE_OFF),
        AT_TAIL,
        1.5,
        counters=SEEN,
        quick=True,
    ),
    Fault(
        "pose-stuck",
        "the same pose comes again and again for 1.5 s",
        _poses(layout.POSE_STUCK),
        Promise(("holding",), STUCK_MS),
        1.5,
        counters=SEEN,
    ),
    Fault(
        "pose-garbage", "poses are no numbers for 1.5 s", _poses(layout.POSE_NAN), AT_TAIL, 1.5, counters=SEEN
    ),
    Fault("pose-far", "poses are 1 km away for 1.5 s", _poses(layout.POSE_FAR), GOES_ON, 1.5, counters=SEEN),
    Fault(
        "pose-late", "poses come 200 ms late for 1.5 s", _poses(delay_ns=LATE_NS), AT_TAIL, 1.5, counters=SEEN
    ),
    Fault(
        "pose-intermittent",
        "three of four poses are lost for 1.5 s",
        _poses(every=4),
        CARRIES_ON,
        1.5,
        counters=SEEN,
    ),
]
