"""Running one robot: its processes from one table, started in order, held together, stopped in order.

    start -> watch (renew orders, notice deaths and hangs, hold, restart) -> rest -> stop

While any process that the robot needs is missing, the loop is ordered to hold; it runs again when all are back.
When the controller dies or stops ticking, the guard brings the arm to rest before another one is started
(``motor_bus.py``). What must stay stopped is remembered (``arming.py``): a person arms again, which sets the motors
up anew and starts a fresh controller. A simulator that comes back has servos as from power-on, so the controller is
restarted behind it; so it is behind a line that was unplugged. Ending lets the arm come to rest first, and leaves
its motors holding. Killed itself, it leaves nobody who restarts or guards: each process gets SIGTERM from the
kernel (``runtime/parent.py``), the controller brings the arm to rest and ends, and the motors keep holding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from spinal.native import clock, layout
from spinal.native.layout import Condition
from spinal.native.shared import Segment
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.controller.process import refuse_without_realtime
from spinal.runtime.errors import BusError, ProcessError
from spinal.runtime.link.endpoints import Endpoints, prepare_directory, robot_directory
from spinal.runtime.link.presence import directory_of
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
from spinal.runtime.supervisor.arming import Arming
from spinal.runtime.supervisor.children import Child, own_failure
from spinal.runtime.supervisor.latch import Latch
from spinal.runtime.supervisor.launching import Launcher
from spinal.runtime.supervisor.memory import SharedMemory
from spinal.runtime.supervisor.motor_bus import MotorBus
from spinal.runtime.supervisor.stops import Stops
from spinal.runtime.supervisor.table import CONTROLLER, PLANNER, SIM, ProcessRow, rows

ORDER_VALID_NS = 500_000_000
REST_MARGIN_S = 1.0
WATCH_S = 0.01
START_LIMIT_S = 90.0
RETRY_S = 0.3
"""How often a line that is gone, or motors that do not answer, are tried again."""
STRUCK_DOWN: Mapping[str, str] = MappingProxyType(
    {
        "stopped": "was stopped by a signal, and the guard has ended it",
        "silent": "stopped ticking, and the guard has ended it",
    }
)

Say = Callable[[str], None]


class Supervisor:
    """The robot of ``robot_file``. Use as a context manager; one thread.

    ``say`` is called with one line per change of a process. ``endpoints``: where planners reach the robot.
    ``ending`` is asked while it starts: when somebody wants to end, the rest is not started. ``modules`` replaces
    what a process runs, by its name: for fault injection.
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
        self._modules = modules or {}
        self._table = rows(robot, with_planner)
        self.children: dict[str, Child] = {}
        self.wants_run = True
        self.speed = 1.0
        """Share of the velocity limits that this side allows, 0 to 1."""
        self._reopen_s = 0.0
        self._excuse = ""
        self._stopped = False

    def __enter__(self) -> Supervisor:
        refuse_without_realtime(self.robot)
        self._make_memory()
        try:
            self.stops.__enter__()
            self.bus.open()
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def reader(self, writer: Writer) -> Segment:
        """A read-only mapping of another process's segment, or the supervisor's own to write."""
        return self._memory.views[writer]

    def start(self) -> None:
        """Starts every process in order, each once the one before is ready."""
        self._give_order()
        for row in self._table:
            child = self._launcher.child(row)
            self._say(f"starting {row.name}")
            self.children[row.name] = child
            self._start(child)
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
        self._arming.look(self.children.get(CONTROLLER.name))
        self._look_at_line()
        for child in self.children.values():
            trouble = child.trouble()
            if trouble is not None:
                self._bury(child, trouble)
            if child.due() and self._may_start(child.row):
                self._restart(child)
            if child.given_up:
                raise ProcessError(
                    f"{child.row.name} was restarted too often, last: {child.last_words}",
                    hint="cure that and start again; the arm was brought to rest and holds",
                )
        self._give_order()

    @property
    def latch(self) -> Latch | None:
        """What keeps the robot stopped until ``arm``."""
        return self._arming.latch

    def arm(self) -> str | None:
        """A person asks to arm again after a stop. Returns why it cannot be, or None when it begins."""
        return self._arming.arm(self.children.get(CONTROLLER.name))

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
        self.bus.leave()
        for row in reversed(self._table):
            if row.name in self.children:
                self._give_order()
                self.children[row.name].end()
        self._close()

    def _make_memory(self) -> None:
        self._memory = SharedMemory(len(self.robot.joints))
        views = self._memory.views
        self._orders = OrderWriter(views[Writer.SUPERVISOR], SUPERVISOR_ORDER)
        self._settings = SettingsWriter(views[Writer.SUPERVISOR], SUPERVISOR_SETTINGS)
        self._states = StateReader(views[Writer.CONTROLLER], len(self.robot.joints))
        self._controller_report = ReportReader(views[Writer.CONTROLLER], CONTROLLER_REPORT)
        directory = directory_of(self._endpoints) or robot_directory(self.robot.name)
        prepare_directory(directory)
        self.stops = Stops(views[Writer.SUPERVISOR], self.robot, directory)
        self.bus = MotorBus(self.robot, views[Writer.CONTROLLER])
        self._arming = Arming(self.robot, views, self.stops, self.bus, self._say)
        self._launcher = Launcher(
            self._robot_file, self._endpoints, self._memory, self.bus, self._seed, self._modules
        )

    def _start(self, child: Child) -> None:
        child.start()
        if child.row is CONTROLLER and child.process is not None:
            self.bus.watch(child.process.pid)

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
        taken = self.bus.taken_over if child.row is CONTROLLER else None
        if taken is not None:
            trouble = STRUCK_DOWN.get(taken.cause, trouble)
        child.bury(f"{trouble} ({child.last_line})" if child.last_line else trouble)
        holds = "" if child.row is PLANNER else "the arm holds, "
        self._say(f"{child.row.name} {trouble}: {holds}{'given up' if child.given_up else 'restarting'}")
        controller = self.children.get(CONTROLLER.name)
        if child.row is SIM and controller is not None and controller.process is not None:
            self.bus.leave()  # nobody is there to be braked
            controller.bury("its servos are gone")

    def _may_start(self, row: ProcessRow) -> bool:
        """Motors are set up before the controller starts: they must be there, and nobody else at work on them."""
        device = self.children.get(SIM.name)
        there = self.bus.line is not None and (device is None or device.ready)
        return row is not CONTROLLER or (there and not self.bus.busy)

    def _restart(self, child: Child) -> None:
        try:
            self._start(child)
        except BusError as error:  # motors that cannot be set up now may answer the next time
            child.postpone(RETRY_S)
            if error.message != self._excuse:
                self._say(f"{child.row.name} waits: {error.message}. {error.hint}")
            self._excuse = error.message
        else:
            self._excuse = ""
            self._say(f"{child.row.name} restarted")

    def _look_at_line(self) -> None:
        """Closes a line that is gone, and opens it when it is back, under whatever name."""
        controller = self.children.get(CONTROLLER.name)
        if self.robot.simulated or controller is None:
            return
        now_s = time.monotonic()
        if self.bus.line is not None and (self.bus.lost or self._loop_says(Condition.LINE_LOST)):
            self._say(f"{self.bus.port} is gone: the motors hold by themselves, it is opened when it is back")
            controller.kill()
            self.bus.close()
            self._reopen_s = now_s + RETRY_S
        elif self.bus.line is None and now_s >= self._reopen_s:
            self._reopen_s = now_s + RETRY_S
            try:
                self.bus.open()
            except BusError:
                return
            controller.launch = self._launcher.launch(CONTROLLER)
            controller.postpone(0)
            self._say(f"{self.bus.port} is back")

    def _loop_says(self, condition: Condition) -> bool:
        controller, state = self.children[CONTROLLER.name], self._states.read()
        return controller.ready and state is not None and bool(state.conditions & condition)

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
        if self.latch is not None:
            kind = layout.ORDER_STOP
        self._orders.give(kind, clock.now_ns(), ORDER_VALID_NS, speed=self.speed)
        self._memory.views[Writer.SUPERVISOR].beat(clock.now_ns())

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
        self.bus.close()
        self.stops.close()
        self._memory.close()
