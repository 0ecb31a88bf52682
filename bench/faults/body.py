"""The arm itself: a joint that cannot move, one that is pushed, a hot motor, a supply that sags."""

from __future__ import annotations

from spinal.bench.faults.bus import ALL, SERVO, of_servo
from spinal.bench.faults.fault import Fault, Promise

ELBOW = 2
PUSH_NM = 6.0
SECONDS = 2.0
REFLEX_MS = 600.0
BY_REFLEX = Promise(("holding", "stopped"), react_ms=REFLEX_MS, latched=None)


FAULTS = [
    Fault(
        "joint-jams",
        "the elbow cannot move for 2 s",
        of_servo("jam", 1, ELBOW),
        BY_REFLEX,
        lasts_s=SECONDS,
        quick=True,
    ),
    Fault(
        "arm-pushed",
        f"{PUSH_NM:g} N m on the elbow for 2 s",
        of_servo("push", PUSH_NM, ELBOW),
        BY_REFLEX,
        lasts_s=SECONDS,
    ),
    Fault(
        "joint-frozen",
        "one servo measures nothing any more: the same bytes for 2 s",
        of_servo("frozen", 1, SERVO),
        Promise(("stopped",), react_ms=REFLEX_MS, latched=True, recovery="a person"),
        lasts_s=SECONDS,
    ),
    Fault(
        "motor-hot",
        "a motor says 63 degrees for 2 s",
        of_servo("celsius", 63, SERVO),
        Promise(("holding",), react_ms=1500.0),
        lasts_s=SECONDS,
    ),
    Fault(
        "motor-overheated",
        "a motor says 90 degrees for 2 s",
        of_servo("celsius", 90, SERVO),
        Promise(("stopped",), react_ms=1500.0, latched=True, recovery="a person"),
        lasts_s=SECONDS,
    ),
    Fault(
        "supply-sags",
        "all motors say 10 V for 2 s",
        of_servo("decivolts", 100, ALL),
        Promise(("holding",), react_ms=1500.0),
        lasts_s=SECONDS,
    ),
]
