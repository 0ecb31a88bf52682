"""One fault, put into a running robot: before, during, behind, and what to make of it."""

from __future__ import annotations

import time

import numpy as np

from spinal.bench.faults import motion
from spinal.bench.faults.fault import Fault
from spinal.bench.faults.harness import FaultRobot
from spinal.bench.faults.judge import Evidence
from spinal.native import clock

BEFORE_NS = 300_000_000
"""Of the motion before the fault, for the differences that reach over its instant."""
RECOVERS_S = 25.0
"""A robot that does not run again within so long does not by itself."""
STIRS = 0.1
"""rad/s: one that runs and never stirs has not recovered."""
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
    latched, recovery, armed_ns = _recovered(robot)
    robot.watch_for(SETTLES_S)
    if robot.supervisor.latch is not None and recovery != "never":  # it came late
        latched, recovery, armed_ns = _recovered(robot)
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
        taken_over=next((deed for deed in robot.takeovers if deed.detected_ns >= began_ns), None),
        latched=latched,
        recovery=recovery,
        armed_ns=armed_ns,
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


def _recovered(robot: FaultRobot) -> tuple[int, str, int]:
    """(conditions that were latched, who made it run again, when it was armed for that)."""
    latch = robot.supervisor.latch
    latched, armed_ns = int(latch.conditions) if latch is not None else 0, 0
    if latch is not None:
        if not arm(robot):
            return latched, "never", 0
        armed_ns = clock.now_ns()
    deadline = time.monotonic() + RECOVERS_S
    while not (robot.running and robot.speed > STIRS):
        again = robot.supervisor.latch
        if again is not None:
            latched |= int(again.conditions)
        if again is not None or time.monotonic() > deadline:
            return latched, "never", armed_ns
        robot.watch_for(0.02)
    return latched, "a person" if armed_ns else "itself", armed_ns


def arm(robot: FaultRobot) -> bool:
    """What a person does after a stop; False when it is refused until the time is over."""
    deadline = time.monotonic() + RECOVERS_S
    while (refused := robot.supervisor.arm()) is not None:
        if "spinal plan arm" in refused:
            robot.plan("arm")
            robot.watch_for(0.3)
            if robot.supervisor.latch is None:
                return True
        if time.monotonic() > deadline:
            return False
        robot.watch_for(0.05)
    return True
