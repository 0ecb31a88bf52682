"""Processes of the robot that die, are ended, or stand still for a while or for ever."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from spinal.bench.faults.fault import CARRIES_ON, Cause, Fault, Promise
from spinal.bench.faults.harness import FaultRobot

NOTICED_MS = 150.0
"""The supervisor looks every 10 ms, the loop takes its order in the next tick; the rest is for stalls."""
GUARDED_MS = 50.0
"""A controller that is gone is braked for within so long."""
HOLDS = Promise(("holding",), react_ms=NOTICED_MS)
AT_EDGE = Promise(("running", "holding"), react_ms=50.0)
"""As long as the guard's own patience: it may be there first."""
GUARDED = Promise(("holding", "stopped"), react_ms=GUARDED_MS)
ENDS_MS = 1500.0
"""Asked to end, a process does what it has begun; a controller waits for a second until the arm is at rest."""
TAIL_MS = 600.0
"""What is left of a chunk is followed, then the arm comes to rest."""
AT_TAIL = Promise(("holding",), react_ms=TAIL_MS)
GOAL_ENDS = Promise(("holding",), react_ms=2500.0)
BUS_SILENT = Promise(("holding",), react_ms=NOTICED_MS, gap_ms=None)
SERVOS_GONE = Promise(("off",), gap_ms=None, keeps_torque=False)


def killed(name: str, number: signal.Signals = signal.SIGKILL) -> Cause:
    """Sends a signal once."""

    @contextmanager
    def cause(robot: FaultRobot) -> Iterator[int]:
        robot.until_moving()
        yield robot.kill(name, number)

    return cause


def stopped(name: str) -> Cause:
    """SIGSTOP, and SIGCONT at the end, to the same process if it is still there."""

    @contextmanager
    def cause(robot: FaultRobot) -> Iterator[int]:
        robot.until_moving()
        pid = robot.pid(name)
        began_ns = robot.kill(name, signal.SIGSTOP)
        try:
            yield began_ns
        finally:
            robot.go_on(pid)

    return cause


def _signals(name: str, promise: Promise, misses: bool) -> list[Fault]:
    named = {signal.SIGKILL: "killed", signal.SIGSEGV: "crashes", signal.SIGTERM: "ended"}
    return [
        Fault(
            f"{name}-{word}",
            f"{number.name} to the {name}",
            killed(name, number),
            replace(promise, react_ms=max(promise.react_ms, ENDS_MS))
            if number is signal.SIGTERM
            else promise,
            watch_s=3.0 if number is signal.SIGTERM else 0.0,
            quick=number is signal.SIGKILL,
            counts_misses=misses and number is signal.SIGKILL,
            arm_is_new=promise is SERVOS_GONE,
        )
        for number, word in named.items()
    ]


def _pauses(name: str, rows: list[tuple[float, Promise]], quick: float = 0.0) -> list[Fault]:
    return [
        Fault(
            f"{name}-stopped-{_length(seconds)}",
            f"SIGSTOP to the {name} for {_length(seconds)}, then SIGCONT",
            stopped(name),
            promise,
            lasts_s=seconds,
            quick=seconds == quick,
            counters=("starved ticks",) if name == "policy" else (),
            arm_is_new=promise is SERVOS_GONE,
        )
        for seconds, promise in rows
    ]


def _length(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else f"{seconds:.0f}s"


FAULTS = [
    *_signals("controller", GUARDED, misses=False),
    *_pauses("controller", [(0.01, AT_EDGE), (0.1, GUARDED), (0.5, GUARDED), (2.0, GUARDED)], quick=0.5),
    *_signals("policy", HOLDS, misses=True),
    *_pauses("policy", [(0.01, CARRIES_ON), (0.1, CARRIES_ON), (1.0, AT_TAIL), (5.0, AT_TAIL)], quick=1.0),
    *_signals("link", HOLDS, misses=True),
    *_pauses("link", [(0.1, CARRIES_ON), (1.0, CARRIES_ON), (4.0, GOAL_ENDS)]),
    *_signals("planner", CARRIES_ON, misses=True),
    *_pauses("planner", [(1.0, CARRIES_ON), (5.0, GOAL_ENDS)]),
    *_signals("sim", SERVOS_GONE, misses=False),
    *_pauses("sim", [(0.01, CARRIES_ON), (0.2, BUS_SILENT), (5.0, SERVOS_GONE)]),
]
