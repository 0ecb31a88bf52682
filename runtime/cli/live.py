"""The live view of a running robot in the terminal, and the keys that it knows."""

from __future__ import annotations

import contextlib
import math
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from spinal.native import clock
from spinal.runtime.cli.standing import Standing

MODE_STYLES = {"running": "bold green", "holding": "bold yellow", "ready": "cyan", "stopped": "bold red"}
STOPPED_STYLE = "bold white on red"
RUNGS = {
    "tail": "on the rest of the last chunk",
    "to_rest": "coming to rest",
    "hold": "at rest, torque on",
    "damp": "letting go: torque fades",
}
KEYS = "[space] STOP  [a] arm again  [p] pause / go on  [+] [-] speed  [d] [f] delay  [q] leave"


class Keys:
    """Single key presses of a terminal, without waiting. Restores the terminal on leaving."""

    def __enter__(self) -> Self:
        self._fd = sys.stdin.fileno() if sys.stdin.isatty() else -1
        if self._fd >= 0:
            self._before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def pressed(self) -> Iterator[str]:
        """The keys pressed since the last call."""
        while self._fd >= 0 and select.select([self._fd], [], [], 0)[0]:
            key = os.read(self._fd, 1).decode(errors="ignore")
            if not key:
                return
            yield key


class View:
    """Draws figures (as ``RunMeter.result`` gives them) in place. Use as a context manager."""

    def __init__(self, title: str, console: Console) -> None:
        self._title = title
        self._lines: list[str] = []
        self._live = Live(console=console, refresh_per_second=8, transient=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def say(self, line: str) -> None:
        """A line about a process; the last three stay in sight."""
        self._lines = [*self._lines[-2:], line]

    def show(
        self, figures: Mapping[str, Any], standing: Standing, reasons: list[str], added_delay_ms: float
    ) -> None:
        """Draws the present state; ``reasons`` say why the robot does not run."""
        self._live.update(draw(self._title, figures, standing, reasons, added_delay_ms, self._lines))


def draw(
    title: str,
    figures: Mapping[str, Any],
    standing: Standing,
    reasons: list[str],
    added_delay_ms: float,
    lines: list[str],
) -> Panel:
    """One picture of the robot."""
    head = _stopped(standing, reasons) if standing.stopped else _going(standing, reasons)
    table = Table.grid(padding=(0, 2))
    for _ in range(5):
        table.add_column(justify="right")
    table.add_row("", "", "p50", "p99", "max", style="dim")
    servo, policy, command, bus = (figures[key] for key in ("servo", "policy", "command", "bus"))
    table.add_row("loop late, us", f"{servo['hz']} Hz", *_three(servo["late_us"]))
    table.add_row("policy late, us", f"{policy['hz']} Hz", *_three(policy["late_us"]))
    table.add_row("inference, us", f"{policy['runs']} runs", *_three(policy["inference_us"]))
    table.add_row("reaction, ms", f"policy takes {policy['delay_ms']:.1f}", *_three(figures["reaction_ms"]))
    table.add_row(
        "seam blend, ms",
        f"largest jump {max(command['max_seam'].values()):.0e}",
        *_three(command["blend_ms"]),
    )
    use = bus["wire_us"] * servo["hz"] / 1e4
    table.add_row("bus, us", f"{use:.0f} % used", *_three(bus["measured_us"]))
    counts = Text(
        f" ticks: {servo['missed']} missed, {policy['starved_ticks']} without a fresh chunk,"
        f" {command['limited_ticks']} limited; bus: {bus['errors']} errors"
    )
    delay = f"added delay {added_delay_ms:.0f} ms" if added_delay_ms else "no added delay"
    motors = Text(f" {', '.join([delay, f'speed {standing.speed:.0%}', *_motors(standing)])}")
    foot = Text(f" {KEYS}", style="dim")
    seen = _verdict(policy)
    notes = [Text(f" {line}", style="dim") for line in lines]
    picks = [_picks(figures)] if figures["task"] else []
    return Panel(
        Group(head, *picks, table, counts, motors, *seen, *notes, foot),
        title=title,
        title_align="left",
        border_style="bold red" if standing.stopped else "cyan",
    )


def _going(standing: Standing, reasons: list[str]) -> Text:
    mode = standing.mode
    rung = "" if standing.rung in ("", "fresh", "off") else f" {RUNGS.get(standing.rung, standing.rung)}"
    return Text.assemble(
        (f" {mode} ", MODE_STYLES.get(mode, "dim")), (rung, "dim"), ("  " + ", ".join(reasons), "yellow")
    )


def _stopped(standing: Standing, reasons: list[str]) -> Text:
    """Cannot be taken for anything else: what stopped it, since when, what it does now, and what to do next."""
    still = [pressed.name for pressed in standing.pressed if pressed.still]
    now = "The arm holds, torque on" if standing.energised else "Torque is off"
    if standing.rung == "damp":
        now = "The arm lets go: torque fades"
    elif standing.energised and not standing.at_rest:
        now = "The arm comes to rest"
    since = f" since {_ago(standing.since_s)}" if standing.since_s else ""
    todo = " When nobody is near the arm: [a] arm again"
    if standing.latch is not None and standing.latch.final:
        todo = " Only a new start leaves this: [q] leave"
    elif still:
        todo = f" Release {' and '.join(still)} first, then [a] arm again"
    return Text.assemble(
        (f" STOPPED{since}: {', '.join(reasons) or 'nobody says why'} ", STOPPED_STYLE),
        (f"\n {now}.", "bold red"),
        (todo, "bold"),
    )


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _motors(standing: Standing) -> list[str]:
    hottest, supply = standing.hottest, standing.supply
    return [
        *([f"hottest motor {hottest[0]} {hottest[1]:.0f} C"] if hottest is not None else []),
        *([f"supply {supply:.1f} V"] if supply is not None else []),
    ]


def _picks(figures: Mapping[str, Any]) -> Text:
    episodes, successes = figures["episodes"], figures["successes"]
    if not episodes:
        return Text(" no block picked yet")
    rate = 60 * successes / max(1e-9, figures["seconds"])
    pace = f", {rate:.0f} a minute, {_number(figures['pick_s'], ' s')} each" if successes else ""
    return Text.assemble((f" {successes} of {episodes} blocks picked", "bold"), pace)


def _verdict(policy: Mapping[str, Any]) -> list[Text]:
    """What a detector sees, in one line; none without one."""
    told = policy.get("detector")
    if not told:
        return []
    label = f"{told['label']} {told['probability']:.2f}" if told["label"] else "nothing"
    since = f" for {_ago((clock.now_ns() - told['since_ns']) / 1e9)}" if told["since_ns"] else ""
    holds = ": the robot holds" if told["holds"] else ""
    return [Text(f" detector sees {label}{since}{holds}", "bold yellow" if told["holds"] else "")]


def _three(quantiles: Mapping[str, float]) -> tuple[str, str, str]:
    p50, p99, most = (
        _number(quantiles.get(key) if quantiles.get("n") else None) for key in ("p50", "p99", "max")
    )
    return p50, p99, most


def _number(value: float | None, unit: str = "") -> str:
    if value is None or math.isnan(value):
        return "-"
    return f"{value:,.0f}{unit}" if abs(value) >= 100 else f"{value:.1f}{unit}"
