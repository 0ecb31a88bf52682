"""Running one robot: its processes from one table, started in order, held together, stopped in order.

    start -> watch (renew orders, notice deaths and hangs, hold, restart) -> rest -> stop

While any process that the robot needs is missing, the loop is ordered to hold; it runs again when all are back.
A simulator that comes back has servos as from power-on, so the controller is restarted behind it. Ending lets
the arm come to rest first, and leaves its motors holding.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from spinal.drivers.feetech.configure import DescriptorWire, configure, setups
from spinal.drivers.lines import Line, open_serial, open_simulated
from spinal.native import clock, layout
from spinal.native.shared import Segment
from spinal.runtime import segments
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.controller.plan import the_bus
from spinal.runtime.controller.process import refuse_without_realtime
from spinal.runtime.errors import ProcessError, SpinalError
from spinal.runtime.link.endpoints import Endpoints
from spinal.runtime.segments import (
    CONTROLLER_REPORT,
    SUPERVISOR_ORDER,
    SUPERVISOR_SETTINGS,
    OrderWriter,
    ReportReader,
    SettingsWriter,
    StateReader,
    Writer,
)
from spinal.runtime.supervisor.children import Child, Launch, own_failure
from spinal.runtime.supervisor.table import CONTROLLER, LINK, PLANNER, SIM, ProcessRow, rows
from spinal.runtime.wiring import Wiring

ORDER_VALID_NS = 500_000_000
REST_MARGIN_S = 1.0
WATCH_S = 0.01
START_LIMIT_S = 90.0

Say = Callable[[str], None]


class Supervisor:
    """The robot of ``robot_file``. Use as a context manager; one thread.

    ``say`` is called with one line per change of a process. ``endpoints``: where planners reach the robot.
    ``ending`` is asked while it starts: when somebody wants to end, the rest is not started. ``modules``: what
    processes run in place of what the table says, to see what a bad one does.
    Raises BusError, LinkError, PolicyError, ProcessError, RealtimeError from ``start``.
    """

    def __init__(
        self,
        robot: RobotConfig,
        robot_file: Path,
        endpoints: Endpoints,
        say: Say,
        with_planner: bool = False,
        seed: int = 0,
        ending: Callable[[], bool] = lambda: False,
        modules: Mapping[str, str] | None = None,
    ) -> None:
        self.robot = robot
        self._say = say
        self._robot_file = robot_file
        self._endpoints = endpoints
        self._seed = seed
        self._ending = ending
        table, other = rows(robot, with_planner), modules or {}
        self._table = [replace(row, module=other[row.name]) if row.name in other else row for row in table]
        self._held: list[Segment] = []
        self._fds: list[int] = []
        self._line: Line | None = None
        self.children: dict[str, Child] = {}
        self.wants_run = True
        self._stopped = False

    def __enter__(self) -> Supervisor:
        refuse_without_realtime(self.robot)
        self._make_memory()
        try:
            self._open_line()
            self.start()
        except BaseException:
            self.stop()
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
            self._say(f"starting {row.name}")
            child.start()
            self.children[row.name] = child
            deadline = time.monotonic() + min(START_LIMIT_S, row.ready_limit_s)
            while not child.ready and not self._ending():
                self._give_order()
                trouble = child.trouble()
                if trouble is None and time.monotonic() > deadline:
                    trouble = "not ready in time"
                if trouble is not None:
                    self._fail_to_start(child, trouble)
                time.sleep(WATCH_S)
            self._pass_on_words()
            if self._ending():
                return
        self._say_what_was_refused()

    def watch(self) -> None:
        """One round: notices what died or hangs, restarts what is due, renews the order. Every 10 ms or so.

        Raises ProcessError when a process was restarted too often.
        """
        self._pass_on_words()
        for child in self.children.values():
            trouble = child.trouble()
            if trouble is not None:
                self._bury(child, trouble)
            if child.due() and self._device_answers(child.row):
                self._restart(child)
            if child.given_up:
                raise ProcessError(
                    f"{child.row.name} was restarted too often, last: {child.last_words}",
                    hint="cure that and start again; the arm was brought to rest and holds",
                )
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
        self._controller_report = ReportReader(self._views[Writer.CONTROLLER], CONTROLLER_REPORT)

    def _open_line(self) -> None:
        bus = self.robot.buses[the_bus(self.robot)]
        self._line = open_simulated() if bus.simulated else open_serial(bus.port, bus.baud)

    def _child(self, row: ProcessRow) -> Child:
        own = row.writer
        if row is PLANNER:
            arguments = ["-m", row.module, "--command-endpoint", self._endpoints.command]
            arguments += ["--state-endpoint", self._endpoints.state, "--parent", str(os.getpid())]
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
            parent=os.getpid(),
        )
        fds = [*shared.values(), *([bus_fd] if bus_fd >= 0 else [])]
        launch = Launch(["-m", row.module, "--wiring", wiring.to_json()], fds)
        prepare = self._set_up_motors if row.bus == "controller" else None
        return Child(row, launch, self._views[own] if own is not None else None, prepare)

    def _set_up_motors(self) -> None:
        """The controller is not alive here: nobody else speaks on the bus."""
        if self._line is not None:
            wire = DescriptorWire(self._line.controller_fd)
            configure(wire, setups(self.robot.joints))

    def _fail_to_start(self, child: Child, trouble: str) -> None:
        lines = child.words()
        failure = own_failure(child.row.name, child.exit_code, lines)
        if failure is not None:
            raise failure
        for line in lines:
            self._say(line)
        raise ProcessError(
            f"{child.row.name} did not start: {trouble}", hint="its own last words stand above"
        )

    def _bury(self, child: Child, trouble: str) -> None:
        self._pass_on_words()
        child.bury(f"{trouble} ({child.last_line})" if child.last_line else trouble)
        holds = "" if child.row is PLANNER else "the arm holds, "
        self._say(f"{child.row.name} {trouble}: {holds}{'given up' if child.given_up else 'restarting'}")
        controller = self.children.get(CONTROLLER.name)
        if child.row is SIM and controller is not None and controller.process is not None:
            controller.bury("its servos are gone")

    def _device_answers(self, row: ProcessRow) -> bool:
        """Motors are set up before the controller starts: simulated ones must be there for that."""
        device = self.children.get(SIM.name)
        return row is not CONTROLLER or device is None or device.ready

    def _restart(self, child: Child) -> None:
        try:
            child.start()
        except SpinalError as error:  # motors that cannot be set up now may answer the next time
            child.bury(error.message)
            self._say(f"{child.row.name} cannot start: {error.message}")
        else:
            self._say(f"{child.row.name} restarted")

    def _say_what_was_refused(self) -> None:
        refused = self._controller_report.read().get("realtime", {}).get("fifo")
        if refused is not None and self.robot.control.realtime != "off":
            self._say(
                f"real-time priority was refused ({refused}): the loop may be late. Grant it with ulimit -r,"
                " with LimitRTPRIO in the service, or run as root"
            )

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
