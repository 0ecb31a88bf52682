"""Words and figures as a person reads them. A file may come from anybody, so its strings are tamed here first."""

from __future__ import annotations

import math
import re
import unicodedata

from spinal.bench.table import number

LONGEST = 300
NS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
SIGNS = {"us": "µs"}


def plain(text: str, longest: int = LONGEST) -> str:
    """One line without control characters or marks that turn the direction of writing, cut at ``longest``."""
    cut = text[: longest + 1]
    kept = "".join(
        " " if unicodedata.category(sign) in {"Cc", "Cf", "Zl", "Zp", "Co"} else sign for sign in cut
    )
    return kept if len(text) <= longest else kept[: longest - 1] + "…"


def file_name(*parts: str) -> str:
    """Of letters, digits, dots and dashes alone, at most 80, so that no name leaves its folder."""
    words = (word.strip(".") for part in parts for word in re.split(r"[^a-z0-9.]+", part.lower()))
    return re.sub(r"\.{2,}", ".", "-".join(word for word in words if word))[:80] or "picture"


def unit_sign(unit: str) -> str:
    """``us`` as it is printed: µs."""
    return SIGNS.get(unit, plain(unit, 24))


def amount(value: float | None, unit: str) -> str:
    """A figure in the unit in which a person would say it: 1,500 us is 1.5 ms; "-" for none."""
    if value is None or not math.isfinite(value):
        return "-"
    if unit in NS:
        return duration(value * NS[unit])
    sign = unit_sign(unit)
    return f"{number(value)} {sign}".strip()


def duration(ns: float) -> str:
    """Three digits and the largest unit that leaves something before the point."""
    size = abs(ns)
    if size == 0:
        return "0"
    unit = next((unit for unit in ("s", "ms", "us") if size >= NS[unit]), "ns")
    if size >= 1e15 or 0 < size < 1e-3:
        return f"{ns / NS[unit]:.2g} {unit_sign(unit)}"
    shown = f"{ns / NS[unit]:.3g}" if size < 1e3 * NS[unit] else f"{ns / NS[unit]:,.0f}"
    return f"{shown} {unit_sign(unit)}"


def times(ratio: float | None) -> str:
    """``1.17x`` with the sign for times."""
    return "-" if ratio is None or not math.isfinite(ratio) else f"{number(ratio)}×"  # noqa: RUF001


def subject(name: str) -> str:
    """The last word of a dotted name without its unit: ``1000hz.idle.late_us`` is late."""
    last = plain(name, 80).rsplit(".", 1)[-1]
    return re.sub(r"_(ns|us|ms|s)$", "", last).replace("_", " ").strip() or "value"
