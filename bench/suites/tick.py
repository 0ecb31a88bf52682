"""``tick``: how late the real loop wakes, beside an empty loop of the same rate and priority at the same time.

The gate looks at 1 kHz, idle and with two busy processes. In full: 100 to 1000 Hz, five conditions. ``--aa N``
measures what two empty loops differ by instead, which is what the limits are taken from (``bench/thresholds.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spinal.bench import judge, machine
from spinal.bench.apart import run_apart
from spinal.bench.bench import Bench
from spinal.bench.buckets import distribution_us
from spinal.bench.disturbance import Watch, reason
from spinal.bench.loads import processes
from spinal.bench.loop import cyclictest
from spinal.bench.loop.alike import measure_alike
from spinal.bench.loop.lateness import FRACTIONS, Condition, Pair, Schedule, measure_pair, schedule
from spinal.bench.result import Curve, Distribution, Disturbance, Metric, SuiteResult, finite
from spinal.bench.statistics import Ratio, quantile, slice_ratio
from spinal.bench.thresholds import Thresholds, load
from spinal.native.histogram import UPPER_EDGES_NS

JUDGED_HZ = 1000
RATES_HZ = (1000, 500, 250, 100)
CONDITIONS = (
    Condition("idle"),
    Condition("busy", processes=("busy", "busy")),
    Condition("storage", processes=("storage",)),
    Condition("python", threads=("busy",)),
    Condition("inference", threads=("inference",)),
)
GATED = ("idle", "busy")
FLOOR_GROWTH = 3.0
"""A floor that is so much later than in the A/A run on the same kind of machine tells nothing of the loop."""
CYCLICTEST_S = 4
TARGETS = {"p999": (0.999, 50.0), "max": (1.0, 200.0)}
"""At 1 kHz on reference hardware, us; and not one slot missed."""


@dataclass(frozen=True, slots=True)
class Run:
    """One rate under one condition, measured."""

    rate_hz: int
    condition: Condition
    pair: Pair
    disturbance: Disturbance

    @property
    def name(self) -> str:
        """What its metrics begin with."""
        return f"{self.rate_hz}hz.{self.condition.name}"

    def ratio(self, fraction: float) -> Ratio:
        """Loop over floor, ns."""
        return slice_ratio(self.pair.late, self.pair.floor, UPPER_EDGES_NS, fraction)


def measure(bench: Bench) -> SuiteResult:
    """Runs every rate under every condition, or two empty loops for ``--aa``. Raises SpinalError."""
    thresholds = load()
    runs: int = getattr(bench.options, "aa", 0)
    file: Path | None = getattr(bench.options, "thresholds", None)
    conditions = [one for one in CONDITIONS if not bench.quick or one.name in GATED]
    if runs or file is not None:
        return measure_alike(bench, conditions, JUDGED_HZ, runs, file)
    rates = (JUDGED_HZ,) if bench.quick or bench.hours > 0 else RATES_HZ
    seconds = bench.seconds(0.0, 0.0, share=1 / (len(rates) * len(conditions)))
    found: list[Run] = []
    readings: list[Metric] = []
    for condition in conditions:
        with processes(condition.processes):
            for rate_hz in rates:
                found.append(_measure(bench, rate_hz, condition, schedule(rate_hz, seconds)))
            if not bench.quick and not condition.threads:
                readings += _third_reading(condition)
    virtual = machine.describe().virtual
    metrics = [metric for run in found for metric in _judge(run, thresholds)]
    if bench.hours > 0:
        metrics += [metric for run in found for metric in _beside_targets(run, bool(virtual))]
    return SuiteResult(
        metrics=metrics + readings,
        distributions=[_distribution(run) for run in found],
        curves=[_against_rate(found, name) for name in FRACTIONS] if len(rates) > 1 else [],
        notes=_notes(found, bench, thresholds, virtual),
    )


def _measure(bench: Bench, rate_hz: int, condition: Condition, plan: Schedule) -> Run:
    with Watch() as watch:
        pair = run_apart(measure_pair, plan, condition.threads, False, seconds=plan.seconds)
    run = Run(rate_hz, condition, pair, watch.seen)
    shown = ", ".join(
        f"{name} {found.value / 1e3:.0f} us, {found.ratio:.2f}x"
        for name, found in ((name, run.ratio(fraction)) for name, fraction in FRACTIONS.items())
    )
    bench.say(f"  {rate_hz} Hz, {condition.name}: {shown}")
    return run


def _judge(run: Run, thresholds: Thresholds) -> list[Metric]:
    metrics = []
    for name, fraction in FRACTIONS.items():
        figure = f"{run.name}.late_us.{name}"
        found = run.ratio(fraction)
        limit = thresholds.limit(f"tick.{figure}") if run.rate_hz == JUDGED_HZ else None
        metrics.append(
            judge.sliced(
                figure,
                "us",
                found,
                limit,
                scale=1e-3,
                disturbed=why_disturbed(run, found, figure, thresholds),
            )
        )
    if run.pair.realtime.get("mlock") is None:
        faults = judge.exact(f"{run.name}.page_faults", "", run.pair.faults, 0)
    else:
        why = f"memory could not be locked: {run.pair.realtime['mlock']}"
        faults = judge.missing(f"{run.name}.page_faults", "", why)
    n = int(run.pair.late.sum())
    return [*metrics, faults, judge.exact(f"{run.name}.missed", "slots", run.pair.skipped, n=n)]


def why_disturbed(run: Run, found: Ratio, figure: str, thresholds: Thresholds) -> str:
    """Why nothing can be told from this run, or "". ``found``: the figure's ratio, ns."""
    seen = reason(run.disturbance, run.condition.loaded)
    if seen:
        return seen
    if not run.pair.alike:
        return f"loop and floor were not granted the same: {run.pair.realtime}, {run.pair.floor_fifo}"
    period_ns = 1e9 / run.rate_hz
    pooled = run.pair.floor.sum(axis=0)
    for name, share in (("p50", 0.25), ("p99", 1.0)):
        late_ns = quantile(pooled, UPPER_EDGES_NS, FRACTIONS[name])
        if late_ns > share * period_ns:
            return f"the empty loop itself was {late_ns / 1e3:.0f} us late ({name}) of {period_ns / 1e3:.0f}"
    known = thresholds.alike.get(f"tick.{figure}")
    if (
        known is not None
        and known.machine == machine_key()
        and found.floor > FLOOR_GROWTH * known.floor_us * 1e3
    ):
        return f"the empty loop was {found.floor / 1e3:.0f} us late; in the A/A run {known.floor_us:.0f}"
    return ""


def machine_key() -> str:
    """Of the machine that this runs on; see ``Machine.key``."""
    return machine.describe().key


def _beside_targets(run: Run, virtual: bool) -> list[Metric]:
    """The absolute figures of a soak; judged on bare metal only."""
    counts = run.pair.late.sum(axis=0)
    n = int(counts.sum())
    metrics = []
    for name, (fraction, limit) in TARGETS.items():
        value = quantile(counts, UPPER_EDGES_NS, fraction) / 1e3
        figure = f"{run.name}.soak.late_us.{name}"
        if virtual:
            metrics.append(judge.exact(figure, "us", value, n=n, why=f"target {limit:.0f} us on bare metal"))
        else:
            metrics.append(judge.timed(figure, "us", value, limit, n=n))
    none = None if virtual else 0.0
    metrics.append(judge.exact(f"{run.name}.soak.missed", "slots", run.pair.skipped, none, n=n))
    return metrics


def _third_reading(condition: Condition) -> list[Metric]:
    if not cyclictest.installed():
        return []
    found = cyclictest.measure(JUDGED_HZ, CYCLICTEST_S)
    prefix = f"cyclictest.{JUDGED_HZ}hz.{condition.name}.late_us"
    if isinstance(found, str):
        return [judge.missing(prefix, "us", found)]
    return [
        judge.exact(f"{prefix}.{name}", "us", found.quantile_us(fraction), n=found.n)
        for name, fraction in FRACTIONS.items()
    ]


def _distribution(run: Run) -> Distribution:
    return distribution_us(f"{run.name}.late_us", run.pair.late.sum(axis=0), run.pair.floor.sum(axis=0))


def _against_rate(found: list[Run], name: str) -> Curve:
    lines: dict[str, list[float | None]] = {}
    for run in found:
        ratio = run.ratio(FRACTIONS[name])
        lines.setdefault(run.condition.name, []).append(finite(ratio.value / 1e3))
        lines.setdefault(f"{run.condition.name}, empty loop", []).append(finite(ratio.floor / 1e3))
    return Curve(
        name=f"late_us.{name}",
        x_name="rate",
        x_unit="Hz",
        y_name=f"lateness, {name}",
        y_unit="us",
        x=[float(rate_hz) for rate_hz in RATES_HZ],
        lines=lines,
    )


def _notes(found: list[Run], bench: Bench, thresholds: Thresholds, virtual: str) -> list[str]:
    notes = []
    refused = next((run.pair.realtime["fifo"] for run in found if run.pair.realtime.get("fifo")), None)
    if refused:
        notes.append(
            f"SCHED_FIFO was refused ({refused}): both loops ran without; `spinal doctor` says how to grant it"
        )
    if not bench.quick and not cyclictest.installed():
        notes.append(cyclictest.ABSENT)
    if bench.hours > 0 and virtual:
        notes.append(f"virtual hardware ({virtual}): the soak's absolute figures are shown, not judged")
    made_on = {alike.machine for name, alike in thresholds.alike.items() if name.startswith("tick.")}
    if not made_on:
        notes.append("no A/A run is kept yet: limits are where the method starts")
    elif machine_key() not in made_on:
        notes.append(f"the A/A run behind the limits was made on {', '.join(sorted(made_on))}")
    return notes
