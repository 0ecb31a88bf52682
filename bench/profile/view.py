"""How a profile looks to a person: one sentence, the worst ticks with their bars, each stage over all ticks."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from spinal.bench.profile.causes import Cause, duration
from spinal.bench.profile.findings import Profile, Tick

BAR = 24
"""Columns of a bar; each tick's is as long, its total stands beside it."""
LETTERS = {"behind": "b", "wake": ".", "read": "r", "plan": "p", "compute": "c", "write": "w"}
STYLES = {
    "behind": "magenta",
    "wake": "yellow",
    "read": "blue",
    "plan": "green",
    "compute": "bright_green",
    "write": "cyan",
}
CAUSE_STYLES = {Cause.OURS: "bold red", Cause.UNKNOWN: "dim"}
LEGEND = "b behind the tick before  . until it woke  r read  p plan  c compute  w write"
FILE_WIDTH = 140
"""Columns when the output goes to a file or a pipe, where nothing should be cut."""


def show(profile: Profile, console: Console | None = None) -> None:
    """Prints it."""
    out = console or Console(highlight=False)
    if not out.is_terminal:
        out.width = FILE_WIDTH
    out.print(Text(profile.sentence, "bold"), soft_wrap=True)
    if profile.worst:
        out.print()
        out.print(_worst(profile))
        out.print(Text(LEGEND, "dim"))
        out.print()
        out.print(_stages(profile))
    for line in footnotes(profile):
        out.print(Text(line, "dim"), soft_wrap=True)


def footnotes(profile: Profile) -> list[str]:
    """What else a reader must know, the cost of watching among it."""
    faults = profile.counters["minor_faults"] + profile.counters["major_faults"]
    lines = [
        f"{profile.skipped:,} slots skipped, {profile.unseen:,} ticks unseen; meanwhile the loop had {faults}"
        f" page faults and {profile.counters['missing_replies']:,} replies missing",
        f"watching took {profile.watching_cost:.1%} of one processor, at nice 19",
    ]
    return lines + [f"note: {note}" for note in profile.notes]


def bar(tick: Tick) -> Text:
    """A stage is as long as its share of the tick; what rounds to no column is left out."""
    text = Text()
    reached_us = 0.0
    for name, us in tick.stages_us.items():
        reached_us += us
        columns = round(BAR * reached_us / max(tick.total_us, 1e-9)) - len(text)
        text.append(LETTERS[name] * columns, STYLES[name])
    return text


def _worst(profile: Profile) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in ("tick", "at", "total", "skipped"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("where it went", width=BAR, no_wrap=True)
    table.add_column("cause", no_wrap=True)
    table.add_column("", overflow="fold")
    for tick in profile.worst:
        table.add_row(
            f"{tick.tick:,}",
            f"{tick.at_s:.2f} s",
            duration(1e3 * tick.total_us),
            str(tick.skipped or ""),
            bar(tick),
            Text(tick.cause.value, CAUSE_STYLES.get(tick.cause, "")),
            tick.detail,
        )
    return table


def _stages(profile: Profile) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(f"of {profile.ticks:,} ticks")
    for heading in ("p50", "p99", "max", "n"):
        table.add_column(heading, justify="right")
    for name, figures in profile.stages.items():
        cells = [duration(1e3 * us) for us in (figures.p50, figures.p99, figures.max)]
        table.add_row(name, *cells, f"{figures.n:,}")
    return table
