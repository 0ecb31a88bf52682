"""The worst ticks as a picture: a stacked bar for each, stage behind stage, on one scale."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from spinal.bench.profile.findings import Profile
from spinal.bench.profile.ticks import STAGES
from spinal.runtime.errors import Problem

COLOURS = ("#aa3377", "#ccbb44", "#4477aa", "#228833", "#66ccee", "#ee6677")
"""Of STAGES; distinct for colour-blind readers (P. Tol, SRON/EPS/TN/09-002)."""
ROW_INCHES = 0.3


def unfit() -> list[Problem]:
    """Why no picture can be drawn here."""
    if find_spec("matplotlib") is not None:
        return []
    return [Problem("--png", "needs matplotlib, which is not installed", "pip install 'spinal[bench]'")]


def draw(profile: Profile, path: Path) -> None:
    """Writes it as PNG, whole or not at all. Raises OSError."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = profile.worst
    figure = Figure(figsize=(11, 1.8 + ROW_INCHES * max(3, len(rows))), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    left_ms = [0.0] * len(rows)
    for stage, colour in zip(STAGES, COLOURS, strict=True):
        width_ms = [tick.stages_us[stage] / 1e3 for tick in rows]
        axes.barh(range(len(rows)), width_ms, left=left_ms, color=colour, label=stage)
        left_ms = [left + width for left, width in zip(left_ms, width_ms, strict=True)]
    for row, (tick, end_ms) in enumerate(zip(rows, left_ms, strict=True)):
        axes.annotate(
            f"{tick.cause.value}: {tick.detail}",
            (end_ms, row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    axes.set_yticks(range(len(rows)), [f"{tick.tick:,}" for tick in rows], fontsize=7)
    axes.set_ylabel("tick")
    axes.invert_yaxis()
    axes.set_xlim(0, 1.9 * max(left_ms, default=1.0))  # the words stand behind the bars
    axes.axvline(profile.period_us / 1e3, color="black", linewidth=0.8, linestyle=":")
    axes.set_xlabel("ms after its scheduled instant (dotted: one period)")
    axes.set_title(profile.sentence, fontsize=9, loc="left", wrap=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(ncols=len(STAGES), fontsize=7, frameon=False, loc="lower right")
    beside = path.with_name(f".{path.name}.part")
    try:
        figure.savefig(beside, format="png", dpi=150)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
