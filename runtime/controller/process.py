"""The controller process: starts the hard loop on a bus whose motors are set up, and stays out of its way.

Run by the supervisor: ``python -m spinal.runtime.controller.process --wiring JSON``. It never imports
onnxruntime, zmq, numba or mujoco. Asked to end, it first lets the arm come to rest; torque stays on.
"""

from __future__ import annotations

import gc
import sys
import time
from dataclasses import replace

from spinal.native import layout, realtime
from spinal.native.feetech_bus import SerialLine
from spinal.native.loop import Loop
from spinal.native.shared import Mailbox, Ring
from spinal.native.stop_lines import StopLine
from spinal.runtime.awake import AwakeProcessors
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.controller.plan import feetech_bus, held_grips, loop_plan
from spinal.runtime.errors import RealtimeError
from spinal.runtime.segments import (
    CONTROLLER_COMMAND,
    CONTROLLER_HEALTH,
    CONTROLLER_RECORDS,
    CONTROLLER_REPORT,
    CONTROLLER_STATE,
    CONTROLLER_STATS,
    CONTROLLER_TRANSITIONS,
    LINK_ORDER,
    POLICY_TRAJECTORY,
    STOP_LINES,
    SUPERVISOR_ORDER,
    SUPERVISOR_STOPS,
    SUPERVISOR_TAIL,
    ReportWriter,
    StateReader,
    Writer,
)
from spinal.runtime.wiring import StopRequest, Wiring, run_child

REST_MARGIN_S = 1.0
POLL_S = 0.02


def run(wiring: Wiring, stop: StopRequest) -> None:
    """Drives the bus until asked to end. Raises RealtimeError."""
    robot = wiring.load_robot()
    refuse_without_realtime(robot)
    own = wiring.attach(Writer.CONTROLLER)
    supervisor, policy, link = (wiring.attach(w) for w in (Writer.SUPERVISOR, Writer.POLICY, Writer.LINK))
    line = SerialLine(wiring.bus_fd)
    last = StateReader(own, len(robot.joints)).read()  # of the controller before this one
    plan = loop_plan(robot)
    loop = Loop(
        replace(plan, safety=replace(plan.safety, grips=held_grips(robot, last))),
        feetech_bus(robot, line),
        own,
        CONTROLLER_STATS,
        Mailbox(own, CONTROLLER_STATE),
        Ring(own, CONTROLLER_RECORDS, supervisor, SUPERVISOR_TAIL),
        [Mailbox(supervisor, SUPERVISOR_ORDER), Mailbox(link, LINK_ORDER)],
        Mailbox(policy, POLICY_TRAJECTORY),
        commands=Mailbox(own, CONTROLLER_COMMAND),
        transitions=Mailbox(own, CONTROLLER_TRANSITIONS),
        healths=Mailbox(own, CONTROLLER_HEALTH),
        stop_lines=[StopLine(supervisor, SUPERVISOR_STOPS, index) for index in range(STOP_LINES)],
    )
    gc.collect()
    gc.freeze()
    with AwakeProcessors(robot.control.realtime != "off") as awake:
        loop.start()
        try:
            granted = {**loop.realtime, "awake": awake.refused}
            ReportWriter(own, CONTROLLER_REPORT).publish({"realtime": granted, "thread_id": loop.thread_id})
            while not stop.asked:
                time.sleep(POLL_S)
            loop.hold()
            _wait_for_rest(StateReader(own, len(robot.joints)), robot)
        finally:
            loop.stop()


def refuse_without_realtime(robot: RobotConfig) -> None:
    """Raises RealtimeError when the robot file requires SCHED_FIFO and the kernel refuses it."""
    control = robot.control
    if control.realtime != "require":
        return
    refused = realtime.probe(control.fifo_priority)["fifo"]
    if refused is not None:
        raise RealtimeError(
            f"SCHED_FIFO at priority {control.fifo_priority} was refused: {refused}",
            hint="grant it (ulimit -r, LimitRTPRIO in the service, or run as root), or set realtime ="
            ' "prefer" for a robot that may be late',
        )


def _wait_for_rest(states: StateReader, robot: RobotConfig) -> None:
    """Until the commands stand still, or the longest brake is over."""
    deadline = time.monotonic() + max(joint.time_to_rest_s for joint in robot.joints) + REST_MARGIN_S
    while time.monotonic() < deadline:
        state = states.read()
        if state is None or (state.at_rest and state.mode != layout.MODE_RUNNING):
            return
        time.sleep(POLL_S)


if __name__ == "__main__":
    sys.exit(run_child(__doc__, run))
