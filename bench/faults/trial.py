"""One fault, put into a running robot: before, during, behind, and what to make of it."""

from __future__ import annotations

import time

import numpy as np

from spinal.bench.faults import motion
from spinal.bench.faults.fault import Fault
from spinal.bench.faults.harness import FaultRobot
from spinal.bench.faults.judge import Evidence
from spinal.native import clock, layout

BEFORE_NS = 300_000_000
"""Of the motion before the fault, for the differences that reach over its instant."""
RECOVERS_S = 25.0
"""A robot that does not run again within so long does not by itself."""
SETTLES_S = 0.4
"""Watched behind what happens in an instant, and behind a recovery."""
STALL_MS = 12.0
"""An empty loop of higher priority that was so late: the machine stood still, whatever we did."""
TRIES = 3
MISS_WINDOW_NS = 2_000_000_000


def cause(robot: FaultRobot, fault: Fault) -> Evidence:
    """One time: waits until the arm moves, hurts it, lifts the fault, waits until it runs again."""
    floor = robot.floor.counts()
    words, signs = len(robot.words), len(robot.signs)
    with fault.cause(robot) as began_ns:
        robot.watch_for(max(fault.lasts_s - (clock.now_ns() - began_ns) / 1e9, 0.0))
    lifted_ns = clock.now_ns() if fault.lasts_s else began_ns
    robot.watch_for(max(fault.watch_s, SETTLES_S))
    latched, recovery = _recovered(robot, lifted_ns)
    robot.watch_for(SETTLES_S)
    if fault.counts_misses:
        robot.watch_for((began_ns + MISS_WINDOW_NS - clock.now_ns()) / 1e9)
    ended_ns = clock.now_ns()
    return Evidence(
        fault=fault,
        joints=robot.joints,
        period_ns=robot.period_ns,
        began_ns=began_ns,
        lifted_ns=lifted_ns,
        ended_ns=ended_ns,
        frames=robot.frames(began_ns - BEFORE_NS, ended_ns),
        records=robot.records(began_ns - BEFORE_NS, ended_ns),
        words=robot.words[words:],
        signs=robot.signs[signs:],
        taken_over_ns=0,
        latched=latched,
        recovery=recovery,
        stall_ms=robot.stall_ms(floor),
    )


def misses(robot: FaultRobot, seen: Evidence, windows: list[int]) -> dict[str, float]:
    """Missed ticks in the two seconds behind the fault, beside those of windows without one."""
    ticks = seen.records["tick_ns"]
    behind = motion.missed(ticks, seen.began_ns, seen.began_ns + MISS_WINDOW_NS, robot.period_ns)
    return {
        "behind": behind,
        "windows": len(windows),
        "mean": round(float(np.mean(windows)), 2) if windows else 0.0,
        "most": max(windows, default=0),
    }


def _recovered(robot: FaultRobot, lifted_ns: int) -> tuple[int, str]:
    """(conditions that were latched, who made it run again)."""
    deadline = time.monotonic() + RECOVERS_S
    while not robot.running:
        state = robot.state
        if state is not None and state.latched and state.mode == layout.MODE_STOPPED:
            return state.latched, "never"
        if time.monotonic() > deadline:
            return 0, "never"
        robot.watch_for(0.02)
    return 0, "itself"
