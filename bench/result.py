"""What a run of the bench leaves behind: one JSON file, typed, versioned, the same for every suite.

Nothing else passes between the suites and what reads them (gate, compare, report). A distribution keeps its
buckets, so any quantile and any picture can be made later, from any file.
"""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Literal

import msgspec

from spinal.runtime.errors import BenchError

SCHEMA = 1
LARGEST_BYTES = 64 << 20
"""A file that is larger is refused unread."""


class Verdict(StrEnum):
    """What a metric comes to. ``inconclusive`` is not a pass, ``info`` is not judged.

    ``short``: misses its target by as much as is known and accepted, see ``spinal.bench.accepted``.
    """

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    SHORT = "short"
    INFO = "info"
    ABSENT = "absent"


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One figure beside its floor and its limit, which binds the ratio where there is a floor, else the value."""

    name: str
    """Dotted, the same from run to run: ``1000hz.idle.late_us.p99``."""
    unit: str
    value: float | None
    """None: it was to be measured and could not be; ``why`` says it."""
    floor: float | None = None
    """The same figure of what cannot be beaten here, measured at the same time."""
    ratio: float | None = None
    """For slices: the median of each slice's own ratio. Else value / floor."""
    limit: float | None = None
    better: Literal["lower", "higher"] = "lower"
    low: float | None = None
    """Of the 95 % interval of what the limit binds."""
    high: float | None = None
    n: int | None = None
    verdict: Verdict = Verdict.INFO
    why: str = ""
    """For a person: what made it fail or inconclusive, or how to read it."""

    @property
    def judged(self) -> float | None:
        """What the limit binds."""
        return self.ratio if self.floor is not None else self.value


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """Durations in buckets, and their floor's in the same ones. ``edges``: upper edges, in ``unit``."""

    name: str
    unit: str
    edges: list[float]
    counts: list[int]
    floor_counts: list[int] | None = None
    max: float | None = None


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Lines over a common x: cost against joints, success against delay, a seam in time."""

    name: str
    x_name: str
    x_unit: str
    y_name: str
    y_unit: str
    x: list[float]
    lines: dict[str, list[float | None]]


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One bar of a waterfall: from when to when, after the sensor's capture."""

    name: str
    begin_us: float
    end_us: float


class Waterfall(msgspec.Struct, frozen=True, kw_only=True):
    """One action from sensor to motor, stage by stage."""

    name: str
    stages: list[Stage]


class Disturbance(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine suffered meanwhile, as shares of the time: 0.01 is 1 %."""

    steal: float
    """Of the time of all processors: taken by the hypervisor."""
    pressure: float
    """Of the wall time in which some task waited for a processor, ours included."""


class SuiteResult(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one suite measured."""

    metrics: list[Metric]
    distributions: list[Distribution] = []
    curves: list[Curve] = []
    waterfalls: list[Waterfall] = []
    notes: list[str] = []
    """For a person: what was not measured here and why."""
    seconds: float = 0.0
    disturbance: Disturbance | None = None


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured. ``key`` is the same for machines whose timing may be compared."""

    key: str
    processor: str
    cores: int
    memory_gib: float
    architecture: str
    kernel: str
    preempt_rt: bool
    virtual: str
    """What virtualises it; empty on bare metal."""
    governor: str
    realtime: dict[str, str | None]
    """What the kernel grants a loop: name -> None (granted) or why not."""
    python: str
    compiler: str
    """Of the native core, with its flags."""
    onnxruntime: str
    providers: list[str]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    schema: int = SCHEMA
    machine: Machine
    commit: str
    """With ``+`` behind it where the tree was changed."""
    began_utc: str
    command: str
    suites: dict[str, SuiteResult]


def save(result: Result, path: Path) -> None:
    """Writes it whole or not at all. Raises OSError."""
    text = msgspec.json.format(msgspec.json.encode(result), indent=1)
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(text + b"\n")
    beside.replace(path)


def load(path: Path) -> Result:
    """Reads one. Raises BenchError for anything that is not a result of this schema."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise _refused(
                path, "is larger than any result", "give a file that `spinal bench run --json` wrote"
            )
        data = path.read_bytes()
    except OSError as error:
        raise _refused(
            path, f"cannot be read: {error.strerror}", "make one: spinal bench run --json FILE"
        ) from None
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.schema != SCHEMA:
            what = f"has schema {head.schema}, this version reads {SCHEMA}"
            raise _refused(path, what, "measure again with this version: spinal bench run --json FILE")
        return msgspec.json.decode(data, type=Result)
    except msgspec.MsgspecError as error:
        raise _refused(
            path, f"is not a result of the bench: {error}", "give a file that `spinal bench run --json` wrote"
        ) from None


def finite(value: float) -> float | None:
    """For JSON, which has no NaN and no infinity: None in their place."""
    return float(value) if math.isfinite(value) else None


class _Head(msgspec.Struct):
    schema: int


def _refused(path: Path, what: str, hint: str) -> BenchError:
    return BenchError(f"{path} {what}", hint)
