"""Curves: lines with their names at their ends, bands for intervals, points with names. Needs matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spinal.bench.report import ink, shapes
from spinal.bench.report.text import NS, plain
from spinal.bench.report.words import of_curves
from spinal.bench.result import Curve

DECADES_FOR_LOG = 2.3
MARKED = 40
"""Up to as many points each has its mark."""
NAME_HIGH = 0.05


def curves(group: Sequence[Curve]) -> Figure:
    """One panel for each curve: a seam in position, velocity, acceleration over one time, or a curve by itself."""
    words = of_curves(group)
    labelled = max(len(shapes.bands(curve.lines)[0]) for curve in group) > 1
    panel = 3.1 if len(group) == 1 else 1.75
    height = ink.HEAD_IN + 0.5 + panel * len(group)
    figure = ink.canvas(height, words.title, words.below)
    together = figure.subplots(
        len(group),
        1,
        sharex=True,
        squeeze=False,
        gridspec_kw={
            "left": 0.1,
            "right": 0.8 if labelled else 0.97,
            "top": 1 - ink.HEAD_IN / height,
            "bottom": 0.5 / height,
            "hspace": 0.16,
        },
    )
    names = [name for curve in group for name in shapes.drawn(shapes.bands(curve.lines)[0])]
    colours = ink.inks(list(dict.fromkeys(names)))
    for axes, curve in zip(together[:, 0], group, strict=True):
        ends = _lines(axes, curve, colours)
        if len(ends) > 1 and curve is group[0]:
            ink.label_ends(axes, ends)
    last = group[-1]
    together[-1, 0].set_xlabel(ink.axis_name(last.x_name, last.x_unit))
    figure.align_ylabels(list(together[:, 0]))
    return figure


def _lines(axes: Axes, curve: Curve, colours: dict[str, str]) -> list[tuple[str, str, float]]:
    """Draws them; what is to be labelled at the right: name, ink, last value."""
    lines, intervals = shapes.bands(curve.lines)
    drawn, points = shapes.drawn(lines), shapes.scattered(lines)
    if points:
        first = next((name for name in drawn if shapes.is_ours(name)), "")
        rest = {name: ink.PALE if shapes.is_ours(name) else ink.FAINT for name in drawn}
        colours = rest | {first: ink.OURS}
    x = np.asarray(curve.x, dtype=np.float64)
    ends: list[tuple[str, str, float]] = []
    marker = "o" if len(x) <= MARKED or points else ""
    for name, line in drawn.items():
        y = _figures(line)
        known = np.isfinite(y)
        if not known.any():
            continue
        quiet = colours[name] == ink.FLOOR
        line_style = "none" if points else "-"
        axes.plot(
            x,
            y,
            color=colours[name],
            marker=marker,
            markersize=5,
            linestyle=line_style,
            zorder=2 if quiet else 3,
        )
        if name in intervals:
            low, high = (_figures(curve.lines[end]) for end in intervals[name])
            axes.fill_between(x, low, high, color=colours[name], alpha=0.16, linewidth=0)
        ends.append((name, colours[name], float(y[known][-1])))
    shown = np.concatenate([_figures(curve.lines[name]) for name in drawn])
    shown = shown[np.isfinite(shown)]
    if not len(shown):
        return []
    if shown.min() > 0 and math.log10(shown.max() / shown.min()) > DECADES_FOR_LOG:
        axes.set_yscale("log")
        ink.log_ticks(axes.yaxis, curve.y_unit)
        ticks_have_unit = curve.y_unit in NS
    else:
        ticks_have_unit = False
        if marker and shown.min() >= 0:
            axes.set_ylim(0, shown.max() * 1.12 or 1.0)
        ink.linear_ticks(axes.yaxis)
    if marker and len(x) <= 12:
        axes.set_xticks(x)
    ink.linear_ticks(axes.xaxis)
    room = np.ptp(x) * (0.012 if marker else 0.0)
    if np.ptp(x) > 0:
        axes.set_xlim(x.min() - room, x.max() + room)
    axes.set_ylabel(ink.axis_name(curve.y_name, curve.y_unit, ticks_have_unit))
    if points:
        _label_points(axes, x, drawn, colours)
        return []
    return ends


def _label_points(
    axes: Axes, x: np.ndarray, lines: dict[str, list[float | None]], colours: dict[str, str]
) -> None:
    """Names beside single points: to the right, above or below where a name stands already."""
    axes.set_xlim(x.min() - 0.04 * np.ptp(x), x.max() + 0.04 * np.ptp(x))
    taken: list[tuple[float, float]] = []
    for name, line in sorted(lines.items(), key=lambda one: not shapes.is_ours(one[0])):
        y = _figures(line)
        last = int(np.flatnonzero(np.isfinite(y))[-1])
        across, up = axes.transAxes.inverted().transform(axes.transData.transform((x[last], y[last])))
        free = (
            at
            for at in _around(up)
            if not any(abs(across - x0) < 0.2 and abs(at - y0) < NAME_HIGH for x0, y0 in taken)
        )
        height = next(free, up)
        taken.append((across, height))
        if height != up:
            ends = [across, across + 0.01], [up, height]
            axes.plot(
                *ends, transform=axes.transAxes, color=ink.FLOOR, linewidth=0.7, clip_on=False, zorder=1
            )
        axes.text(
            across + 0.012,
            height,
            plain(name, 26),
            transform=axes.transAxes,
            color=colours[name],
            va="center",
            size=8.5,
        )


def _around(height: float) -> list[float]:
    """Heights inside the axes, from ``height`` away, now above, now below."""
    steps = [NAME_HIGH * 1.01 * step * sign for step in range(12) for sign in (1, -1)]
    return [height + step for step in steps if 0.0 < height + step <= 1.0]


def _figures(line: Sequence[float | None]) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in line], dtype=np.float64)
