"""People and planners: emergency stops by every road in every mode, two planners at once, a slow subscriber."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import zmq

from spinal.bench.faults.fault import CARRIES_ON, Cause, Fault, Promise
from spinal.bench.faults.harness import FaultRobot
from spinal.native import clock, layout
from spinal.runtime.errors import LinkError
from spinal.runtime.link.client import PlannerClient

AT_ONCE_MS = 6.0
"""A servo period of 4 ms, and a bus cycle of 1.4."""
BY_LINK_MS = 40.0
BY_WIRE_MS = 20.0
"""The line is looked at every few milliseconds."""
HEARD_S = 1.0
OTHER_PLANNER_MS = 3000.0


def _stopped_within(milliseconds: float) -> Promise:
    return Promise(("stopped",), react_ms=milliseconds, latched=True, recovery="a person")


def _in_ready(robot: FaultRobot) -> None:
    """Armed, and not begun: behind an earlier stop, while nobody orders it to run."""
    robot.supervisor.wants_run = False
    robot.supervisor.stops.press()
    robot.until(lambda: robot.supervisor.latch is not None, "the first stop is seen")
    robot.until(lambda: robot.supervisor.arm() is None, "it may be armed again")
    robot.until(lambda: robot.in_mode(layout.MODE_READY), "it is armed")


def _in_holding(robot: FaultRobot) -> None:
    robot.until_moving()
    robot.supervisor.wants_run = False
    robot.until(lambda: robot.in_mode(layout.MODE_HOLDING), "it holds")


def _press(robot: FaultRobot) -> None:
    robot.supervisor.stops.press()


def _signal(robot: FaultRobot) -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


def _by_link(robot: FaultRobot) -> None:
    robot.plan("estop")


def _by_wire(robot: FaultRobot) -> None:
    robot.button(True)


def _stop(
    press: Callable[[FaultRobot], None], get_there: Callable[[FaultRobot], None] = FaultRobot.until_moving
) -> Cause:
    @contextmanager
    def cause(robot: FaultRobot) -> Iterator[int]:
        try:
            get_there(robot)
            began_ns = clock.now_ns()
            press(robot)
            yield began_ns
        finally:
            robot.button(False)
            robot.supervisor.wants_run = True

    return cause


@contextmanager
def _two_planners(robot: FaultRobot) -> Iterator[int]:
    """A second one asks for goals of its own."""
    robot.until_moving()
    began_ns = clock.now_ns()
    with PlannerClient(robot.endpoints, src="another") as other:
        try:
            other.send_goal("pick", valid_for_ms=OTHER_PLANNER_MS, timeout_ms=400)
        except LinkError:
            return
        yield began_ns


@contextmanager
def _planner_that_vanishes(robot: FaultRobot) -> Iterator[int]:
    """Pauses the robot, and is never heard of again: a person goes on."""
    robot.until_moving()
    began_ns = clock.now_ns()
    robot.plan("pause")
    try:
        yield began_ns
    finally:
        robot.plan("go_on")


@contextmanager
def _slow_subscriber(robot: FaultRobot) -> Iterator[int]:
    """Subscribes to the state and never reads."""
    robot.until_moving()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        socket = context.socket(zmq.SUB)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.setsockopt(zmq.RCVHWM, 1)
        began_ns = clock.now_ns()
        socket.connect(robot.endpoints.state)
        yield began_ns
    finally:
        context.destroy(linger=0)


FAULTS = [
    Fault(
        "estop-command", "emergency stop by command", _stop(_press), _stopped_within(AT_ONCE_MS), quick=True
    ),
    Fault("estop-signal", "emergency stop by signal", _stop(_signal), _stopped_within(AT_ONCE_MS)),
    Fault("estop-link", "emergency stop by a planner", _stop(_by_link), _stopped_within(BY_LINK_MS)),
    Fault(
        "estop-wire",
        "emergency stop by a button on a wire, for 0.3 s",
        _stop(_by_wire),
        _stopped_within(BY_WIRE_MS),
        lasts_s=0.3,
    ),
    Fault(
        "estop-in-ready",
        "emergency stop of an armed robot",
        _stop(_press, _in_ready),
        _stopped_within(AT_ONCE_MS),
    ),
    Fault(
        "estop-in-holding",
        "emergency stop of a robot that holds",
        _stop(_press, _in_holding),
        _stopped_within(AT_ONCE_MS),
    ),
    Fault(
        "planner-vanishes",
        "a planner pauses, and is gone for 3 s",
        _planner_that_vanishes,
        Promise(("holding",), BY_LINK_MS),
        3.0,
    ),
    Fault("two-planners", "a second planner asks for goals of its own", _two_planners, CARRIES_ON, 1.5),
    Fault(
        "slow-subscriber", "a subscriber of the state never reads, for 2 s", _slow_subscriber, CARRIES_ON, 2.0
    ),
]
