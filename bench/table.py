"""Metrics as a table that a person reads in five seconds: metric, value, floor, ratio, limit, verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence

from spinal.bench.result import Metric, SuiteResult, Verdict

HEAD = ("metric", "value", "floor", "ratio", "limit", "verdict")
WORDS = {
    Verdict.PASS: "pass",
    Verdict.FAIL: "FAIL",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.SHORT: "short",
    Verdict.INFO: "",
    Verdict.ABSENT: "absent",
}


def of_suite(name: str, suite: SuiteResult) -> list[str]:
    """A suite's metrics under its name, its notes below."""
    lines = [f"\n{name} ({suite.seconds:.0f} s)", *of_metrics(suite.metrics)]
    return lines + [f"  note: {note}" for note in suite.notes]


def of_metrics(metrics: Sequence[Metric]) -> list[str]:
    """Aligned columns; why something is not a pass stands behind it."""
    rows = [HEAD, *(_row(metric) for metric in metrics)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = []
    for row, metric in zip(rows, [None, *metrics], strict=True):
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:5], widths[1:5], strict=True)),
        ]
        explained = f"  ({metric.why})" if metric is not None and metric.why else ""
        lines.append("  " + "  ".join([*cells, row[5]]).rstrip() + explained)
    return lines


def number(value: float | None) -> str:
    """Three significant digits, no exponent where a person would not write one."""
    if value is None or not math.isfinite(value):
        return "-"
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    if 1e-3 <= abs(value) < 1e6:
        digits = max(0, 2 - math.floor(math.log10(abs(value))))
        return f"{value:,.{digits}f}"
    return f"{value:.1e}"


def _row(metric: Metric) -> tuple[str, ...]:
    bound = {"lower": "<=", "higher": ">="}[metric.better]
    ratio = "" if metric.floor is None else number(metric.ratio)
    return (
        metric.name,
        f"{number(metric.value)} {metric.unit}".strip(),
        "" if metric.floor is None else number(metric.floor),
        ratio,
        "" if metric.limit is None else f"{bound} {number(metric.limit)}",
        WORDS[metric.verdict],
    )
