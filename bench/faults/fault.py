"""What a fault is: how it is caused, and what is promised of the arm when it happens."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

from spinal.bench.faults.harness import FaultRobot

Cause = Callable[[FaultRobot], AbstractContextManager[int]]
"""Entered, it waits until the arm moves, hurts the robot, and gives the instant (ns) right before; left, it lifts
the fault, where that is possible."""

Ends = Literal["running", "holding", "stopped", "off", "refused"]
Recovery = Literal["itself", "a person", "never"]


@dataclass(frozen=True, slots=True)
class Promise:
    """What must come of it.

    ``state``: the most careful mode that the arm reaches; one that carries on is "running" throughout.
    ``react_ms``: the first frame of the safe reaction is written within so long. ``gap_ms``: a moving arm is
    without a command for no longer (None: while nobody can write, its servos stand at their last goal).
    """

    state: tuple[Ends, ...]
    react_ms: float = 0.0
    gap_ms: float | None = 50.0
    latched: bool | None = False
    """None: as hard as it comes; then a person arms it again, or nobody has to."""
    recovery: Recovery = "itself"
    keeps_torque: bool = True
    """No servo is without torque at any time."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One row. ``lasts_s``: how long until it is lifted; 0 for what happens in an instant."""

    name: str
    what: str
    cause: Cause
    promise: Promise
    lasts_s: float = 0.0
    watch_s: float = 0.0
    """At least so long is watched after it is lifted, for what shows late."""
    quick: bool = False
    starves: bool = False
    """It takes processors away itself: an empty loop that is late is no sign of another's stall."""
    counts_misses: bool = False
    """Missed ticks behind it are held against those of windows without it."""
    counters: tuple[str, ...] = ()
    """Counters whose rise shows it (Sign.what)."""
    absent: Callable[[], str] = lambda: ""
    """Why it cannot be caused here, or ""."""
    deaf: tuple[int, ...] = ()
    """Joints that no command reaches: their servos stand at their last goal, and only the steps count."""
    arm_is_new: bool = False
    """The simulated arm dies with it: what comes then is another one."""
    modules: tuple[tuple[str, str], ...] = ()
    """Processes that run another module in place of their own, from the robot's start."""


CARRIES_ON = Promise(("running",))
