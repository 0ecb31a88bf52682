"""The bus and its motors: replies that are lost, garbled or late, servos that are silent or lose their power."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from spinal.bench.faults.fault import CARRIES_ON, Cause, Fault, Promise
from spinal.bench.faults.harness import FaultRobot
from spinal.native import clock

SERVO = 1
"""The shoulder: it carries the rest of the arm."""
SILENT_MS = 150.0
"""A joint may be silent for 50 ms; a stall of the machine besides."""
NEXT_TICK_NS = 4_000_000
LATE_S = 0.012
ALL = slice(0, 6)
OVERLOAD_BIT, VOLTAGE_BIT = 0x20, 0x01

Change = Callable[[np.void], None]


def simulated(change: Change) -> Cause:
    """Makes the simulator's faults so, and puts all of it right at the end."""

    @contextmanager
    def cause(robot: FaultRobot) -> Iterator[int]:
        robot.until_moving()
        began_ns = clock.now_ns()
        change(robot.faults.faults)
        robot.faults.publish()
        try:
            yield began_ns
        finally:
            robot.faults.clear()

    return cause


def of_servo(word: str, value: float, servo: int | slice = SERVO) -> Cause:
    """One of its faults is so much."""

    def change(faults: np.void) -> None:
        faults["servos"][word][servo] = value

    return simulated(change)


def once_more(word: str, times: int = 1) -> Cause:
    """One of its faults that only rise happens so many times more."""

    def change(faults: np.void) -> None:
        faults["servos"][word][SERVO] += times

    return simulated(change)


HOLDS = Promise(("holding",), react_ms=SILENT_MS)
MISSING = ("missing replies", "bad packets")

FAULTS = [
    Fault(
        "reply-lost",
        "one reply of one servo is lost",
        once_more("drop_replies"),
        CARRIES_ON,
        counters=MISSING,
        quick=True,
    ),
    Fault(
        "replies-lost",
        "five replies running are lost",
        once_more("drop_replies", 5),
        CARRIES_ON,
        counters=MISSING,
    ),
    Fault(
        "bytes-flipped",
        "one byte of a reply is inverted",
        once_more("corrupt_replies"),
        CARRIES_ON,
        counters=MISSING,
    ),
    Fault(
        "reply-next-tick",
        "replies of one servo come in the next tick, for 12 ms",
        of_servo("extra_delay_ns", NEXT_TICK_NS),
        CARRIES_ON,
        lasts_s=LATE_S,
        counters=MISSING,
    ),
    Fault(
        "servo-silent-200ms",
        "one servo obeys and does not answer for 200 ms",
        of_servo("silent", 1),
        HOLDS,
        lasts_s=0.2,
        counters=MISSING,
        quick=True,
    ),
    Fault(
        "servo-silent-5s",
        "one servo obeys and does not answer for 5 s",
        of_servo("silent", 1),
        HOLDS,
        lasts_s=5.0,
        counters=MISSING,
    ),
    Fault(
        "all-servos-silent",
        "all servos obey and do not answer for 1 s",
        of_servo("silent", 1, ALL),
        HOLDS,
        lasts_s=1.0,
        counters=MISSING,
    ),
    Fault(
        "servo-unplugged",
        "one servo neither hears nor answers for 1 s",
        of_servo("unplugged", 1),
        HOLDS,
        lasts_s=1.0,
        deaf=(SERVO,),
        counters=MISSING,
    ),
    Fault(
        "brown-out",
        "one servo loses its power and comes back without torque",
        once_more("power_cycles"),
        Promise(("stopped",), react_ms=1000.0, latched=True, recovery="a person", keeps_torque=False),
    ),
    Fault(
        "error-bits",
        "one servo says for 1 s that it protects itself from an overload",
        of_servo("error_bits", OVERLOAD_BIT),
        Promise(("stopped",), react_ms=SILENT_MS, latched=True, recovery="a person"),
        lasts_s=1.0,
        quick=True,
    ),
    Fault(
        "error-bit-voltage",
        "one servo's error byte complains of its supply for 1 s, which measures well",
        of_servo("error_bits", VOLTAGE_BIT),
        CARRIES_ON,
        lasts_s=1.0,
    ),
]
