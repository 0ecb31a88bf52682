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

MODE_STYLES = {"running": "bold green", "holding": "bold yellow", "ready": "cyan", "stopped": "bold red"}
KEYS = "[d] more delay  [f] less delay  [p] pause / go on  [q] stop and leave"


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
        self, figures: Mapping[str, Any], mode: str, conditions: list[str], added_delay_ms: float
    ) -> None:
        """Draws the present state."""
        self._live.update(draw(self._title, figures, mode, conditions, added_delay_ms, self._lines))


def draw(
    title: str,
    figures: Mapping[str, Any],
    mode: str,
    conditions: list[str],
    added_delay_ms: float,
    lines: list[str],
) -> Panel:
    """One picture of the robot."""
    head = Text.assemble(
        (f" {mode} ", MODE_STYLES.get(mode, "dim")), ("  " + ", ".join(conditions), "yellow")
    )
    table = Table.grid(padding=(0, 2))
    for _ in range(5):
        table.add_column(justify="right")
    table.add_row("", "now", "p50", "p99", "max", style="dim")
    servo, policy, command, bus = (figures[key] for key in ("servo", "policy", "command", "bus"))
    episodes, successes = figures["episodes"], figures["successes"]
    rate = 60 * successes / max(1e-9, figures["seconds"])
    share = f"{100 * successes / episodes:.0f} %" if episodes else "-"
    table.add_row(
        "picks",
        f"{rate:.1f} a minute",
        f"{successes} of {episodes}",
        share,
        _number(figures["pick_s"], " s each"),
    )
    table.add_row("loop late, us", f"{servo['hz']} Hz", *_three(servo["late_us"]))
    table.add_row("policy late, us", f"{policy['hz']} Hz", *_three(policy["late_us"]))
    table.add_row("inference, us", f"{policy['runs']} runs", *_three(policy["inference_us"]))
    table.add_row("reaction, ms", f"delay {policy['delay_ms']:.1f}", *_three(figures["reaction_ms"]))
    table.add_row(
        "seam blend, ms", f"jump {max(command['max_seam'].values()):.0e}", *_three(command["blend_ms"])
    )
    use = bus["wire_us"] * servo["hz"] / 1e4
    table.add_row("bus, us", f"{use:.0f} % used", *_three(bus["measured_us"]))
    table.add_row(
        "counts",
        f"{servo['missed']} missed",
        f"{policy['starved_ticks']} starved",
        f"{command['limited_ticks']} limited",
        f"{bus['errors']} bus errors",
    )
    delay = f"added delay {added_delay_ms:.0f} ms" if added_delay_ms else "no added delay"
    foot = Text(f"{delay}   {KEYS}", style="dim")
    notes = [Text(line, style="dim") for line in lines]
    return Panel(Group(head, table, *notes, foot), title=title, title_align="left", border_style="cyan")


def _three(quantiles: Mapping[str, float]) -> tuple[str, str, str]:
    return tuple(_number(quantiles.get(key)) for key in ("p50", "p99", "max"))  # type: ignore[return-value]


def _number(value: float | None, unit: str = "") -> str:
    if value is None or math.isnan(value):
        return "-"
    return f"{value:,.0f}{unit}" if abs(value) >= 100 else f"{value:.1f}{unit}"
