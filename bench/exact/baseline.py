"""Instructions of the tick that were accepted, one file for each compiler, flags and C library.

Both sides bind: more than ``MORE`` fails; fewer than ``LESS`` passes and asks for a new baseline, or what was won
could be lost again unseen. ``spinal bench gate --accept`` writes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from spinal.bench import judge, machine
from spinal.bench.exact import toolchain
from spinal.bench.exact.toolchain import Toolchain
from spinal.bench.result import Curve, Metric, SuiteResult, Verdict
from spinal.runtime.errors import BenchError

SCHEMA = 1
MORE, LESS = 1.01, 0.98
FOLDER = machine.ROOT / "bench" / "baselines"
PREFIX = "instructions."
UNIT = "instructions"
OWN = ".own"
"""Ends the name of a curve of functions' own instructions."""
PLANTED = "a slow-down was put into the tick on purpose:"
"""A note of a suite whose figures are no baseline."""
SHOWN_SHARE = 0.005
"""A function below this share of every tick is not kept."""
NAMED = 3
"""So many functions are named when a figure moved."""


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """``instructions``: metric -> per tick. ``own``: metric -> function -> its own instructions per tick."""

    schema: int = SCHEMA
    key: str
    toolchain: str
    commit: str
    """That it was measured at."""
    instructions: dict[str, float]
    own: dict[str, dict[str, float]]


def baseline_path(tools: Toolchain | None = None) -> Path:
    """Where the baseline for these tools is, or would be; this machine's for None."""
    return FOLDER / f"exact-{(tools or toolchain.find()).key}.json"


def read_baseline(tools: Toolchain, path: Path | None = None) -> Baseline | None:
    """The baseline for these tools; None where there is none. Raises BenchError in one line for any other file."""
    path = path or baseline_path(tools)
    hint = "accept the figures of this tree: spinal bench gate --accept"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Baseline)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise BenchError(f"{path} is not a baseline: {error}", hint) from None
    if found.schema != SCHEMA:
        raise BenchError(f"{path} has schema {found.schema}, this version reads {SCHEMA}", hint)
    if found.key != tools.key:
        raise BenchError(f"{path} is of {found.toolchain}; this is {tools.name}", hint)
    return found


def write_baseline(suite: SuiteResult, path: Path | None = None) -> Path:
    """Keeps what the suite measured on this machine, now; returns the file.

    Raises BenchError when there are no instructions in it, or when they are not worth keeping: anything but the
    figures that a baseline is about failed, or a slow-down was put in.
    """
    tools = toolchain.find()
    figures = {
        metric.name: metric.value
        for metric in suite.metrics
        if metric.unit == UNIT and metric.value is not None
    }
    spoilt = [f"{metric.name} failed" for metric in suite.metrics if _spoils(metric)]
    spoilt += [note for note in suite.notes if note.startswith(PLANTED)]
    if not figures or spoilt:
        what = f"cannot be accepted: {', '.join(spoilt)}" if spoilt else "have no instructions among them"
        raise BenchError(f"the exact figures {what}", "see why: spinal bench run exact")
    made = Baseline(
        key=tools.key,
        toolchain=tools.name,
        commit=machine.commit(),
        instructions={name: round(value, 3) for name, value in figures.items()},
        own={name: functions(suite.curves, name) for name in figures},
    )
    path = path or baseline_path(tools)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")
    beside.replace(path)
    return path


def name_of(joints: int, kind: str) -> str:
    """Of the metric with the instructions of such a tick."""
    return f"{PREFIX}{joints}_joints.{kind}"


def judge_instructions(
    name: str, value: float, own: Mapping[str, float], known: Baseline | None, tools: Toolchain
) -> Metric:
    """``value`` per tick beside the baseline; what moved is named function by function.

    Without a baseline, or with one that lacks this figure, it is only shown.
    """
    before = known.instructions.get(name) if known is not None else None
    if known is None or before is None:
        why = f"no baseline for {tools.name}: spinal bench gate --accept writes one"
        return judge.exact(name, UNIT, value, why=why)
    found = judge.exact(name, UNIT, value, before * MORE)
    named = moved(own, known.own.get(name, {}), value * SHOWN_SHARE)
    change = f"{value / before - 1:+.1%} against {known.commit}: {named}"
    if found.verdict is Verdict.FAIL:
        return msgspec.structs.replace(found, why=change)
    if value < before * LESS:
        return msgspec.structs.replace(found, why=f"improved, accept the new baseline: {change}")
    return found


def moved(own: Mapping[str, float], before: Mapping[str, float], kept: float) -> str:
    """The functions whose own instructions changed most, with by how many.

    ``kept``: with fewer than that a function is not in a baseline, so one that is not there need not be new.
    """
    changes = {
        name: own.get(name, 0.0) - before.get(name, 0.0)
        for name in {*own, *before}
        if name in before or own[name] >= kept
    }
    largest = sorted(changes, key=lambda name: (-abs(changes[name]), name))[:NAMED]
    named = [
        f"{name} {changes[name]:+,.0f}{'' if name in before else ' (new)'}"
        for name in largest
        if abs(changes[name]) >= 1
    ]
    return ", ".join(named) or "no function by as much as one instruction"


def functions(curves: Sequence[Curve], name: str) -> dict[str, float]:
    """Own instructions by function of the metric ``name``, out of a suite's curves."""
    for curve in curves:
        if curve.name.startswith(PREFIX) and curve.name.endswith(OWN):
            kind = curve.name.removeprefix(PREFIX).removesuffix(OWN)
            for k, joints in enumerate(curve.x):
                if name_of(int(joints), kind) == name:
                    values = {function: line[k] for function, line in curve.lines.items()}
                    return {function: value for function, value in values.items() if value}
    return {}


def _spoils(metric: Metric) -> bool:
    """What may fail and be accepted all the same is only the figures that a baseline is about."""
    return metric.verdict is Verdict.FAIL and metric.unit != UNIT
