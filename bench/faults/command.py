"""``spinal faults run | soak``: faults put into the simulated robot, and what its arm did."""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from spinal.bench import machine, options
from spinal.bench.faults import run as trials
from spinal.bench.faults import soak, table
from spinal.bench.faults.families import FAMILIES
from spinal.bench.faults.harness import fault_robot
from spinal.bench.live.supervised_robot import absence, ended_in_order
from spinal.runtime.errors import BenchError

NOT_SAFE = 1


def add_parser(subparsers: Any) -> None:
    """Declares ``faults`` and what is below it."""
    parser = subparsers.add_parser(
        "faults", help="kill, starve and garble the simulated robot; see what its arm does"
    )
    inner = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
    several = inner.add_parser(
        "run",
        help="put faults into it, one at a time",
        description="Puts faults into the live simulated robot, one at a time, and measures what its arm did."
        " Leaves with 1 when one of them was not safe.",
    )
    several.add_argument("--quick", action="store_true", help="the most telling ones, in some 90 s")
    several.add_argument("--only", metavar="NAME,...", default="", help="these faults or families")
    several.add_argument("--list", action="store_true", help="name the faults, and put none in")
    several.add_argument("--json", type=Path, metavar="FILE", help="keep the rows")
    several.add_argument("--markdown", action="store_true", help="print the table for a page")
    several.add_argument("--verbose", action="store_true", help="also what the robot says")
    several.set_defaults(run=run)
    long = inner.add_parser(
        "soak",
        help="let it alone, and count what trips",
        description="Runs the simulated robot without any fault. Leaves with 1 when a reflex or a watchdog tripped,"
        " or a process was restarted.",
    )
    long.add_argument("--minutes", type=options.minutes, default=30.0, metavar="N", help="for so long (30)")
    long.add_argument("--json", type=Path, metavar="FILE", help="keep the figures")
    long.set_defaults(run=run_soak)


def run(args: argparse.Namespace) -> int:
    """Tries the faults. Raises BenchError for one that does not exist, before anything is started."""
    families = trials.chosen([name for name in args.only.split(",") if name], args.quick)
    if args.list:
        for family, faults in FAMILIES.items():
            print(family)
            for fault in faults:
                print(f"  {fault.name:<24} {fault.what}{'  (quick)' if fault.quick else ''}")
        return 0
    _require_simulator()
    with ended_in_order():
        found = trials.run(
            families,
            trials.QUICK_SOAK_S if args.quick or args.only else trials.SOAK_S,
            say,
            (lambda line: say(f"    {line}")) if args.verbose else (lambda line: None),
        )
    if args.markdown:
        print("\n".join(table.markdown(found.families)))
    else:
        print(
            "\n".join([*soak.lines_of(found.soak), "", *table.of_rows(found.families), "", *table.NOTES, ""])
        )
    print(table.summary(found.rows))
    if args.json is not None:
        args.json.write_text(json.dumps(as_json(found), indent=1))
    return 0 if all(row.safe or row.skipped for row in found.rows) else NOT_SAFE


def run_soak(args: argparse.Namespace) -> int:
    """Lets a robot run."""
    _require_simulator()
    with ended_in_order(), fault_robot() as robot:
        seen = soak.soak(robot, args.minutes * 60, say)
    print("\n".join(soak.lines_of(seen)))
    if args.json is not None:
        args.json.write_text(json.dumps({"machine": _machine(), "soak": _soak(seen)}, indent=1))
    return NOT_SAFE if seen.false_trips or seen.restarts else 0


def as_json(found: trials.Found) -> dict[str, Any]:
    """Everything, for machines."""
    rows = [asdict(row) for row in found.rows]
    missed = {row["name"]: row["misses"] for row in rows if row["misses"]}
    return {"machine": _machine(), "soak": _soak(found.soak), "misses": missed, "faults": rows}


def say(line: str) -> None:
    """Progress, on stderr."""
    print(line, file=sys.stderr, flush=True)


def _soak(seen: soak.Soak) -> dict[str, Any]:
    kept = asdict(seen)
    kept["steps"] = seen.steps.tolist()
    numbers = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in kept.items()
    }
    return numbers | {"step_p999_counts": seen.clean_steps.tolist(), "false_trips": seen.false_trips}


def _machine() -> dict[str, Any]:
    described: dict[str, Any] = msgspec.to_builtins(machine.describe())
    return described | {"commit": machine.commit()}


def _require_simulator() -> None:
    absent = absence()
    if absent:
        raise BenchError(absent, "install what it names; there is no other robot to hurt")
