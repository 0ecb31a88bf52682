"""How every picture looks: one ink for one meaning, labels at the lines, units at the axes. Needs matplotlib.

Drawn on white through the object interface, without pyplot, so without a display and without state between two.
"""

from __future__ import annotations

import io
import logging
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from spinal.bench.report import shapes
from spinal.bench.report.text import NS, duration, plain, unit_sign

WIDTH_IN = 9.0
DPI = 120
HEAD_IN, PANEL_HEAD_IN = 0.75, 0.98
"""Of every picture: the two lines of its title, and a third where panels have titles of their own."""
LABEL_PT = 12.0
FEW_DECADES = 1.8
TITLE_FITS = 84
"""Signs of a title; a longer one is set smaller."""

INK = "#1d2733"
FAINT = "#69737f"
GRID = "#e4e7eb"
OURS = "#1660c4"
PALE = "#8fb2e3"
FLOOR = "#8b95a1"
OTHERS = ("#c2570c", "#0d8a6a", "#8a3fb0", "#a8780a", "#b3264d", "#2b8fb0", "#5d6b1e", "#d1527f")
PASSED, OPEN, FAILED = OURS, "#b07400", "#c4231c"

QUANTILES = (OURS, "#6f9fe0", "#a9c6ee", "#cfdff5")

SETTINGS: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": FAINT,
    "axes.edgecolor": FLOOR,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": FLOOR,
    "ytick.color": FLOOR,
    "xtick.labelcolor": FAINT,
    "ytick.labelcolor": FAINT,
    "xtick.minor.visible": False,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
"""``text.parse_math`` off: a name out of a file may have any sign in it, a dollar too."""


@contextmanager
def style() -> Iterator[None]:
    """Draw inside it. A sign that the font lacks is drawn as a box, in silence."""
    with mpl.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
        yield


def canvas(height_in: float, title: str, below: str = "") -> Figure:
    """An empty picture: the title says what to see, the line below it what it is."""
    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI)
    FigureCanvasAgg(figure)
    left, head = 0.02, plain(title, 130) or "-"
    figure.text(
        left,
        1 - 0.17 / height_in,
        head,
        ha="left",
        va="top",
        size=12 * min(1.0, TITLE_FITS / len(head)),
        weight="bold",
        color=INK,
    )
    if below:
        figure.text(left, 1 - 0.43 / height_in, plain(below, 140), ha="left", va="top", size=9, color=FAINT)
    return figure


def png(figure: Figure) -> bytes:
    """The picture as it is kept; no date and no version in it, so the same file gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def inks(names: Sequence[str]) -> dict[str, str]:
    """An ink for each line: ours blue, a floor grey, the others in turn; quantiles of one thing are blues."""
    if len(names) == 1:
        return {names[0]: OURS}
    if all(re.fullmatch(r"p\d+|median|max", name) for name in names):
        return {name: QUANTILES[at % len(QUANTILES)] for at, name in enumerate(names)}
    others = iter(OTHERS * (len(names) // len(OTHERS) + 1))
    ours = next((name for name in names if shapes.is_ours(name)), "")
    return {
        name: OURS if name == ours else FLOOR if shapes.is_floor(name) else next(others) for name in names
    }


def label_ends(axes: Axes, ends: Sequence[tuple[str, str, float]]) -> None:
    """Names at the right of the lines' last values (name, ink, y), pushed apart where they would touch."""
    axes.get_ylim()
    to_fraction = axes.transAxes.inverted()
    x = axes.get_xlim()[1]
    wanted = [float(to_fraction.transform(axes.transData.transform((x, y)))[1]) for _, _, y in ends]
    gap = LABEL_PT * DPI / 72 / axes.get_window_extent().height
    for (name, colour, _), height in zip(ends, apart(wanted, gap), strict=True):
        axes.text(
            1.015,
            height,
            plain(name, 26),
            transform=axes.transAxes,
            color=colour,
            va="center",
            size=9,
            clip_on=False,
        )


def apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Heights at least ``gap`` apart; those of ``wanted`` that would touch spread around their middle."""
    order = sorted(range(len(wanted)), key=lambda at: wanted[at])
    groups: list[list[int]] = []
    middles: list[float] = []
    for at in order:
        groups.append([at])
        middles.append(wanted[at])
        while len(groups) > 1 and middles[-1] - middles[-2] < gap * (len(groups[-1]) + len(groups[-2])) / 2:
            last = groups.pop()
            groups[-1] += last
            middles[-2:] = [sum(wanted[one] for one in groups[-1]) / len(groups[-1])]
    found = [0.0] * len(wanted)
    for group, middle in zip(groups, middles, strict=True):
        for place, at in enumerate(group):
            found[at] = middle + gap * (place - (len(group) - 1) / 2)
    return found


def log_ticks(axis: Any, unit: str) -> None:
    """Decades, or thirds of them where there are few, each in the unit in which a person would say it."""
    low, high = axis.get_view_interval()
    near = math.log10(high / low) < FEW_DECADES
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if near else (1.0,), numticks=8))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: spoken(value, unit)))


def linear_ticks(axis: Any) -> None:
    """Plain figures."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}" if abs(value) > 1e-300 else "0"))


def spoken(value: float, unit: str) -> str:
    """A tick: ``100 µs``, and for what is no time the figure alone."""
    return duration(value * NS[unit]) if unit in NS else f"{value:,.6g}"


def axis_name(name: str, unit: str, ticks_have_unit: bool = False) -> str:
    """What an axis shows, with its unit where the ticks do not bear it."""
    sign = "" if ticks_have_unit else unit_sign(unit)
    return f"{plain(name, 40)}, {sign}" if sign else plain(name, 40)
