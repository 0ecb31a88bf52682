"""From buckets and curves to what a picture draws: pure numbers, examined first, as a file may hold anything."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from spinal.bench.result import Curve, Distribution, Waterfall
from spinal.bench.statistics import Array

LARGEST = 1e15
MOST_POINTS = 200_000
MOST_LINES = 8
MOST_NAMED_POINTS = 24
MOST_STAGES = 40
BINS = 40
FEWEST_PER_DECADE, MOST_PER_DECADE = 8, 60
"""Buckets are 3 % wide, so more than 60 bins in a decade would show the buckets, not the durations."""
FRACTIONS_PER_DECADE = 40
PANELS = ("position", "velocity", "acceleration", "jerk")
OUR_WORDS = frozenset({"ours", "spinal", "shipped"})
FLOOR_WORDS = frozenset({"floor", "budget", "bare", "ideal", "reference"})
_BOUND = re.compile(r"^(?:(.*?)[\s._,-]+)?(low|high)$")


def unfit(thing: Distribution | Curve | Waterfall) -> str:
    """Why it cannot be drawn, or ""."""
    if isinstance(thing, Distribution):
        return _unfit_distribution(thing)
    if isinstance(thing, Curve):
        return _unfit_curve(thing)
    if not 0 < len(thing.stages) <= MOST_STAGES:
        return f"{len(thing.stages)} stages, 1 to {MOST_STAGES} can be drawn"
    spans = [(stage.begin_us, stage.end_us) for stage in thing.stages]
    if any(not _usable(value) for span in spans for value in span):
        return "a stage has no usable time"
    return "a stage ends before it begins" if any(end < begin for begin, end in spans) else ""


def steps(edges: Sequence[float], counts: Sequence[int]) -> tuple[Array, Array]:
    """Cumulative share at values, over the buckets that hold something: values [2 n], shares [2 n], both rising."""
    upper = np.asarray(edges, dtype=np.float64)
    held = np.asarray(counts, dtype=np.float64)
    below = np.concatenate([[0.0], upper[:-1]])
    behind = np.cumsum(held)
    full = held > 0
    values = np.column_stack([below[full], upper[full]]).ravel()
    shares = np.column_stack([behind[full] - held[full], behind[full]]).ravel() / behind[-1]
    return values, shares


def log_bins(low: float, high: float) -> Array:
    """Edges [n + 1] of some 40 bins of equal width on a log axis, around ``low`` to ``high``."""
    decades = math.log10(high / low)
    each = min(MOST_PER_DECADE, max(FEWEST_PER_DECADE, round(BINS / max(decades, 1e-3))))
    first = math.floor(math.log10(low) * each)
    last = max(first + 1, math.ceil(math.log10(high) * each))
    return np.asarray(10.0 ** (np.arange(first, last + 1) / each), dtype=np.float64)


def in_bins(edges: Sequence[float], counts: Sequence[int], bins: Array) -> Array:
    """Share of the records in each of ``bins`` [n + 1], even inside a bucket; the first has what is below."""
    values, shares = steps(edges, counts)
    at = np.interp(bins, values, shares, left=0.0, right=1.0)
    at[0] = 0.0
    return np.diff(at)


def tail(edges: Sequence[float], counts: Sequence[int], largest: float | None) -> tuple[Array, Array]:
    """Percentile curve: 1 / (1 - q) [n] from 1 to the number of records, and the value at each q."""
    total = max(2.0, float(sum(counts)))
    one_in = np.logspace(0.0, math.log10(total), max(2, int(math.log10(total) * FRACTIONS_PER_DECADE)))
    values, shares = steps(edges, counts)
    at = np.interp(1.0 - 1.0 / one_in, shares, values)
    if largest is not None and largest > 0:
        at = np.minimum(at, largest)
    return one_in, at


def span(edges: Sequence[float], sides: Sequence[Sequence[int]]) -> tuple[float, float]:
    """Smallest and largest positive value that any side holds, for a log axis."""
    held = [steps(edges, counts)[0] for counts in sides]
    low = min((float(values[1]) for values in held), default=1.0)
    high = max((float(values[-1]) for values in held), default=1.0)
    smallest = min((edge for edge in edges if edge > 0), default=1.0)
    low = max(low, smallest)
    return low, max(high, low * 1.01)


def bands(
    lines: dict[str, list[float | None]],
) -> tuple[dict[str, list[float | None]], dict[str, tuple[str, str]]]:
    """Lines proper, and for those that have an interval the names of its two ends.

    ``ours low`` and ``ours high`` belong to ``ours``; ends that name no line (``95 %, low``) to the only one.
    """
    ends: dict[str, dict[str, str]] = {}
    for name in lines:
        matched = _BOUND.match(name)
        if matched:
            ends.setdefault(matched.group(1) or "", {})[matched.group(2)] = name
    whole = {base: pair for base, pair in ends.items() if len(pair) == 2}
    used = {name for pair in whole.values() for name in pair.values()}
    proper = {name: line for name, line in lines.items() if name not in used}
    found: dict[str, tuple[str, str]] = {}
    for base, pair in whole.items():
        owner = base if base in proper else next(iter(proper), "") if len(proper) == 1 else ""
        if owner:
            found[owner] = pair["low"], pair["high"]
        else:
            proper |= {name: lines[name] for name in pair.values()}
    return proper, found


def drawn(lines: dict[str, list[float | None]]) -> dict[str, list[float | None]]:
    """As many of the lines as a picture can bear: ours, and those that reach furthest."""
    most = MOST_NAMED_POINTS if scattered(lines) else MOST_LINES
    reach = {
        name: max((abs(value) for value in line if value is not None), default=0.0)
        for name, line in lines.items()
    }
    ordered = sorted(lines, key=lambda name: (not is_ours(name), -reach[name]))[:most]
    return {name: line for name, line in lines.items() if name in ordered}


def scattered(lines: dict[str, list[float | None]]) -> bool:
    """Whether these are points with names (success over jerk, a point a setting) more than lines."""
    single = sum(sum(value is not None for value in line) == 1 for line in lines.values())
    return len(lines) > 1 and single > len(lines) / 2


def is_ours(name: str) -> bool:
    """Whether a line of this name is what the project makes, beside others."""
    return not OUR_WORDS.isdisjoint(re.split(r"[^a-z]+", name.lower()))


def is_floor(name: str) -> bool:
    """Whether a line of this name is what cannot be beaten."""
    return not FLOOR_WORDS.isdisjoint(re.split(r"[^a-z]+", name.lower()))


def panels(curves: Sequence[Curve]) -> list[list[Curve]]:
    """Curves that belong above each other: the same name up to position, velocity, acceleration, jerk."""
    groups: dict[str, list[Curve]] = {}
    for curve in curves:
        base, last = parted(curve.name)
        groups.setdefault(base if last in PANELS else f"\0{curve.name}", []).append(curve)
    for group in groups.values():
        group.sort(key=lambda one: PANELS.index(last) if (last := parted(one.name)[1]) in PANELS else 0)
    return [
        group[at : at + len(PANELS)] for group in groups.values() for at in range(0, len(group), len(PANELS))
    ]


def parted(name: str) -> tuple[str, str]:
    """``a seam.velocity`` or ``a seam velocity``: what comes before its last word, and that word."""
    base, _, last = name.replace(" ", ".").rpartition(".")
    return name[: len(base)], last


def _unfit_distribution(it: Distribution) -> str:
    sides = [it.counts] if it.floor_counts is None else [it.counts, it.floor_counts]
    if not it.edges or any(len(counts) != len(it.edges) for counts in sides):
        return f"{len(it.counts)} counts for {len(it.edges)} edges"
    if len(it.edges) > MOST_POINTS:
        return f"{len(it.edges)} buckets, {MOST_POINTS} can be drawn"
    if any(not _usable(edge) or edge < 0 for edge in it.edges):
        return "an edge is no usable figure"
    if any(after <= before for before, after in zip(it.edges, it.edges[1:], strict=False)):
        return "its edges do not rise"
    if any(not 0 <= count < LARGEST for counts in sides for count in counts):
        return "a count is no usable figure"
    return "" if sum(it.counts) else "it is empty"


def _unfit_curve(it: Curve) -> str:
    if not it.x or not it.lines:
        return "it is empty"
    if len(it.x) * len(it.lines) > MOST_POINTS:
        return f"{len(it.x)} points of {len(it.lines)} lines, {MOST_POINTS} figures can be drawn"
    if any(len(line) != len(it.x) for line in it.lines.values()):
        return "a line has more or fewer points than x"
    if any(not _usable(value) for value in it.x):
        return "x is no usable figure"
    known = [value for line in it.lines.values() for value in line if value is not None]
    if any(not _usable(value) for value in known):
        return "a value is no usable figure"
    return "" if known else "it is empty"


def _usable(value: float) -> bool:
    return math.isfinite(value) and abs(value) < LARGEST
