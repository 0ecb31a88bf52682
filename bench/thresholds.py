"""Limits of ratios of slices: where they start, and what two alike sides differ by on a real machine.

``baselines/thresholds.json`` has both. ``starting`` is a table of patterns over metric names, the suite's name in
front; the longest that fits holds. ``alike`` is what A/A runs gave: the figure's ratio in each of several runs in
which both sides were the same. Alike sides have no order, so a ratio counts as itself and as its inverse.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
import numpy as np

from spinal.runtime.errors import BenchError

SCHEMA = 1
FILE = Path(__file__).parent / "baselines" / "thresholds.json"
FRACTION = 0.975
FEWEST_RUNS = 8
REMAKE = "spinal bench run tick --quick --aa 12 --thresholds bench/baselines/thresholds.json"


def alike_quantile(ratios: Sequence[float]) -> float:
    """What the ratio of alike sides passes in 2.5 % of runs, either side over the other; of one run or more."""
    either_way = [*ratios, *(1 / ratio for ratio in ratios)]
    return float(np.quantile(either_way, FRACTION))


class Alike(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One figure of an A/A run: how it was made and what came out."""

    ratios: list[float]
    """Of each run: the median over its slices."""
    floor_us: float
    """The floor's own figure, median over runs: what a quiet machine of this kind does."""
    slices: int
    """Of each run."""
    slice_s: float
    commit: str
    machine: str
    """``Machine.key``"""
    date_utc: str

    @property
    def quantile(self) -> float:
        """See ``alike_quantile``."""
        return alike_quantile(self.ratios)


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    schema: int = SCHEMA
    margin: float
    """On top of what alike sides differ by."""
    starting: dict[str, float]
    alike: dict[str, Alike]

    def limit(self, name: str) -> float:
        """Of the metric ``name``, as ``tick.1000hz.idle.late_us.p99``. Raises BenchError for one without."""
        fitting = [pattern for pattern in self.starting if fnmatchcase(name, pattern)]
        if not fitting:
            raise BenchError(f"{name} has no limit to start from", f"add it to `starting` in {FILE.name}")
        start = self.starting[max(fitting, key=len)]
        found = self.alike.get(name)
        return start if found is None else max(start, round(found.quantile * self.margin, 3))


def joined(before: Thresholds, found: Mapping[str, Alike]) -> Thresholds:
    """With the figures of a newer A/A run; others, and where limits start, stay."""
    return msgspec.structs.replace(before, alike=dict(sorted({**before.alike, **found}.items())))


def load(path: Path = FILE) -> Thresholds:
    """Reads a file. Raises BenchError in one line for anything that is not thresholds of this schema."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from None
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.schema != SCHEMA:
            raise _refused(path, f"has schema {head.schema}, this version reads {SCHEMA}")
        found = msgspec.json.decode(data, type=Thresholds)
    except msgspec.MsgspecError as error:
        raise _refused(path, f"is no file of thresholds: {error}") from None
    for name, alike in found.alike.items():
        if len(alike.ratios) < FEWEST_RUNS or not all(0 < ratio < 1e6 for ratio in alike.ratios):
            raise _refused(path, f"{name} needs {FEWEST_RUNS} ratios above 0")
    if found.margin < 1 or not all(limit >= 1 for limit in found.starting.values()):
        raise _refused(path, "a margin or a limit below 1 would fail what is as good as its floor")
    return found


def limit(name: str) -> float:
    """Of the kept file; see ``Thresholds.limit``."""
    return load().limit(name)


def keep(found: Mapping[str, Alike], path: Path) -> Thresholds:
    """Puts new A/A figures into the file at ``path``, whole or not at all; see ``joined``.

    Raises BenchError for another file there, OSError.
    """
    after = joined(load(path if path.exists() else FILE), found)
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(after), indent=1) + b"\n")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return after


class _Head(msgspec.Struct):
    schema: int


def _refused(path: Path, what: str) -> BenchError:
    return BenchError(f"{path} {what}", f"make it again: {REMAKE}")
