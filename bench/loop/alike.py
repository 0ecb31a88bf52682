"""The A/A run: two empty loops beside each other, again and again, for the ratio that alike loops show.

A limit below that fails what is as good as its floor. It is measured as the gate measures, with as many slices as
long, because the spread of a ratio depends on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from spinal.bench import judge, machine
from spinal.bench.apart import run_apart
from spinal.bench.bench import Bench
from spinal.bench.disturbance import Watch, reason
from spinal.bench.loads import processes
from spinal.bench.loop.lateness import FRACTIONS, Condition, measure_pair, schedule
from spinal.bench.result import Curve, SuiteResult
from spinal.bench.statistics import Ratio, slice_ratio
from spinal.bench.thresholds import FEWEST_RUNS, Alike, Thresholds, alike_quantile, joined, keep, load
from spinal.native.histogram import UPPER_EDGES_NS
from spinal.runtime.errors import BenchError


def measure_alike(
    bench: Bench, conditions: Sequence[Condition], rate_hz: int, runs: int, file: Path | None
) -> SuiteResult:
    """``runs`` of them under each condition, in turn, so that a mood of the machine meets all of them.

    ``file``: where to keep them; None: only shown. Raises BenchError for fewer runs than are kept, before and, when
    the machine was too noisy for as many, after measuring.
    """
    if file is not None and runs < FEWEST_RUNS:
        raise BenchError(
            f"{runs} A/A runs say too little to be kept in {file}", f"ask for {FEWEST_RUNS} or more: --aa 12"
        )
    plan = schedule(rate_hz)
    ratios: dict[str, list[Ratio]] = {}
    left_out = 0
    for number in range(runs):
        for condition in conditions:
            with processes(condition.processes), Watch() as watch:
                pair = run_apart(measure_pair, plan, condition.threads, True, seconds=plan.seconds)
            why = reason(watch.seen, condition.loaded)
            figures = {
                f"tick.{rate_hz}hz.{condition.name}.late_us.{name}": slice_ratio(
                    pair.late, pair.floor, UPPER_EDGES_NS, fraction
                )
                for name, fraction in FRACTIONS.items()
            }
            shown = ", ".join(f"{found.ratio:.3f}" for found in figures.values())
            bench.say(f"  {number + 1} of {runs}, {condition.name}: {shown}{why and f', left out: {why}'}")
            if why:
                left_out += 1
                continue
            for figure, found in figures.items():
                ratios.setdefault(figure, []).append(found)
    made = [(figure, found) for figure, found in ratios.items() if len(found) >= FEWEST_RUNS]
    alike = {
        figure: Alike(
            ratios=[round(one.ratio, 4) for one in found],
            floor_us=round(float(np.median([one.floor for one in found])) / 1e3, 2),
            slices=plan.blocks * plan.slices,
            slice_s=plan.slice_s,
            commit=machine.commit(),
            machine=machine.describe().key,
            date_utc=datetime.now(UTC).date().isoformat(),
        )
        for figure, found in made
    }
    after = joined(load(), alike)
    notes = [f"{left_out} runs were left out: the machine was disturbed"] if left_out else []
    if file is not None:
        missing = len(conditions) * len(FRACTIONS) - len(alike)
        if missing:
            raise BenchError(
                f"{missing} figures have fewer than {FEWEST_RUNS} undisturbed runs; nothing was kept",
                "measure on a quieter machine, or ask for more runs",
            )
        after = keep(alike, file)
        notes.append(f"kept in {file}")
    return _shown(ratios, after, notes)


def _shown(ratios: dict[str, list[Ratio]], after: Thresholds, notes: list[str]) -> SuiteResult:
    metrics, lines = [], {}
    for figure, found in ratios.items():
        values = [one.ratio for one in found]
        lines[figure] = [*sorted(values)]
        worst = alike_quantile(values)
        metrics.append(
            judge.exact(f"aa.{figure}", "x", worst, n=len(values), why=f"limit {after.limit(figure)}")
        )
    longest = max((len(line) for line in lines.values()), default=0)
    curve = Curve(
        name="aa",
        x_name="run, sorted",
        x_unit="",
        y_name="ratio of alike loops",
        y_unit="x",
        x=[float(number) for number in range(1, longest + 1)],
        lines={name: [*line, *[None] * (longest - len(line))] for name, line in lines.items()},
    )
    return SuiteResult(metrics=metrics, curves=[curve], notes=notes)
