"""A supervised robot for tests: real processes, kept by hand, with everything that its loop recorded."""

import os
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from waiting import until

from spinal.native import layout
from spinal.native.layout import Condition
from spinal.native.loop import mode_name
from spinal.native.shared import Ring
from spinal.runtime.config.limits import command_limits
from spinal.runtime.config.load import load_robot
from spinal.runtime.link.endpoints import in_directory
from spinal.runtime.segments import (
    CONTROLLER_RECORDS,
    LINK_REPORT,
    SIM_REPORT,
    SUPERVISOR_TAIL,
    ReportReader,
    StateReader,
    Writer,
)
from spinal.runtime.supervisor.supervisor import Supervisor

ROBOTS = Path(__file__).resolve().parent.parent / "launch" / "robots"
SIMULATED = ROBOTS / "so101_sim.toml"
START_LIMIT_S = 60.0


class Supervised:
    """A started robot. ``until`` waits while it watches over the robot, as a command would."""

    def __init__(self, supervisor, endpoints, said):
        self.supervisor = supervisor
        self.endpoints = endpoints
        self.said = said
        self.joints = supervisor.robot.joints
        controller = supervisor.reader(Writer.CONTROLLER)
        self._ring = Ring(
            controller, CONTROLLER_RECORDS, supervisor.reader(Writer.SUPERVISOR), SUPERVISOR_TAIL
        )
        self._buffer = np.zeros(512, layout.record_dtype(len(self.joints)))
        self._states = StateReader(controller, len(self.joints))
        self._sim = ReportReader(supervisor.reader(Writer.SIM), SIM_REPORT)
        self._link = ReportReader(supervisor.reader(Writer.LINK), LINK_REPORT)
        self._records = []

    def drain(self):
        while count := self._ring.take(self._buffer.view(np.uint8)):
            self._records.append(self._buffer[:count].copy())

    def until(self, condition, what, limit_s=START_LIMIT_S):
        def watched():
            self.supervisor.watch()
            self.drain()
            return condition()

        try:
            return until(watched, what, limit_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.condition}; said: {self.said[-5:]}") from None

    @property
    def condition(self):
        """The loop's mode and what keeps it there, for a test that waits in vain."""
        state = self._states.read()
        if state is None:
            return "no state"
        return f"{mode_name(state.mode)} because of {Condition(state.conditions)!r}, rung {state.rung}"

    def begin(self):
        """From now on: ``records`` are those to come, and there are some."""
        self.drain()
        self._records.clear()
        self.until(lambda: len(self.records()) > 2, "the loop records")

    def records(self):
        self.drain()
        return np.concatenate([self._buffer[:0], *self._records])

    def child(self, name):
        return self.supervisor.children[name]

    def pid(self, name):
        return self.child(name).process.pid

    @property
    def pids(self):
        return [child.process.pid for child in self.supervisor.children.values() if child.process]

    @property
    def state(self):
        """Of the controller that is there now: its predecessor's last one stays readable."""
        return self._states.read() if self.child("controller").ready else None

    @property
    def sim(self):
        return self._sim.read()

    @property
    def link(self):
        return self._link.read()

    def in_mode(self, mode):
        state = self.state
        return state is not None and state.mode == mode

    def running(self):
        return self.supervisor.all_ready and self.in_mode(layout.MODE_RUNNING)

    def holding(self):
        return self.in_mode(layout.MODE_HOLDING)

    def moving(self):
        """In the middle of a motion, not at its end."""
        return self.running() and np.abs(self.state.commanded[:, 1]).max() > 0.3

    def travelled(self):
        """Whether the arm itself has moved since ``begin``: its servos have torque and follow."""
        records = self.records()
        measured = records["joints"]["measured"][records["mode"] == layout.MODE_RUNNING]
        return len(measured) and np.ptp(measured, axis=0).max() > 0.1

    def kill(self, name, number=signal.SIGKILL):
        os.kill(self.pid(name), number)

    def lives(self):
        """Records of each life of the controller, without those before it was armed."""
        records = self.records()
        cuts = np.flatnonzero(np.diff(records["tick"].astype(np.int64)) < 0) + 1
        return [life[life["mode"] != layout.MODE_OFF] for life in np.split(records, cuts)]


MARGIN = 1.001
"""For rounding: third differences of positions are taken over 4 ms cubed."""


def assert_inside_limits(robot, records):
    """Finite differences of consecutive commands against the robot file; nominal time between ticks."""
    dt_s = 1 / robot.supervisor.robot.control.servo_hz
    commands = records["joints"]["applied"]
    for index, joint in enumerate(robot.joints):
        low, high, *rates = command_limits(joint)
        motion = commands[:, index]
        assert (motion >= low - 1e-9).all(), joint.name
        assert (motion <= high + 1e-9).all(), joint.name
        for order, limit in enumerate(rates if joint.kind == "arm" else rates[:1], 1):
            worst = np.abs(np.diff(motion, order)).max(initial=0) / dt_s**order
            assert worst <= limit * MARGIN, (joint.name, order, worst, limit)


@contextmanager
def supervised(folder, robot_file=SIMULATED, with_planner=True, ending=lambda said: False):
    """A robot that listens in ``folder``; ``ending`` is told what was said, while it starts."""
    said = []
    endpoints = in_directory(folder)
    with Supervisor(
        load_robot(robot_file),
        robot_file,
        endpoints,
        said.append,
        with_planner,
        ending=lambda: ending(said),
    ) as supervisor:
        yield Supervised(supervisor, endpoints, said)


def gone(pids):
    """Whether none of these processes is left, not even as a zombie."""
    return not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def descriptors():
    """What this process has open, as (number, name)."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add((name, os.readlink(f"/proc/self/fd/{name}")))
        except FileNotFoundError:  # of the listing itself
            continue
    return found
