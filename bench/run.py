"""``spinal bench run [SUITE ...]``: measures, shows a table for each suite, and keeps everything in one file."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from spinal.bench import judge, machine, options, table
from spinal.bench.bench import Bench
from spinal.bench.disturbance import Watch
from spinal.bench.result import Result, SuiteResult, Verdict, save
from spinal.bench.suites import BY_NAME, TABLE, Suite
from spinal.runtime.errors import BenchError

EXIT = {Verdict.PASS: 0, Verdict.INFO: 0, Verdict.FAIL: 1, Verdict.INCONCLUSIVE: 2}


def add_parser(subparsers: Any) -> None:
    """Declares the subcommand, with every suite's options in a group of its own."""
    parser = subparsers.add_parser(
        "run",
        help="measure: one suite, several, or all",
        description="Measures. Leaves with 1 when a figure is over its limit, 2 when the machine was too noisy.",
    )
    names = ", ".join(suite.name for suite in TABLE)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"{names} (default: all of them)")
    parser.add_argument("--quick", action="store_true", help="as short as the gate measures")
    parser.add_argument(
        "--hours", type=options.hours, default=0.0, help="a soak, on hardware that has nothing else to do"
    )
    parser.add_argument("--json", type=Path, help="keep the result, for compare and report")
    for suite in TABLE:
        if suite.options:
            group = parser.add_argument_group(suite.name, suite.help)
            for option in suite.options:
                group.add_argument(option.flag, type=option.kind, default=option.default, help=option.help)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measures. Raises BenchError for a suite that does not exist, before anything is measured."""
    chosen = find(args.suites)
    result = measure(chosen, Bench(quick=args.quick, hours=args.hours, options=args, say=say))
    for name, suite in result.suites.items():
        print("\n".join(table.of_suite(name, suite)))
    if args.json is not None:
        save(result, args.json)
        print(f"kept in {args.json}; a page of it: spinal bench report {args.json}", file=sys.stderr)
    return EXIT[judge.worst([metric for suite in result.suites.values() for metric in suite.metrics])]


def find(names: Sequence[str]) -> list[Suite]:
    """The suites of these names, all that are present for none. Raises BenchError in one line."""
    for name in names:
        if name not in BY_NAME or not BY_NAME[name].present:
            near = get_close_matches(name, BY_NAME, n=1)
            there = ", ".join(suite.name for suite in TABLE if suite.present)
            what = "is in the table but not built yet" if name in BY_NAME else "is no suite"
            guess = f"did you mean {near[0]}? " if near and name not in BY_NAME else ""
            raise BenchError(f"{name} {what}", f"{guess}there are: {there}")
    return [BY_NAME[name] for name in names] if names else [suite for suite in TABLE if suite.present]


def measure(suites: Sequence[Suite], bench: Bench) -> Result:
    """Runs them one after the other."""
    began = datetime.now(UTC)
    found: dict[str, SuiteResult] = {}
    for number, suite in enumerate(suites, 1):
        bench.say(f"[{number}/{len(suites)}] {suite.name}: {suite.help}")
        found[suite.name] = measure_one(suite, bench)
    return assemble(found, began)


def measure_one(suite: Suite, bench: Bench) -> SuiteResult:
    """Runs one, and says how long it took and what the machine suffered meanwhile."""
    before = time.monotonic()
    with Watch() as watch:
        measured = suite.load()(bench)
    return msgspec.structs.replace(
        measured, seconds=round(time.monotonic() - before, 2), disturbance=measured.disturbance or watch.seen
    )


def assemble(found: dict[str, SuiteResult], began: datetime) -> Result:
    """What was found, with where and by what."""
    return Result(
        machine=machine.describe(),
        commit=machine.commit(),
        began_utc=began.isoformat(timespec="seconds"),
        command=shlex.join(["spinal", *sys.argv[1:]]),
        suites=found,
    )


def say(line: str) -> None:
    """Progress, on stderr: the table alone is on stdout."""
    print(line, file=sys.stderr, flush=True)
