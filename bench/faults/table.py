"""The rows as a person reads them: in a terminal of 110 columns, and as markdown for a page."""

from __future__ import annotations

from collections.abc import Sequence

from spinal.bench.faults.judge import Row
from spinal.bench.table import number

HEAD = ("fault", "seen in", "safe in", "at rest in", "brake", "peak step", "state", "recovers", "")
UNITS = ("", "ms", "ms", "ms", "ms (limit)", "x clean", "", "by, ms", "")
NOTES = (
    "seen in: from the fault to the first record, counter or word that shows it; safe in: to the first command of",
    "a hold, a stop or the guard, 0 where the arm was never out of control; brake: from there to rest, beside",
    "v/A + 2A/J; peak step: of any joint, over the p99.9 of the clean soak in the same run.",
)


def line_of(row: Row) -> tuple[str, ...]:
    """One row's cells."""
    if row.skipped:
        return (row.name, *[""] * 7, f"skipped: {row.skipped}")
    brake = (
        ""
        if row.brake_ms is None
        else f"{number(_whole(row.brake_ms))} ({number(_whole(row.brake_limit_ms))})"
    )
    came = row.recovery
    if row.recovery == "itself" and row.recovery_ms is not None:
        came = "carries on" if row.state == "running" else f"itself, {number(_whole(row.recovery_ms))}"
    return (
        row.name,
        number(_whole(row.detected_ms)),
        number(_whole(row.first_safe_frame_ms)),
        number(_whole(row.at_rest_ms)),
        brake or "-",
        f"{row.peak_step_ratio:.2f}" if row.peak_step_ratio is not None else "-",
        row.state + (", latched" if row.latched else ""),
        came,
        "safe" if row.safe else "UNSAFE",
    )


def of_rows(families: Sequence[tuple[str, Sequence[Row]]]) -> list[str]:
    """Aligned, a family under its name; why a row is not safe stands below it."""
    cells = {id(row): line_of(row) for _, rows in families for row in rows}
    lines = [HEAD, UNITS, *(line for line in cells.values() if not line[-1].startswith("skipped"))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    widths[0] = max(widths[0], *(len(line[0]) for line in cells.values()), 0)
    shown = [_aligned(HEAD, widths), _aligned(UNITS, widths)]
    for family, rows in families:
        shown += ["", family]
        for row in rows:
            line = cells[id(row)]
            if row.skipped:
                shown.append(f"  {line[0].ljust(widths[0])}  {line[-1]}")
                continue
            shown.append(_aligned(line, widths))
            shown += [f"      {why}" for why in remarks(row)]
    return shown


def remarks(row: Row) -> list[str]:
    """What a reader must know besides: why it is not safe, missed ticks, stalls of the machine."""
    found = list(row.why)
    if row.misses is not None:
        m = row.misses
        found.append(
            f"missed ticks in the 2 s behind it: {m['behind']:.0f}; in {m['windows']:.0f} windows without it:"
            f" {m['mean']:g} on average, {m['most']:.0f} at most"
        )
    if row.tries > 1:
        found.append(
            f"tried {row.tries} times: the machine itself stood still ({row.stall_ms:.0f} ms at the last)"
        )
    return found


def summary(rows: Sequence[Row]) -> str:
    """The verdict in a line."""
    tried = [row for row in rows if not row.skipped]
    unsafe = [row.name for row in tried if not row.safe]
    skipped = f", {len(rows) - len(tried)} skipped" if len(tried) < len(rows) else ""
    if not unsafe:
        bound = f" (none of {len(tried)}: fewer than {300 / len(tried):.0f} % at 95 %)" if tried else ""
        return f"{len(tried)} faults, all safe{bound}{skipped}"
    return f"{len(tried)} faults, {len(unsafe)} NOT SAFE: {', '.join(unsafe)}{skipped}"


def markdown(families: Sequence[tuple[str, Sequence[Row]]]) -> list[str]:
    """The same for a page: one table."""
    head = ("what happens", *HEAD[1:4], "brake (limit)", "peak step", "state", "recovers", "safe")
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for _, rows in families:
        for row in rows:
            if row.skipped:
                continue
            cells = list(line_of(row))
            cells[0], cells[-1] = row.what, "yes" if row.safe else "**no**"
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    shown = [cells[0].ljust(widths[0])]
    shown += [cell.rjust(width) for cell, width in zip(cells[1:6], widths[1:6], strict=True)]
    shown += [cell.ljust(width) for cell, width in zip(cells[6:8], widths[6:8], strict=True)]
    return ("  " + "  ".join([*shown, cells[8]])).rstrip()


def _whole(value: float | None) -> float | None:
    """Milliseconds to one digit below ten, none above: more is the machine's noise."""
    if value is None:
        return None
    return round(value, 1) if abs(value) < 10 else float(round(value))
