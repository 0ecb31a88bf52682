"""The pictures one by one: a subject of a result in, a figure out. Draw inside ``ink.style()``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from spinal.bench.report import ink, shapes
from spinal.bench.report.text import NS, duration, plain, subject
from spinal.bench.report.words import Margin, of_distribution, of_margins, of_waterfall
from spinal.bench.report.words import share as share_of
from spinal.bench.result import Distribution, Verdict, Waterfall

WAITS = "#c9cfd6"
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def distribution(it: Distribution) -> Figure:
    """Left: log-scale histogram, its floor behind it. Right: percentiles, to as many nines as there are records."""
    words = of_distribution(it)
    figure = ink.canvas(3.9, words.title, words.below)
    left, right = figure.subplots(
        1,
        2,
        gridspec_kw={
            "left": 0.08,
            "right": 0.9,
            "top": 1 - ink.PANEL_HEAD_IN / 3.9,
            "bottom": 0.15,
            "wspace": 0.27,
        },
    )
    floor = it.floor_counts if it.floor_counts and sum(it.floor_counts) else None
    low, high = shapes.span(it.edges, [it.counts, floor] if floor else [it.counts])
    _histogram(left, it, floor, shapes.log_bins(low, high))
    _percentiles(right, it, floor, low)
    return figure


def waterfall(it: Waterfall) -> Figure:
    """Stages downwards, time to the right; how long each took stands at its bar."""
    words = of_waterfall(it)
    height = ink.HEAD_IN + 0.55 + 0.27 * len(it.stages)
    figure = ink.canvas(height, words.title, words.below)
    axes = figure.add_axes((0.26, 0.5 / height, 0.64, 1 - (ink.HEAD_IN + 0.5) / height))
    begin = min(stage.begin_us for stage in it.stages)
    end = max(stage.end_us for stage in it.stages)
    whole = max(end - begin, 1e-3)
    longest = max(it.stages, key=lambda stage: stage.end_us - stage.begin_us)
    for row, stage in enumerate(it.stages):
        took = stage.end_us - stage.begin_us
        shade = ink.OURS if stage is longest else WAITS if "wait" in stage.name.lower() else ink.PALE
        axes.barh(row, max(took, whole * 0.002), left=stage.begin_us, height=0.62, color=shade, linewidth=0)
        outside = stage.end_us + whole * 0.012
        axes.text(outside, row, duration(took * 1e3), va="center", size=9, color=ink.INK)
    axes.set_ylim(len(it.stages) - 0.4, -0.6)
    axes.set_xlim(begin, begin + whole * 1.08)
    axes.set_yticks(range(len(it.stages)), [plain(stage.name, 34) for stage in it.stages])
    axes.tick_params(axis="y", length=0, labelcolor=ink.INK)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda us, _: duration(us * 1e3) if us else "0"))
    return figure


def margins(rows: Sequence[Margin]) -> Figure:
    """How far each judged figure is from its limit, the nearest first, with its interval."""
    words = of_margins(rows)
    height = ink.HEAD_IN + 0.6 + 0.23 * len(rows)
    figure = ink.canvas(height, words.title, words.below)
    axes = figure.add_axes((0.4, 0.5 / height, 0.43, 1 - (ink.HEAD_IN + 0.5) / height))
    looks = {
        Verdict.PASS: (ink.PASSED, "o"),
        Verdict.INCONCLUSIVE: (ink.OPEN, "D"),
        Verdict.FAIL: (ink.FAILED, "X"),
    }
    least = max(SHARES[0], min(0.5, *(row.low for row in rows)))
    most = max(1.5, *(min(row.high, SHARES[-1]) for row in rows))
    for at, row in enumerate(rows):
        colour, marker = looks[row.verdict]
        share = min(max(row.share, least), most)
        axes.plot([max(row.low, least), min(row.high, most)], [at, at], color=colour, linewidth=2, alpha=0.45)
        marker = "<" if row.share < least else ">" if row.share > most else marker
        face = "white" if row.verdict is Verdict.INCONCLUSIVE else colour
        axes.plot(
            [share], [at], marker=marker, color=colour, markerfacecolor=face, markersize=6.5, linestyle="none"
        )
        said = share_of(row.share) + ("" if row.verdict is Verdict.PASS else f"  {row.verdict}")
        axes.text(
            1.02,
            at,
            said,
            transform=axes.get_yaxis_transform(),
            va="center",
            size=8.5,
            color=colour,
            clip_on=False,
        )
    axes.axvline(1.0, color=ink.INK, linewidth=1.2)
    axes.set_xscale("log")
    axes.set_xlim(least * 0.9, most * 1.1)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [plain(row.name, 48) for row in rows])
    axes.tick_params(axis="y", length=0, labelcolor=ink.INK, labelsize=8.5)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    inside = [share for share in SHARES if least * 0.9 <= share <= most * 1.1]
    axes.set_xticks(inside, ["limit" if share == 1 else f"{share * 100:g} %" for share in inside])
    axes.xaxis.set_minor_locator(NullLocator())
    return figure


def _histogram(axes: Axes, it: Distribution, floor: list[int] | None, bins: np.ndarray) -> None:
    ours = shapes.in_bins(it.edges, it.counts, bins)
    axes.set_xscale("log")
    axes.set_yscale("log")
    least = 0.5 / max(sum(it.counts), sum(floor or []))
    if floor:
        behind = shapes.in_bins(it.edges, floor, bins)
        axes.stairs(np.maximum(behind, least), bins, fill=True, baseline=least, color=ink.FLOOR, alpha=0.45)
    axes.stairs(np.maximum(ours, least), bins, baseline=least, color=ink.OURS, linewidth=1.7)
    axes.set_ylim(least * 1.05, 1.4)
    axes.set_xlim(bins[0], bins[-1])
    ink.log_ticks(axes.xaxis, it.unit)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share * 100:g} %"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(ink.axis_name(subject(it.name), it.unit, it.unit in NS))
    axes.set_title("share of the records", loc="left", size=9, color=ink.FAINT)


def _percentiles(axes: Axes, it: Distribution, floor: list[int] | None, low: float) -> None:
    ends, top = [], 1.0
    sides = [("ours", it.counts, ink.OURS, it.max)]
    if floor:
        sides.insert(0, ("floor", floor, ink.FLOOR, None))
    for name, counts, colour, largest in sides:
        one_in, values = shapes.tail(it.edges, counts, largest)
        values = np.maximum(values, low)
        axes.plot(one_in, values, color=colour, label=name)
        ends.append((name, colour, float(values[-1])))
        top = max(top, float(one_in[-1]))
    axes.set_xscale("log")
    axes.set_yscale("log")
    nines = [1, 2, *(10**power for power in range(1, 13) if 10**power <= top * 1.01)]
    axes.set_xticks(nines, ["0", *(f"{100 - 100 / one_in:.12g}" for one_in in nines[1:])])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(1, top)
    ink.log_ticks(axes.yaxis, it.unit)
    axes.set_xlabel("percentile")
    name = ink.axis_name(subject(it.name), it.unit, it.unit in NS)
    axes.set_title(f"{name} at each percentile", loc="left", size=9, color=ink.FAINT)
    ink.label_ends(axes, ends)
