"""``spinal bench gate``: may this be released? 0: pass, 1: fail, 2: inconclusive, which does not release either.

Runs every gated suite, shortened, in under five minutes on two cores, and judges against what stands in
``bench/baselines``. A suite that comes out inconclusive is measured once more; one that fails is not: a gate that
tries until it passes is none. Maxima and p99.9 are shown, never judged: a shared machine makes them up.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from spinal.bench import accepted, judge, options, run, table
from spinal.bench.bench import Bench
from spinal.bench.exact.baseline import write_baseline
from spinal.bench.result import Metric, Result, SuiteResult, Verdict, save
from spinal.bench.suites import TABLE, Suite
from spinal.runtime.errors import SpinalError

EXIT = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.INCONCLUSIVE: 2}
AGAIN = "inconclusive at first, so measured twice: this is the second time"
NO_TIME = "inconclusive, and no time left to measure it once more"
BUDGET_S = 300.0
"""What the gate may take; a suite is not measured again when that would pass it."""


def add_parser(subparsers: Any) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser(
        "gate",
        help="may this be released: pass (0), fail (1) or inconclusive (2)",
        description="Judges this tree against its limits and baselines. Exit code: 0 pass, 1 fail, 2 inconclusive.",
    )
    parser.add_argument("--exact", action="store_true", help="only what the machine's mood does not move")
    parser.add_argument("--all", action="store_true", help="show figures too that are not judged")
    parser.add_argument(
        "--accept", action="store_true", help="keep the exact figures as this compiler's baseline"
    )
    parser.add_argument(
        "--plant",
        type=options.plant,
        default=options.PLANTS[0],
        help=f"slow the tick down on purpose, to see the gate catch it: {', '.join(options.PLANTS[1:])}",
    )
    parser.add_argument("--json", type=Path, help="keep the result, for compare and report")
    parser.set_defaults(run=run_gate)


def run_gate(args: argparse.Namespace) -> int:
    """Measures, judges, shows."""
    began = time.monotonic()
    chosen = [suite for suite in TABLE if suite.gated == "exact" or (suite.gated and not args.exact)]
    result = measure(chosen, _bench(args), began)
    if args.json is not None:
        save(result, args.json)
    if args.accept:
        print(f"kept as what is accepted: {write_baseline(result.suites['exact']).name}")
    verdict, lines = summary(result, [suite.name for suite in chosen if not suite.present], args.all)
    print("\n".join(lines))
    print(f"{time.monotonic() - began:.0f} s on {result.machine.processor}, {result.machine.cores} cores")
    return EXIT[verdict]


def _bench(args: argparse.Namespace) -> Bench:
    defaults = {
        option.flag.removeprefix("--").replace("-", "_"): option.default
        for suite in TABLE
        for option in suite.options
    }
    return Bench(quick=True, options=argparse.Namespace(**{**defaults, "plant": args.plant}), say=run.say)


def measure(chosen: Sequence[Suite], bench: Bench, began: float) -> Result:
    """Every suite of ``chosen`` that is present; the inconclusive ones twice, as far as the time goes.

    ``began``: of the gate, as ``time.monotonic`` has it. A suite that cannot be measured fails and says why.
    """
    since = datetime.now(UTC)
    present = [suite for suite in chosen if suite.present]
    found: dict[str, SuiteResult] = {}
    for number, suite in enumerate(present, 1):
        bench.say(f"[{number}/{len(present)}] {suite.name}: {suite.help}")
        found[suite.name] = attempt(suite, bench)
    for suite in present:
        first = found[suite.name]
        if judge.worst(first.metrics) is not Verdict.INCONCLUSIVE:
            continue
        if time.monotonic() - began + first.seconds > BUDGET_S:
            found[suite.name] = msgspec.structs.replace(first, notes=[*first.notes, NO_TIME])
            continue
        bench.say(f"[again] {suite.name} was inconclusive")
        second = attempt(suite, bench)
        found[suite.name] = msgspec.structs.replace(second, notes=[*second.notes, AGAIN])
    return run.assemble(found, since)


def attempt(suite: Suite, bench: Bench) -> SuiteResult:
    """One measurement; an expected failure of ours becomes a figure that failed."""
    before = time.monotonic()
    try:
        return run.measure_one(suite, bench)
    except SpinalError as error:
        why = f"{error.message}; next: {error.hint}" if error.hint else error.message
        broken = Metric(
            name="measured", unit="", value=0, limit=1, better="higher", verdict=Verdict.FAIL, why=why
        )
        return SuiteResult(metrics=[broken], seconds=round(time.monotonic() - before, 2))


def judged(result: Result) -> list[Metric]:
    """Every figure under its suite's name; misses that are accepted are ``short``."""
    named = [
        msgspec.structs.replace(metric, name=f"{name}.{metric.name}")
        for name, suite in result.suites.items()
        for metric in suite.metrics
    ]
    return accepted.apply(named, accepted.load())


def summary(result: Result, absent: Sequence[str], everything: bool = False) -> tuple[Verdict, list[str]]:
    """The verdict, and the page that says it: the table first, the sentence last, where a person looks.

    A figure that could not be measured makes the gate inconclusive; a suite that is not built yet (``absent``) is
    listed. Nothing judged at all is no pass either.
    """
    shown = judged(result)
    metrics = [metric for metric in shown if metric.verdict is not Verdict.INFO]
    verdict = judge.worst(metrics)
    incomplete = any(metric.verdict is Verdict.ABSENT for metric in metrics)
    if verdict is Verdict.INFO or (verdict is Verdict.PASS and incomplete):
        verdict = Verdict.INCONCLUSIVE
    if everything:
        lines = table.of_metrics(shown)
        lines += [f"  note: {name}: {note}" for name, suite in result.suites.items() for note in suite.notes]
    else:
        worth = [metric for metric in metrics if not _zero_as_it_must(metric)]
        lines = table.of_metrics(sorted(worth, key=lambda metric: metric.verdict is Verdict.PASS))
        if len(worth) < len(metrics):
            lines.append(
                f"  and {len(metrics) - len(worth)} counts that must be 0 are 0 (each of them: --all)"
            )
    lines += [f"  {name}: {AGAIN}" for name, suite in result.suites.items() if AGAIN in suite.notes]
    lines += [f"  {name}: {NO_TIME}" for name, suite in result.suites.items() if NO_TIME in suite.notes]
    lines += [f"  absent: {name} is not built yet" for name in absent]
    return verdict, [*lines, "", _sentence(verdict, metrics)]


def _zero_as_it_must(metric: Metric) -> bool:
    return metric.verdict is Verdict.PASS and metric.limit == 0 and metric.value == 0 and not metric.why


def _sentence(verdict: Verdict, metrics: Sequence[Metric]) -> str:
    passed = sum(metric.verdict is Verdict.PASS for metric in metrics)

    def names(kind: Verdict) -> str:
        return ", ".join(metric.name for metric in metrics if metric.verdict is kind)

    match verdict:
        case Verdict.PASS:
            short = names(Verdict.SHORT)
            known = f"; short of its target, as known: {short}" if short else ""
            return f"PASS: {passed} figures are within their limits{known}"
        case Verdict.FAIL:
            return f"FAIL: {names(Verdict.FAIL)}"
        case _:
            unsure = (
                ", ".join(filter(None, (names(Verdict.INCONCLUSIVE), names(Verdict.ABSENT))))
                or "nothing judged"
            )
            return f"INCONCLUSIVE, which is no pass: {unsure}"
