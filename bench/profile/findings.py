"""What a watch comes to: typed, as ``--json`` writes it. Pure."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np

from spinal.bench.profile.causes import Attribution, Case, Cause, attribute, duration
from spinal.bench.profile.evidence import of_samples
from spinal.bench.profile.ticks import PLAN, STAGES, Ints, Ticks, of_records, usual_ns, worst
from spinal.bench.profile.watch import Seen

SCHEMA = 1

PHRASES = {
    Cause.MACHINE: "late while the whole machine stood still",
    Cause.STOLEN: "lost to the hypervisor",
    Cause.STOPPED: "stopped by a signal",
    Cause.QUEUED: "waited for a processor",
    Cause.BUS: "waited for the bus",
    Cause.OURS: "ours",
    Cause.UNKNOWN: "unknown",
}


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """Of one stage, over all ticks seen, in us."""

    p50: float
    p99: float
    max: float
    n: int


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """One of the worst. Durations in us."""

    tick: int
    at_s: float
    """Its scheduled instant, after the first tick seen."""
    total_us: float
    stages_us: dict[str, float]
    skipped: int
    handed_off: bool
    cause: Cause
    detail: str
    stage: str
    """The culprit."""
    excess_us: float
    """What the culprit took beyond its usual time."""
    joints_silent: int | None
    """None: not seen."""
    waited_us: float | None
    """For a processor, around the culprit; None: no samples close enough."""
    stolen_us: float | None
    preempted: int | None
    page_faults: int | None
    stood_still_us: float


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A whole watch."""

    schema: int = SCHEMA
    robot: str
    pid: int
    """The controller's."""
    seconds: float
    period_us: float
    ticks: int
    skipped: int
    """Slots that nobody came to, among the ticks seen."""
    unseen: int
    """Ticks whose records are missing here."""
    sentence: str
    stages: dict[str, Quantiles]
    worst: list[Tick]
    counters: dict[str, int]
    """What the loop counted while it was watched."""
    watching_cost: float
    """Share of one processor that the watcher took."""
    notes: list[str]


def profile(seen: Seen, count: int, robot: str, pid: int, budget_ns: int, period_ns: int) -> Profile:
    """The ``count`` worst ticks and what is behind them. ``budget_ns``, ``period_ns``: of the robot file."""
    ticks = of_records(seen.heads)
    usual = usual_ns(ticks) if len(ticks.number) else np.zeros(len(STAGES), np.int64)
    case = Case(ticks, usual, of_samples(seen.samples), seen.missing, budget_ns)
    rows = [int(row) for row in worst(ticks, count)]
    found = [_tick(case, row, attribute(case, row)) for row in rows]
    notes = list(seen.notes)
    if ticks.period_ns not in (0, period_ns):
        notes.append(
            f"it runs with a period of {duration(ticks.period_ns)}, the file now says {duration(period_ns)}"
        )
    if seen.dropped:
        notes.append(f"{seen.dropped} records were dropped by the robot: its supervisor does not take them")
    return Profile(
        robot=robot,
        pid=pid,
        seconds=round(seen.seconds, 2),
        period_us=ticks.period_ns / 1e3,
        ticks=len(ticks.number),
        skipped=int(ticks.skipped.sum()),
        unseen=ticks.gaps,
        sentence=sentence(found, len(ticks.number), seen.seconds),
        stages=_stages(ticks),
        worst=found,
        counters=seen.counters,
        watching_cost=round(seen.cost, 4),
        notes=notes,
    )


def sentence(found: list[Tick], ticks: int, seconds: float) -> str:
    """How many of the worst had which cause, the commonest first; of what is ours, what it was."""
    if not found:
        return f"no tick seen in {seconds:.0f} s"
    counts = Counter(tick.cause for tick in found)
    parts = []
    for cause, number in counts.most_common():
        which = ""
        if cause is Cause.OURS:
            detail = next(tick.detail for tick in found if tick.cause is cause)
            which = f": {detail}" if number == 1 else f", the worst {detail}"
        parts.append(f"{number} {PHRASES[cause]}{which}")
    return f"{len(found)} worst of {ticks:,} ticks in {seconds:.0f} s: {', '.join(parts)}"


def _tick(case: Case, row: int, why: Attribution) -> Tick:
    ticks, window = case.ticks, why.window
    number = int(ticks.number[row])
    return Tick(
        tick=number,
        at_s=round(float(ticks.edge_ns[row, 0] - ticks.edge_ns[0, 0]) / 1e9, 3),
        total_us=_us(ticks.total_ns[row]),
        stages_us={name: _us(ns) for name, ns in zip(STAGES, ticks.stage_ns[row], strict=True)},
        skipped=int(ticks.skipped[row]),
        handed_off=bool(ticks.switched[row]),
        cause=why.cause,
        detail=why.detail,
        stage=STAGES[why.stage],
        excess_us=_us(why.excess_ns),
        joints_silent=case.missing.get(number),
        waited_us=None if window is None else _us(window.waited_ns),
        stolen_us=None if window is None else _us(window.stolen_ns),
        preempted=None if window is None else window.forced,
        page_faults=None if window is None else window.faults,
        stood_still_us=_us(why.stood_still_ns),
    )


def _stages(ticks: Ticks) -> dict[str, Quantiles]:
    """Each stage, planning with and without a hand-off apart, and the whole."""
    by_stage = {name: ticks.stage_ns[:, column] for column, name in enumerate(STAGES)}
    plan = by_stage.pop("plan")
    columns: dict[str, Ints] = {}
    for name in STAGES:
        if name == STAGES[PLAN]:
            columns["plan"], columns["plan with hand-off"] = plan[~ticks.switched], plan[ticks.switched]
        else:
            columns[name] = by_stage[name]
    columns["total"] = ticks.total_ns
    return {name: _quantiles(ns) for name, ns in columns.items() if len(ns)}


def _quantiles(ns: Ints) -> Quantiles:
    p50, p99, most = (_us(value) for value in np.quantile(ns, (0.5, 0.99, 1.0)))
    return Quantiles(p50=p50, p99=p99, max=most, n=len(ns))


def _us(ns: float | np.int64) -> float:
    return round(float(ns) / 1e3, 1)
