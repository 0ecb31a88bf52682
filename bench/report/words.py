"""What each picture shows, in words: its title, what it is, and the same for who cannot see it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spinal.bench.report import shapes
from spinal.bench.report.text import amount, duration, plain, subject, times, unit_sign
from spinal.bench.result import Curve, Distribution, Metric, Result, Verdict, Waterfall
from spinal.bench.statistics import quantile
from spinal.bench.table import number

MOST_SAID = 6
EXACT = "exact"


@dataclass(frozen=True, slots=True)
class Words:
    """``title``: what to see. ``below``: what it is. ``alt``: all of it in words."""

    title: str
    below: str
    alt: str


@dataclass(frozen=True, slots=True)
class Margin:
    """A judged figure as a share of its limit: 1 is the limit, more is over it, also where higher is better."""

    name: str
    share: float
    low: float
    high: float
    verdict: Verdict


def of_distribution(it: Distribution) -> Words:
    """p50 and p99, beside the floor's."""
    ours = [_at(it, it.counts, fraction) for fraction in (0.5, 0.99)]
    total = sum(it.counts)
    said = f"p50 {amount(ours[0], it.unit)}, p99 {amount(ours[1], it.unit)}"
    title = f"{subject(it.name)}: {said}"
    largest = f", largest {amount(it.max, it.unit)}" if it.max is not None else ""
    alt = f"Histogram and percentile curve of {plain(it.name)}: {said}{largest}, {total:,} records"
    if it.floor_counts and sum(it.floor_counts):
        theirs = [_at(it, it.floor_counts, fraction) for fraction in (0.5, 0.99)]
        beside = [times(mine / floor) if floor > 0 else "-" for mine, floor in zip(ours, theirs, strict=True)]
        title += f", {beside[0]} and {beside[1]} the floor's"
        alt += f"; its floor: p50 {amount(theirs[0], it.unit)}, p99 {amount(theirs[1], it.unit)}"
    return Words(title, f"{plain(it.name)}   {total:,} records{largest}", f"{alt}.")


def of_waterfall(it: Waterfall) -> Words:
    """How long it takes in all, and in which stage most."""
    begin, end = min(stage.begin_us for stage in it.stages), max(stage.end_us for stage in it.stages)
    longest = max(it.stages, key=lambda stage: stage.end_us - stage.begin_us)
    most = f"{plain(longest.name, 40)} {duration((longest.end_us - longest.begin_us) * 1e3)}"
    listed = "; ".join(
        f"{plain(stage.name, 60)} {duration(stage.begin_us * 1e3)} to {duration(stage.end_us * 1e3)}"
        for stage in it.stages
    )
    whole = duration((end - begin) * 1e3)
    return Words(
        f"{whole} in all, longest: {most}", plain(it.name), f"Waterfall of {plain(it.name)}: {listed}."
    )


def of_curves(group: Sequence[Curve]) -> Words:
    """What is drawn against what, how far the lines reach, and where each begins and ends."""
    last = group[-1]
    against = f"against {plain(last.x_name, 60)}"
    name = last.name if len(group) == 1 else shapes.parted(last.name)[0]
    said = []
    for curve in group:
        reached = _reached(curve)
        parts = [
            f"{plain(line, 40)} from {amount(values[0], curve.y_unit)} to {amount(values[-1], curve.y_unit)},"
            f" largest {amount(max(values, key=abs), curve.y_unit)}"
            for line, values in reached[:MOST_SAID]
        ]
        more = f"; and {len(reached) - MOST_SAID} more" if len(reached) > MOST_SAID else ""
        said.append(f"{plain(curve.y_name, 60)}: {'; '.join(parts)}{more}")
    left_out = max(len(lines) - len(shapes.drawn(lines)) for lines, _ in map(_bands, group))
    below = _named(plain(name), [plain(curve.y_name, 40) for curve in group], plain(last.x_name, 60))
    below += f"   {left_out} more lines are not drawn" if left_out > 0 else ""
    return Words(
        _what_to_see(last, in_time=len(group) > 1),
        below,
        f"Curves of {plain(name)} {against}. {'. '.join(said)}.",
    )


def _what_to_see(curve: Curve, in_time: bool) -> str:
    """Of lines in time their largest values, of others where they end; of a single one how it goes."""
    reached = _reached(curve)
    name = plain(curve.y_name, 40)
    if len(reached) == 1:
        values = reached[0][1]
        way = f"{amount(values[0], curve.y_unit)} to {amount(values[-1], curve.y_unit)}"
        over = f"{plain(curve.x_name, 40)} goes from {number(curve.x[0])} to {number(curve.x[-1])}"
        return f"{name}: {way} as {over}"
    if shapes.scattered(dict(_bands(curve)[0])):
        ours = next(((line, values) for line, values in reached if shapes.is_ours(line)), None)
        said = f": {plain(ours[0], 26)} {amount(ours[1][0], curve.y_unit)}" if ours else ""
        return f"{name} against {plain(curve.x_name, 60)}{said}"
    if in_time:
        ends = [(line, abs(max(values, key=abs))) for line, values in reached]
        head = f"Largest {name}"
    else:
        ends = [(line, values[-1]) for line, values in reached]
        head = f"{name} at {number(curve.x[-1])} {unit_sign(curve.x_unit) or plain(curve.x_name, 40)}"
    ordered = sorted(ends, key=lambda one: one[1])
    if len(ordered) > shapes.MOST_LINES:
        chosen = ordered[:-4:-1]
    else:
        chosen = [
            one
            for one in ordered
            if one in (ordered[0], ordered[-1]) or len(ordered) <= 3 or shapes.is_ours(one[0])
        ]
    listed = ", ".join(f"{plain(line, 26)} {number(value)}" for line, value in chosen)
    return f"{head}: {listed} {unit_sign(curve.y_unit)}".strip()


def _named(name: str, shown: Sequence[str], x_name: str) -> str:
    """What a name leaves open: what is drawn, against what."""
    if len(shown) > 1:
        return f"{name}{' ' if name.endswith(' in') else ': '}{', '.join(shown)} against {x_name}"
    return name if shown[0] in name or x_name in name else f"{name}: {shown[0]} against {x_name}"


def _bands(curve: Curve) -> tuple[dict[str, list[float | None]], dict[str, tuple[str, str]]]:
    return shapes.bands(curve.lines)


def _reached(curve: Curve) -> list[tuple[str, list[float]]]:
    lines = shapes.bands(curve.lines)[0]
    known = [(name, [value for value in values if value is not None]) for name, values in lines.items()]
    return [(name, values) for name, values in known if values]


def of_margins(rows: Sequence[Margin]) -> Words:
    """Which is nearest to its limit."""
    failed = sum(row.verdict is Verdict.FAIL for row in rows)
    nearest = next((row for row in rows if row.verdict is not Verdict.INCONCLUSIVE), rows[0])
    at = f"{plain(nearest.name, 60)} at {share(nearest.share)}"
    title = (
        f"{failed} over the limit, furthest {at}" if failed else f"No figure is over its limit, nearest {at}"
    )
    listed = "; ".join(f"{plain(row.name, 80)} {share(row.share)}, {row.verdict}" for row in rows)
    below = "Judged figures as shares of their limits, with 95 % intervals; left is better"
    return Words(title, below, f"Judged figures as shares of their limits: {listed}.")


def share(of_limit: float) -> str:
    """``86.2 %``; what is many times the limit without digits that nobody reads."""
    return f"{of_limit * 100:.3g} %" if of_limit < 1 else f"{of_limit * 100:,.0f} %"


def margins(result: Result, most: int) -> list[Margin]:
    """The ``most`` judged figures that failed, or else are nearest to their limits, the worst first.

    Left out: counts with the limit 0, which have no share of it; and exact figures that passed, as their limits are
    what was accepted before and a little, so that all of them are always near.
    """
    rows = [
        row
        for name, suite in result.suites.items()
        for metric in suite.metrics
        if (row := _margin(name, metric)) is not None
    ]
    return sorted(rows, key=lambda row: (row.verdict is not Verdict.FAIL, -row.share))[:most]


def tally(metrics: Sequence[Metric]) -> str:
    """``12 passed, 1 failed, ...``: only what there is."""
    words = {
        Verdict.FAIL: "failed",
        Verdict.INCONCLUSIVE: "inconclusive",
        Verdict.PASS: "passed",
        Verdict.ABSENT: "absent",
        Verdict.INFO: "without a limit",
    }
    counted = [
        (sum(metric.verdict is verdict for metric in metrics), word) for verdict, word in words.items()
    ]
    return ", ".join(f"{count:,} {word}" for count, word in counted if count) or "nothing measured"


def interval(metric: Metric) -> str:
    """``(1.10 to 1.24)`` of what is judged, or ""."""
    if metric.low is None or metric.high is None:
        return ""
    return f"({number(metric.low)} to {number(metric.high)})"


def _margin(suite: str, metric: Metric) -> Margin | None:
    judged, limit = metric.judged, metric.limit
    judged_ones = (Verdict.FAIL, Verdict.INCONCLUSIVE, *(() if suite == EXACT else (Verdict.PASS,)))
    shown = metric.verdict in judged_ones
    if not shown or judged is None or limit is None or not (_positive(judged) and _positive(limit)):
        return None
    low = metric.low if metric.low is not None and _positive(metric.low) else judged
    high = metric.high if metric.high is not None and _positive(metric.high) else judged
    name = f"{suite}.{metric.name}"
    if metric.better == "higher":
        return Margin(name, limit / judged, limit / high, limit / low, metric.verdict)
    return Margin(name, judged / limit, low / limit, high / limit, metric.verdict)


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _at(it: Distribution, counts: Sequence[int], fraction: float) -> float:
    value = quantile(np.asarray(counts, dtype=np.uint64), np.asarray(it.edges, dtype=np.float64), fraction)
    return value if it.max is None or counts is not it.counts else min(value, it.max)
