"""``spinal bench compare A.json B.json``: what moved from A to B, the worst first. Leaves with 1 if any is worse.

By what a figure is judged to have moved stands in ``moved.py``. An improvement that nobody can explain is shown as
a worsening is: both mean that something changed.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from spinal.bench.moved import Change, Kind, changes
from spinal.bench.result import Result, load
from spinal.bench.table import number
from spinal.runtime.errors import BenchError

HEADS = {
    Kind.WORSE: "slower or worse",
    Kind.BETTER: "faster or better",
    Kind.GONE: "gone",
    Kind.NEW: "new",
    Kind.UNJUDGED: "not judged",
}
ALWAYS_WHOLE = (Kind.WORSE, Kind.BETTER)
MOST_ROWS = 12
COLUMNS = ("figure", "before", "after", "change", "by")


def add_parser(subparsers: Any) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser(
        "compare",
        help="what moved between two results",
        description="Says what moved from A to B. Exit code: 0 nothing got worse, 1 something did, 2 bad input.",
    )
    parser.add_argument("before", type=Path, metavar="A.json", help="what `run` or `gate` kept with --json")
    parser.add_argument("after", type=Path, metavar="B.json", help="the same, later")
    parser.add_argument(
        "--across-machines", action="store_true", help="of two machines: only what has a floor on both"
    )
    parser.add_argument(
        "--all", action="store_true", help="every row, also of what is new, gone or not judged"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compares. Raises BenchError for a file that is no result, and for two machines without the flag for it."""
    before, after = load(args.before), load(args.after)
    if before.machine.key != after.machine.key and not args.across_machines:
        raise BenchError(
            f"{args.before} is from {before.machine.key}, {args.after} from {after.machine.key}",
            "measure both on one machine, or compare what has a floor on both: --across-machines",
        )
    found = changes(before, after, ratios_only=args.across_machines)
    if args.json:
        print(msgspec.json.encode(plain(found)).decode())
    else:
        print("\n".join([*report(found, args.all), *cautions(before, after)]))
    return int(any(change.kind is Kind.WORSE for change in found))


def plain(found: Sequence[Change]) -> dict[str, Any]:
    """For machines: how many of each kind, and every figure that is not unchanged."""
    return {
        "ok": all(change.kind is not Kind.WORSE for change in found),
        "counts": {kind.value: _count(found, kind) for kind in Kind},
        "changes": [change for change in found if change.kind is not Kind.UNCHANGED],
    }


def report(found: Sequence[Change], whole: bool = False) -> list[str]:
    """The sentence, then a table for each kind. ``whole``: without leaving rows out."""
    lines = [sentence(found)]
    for kind, head in HEADS.items():
        rows = sorted((change for change in found if change.kind is kind), key=_weight, reverse=True)
        shown = rows if whole or kind in ALWAYS_WHOLE else rows[:MOST_ROWS]
        if rows:
            lines += [f"\n{head}", *_table(shown)]
        if len(shown) < len(rows):
            lines.append(f"  and {len(rows) - len(shown)} more: --all")
    return lines


def sentence(found: Sequence[Change]) -> str:
    """What to know when nothing else is read."""
    if not found:
        return "The two have no figure in common that could be compared."
    counts = ", ".join(
        f"{_count(found, kind)} {word}"
        for kind, word in (*HEADS.items(), (Kind.UNCHANGED, "unchanged"))
        if _count(found, kind) or kind in (*ALWAYS_WHOLE, Kind.UNCHANGED)
    )
    worse = sorted((change for change in found if change.kind is Kind.WORSE), key=_weight, reverse=True)
    if not worse:
        return f"{counts}. Nothing got worse."
    worst = next((change for change in worse if change.functions), worse[0])
    grown = f": {worst.functions}" if worst.functions else ""
    return f"{counts}. Worst: {worst.full_name}, {_change(worst)}{grown}."


def cautions(before: Result, after: Result) -> list[str]:
    """What else differs between the two runs and moves figures by itself."""
    lines = [f"\nA: {before.commit}, {before.began_utc}", f"B: {after.commit}, {after.began_utc}"]
    facts = (
        ("native core", "compiler"),
        ("kernel", "kernel"),
        ("python", "python"),
        ("inference", "onnxruntime"),
        ("governor", "governor"),
    )
    for name, fact in facts:
        old, new = getattr(before.machine, fact), getattr(after.machine, fact)
        if old != new:
            lines.append(f"note: another {name}: {old}, now {new}")
    if ("--quick" in before.command.split()) != ("--quick" in after.command.split()):
        lines.append("note: one of the two is a --quick run: fewer records, wider intervals")
    return lines


def _table(rows: Sequence[Change]) -> list[str]:
    cells = [COLUMNS, *(_row(change) for change in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS) - 1)]
    return [
        "  "
        + "  ".join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:4], widths[1:], strict=True)),
                row[4],
            ]
        ).rstrip()
        for row in cells
    ]


def _row(change: Change) -> tuple[str, str, str, str, str]:
    return (
        change.full_name,
        _figure(change.before, change.unit, change.floor_ratio_before),
        _figure(change.after, change.unit, change.floor_ratio_after),
        _change(change),
        f"{change.why}: {change.functions}" if change.functions else change.why,
    )


def _figure(value: float | None, unit: str, floor_ratio: float | None) -> str:
    """``41 us, 1.11x``: behind it how much it is of its floor, where that is what was compared."""
    said = f"{number(value)} {unit}".strip()
    return said if floor_ratio is None else f"{said}, {number(floor_ratio)}x"


def _change(change: Change) -> str:
    """``1.31x (1.22 to 1.40)``; a figure that was 0 has no ratio."""
    if change.ratio is None:
        return "" if change.before is None or change.after is None else "from 0"
    said = f"{number(change.ratio)}x"
    if change.low is None or change.high is None:
        return said
    return f"{said} ({number(change.low)} to {number(change.high)})"


def _weight(change: Change) -> float:
    """How far it moved, either way; from nothing to something is furthest."""
    if change.ratio is None:
        return math.inf if change.before is not None and change.after is not None else 0.0
    return abs(math.log(change.ratio)) if change.ratio > 0 else math.inf


def _count(found: Sequence[Change], kind: Kind) -> int:
    return sum(change.kind is kind for change in found)
