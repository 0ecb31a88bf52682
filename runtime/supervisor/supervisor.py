"""Running one robot: its processes from one table, started in order, held together, stopped in order.

    start -> watch (renew orders, notice deaths and hangs, hold, restart) -> rest -> stop

While any process that the robot needs is missing, the loop is ordered to hold; it runs again when all are back.
Ending lets the arm come to rest first, and leaves its motors holding.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from spinal.drivers.feetech.configure import DescriptorWire, ServoSetup, configure
from spinal.drivers.lines import Line, open_serial, open_simulated
from spinal.native import clock, layout
from spinal.native.shared import Segment
from spinal.runtime import segments
from spinal.runtime.config.joints import GripperJoint, Joint
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.controller.plan import the_bus
from spinal.runtime.errors import ProcessError
from spinal.runtime.link.endpoints import Endpoints
from spinal.runtime.segments import (
    SUPERVISOR_ORDER,
    SUPERVISOR_SETTINGS,
    OrderWriter,
    SettingsWriter,
    StateReader,
    Writer,
)
from spinal.runtime.supervisor.children import Child, Launch
from spinal.runtime.supervisor.table import LINK, PLANNER, ProcessRow, rows
from spinal.runtime.wiring import Wiring

ORDER_VALID_NS = 500_000_000
REST_MARGIN_S = 1.0
WATCH_S = 0.01
START_LIMIT_S = 90.0

Say = Callable[[str], None]


class Supervisor:
    """The robot of ``robot_file``. Use as a context manager; one thread.

    ``say`` is called with one line per change of a process. ``endpoints``: where planners reach the robot.
    Raises BusError, ProcessError from ``start``.
    """

    def __init__(
        self,
        robot: RobotConfig,
        robot_file: Path,
        endpoints: Endpoints,
        say: Say,
        with_planner: bool = False,
        seed: int = 0,
    ) -> None:
        self.robot = robot
        self._say = say
        self._robot_file = robot_file
        self._endpoints = endpoints
        self._seed = seed
        self._table = rows(robot, with_planner)
        self._held: list[Segment] = []
        self._fds: list[int] = []
        self._line: Line | None = None
        self.children: dict[str, Child] = {}
        self.wants_run = True
        self._stopped = False

    def __enter__(self) -> Supervisor:
        self._make_memory()
        try:
            self._open_line()
            self.start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def reader(self, writer: Writer) -> Segment:
        """A read-only mapping of another process's segment, or the supervisor's own to write."""
        return self._views[writer]

    def start(self) -> None:
        """Starts every process in order, each once the one before is ready."""
        self._give_order()
        for row in self._table:
            child = self._child(row)
            self.children[row.name] = child
            self._say(f"starting {row.name}")
            child.start()
            deadline = time.monotonic() + min(START_LIMIT_S, row.ready_limit_s)
            while not child.ready:
                self._give_order()
                self._pass_on_words()
                trouble = child.trouble()
                if trouble is not None or time.monotonic() > deadline:
                    self._pass_on_words()
                    raise ProcessError(
                        f"{row.name} did not start: {trouble or 'not ready in time'}",
                        hint="its own last words stand above",
                    )
                time.sleep(WATCH_S)

    def watch(self) -> None:
        """One round: notices what died or hangs, restarts what is due, renews the order. Every 10 ms or so.

        Raises ProcessError when a process was restarted too often.
        """
        self._pass_on_words()
        for child in self.children.values():
            if child.process is not None:
                trouble = child.trouble()
                if trouble is not None:
                    self._pass_on_words()
                    child.bury(trouble)
                    self._say(f"{child.row.name} {trouble}: the arm holds, restarting")
            if child.given_up:
                raise ProcessError(
                    f"{child.row.name} was restarted too often, last {child.last_words}",
                    hint="its own words stand above; the arm was brought to rest",
                )
            if child.due():
                child.start()
                self._say(f"{child.row.name} restarted")
        self._give_order()

    @property
    def all_ready(self) -> bool:
        """Whether every process that the robot needs is there. A planner may come and go."""
        return all(child.ready for name, child in self.children.items() if name != PLANNER.name)

    def set_added_delay(self, delay_ns: int) -> None:
        """Every answer of the policy is held back by so much."""
        self._settings.publish(delay_ns)

    def stop(self) -> None:
        """Brings the arm to rest, ends the processes in reverse order, closes everything. Motors keep holding."""
        if self._stopped:
            return
        self._stopped = True
        self.wants_run = False
        self._wait_for_rest()
        for row in reversed(self._table):
            if row.name in self.children:
                self._give_order()
                self.children[row.name].end()
        self._close()

    def _make_memory(self) -> None:
        joints = len(self.robot.joints)
        self._views: dict[Writer, Segment] = {}
        self._write_fds: dict[Writer, int] = {}
        self._read_fds: dict[Writer, int] = {}
        for writer in Writer:
            made = segments.create(writer, joints)
            self._held.append(made)
            self._write_fds[writer] = made.fd
            self._read_fds[writer] = made.open_reader_fd()
            self._fds.append(self._read_fds[writer])
            view = Segment.attach_writer if writer is Writer.SUPERVISOR else Segment.attach_reader
            fd = made.fd if writer is Writer.SUPERVISOR else self._read_fds[writer]
            self._views[writer] = view(writer.value, os.dup(fd))
        own = self._views[Writer.SUPERVISOR]
        self._orders = OrderWriter(own, SUPERVISOR_ORDER)
        self._settings = SettingsWriter(own, SUPERVISOR_SETTINGS)
        self._states = StateReader(self._views[Writer.CONTROLLER], joints)

    def _open_line(self) -> None:
        bus = self.robot.buses[the_bus(self.robot)]
        self._line = open_simulated() if bus.simulated else open_serial(bus.port, bus.baud)

    def _child(self, row: ProcessRow) -> Child:
        own = row.writer
        if row is PLANNER:
            arguments = ["-m", row.module, "--command-endpoint", self._endpoints.command]
            arguments += ["--state-endpoint", self._endpoints.state]
            return Child(row, Launch(arguments, ()), None)
        shared = {reader.value: self._read_fds[reader] for reader in row.reads}
        if own is not None:
            shared[own.value] = self._write_fds[own]
        bus_fd = -1
        if row.bus and self._line is not None:
            bus_fd = self._line.device_fd if row.bus == "device" else self._line.controller_fd
        wiring = Wiring(
            process=row.name,
            robot=str(self._robot_file),
            segments=shared,
            bus_fd=bus_fd,
            command_endpoint=self._endpoints.command if row is LINK else "",
            state_endpoint=self._endpoints.state if row is LINK else "",
            seed=self._seed,
        )
        fds = [*shared.values(), *([bus_fd] if bus_fd >= 0 else [])]
        launch = Launch(["-m", row.module, "--wiring", wiring.to_json()], fds)
        prepare = self._set_up_motors if row.bus == "controller" else None
        return Child(row, launch, self._views[own] if own is not None else None, prepare)

    def _set_up_motors(self) -> None:
        """The controller is not alive here: nobody else speaks on the bus."""
        if self._line is not None:
            wire = DescriptorWire(self._line.controller_fd)
            configure(wire, [_servo(joint) for joint in self.robot.joints])

    def _pass_on_words(self) -> None:
        for child in self.children.values():
            for line in child.words():
                self._say(line)

    def _give_order(self) -> None:
        running = self.wants_run and bool(self.children) and self.all_ready
        kind = layout.ORDER_RUN if running else layout.ORDER_HOLD
        self._orders.give(kind, clock.now_ns(), ORDER_VALID_NS)
        self._views[Writer.SUPERVISOR].beat(clock.now_ns())

    def _wait_for_rest(self) -> None:
        controller = self.children.get("controller")
        longest = max((joint.time_to_rest_s for joint in self.robot.joints), default=0.0)
        deadline = time.monotonic() + longest + REST_MARGIN_S
        while controller is not None and controller.alive and time.monotonic() < deadline:
            self._give_order()
            state = self._states.read()
            if state is None or (state.at_rest and state.mode != layout.MODE_RUNNING):
                return
            time.sleep(WATCH_S)

    def _close(self) -> None:
        for child in self.children.values():
            child.kill()
        if self._line is not None:
            self._line.close()
        for segment in [*self._views.values(), *self._held]:
            segment.close()
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()


def _servo(joint: Joint) -> ServoSetup:
    if isinstance(joint, GripperJoint):
        return ServoSetup(joint.id, joint.name, joint.limits.torque_fraction)
    return ServoSetup(joint.id, joint.name)
