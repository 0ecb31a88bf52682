"""What ``run`` and ``demo`` share: a supervised robot, kept until it is time to end, in sight or in figures."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from spinal.native import clock
from spinal.native.loop import LoopStats
from spinal.runtime.cli.announcer import CLEAR_LINE
from spinal.runtime.cli.check_report import examine
from spinal.runtime.cli.live import Keys, View
from spinal.runtime.cli.meter import RunMeter, reasons
from spinal.runtime.cli.notify import Service
from spinal.runtime.cli.standing import Standing, StandingReader
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import ConfigError, LinkError
from spinal.runtime.link.client import PlannerClient
from spinal.runtime.link.endpoints import Endpoints
from spinal.runtime.link.messages import GoalKind
from spinal.runtime.segments import (
    CONTROLLER_STATS,
    LINK_ORDER,
    LINK_REPORT,
    OrderReader,
    ReportReader,
    Writer,
)
from spinal.runtime.supervisor.chronicle import Chronicle
from spinal.runtime.supervisor.journal import Journal
from spinal.runtime.supervisor.supervisor import Supervisor

DELAY_STEP_MS = 20
LONGEST_ADDED_MS = 400
VIEW_PERIOD_S = 0.15
WATCH_PERIOD_S = 0.02
PERSON_PATIENCE_MS = 300
STOP_KEYS = (" ", "e")
SPEED_STEP = 10


def fit_robot(robot_file: Path) -> RobotConfig:
    """The robot of ``robot_file``, after everything that ``spinal check`` looks at.

    Raises ConfigError with every problem: nothing is opened before all of them are gone.
    """
    report = examine(str(robot_file))
    if report.problems:
        raise ConfigError(
            report.problems, str(robot_file), f"correct this and run: spinal check {robot_file}"
        )
    return report.robot


class Ending:
    """Ctrl-C or SIGTERM: the run ends in order. A second Ctrl-C changes nothing: the arm comes to rest first."""

    def __init__(self) -> None:
        self.asked = False
        self._before = {
            number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)
        }

    def over(self) -> None:
        """The robot is at rest and its processes have ended: from now on the signals do what they did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


@dataclass
class Options:
    """How long and how a session runs. ``seconds``: 0 is until somebody ends it."""

    seconds: float = 0.0
    added_delay_ms: float = 0.0
    view: bool = True
    progress: bool = False


class Session:
    """Watches over a started robot and shows it. One thread."""

    def __init__(
        self,
        supervisor: Supervisor,
        journal: Journal,
        endpoints: Endpoints,
        title: str,
        options: Options,
        service: Service | None = None,
    ) -> None:
        self._supervisor = supervisor
        self._stops = supervisor.stops
        self._journal = journal
        self._chronicle = Chronicle(supervisor, journal)
        self._standing = StandingReader(supervisor, self._chronicle)
        self._service = service if service is not None else Service({})
        self._stats = LoopStats(supervisor.reader(Writer.CONTROLLER), CONTROLLER_STATS)
        self._orders = OrderReader(supervisor.reader(Writer.LINK), LINK_ORDER)
        self._link_report = ReportReader(supervisor.reader(Writer.LINK), LINK_REPORT)
        self._endpoints = endpoints
        self._title = title
        self._options = options
        self.added_delay_ms = options.added_delay_ms
        self._why = ""
        self._client: PlannerClient | None = None

    def run(self, ending: Ending, announce: Callable[[View | None], None]) -> dict[str, Any]:
        """Until the time is over or somebody ends it; the figures of the whole run.

        ``announce`` is told where lines about processes go: the view, or None for stderr.
        """
        meter = RunMeter(self._supervisor)
        self._supervisor.set_added_delay(round(self.added_delay_ms * 1e6))
        console = Console(stderr=True)
        try:
            if self._options.view and console.is_terminal:
                with Keys() as keys, View(self._title, console) as view:
                    announce(view)
                    self._loop(meter, ending, view, keys)
            else:
                self._loop(meter, ending, None, None)
        finally:
            announce(None)
            if self._client is not None:
                self._client.close()
        meter.update()
        return meter.result()

    def _loop(self, meter: RunMeter, ending: Ending, view: View | None, keys: Keys | None) -> None:
        began = shown = time.monotonic()
        while not ending.asked:
            now = time.monotonic()
            if self._options.seconds and now - began >= self._options.seconds:
                return
            self._supervisor.watch()
            self._chronicle.watch()
            self._service.feed(clock.now_ns(), lambda: self._stats.read()["ticks"])
            trouble = self._journal.trouble
            if trouble:
                self._say(view, trouble)
            meter.update()
            if now - shown >= (VIEW_PERIOD_S if view is not None else 1.0):
                shown = now
                standing = self._standing.read()
                self._service.status(
                    f"{standing.mode}: {standing.cause}" if standing.cause else standing.mode
                )
                if view is not None:
                    self._show(view, meter, standing)
                elif self._options.progress:
                    self._progress(meter, standing, now - began)
            if keys is not None:
                for key in keys.pressed():
                    if self._press(key, view):
                        return
            time.sleep(WATCH_PERIOD_S)

    def _show(self, view: View, meter: RunMeter, standing: Standing) -> None:
        figures = meter.result()
        view.show(figures, standing, reasons(figures, [standing.cause]), self.added_delay_ms)

    def _progress(self, meter: RunMeter, standing: Standing, elapsed_s: float) -> None:
        figures = meter.result()
        total = f" of {self._options.seconds:.0f}" if self._options.seconds else ""
        why = ", ".join(reasons(figures, [standing.cause]))
        line = (
            f"{elapsed_s:4.0f}{total} s  {standing.mode}{f' ({why})' if why else ''}"
            f"  {figures['successes']} of {figures['episodes']} picked"
        )
        if sys.stderr.isatty():
            print(
                f"{CLEAR_LINE}{line[: shutil.get_terminal_size().columns - 1]}",
                end="",
                file=sys.stderr,
                flush=True,
            )
        elif int(elapsed_s) % 10 == 0 or why != self._why:
            print(line, file=sys.stderr, flush=True)
        self._why = why

    def _press(self, key: str, view: View | None) -> bool:
        """Obeys one key; True to leave."""
        if key in ("q", "\x1b"):
            return True
        if key in ("d", "f"):
            step = DELAY_STEP_MS if key == "d" else -DELAY_STEP_MS
            self.added_delay_ms = min(LONGEST_ADDED_MS, max(0, self.added_delay_ms + step))
            self._supervisor.set_added_delay(round(self.added_delay_ms * 1e6))
        if key in STOP_KEYS:
            self._stops.press("a key in the live view")
        if key == "a" and not self._ask(view, "arm"):
            self._arm_without_the_link(view)
        if key in ("+", "-"):
            step = SPEED_STEP if key == "+" else -SPEED_STEP
            self._ask(view, "speed", percent=min(100, max(0, round(100 * self._ordered_speed) + step)))
        if key == "p":
            self._ask(view, "go_on" if self._paused else "pause")
        return False

    @property
    def _ordered_speed(self) -> float:
        order = self._orders.read()
        return order.speed if order is not None else 1.0

    @property
    def _paused(self) -> bool:
        """Whoever paused it."""
        return self._link_report.read().get("status") == "paused"

    def _arm_without_the_link(self, view: View | None) -> None:
        refused = self._supervisor.arm()
        if refused is not None:
            self._say(view, f"not armed: {refused}")

    def _ask(self, view: View | None, kind: GoalKind, **parameters: int) -> bool:
        """As any planner would: over the link. Only a stop takes a shorter way. False when nobody answers."""
        try:
            if self._client is None:
                self._client = PlannerClient(self._endpoints, src="live-view", provenance="a key")
            answer = self._client.send_goal(
                kind, parameters, valid_for_ms=PERSON_PATIENCE_MS, timeout_ms=PERSON_PATIENCE_MS
            )
            if not answer.accepted:
                self._say(view, f"{kind} refused: {answer.detail or answer.reason}")
        except LinkError as error:
            self._say(view, error.message)
            return False
        return True

    def _say(self, view: View | None, line: str) -> None:
        self._journal.write("said", text=line)
        if view is not None:
            view.say(line)
        else:
            print(line, file=sys.stderr, flush=True)
