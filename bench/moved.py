"""What moved between two results, by a criterion that fits the figure. Pure: two results in, changes out.

- A count, and whatever a suite on a manual clock says, moves with any change.
- A figure with a 95 % interval moves when the two intervals of what is judged do not overlap, and the figure itself
  by ``LEAST``: an interval tells how well one run knows it, not what two runs of the same tree differ by.
- A distribution's p50 and p99, where no figure with an interval stands for them and both sides have a floor: by a
  bootstrap of the ratio of the two quantiles, each over its floor's; the records of all are drawn anew from their
  buckets. Wake-ups that follow each other are not independent and buckets are 3 % wide, so the interval must lie
  beyond ``LEAST``. Without a floor, its records tell of the machine's mood as much as of us: shown, not judged.
- Anything else is shown and not judged; so is every figure with an interval from a live suite that the hypervisor
  disturbed on either side. But a figure that passed its limit and now fails is worse, whatever its kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec
import numpy as np

from spinal.bench.disturbance import reason
from spinal.bench.exact import baseline
from spinal.bench.report.shapes import unfit
from spinal.bench.result import Distribution, Metric, Result, SuiteResult, Verdict
from spinal.bench.statistics import Array

LOCK_STEP = frozenset({"exact", "seam", "task", "front"})
"""Suites on a manual clock or under an instruction counter: the same machine gives the same figures."""
ON_A_CLOCK = ("installed.", "line.")
"""Of the exact suite, what a running robot did: how often it polls its line is the line's doing."""
COMPUTED_IN = frozenset({"ns", "us"})
"""Even there, what is told in these units is the machine's own time."""
COUNTED_IN = frozenset(
    {"instructions", "allocations", "faults", "calls", "system calls", "bytes", "B", "count"}
)
TIMES_IN = frozenset({"ns", "us", "ms", "s"})
ROUNDING = 1e-12
"""Relative figures of rounding size (a seam's jump of 4e-15) change with nothing."""
FRACTIONS = {"p50": 0.5, "p99": 0.99}
FEWEST_BEHIND = 10
"""Records behind a quantile; with fewer it is not judged."""
RESAMPLES = 500
LEAST = 1.05
MOST_BUCKETS = 20_000


class Kind(StrEnum):
    """What became of a figure."""

    WORSE = "worse"
    BETTER = "better"
    GONE = "gone"
    NEW = "new"
    UNJUDGED = "not judged"
    UNCHANGED = "unchanged"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One figure, before and after. ``ratio``: after / before of what was compared, with its 95 % interval."""

    suite: str
    name: str
    unit: str
    kind: Kind
    before: float | None = None
    after: float | None = None
    floor_ratio_before: float | None = None
    """Where there is a floor, it is the two ratios to it that are compared."""
    floor_ratio_after: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    functions: str = ""
    """Of a count of instructions: whose own changed most, with by how many."""
    why: str = ""
    """By what it was judged, or why not."""

    @property
    def full_name(self) -> str:
        """With its suite."""
        return f"{self.suite}.{self.name}"


def changes(before: Result, after: Result, ratios_only: bool = False) -> list[Change]:
    """Every figure of either, in the order of ``after``. ``ratios_only``: what has a floor, for other machines."""
    names = [*after.suites, *(name for name in before.suites if name not in after.suites)]
    return [
        change
        for name in names
        for change in _of_suite(name, before.suites.get(name), after.suites.get(name), ratios_only)
    ]


def _of_suite(
    name: str, before: SuiteResult | None, after: SuiteResult | None, ratios_only: bool
) -> Iterator[Change]:
    old = {metric.name: metric for metric in before.metrics} if before else {}
    new = {metric.name: metric for metric in after.metrics} if after else {}
    disturbed = "" if name in LOCK_STEP else _disturbed(before, after)
    for metric_name in [*new, *(one for one in old if one not in new)]:
        was, now = old.get(metric_name), new.get(metric_name)
        if ratios_only and not (_floored(was) and _floored(now)):
            continue
        yield _of_metric(name, was, now, disturbed, ratios_only, _functions(metric_name, before, after))
    if before is not None and after is not None:
        judged = {one for one in new if one in old and _interval(new[one]) and _interval(old[one])}
        distributions = {one.name: one for one in before.distributions}
        for now_held in after.distributions:
            was_held = distributions.get(now_held.name)
            if was_held is not None:
                yield from _of_distribution(name, was_held, now_held, judged, disturbed, ratios_only)


def _of_metric(
    suite: str, was: Metric | None, now: Metric | None, disturbed: str, ratios_only: bool, named: str
) -> Change:
    """One of the two is there. ``named``: the functions whose instructions changed."""
    there = now or was
    assert there is not None
    old, new = (metric.value if metric else None for metric in (was, now))
    kind, why, ratio = Kind.UNCHANGED, "", None
    if was is None or now is None or old is None or new is None:
        if old is None and new is None:
            kind, why = Kind.UNCHANGED, "not measured in either"
        elif new is None:
            kind, why = Kind.GONE, now.why if now else ""
        else:
            kind, why = Kind.NEW, ""
    else:
        whole = not _compares_ratios(suite, now, ratios_only)
        ratio = _over(now.value, was.value) if whole else _over(now.judged, was.judged)
        kind, why = _judge(suite, was, now, disturbed, ratios_only)
        if kind is not Kind.WORSE and was.verdict is Verdict.PASS and now.verdict is Verdict.FAIL:
            kind, why = Kind.WORSE, "passed its limit, now fails"
        elif kind is not Kind.BETTER and was.verdict is Verdict.FAIL and now.verdict is Verdict.PASS:
            kind, why = Kind.BETTER, "failed its limit, now passes"
    return Change(
        suite=suite,
        name=there.name,
        unit=there.unit,
        kind=kind,
        before=old,
        after=new,
        floor_ratio_before=was.ratio if was and _compares_ratios(suite, was, ratios_only) else None,
        floor_ratio_after=now.ratio if now and _compares_ratios(suite, now, ratios_only) else None,
        ratio=ratio,
        functions=named if kind in (Kind.WORSE, Kind.BETTER) else "",
        why=why,
    )


def _functions(metric: str, before: SuiteResult | None, after: SuiteResult | None) -> str:
    """Whose own instructions changed most, with by how many; "" where the files do not have them."""
    if before is None or after is None:
        return ""
    whole = ([one for one in suite.curves if not unfit(one)] for suite in (before, after))
    old, new = (baseline.functions(curves, metric) for curves in whole)
    return baseline.moved(new, old, 0.0) if old and new else ""


def _judge(suite: str, was: Metric, now: Metric, disturbed: str, ratios_only: bool) -> tuple[Kind, str]:
    before, after = was.judged, now.judged
    floors_differ = _floored(was) != _floored(now)
    if before is None or after is None or floors_differ or was.unit != now.unit or was.better != now.better:
        return Kind.UNJUDGED, "the two are not the same figure"
    if _exact(suite, now) and not _compares_ratios(suite, now, ratios_only):
        if was.n != now.n and suite in LOCK_STEP:
            return Kind.UNJUDGED, f"of {was.n} before and of {now.n} after"
        before, after = was.value or 0.0, now.value or 0.0
        same = before == after or max(abs(before), abs(after)) < ROUNDING
        return (
            (Kind.UNCHANGED, "")
            if same
            else (_direction(now, after > before), f"{after - before:+,.6g}, any change counts")
        )
    ends = _interval(was), _interval(now)
    if ends[0] is None or ends[1] is None:
        return (Kind.UNCHANGED, "") if before == after else (Kind.UNJUDGED, "no interval")
    if disturbed:
        return Kind.UNJUDGED, disturbed
    (old_low, old_high), (new_low, new_high) = ends[0], ends[1]
    if max(abs(before), abs(after)) < LEAST * min(abs(before), abs(after)) and before * after > 0:
        return Kind.UNCHANGED, ""
    if new_low > old_high:
        return _direction(now, more=True), _intervals(ends[0], ends[1])
    if new_high < old_low:
        return _direction(now, more=False), _intervals(ends[0], ends[1])
    return Kind.UNCHANGED, ""


def _of_distribution(
    suite: str, was: Distribution, now: Distribution, judged: set[str], disturbed: str, ratios_only: bool
) -> Iterator[Change]:
    """p50 and p99, where no metric with an interval is named after them."""
    floored = all(one.floor_counts and sum(one.floor_counts) for one in (was, now))
    if ratios_only and not floored:
        return
    for word, fraction in FRACTIONS.items():
        name = f"{now.name}.{word}"
        if name in judged:
            continue
        sides = [_side(one, floored) for one in (was, now)]
        label = f"{name} of the distribution"
        fewest = min((float(counts.sum()) for side in sides for counts, _ in side), default=0.0)
        why = _incomparable(was, now) or (
            f"{fewest:.0f} records are too few" if fewest * (1 - fraction) < FEWEST_BEHIND else disturbed
        )
        if why:
            yield Change(suite=suite, name=label, unit=now.unit, kind=Kind.UNJUDGED, why=why)
            continue
        before, after = (_quantiles(*side[0], fraction) for side in sides)
        middle, low, high = quantile_ratio(sides[0], sides[1], fraction)
        if math.isnan(middle):
            why = "a quantile is 0"
            yield Change(suite=suite, name=label, unit=now.unit, kind=Kind.UNJUDGED, why=why)
            continue
        kind = Kind.WORSE if low > LEAST else Kind.BETTER if high < 1 / LEAST else Kind.UNCHANGED
        by = "over its floor's, bootstrap"
        if not floored:
            kind, by = (Kind.UNJUDGED if kind is not Kind.UNCHANGED else kind), "no floor beside it"
        yield Change(
            suite=suite,
            name=label,
            unit=now.unit,
            kind=kind,
            before=float(before[0]),
            after=float(after[0]),
            floor_ratio_before=_of_floor(sides[0], fraction),
            floor_ratio_after=_of_floor(sides[1], fraction),
            ratio=middle,
            low=low,
            high=high,
            why=by,
        )


Side = Sequence[tuple[Array, Array]]
"""Counts [bucket] and edges [bucket] of ours, and behind it of its floor where it has one."""


def quantile_ratio(before: Side, after: Side, fraction: float, seed: int = 0) -> tuple[float, float, float]:
    """after / before of a quantile, each over its floor's, with its 95 % interval; the same for the same seed.

    Every count is drawn anew from the multinomial of its own buckets, ``RESAMPLES`` times. All NaN where a
    quantile is 0, of which there is no ratio.
    """
    pick = np.random.default_rng(seed)
    middle, drawn = np.ones(1), np.ones(RESAMPLES)
    for side, sign in ((before, -1.0), (after, 1.0)):
        for (counts, edges), turn in zip(side, (1.0, -1.0), strict=False):
            total = int(counts.sum())
            held = counts > 0
            again = np.zeros((RESAMPLES, len(counts)))
            again[:, held] = pick.multinomial(total, counts[held] / total, size=RESAMPLES)
            with np.errstate(divide="ignore", invalid="ignore"):
                middle = middle * _quantiles(counts, edges, fraction) ** (sign * turn)
                drawn = drawn * _quantiles(again, edges, fraction) ** (sign * turn)
    if not (np.isfinite(middle).all() and np.isfinite(drawn).all()):
        return math.nan, math.nan, math.nan
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(middle[0]), float(low), float(high)


def _of_floor(side: Side, fraction: float) -> float | None:
    if len(side) < 2:
        return None
    ours, floor = (float(_quantiles(counts, edges, fraction)[0]) for counts, edges in side)
    return ours / floor if floor else None


def _quantiles(counts: Array, edges: Array, fraction: float) -> Array:
    """``statistics.quantile`` of each row of ``counts`` [row, bucket]: values [row]."""
    rows = np.atleast_2d(counts)
    behind = np.cumsum(rows, axis=1)
    wanted = fraction * behind[:, -1]
    bucket = np.minimum((behind < wanted[:, None]).sum(axis=1), rows.shape[1] - 1)
    row = np.arange(len(rows))
    below = np.where(bucket > 0, edges[np.maximum(bucket - 1, 0)], 0.0)
    inside = (wanted - (behind[row, bucket] - rows[row, bucket])) / np.maximum(rows[row, bucket], 1.0)
    return np.asarray(below + (edges[bucket] - below) * np.clip(inside, 0.0, 1.0), dtype=np.float64)


def _side(one: Distribution, floored: bool) -> list[tuple[Array, Array]]:
    edges = np.asarray(one.edges, dtype=np.float64)
    sides = [one.counts, one.floor_counts] if floored and one.floor_counts else [one.counts]
    return [(np.asarray(counts, dtype=np.float64), edges) for counts in sides]


def _incomparable(was: Distribution, now: Distribution) -> str:
    if was.unit != now.unit:
        return "the two are not in the same unit"
    for one in (was, now):
        sides = [one.counts, *([one.floor_counts] if one.floor_counts else [])]
        rising = all(low < high for low, high in zip(one.edges, one.edges[1:], strict=False))
        usable = all(len(counts) == len(one.edges) for counts in sides) and len(one.edges) <= MOST_BUCKETS
        if not (rising and usable and all(0 <= count < 1e15 for counts in sides for count in counts)):
            return "its buckets are not usable"
    return ""


def _exact(suite: str, metric: Metric) -> bool:
    live = suite == "exact" and metric.name.startswith(ON_A_CLOCK)
    if live or metric.low is not None or metric.unit in COMPUTED_IN:
        return False
    counted = metric.unit in COUNTED_IN or COUNTED_IN.intersection(metric.name.split("."))
    return suite in LOCK_STEP or bool(counted)


def _compares_ratios(suite: str, metric: Metric, ratios_only: bool) -> bool:
    """A count's floor is a baseline that may be accepted anew, so counts are compared as they are."""
    return metric.floor is not None and (ratios_only or not _exact(suite, metric))


def _disturbed(*suites: SuiteResult | None) -> str:
    """Pressure may have been made on purpose, so only what the hypervisor took counts here."""
    for suite, when in zip(suites, ("before", "after"), strict=True):
        why = reason(suite.disturbance, loaded=True) if suite and suite.disturbance else ""
        if why:
            return f"{when}: {why}"
    return ""


def _interval(metric: Metric) -> tuple[float, float] | None:
    return None if metric.low is None or metric.high is None else (metric.low, metric.high)


def _intervals(before: tuple[float, float], after: tuple[float, float]) -> str:
    return f"intervals apart: {before[0]:.3g} to {before[1]:.3g}, now {after[0]:.3g} to {after[1]:.3g}"


def _floored(metric: Metric | None) -> bool:
    return metric is not None and metric.floor is not None


def _direction(metric: Metric, more: bool) -> Kind:
    return Kind.WORSE if more == (metric.better == "lower") else Kind.BETTER


def _over(after: float | None, before: float | None) -> float | None:
    return after / before if after is not None and before else None
