"""Targets that are missed, and by how much: known, accepted with a reason, and not to get worse.

A miss does not stop a release when it stands in ``baselines/accepted.json`` and is no larger than it says there.
The gate shows it as ``short``. Only figures that are the same on every run can be accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from spinal.bench.result import Metric, Verdict
from spinal.runtime.errors import BenchError

SCHEMA = 1
FILE = Path(__file__).parent / "baselines" / "accepted.json"
SLACK = 0.01
"""By so much of its value a figure may differ from one compiler to another."""


class Miss(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``value``: what the metric was when it was accepted."""

    value: float
    why: str


class Accepted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``misses``: by metric, its suite's name in front."""

    schema: int = SCHEMA
    misses: dict[str, Miss]


def load(path: Path = FILE) -> Accepted:
    """Reads the file. Raises BenchError in one line for anything else."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Accepted)
    except (OSError, msgspec.MsgspecError) as error:
        raise BenchError(
            f"{path} is no list of accepted misses: {error}", "restore it from the last release"
        ) from None
    if found.schema != SCHEMA:
        raise BenchError(f"{path} has schema {found.schema}, this version reads {SCHEMA}", "restore it")
    return found


def apply(metrics: Sequence[Metric], accepted: Accepted) -> list[Metric]:
    """Metrics, named with their suite, whose accepted misses are ``short`` and no longer ``FAIL``."""
    return [_judged(metric, accepted.misses.get(metric.name)) for metric in metrics]


def _judged(metric: Metric, miss: Miss | None) -> Metric:
    if miss is None or metric.value is None:
        return metric
    if metric.verdict is Verdict.PASS:
        return msgspec.structs.replace(metric, why="no longer short: take it out of accepted.json")
    if metric.verdict is not Verdict.FAIL:
        return metric
    worse = metric.value - miss.value if metric.better == "lower" else miss.value - metric.value
    if worse > SLACK * abs(miss.value):
        return msgspec.structs.replace(metric, why=f"was {miss.value:g} when it was accepted")
    return msgspec.structs.replace(metric, verdict=Verdict.SHORT, why=miss.why)
