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

from spinal.runtime.cli.announcer import CLEAR_LINE
from spinal.runtime.cli.check_report import examine
from spinal.runtime.cli.live import Keys, View
from spinal.runtime.cli.meter import RunMeter, reasons
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import ConfigError, LinkError
from spinal.runtime.link.client import PlannerClient
from spinal.runtime.link.endpoints import Endpoints
from spinal.runtime.link.messages import GoalKind
from spinal.runtime.supervisor.supervisor import Supervisor

DELAY_STEP_MS = 20
LONGEST_ADDED_MS = 400
VIEW_PERIOD_S = 0.15
WATCH_PERIOD_S = 0.02
PERSON_PATIENCE_MS = 300


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

    def __init__(self, supervisor: Supervisor, endpoints: Endpoints, title: str, options: Options) -> None:
        self._supervisor = supervisor
        self._endpoints = endpoints
        self._title = title
        self._options = options
        self.added_delay_ms = options.added_delay_ms
        self._paused = False
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
            meter.update()
            if now - shown >= (VIEW_PERIOD_S if view is not None else 1.0):
                shown = now
                if view is not None:
                    self._show(view, meter)
                elif self._options.progress:
                    self._progress(meter, now - began)
            if keys is not None:
                for key in keys.pressed():
                    if self._press(key, view):
                        return
            time.sleep(WATCH_PERIOD_S)

    def _show(self, view: View, meter: RunMeter) -> None:
        figures = meter.result()
        view.show(figures, meter.mode, reasons(figures, meter.conditions), self.added_delay_ms)

    def _progress(self, meter: RunMeter, elapsed_s: float) -> None:
        figures = meter.result()
        total = f" of {self._options.seconds:.0f}" if self._options.seconds else ""
        why = ", ".join(reasons(figures, meter.conditions))
        line = (
            f"{elapsed_s:4.0f}{total} s  {meter.mode}{f' ({why})' if why else ''}"
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
        if key == "p":
            self._toggle_pause(view)
        return False

    def _toggle_pause(self, view: View | None) -> None:
        """As any planner would: over the link."""
        try:
            if self._client is None:
                self._client = PlannerClient(self._endpoints, src="live-view", provenance="a key")
            kind: GoalKind = "go_on" if self._paused else "pause"
            ack = self._client.send_goal(kind, valid_for_ms=PERSON_PATIENCE_MS, timeout_ms=PERSON_PATIENCE_MS)
            if ack.accepted:
                self._paused = not self._paused
            elif view is not None:
                view.say(f"{kind} refused: {ack.reason}")
        except LinkError as error:
            if view is not None:
                view.say(str(error))
