"""From a robot file to the guard: how long it waits, and by which limits it brakes."""

from __future__ import annotations

from dataclasses import dataclass

from spinal.runtime.config.budget import bus_budget
from spinal.runtime.config.limits import JointLimits, emergency_limits
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.controller.plan import the_bus

POLL_NS = 2_000_000
FRAME_GAP_NS = 1_000_000
HIGHEST_PRIORITY = 49
"""Interrupt threads have 50."""


@dataclass(frozen=True, slots=True)
class GuardPlan:
    """What ``spinal.native.guard.Guard`` needs to know; see ``native/core/guard.h``."""

    dt_ns: int
    """Period of the frames that brake."""
    poll_ns: int
    """Between two wake-ups of the guard, in which silence is counted."""
    stopped_ns: int
    """A controller that a signal has stopped for so long is lost."""
    silent_ns: int
    """One that runs and has not ticked for so long is lost."""
    frame_gap_ns: int
    """From the flush of the line to the first frame."""
    emergency: tuple[JointLimits, ...]
    grippers: tuple[bool, ...]
    fifo_priority: int


def guard_plan(robot: RobotConfig) -> GuardPlan:
    """The plan of the guard for ``robot``'s controller, just above the controller in priority.

    The gap covers what may still be under way at the controller's death: a whole cycle, replies included.
    Memory is not locked: it is the supervisor's, and a locked limit would make its own requests fail.
    Raises BusError when the robot has more than one bus.
    """
    budget = bus_budget(robot, the_bus(robot))
    cycle_ns = round(budget.cycle_us * 1000) if budget is not None else 0
    wants_realtime = robot.control.realtime != "off"
    return GuardPlan(
        dt_ns=robot.control.period_ns,
        poll_ns=POLL_NS,
        stopped_ns=robot.safety.guard_stopped_ms * 1_000_000,
        silent_ns=max(robot.safety.guard_silent_ms, robot.safety.guard_stopped_ms) * 1_000_000,
        frame_gap_ns=max(FRAME_GAP_NS, cycle_ns),
        emergency=tuple(emergency_limits(joint) for joint in robot.joints),
        grippers=tuple(joint.kind == "gripper" for joint in robot.joints),
        fifo_priority=min(robot.control.fifo_priority + 1, HIGHEST_PRIORITY) if wants_realtime else 0,
    )
