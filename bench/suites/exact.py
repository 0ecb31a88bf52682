"""``spinal bench run exact``: what one tick does, counted; the machine's mood does not move it, so it gates every change.

- Instructions of a running tick, with and without a hand-off, at 6, 14, 28 and 57 joints (57 on two buses), beside
  the accepted baseline of the same compiler; linear in joints.
- Allocations, locks, sleeps, page faults and system calls of a tick: in the native harness, and in the installed
  modules in real time in a Python process, there also what takes the interpreter's lock. None may be there.
- Bytes that the policy process writes for one observation.

``--plant`` puts a slow-down into the tick, to see it caught.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from spinal.bench import judge
from spinal.bench.bench import Bench
from spinal.bench.exact import callgrind, counting, installed, observation, toolchain
from spinal.bench.exact.baseline import (
    OWN,
    PREFIX,
    UNIT,
    Baseline,
    judge_instructions,
    name_of,
    read_baseline,
)
from spinal.bench.exact.callgrind import Profile
from spinal.bench.exact.counting import Calls, SystemCalls
from spinal.bench.exact.toolchain import PLANTS, Built, Toolchain, UnavailableError
from spinal.bench.result import Curve, Metric, SuiteResult
from spinal.runtime.errors import ConfigError, Problem

JOINTS = (6, 14, 28, 57)
KINDS = ("plain", "hand_off")
TICKS = 320
"""A multiple of 5, at which a chunk comes, and of 64, at which page faults are counted."""
COUNTED_JOINTS = 14
REPEATS = 3
STRAIGHT = 0.05
"""Largest distance from the straight line over joints, as a share of the tick. The search for a servo by its id on a
bus, which grows with the square, is about 1 % at 28."""
FAULT_CHECK_SHARE = 1 / 64
COPY_LIMIT = 7.2
"""Bytes written for an observation over those of the model's inputs, which nobody can spare: what it is, and 1 %."""
SHOWN_SHARE = 0.005
"""A function below this share of every tick is not kept."""
UNJUDGED_CALLS = ("clock_gettime",)
"""A system call only where the kernel cannot tell time without one: the machine's doing."""

Key = tuple[int, str]
Answer = TypeVar("Answer")


def measure(bench: Bench) -> SuiteResult:
    """Counts; about ten seconds. Raises ConfigError for a baseline that is not of this compiler, or no such plant."""
    plant: str = getattr(bench.options, "plant", "none")
    if plant not in PLANTS:
        raise ConfigError([Problem("--plant", f"has no {plant!r}")], hint=f"there are: {', '.join(PLANTS)}")
    parts = []
    try:
        tools = toolchain.find()
        known = read_baseline(tools)
        with tempfile.TemporaryDirectory(prefix="spinal-exact-") as folder:
            bench.say(f"  compiling the harness: {tools.name}")
            built = toolchain.build(tools, Path(folder), plant)
            names = toolchain.call_names(tools)
            parts = [
                instructions(built, tools, known),
                in_harness(built, names),
                in_process(built, names, plant != "none"),
            ]
    except UnavailableError as error:
        parts = [SuiteResult(metrics=[judge.missing(name, "", _reason(error)) for name in _COMPILED])]
    parts.append(SuiteResult(metrics=of_observation(observation.measure())))
    planted = [f"a slow-down was put into the tick on purpose: {plant}"] if plant != "none" else []
    return SuiteResult(
        metrics=[metric for part in parts for metric in part.metrics],
        curves=[curve for part in parts for curve in part.curves],
        notes=planted + [note for part in parts for note in part.notes],
    )


_COMPILED = ("instructions", "harness", "installed")


def instructions(
    built: Built, tools: Toolchain, known: Baseline | None, sizes: Sequence[int] = JOINTS
) -> SuiteResult:
    """Of every size and kind, beside the baseline; absent without valgrind."""
    wanted = [(joints, kind, 0) for joints in sizes for kind in KINDS]
    wanted += [(sizes[0], "plain", number) for number in range(1, REPEATS)]
    try:
        found = _in_parallel(
            [lambda w=w: callgrind.profile(built, w[0], w[1], TICKS, w[2]) for w in reversed(wanted)]
        )[::-1]
    except UnavailableError as error:
        return SuiteResult(metrics=[judge.missing("instructions", UNIT, _reason(error))])
    profiles = {
        (joints, kind): one for (joints, kind, number), one in zip(wanted, found, strict=True) if not number
    }
    again = [
        one.total
        for (joints, kind, _), one in zip(wanted, found, strict=True)
        if (joints, kind) == wanted[0][:2]
    ]
    metrics = [repeatable(again)]
    for kind in KINDS:
        metrics += [
            judge_instructions(
                name_of(joints, kind),
                profiles[joints, kind].per_tick,
                profiles[joints, kind].own,
                known,
                tools,
            )
            for joints in sizes
        ]
        metrics += straight(kind, sizes, [profiles[joints, kind].per_tick for joints in sizes])
    return SuiteResult(
        metrics=metrics, curves=[curve for kind in KINDS for curve in by_function(kind, sizes, profiles)]
    )


def repeatable(totals: Sequence[int]) -> Metric:
    """Whether runs of the same configuration came to the same number, to the last instruction."""
    why = "" if len(set(totals)) == 1 else f"runs alike came to {', '.join(f'{total:,}' for total in totals)}"
    return judge.exact(f"{PREFIX}spread", "of 3 runs", max(totals) - min(totals), 0, n=len(totals), why=why)


def straight(kind: str, sizes: Sequence[int], values: Sequence[float]) -> list[Metric]:
    """The least-squares line over joints: how much a joint costs, and how far a point is off at most."""
    slope, base = np.polyfit(sizes, values, 1)
    off = [abs(value - (base + slope * joints)) / value for joints, value in zip(sizes, values, strict=True)]
    worst = int(np.argmax(off))
    why = f"{slope:,.0f} a joint and {base:,.0f} for the tick; furthest off at {sizes[worst]} joints"
    return [
        judge.exact(f"{PREFIX}per_joint.{kind}", "a joint", float(slope)),
        judge.exact(f"{PREFIX}off_the_line.{kind}", "", off[worst], STRAIGHT, n=len(sizes), why=why),
    ]


def by_function(kind: str, sizes: Sequence[int], profiles: Mapping[Key, Profile]) -> list[Curve]:
    """Instructions over joints, function by function: with what each calls, and its own."""
    curves = []
    for suffix, of in (("", lambda one: one.inclusive), (OWN, lambda one: one.own)):
        columns = [of(profiles[joints, kind]) for joints in sizes]
        least = [profiles[joints, kind].per_tick * SHOWN_SHARE for joints in sizes]
        entry = columns[0][callgrind.ENTRY] if not suffix else 0.0
        names = {
            name
            for column, share in zip(columns, least, strict=True)
            for name, cost in column.items()
            if cost >= share
            and not (name != callgrind.ENTRY and entry and column[name] >= column[callgrind.ENTRY])
        }
        curves.append(
            Curve(
                name=f"{PREFIX}{kind}{suffix}",
                x_name="joints",
                x_unit="",
                y_name="with what it calls" if not suffix else "its own",
                y_unit=UNIT,
                x=[float(joints) for joints in sizes],
                lines={
                    name: [round(column.get(name, 0.0), 3) for column in columns] for name in sorted(names)
                },
            )
        )
    return curves


def in_harness(built: Built, names: Mapping[int, str]) -> SuiteResult:
    """Calls and page faults of ticks that are alone in a process."""
    found = counting.count_harness(built, COUNTED_JOINTS, TICKS)
    metrics = of_calls("harness", found.calls, found.ticks, ("allocation", "lock", "sleep"))
    metrics.append(_none("harness.page_faults", "a tick", found.page_faults, found.ticks))
    try:
        traced: SystemCalls | UnavailableError = counting.trace_harness(built, COUNTED_JOINTS, TICKS, names)
    except UnavailableError as error:
        traced = error
    return SuiteResult(metrics=metrics + of_system_calls("harness", traced))


def in_process(built: Built, names: Mapping[int, str], planted: bool) -> SuiteResult:
    """The same of the installed modules in real time."""
    try:
        found = installed.observe(built, TICKS, names, planted)
    except UnavailableError as error:
        return SuiteResult(metrics=[judge.missing("installed", "", _reason(error))])
    running = found.running_ticks / found.ticks
    metrics = [
        judge.exact(
            "installed.running", "of ticks", running, 0.5, better="higher", n=found.ticks,
            why="" if running >= 0.5 else "the loop hardly followed a trajectory, so little was looked at",
        ),
        *of_calls("installed", found.calls, found.ticks, counting.CATEGORIES),
    ]  # fmt: skip
    if found.memory_lock is None:
        metrics.append(_none("installed.page_faults", "a tick", found.page_faults, found.ticks))
    else:
        why = f"memory could not be locked ({found.memory_lock}), so pages may fault"
        metrics.append(
            judge.exact("installed.page_faults", "a tick", found.page_faults / found.ticks, why=why)
        )
    return SuiteResult(metrics=metrics + of_system_calls("installed", found.system_calls))


def of_calls(where: str, calls: Calls, ticks: int, categories: Sequence[str]) -> list[Metric]:
    """One figure for each kind of call; none may be there."""
    words = {"allocation": "allocations", "lock": "locks", "gil": "gil", "sleep": "sleeps"}
    return [
        _none(f"{where}.{words[one]}", "calls/tick", calls.counts[one], ticks, calls.why(one, ticks))
        for one in categories
    ]


def of_system_calls(where: str, traced: SystemCalls | UnavailableError) -> list[Metric]:
    """getrusage once in 64 ticks, and nothing else (besides the sleep to the slot, where the loop runs by itself)."""
    if isinstance(traced, UnavailableError):
        return [judge.missing(f"{where}.system_calls", "calls/tick", _reason(traced))]
    ticks = traced.ticks
    share = traced.calls.get("getrusage", 0) / ticks if ticks else float("nan")
    others = {
        name: count / ticks
        for name, count in traced.calls.items()
        if name not in ("getrusage", *UNJUDGED_CALLS) and ticks
    }
    each = ", ".join(f"{name} {count:.2f}" for name, count in others.items())
    return [
        judge.exact(f"{where}.system_calls.getrusage", "calls/tick", share, FAULT_CHECK_SHARE, n=ticks),
        judge.exact(
            f"{where}.system_calls.other", "calls/tick", sum(others.values()) if ticks else float("nan"), 0,
            n=ticks, why=f"per tick: {each}" if others else "",
        ),
    ]  # fmt: skip


def of_observation(found: Sequence[observation.Written]) -> list[Metric]:
    """Bytes beside the model's inputs alone; the same number each time, or it fails."""
    first = found[0]
    parts = (
        f"mailboxes {first.mailboxes}, arrays {first.arrays}, native {first.native}, inputs {first.inputs}"
    )
    alike = all(one == first for one in found)
    why = parts if alike else f"not the same each time: {', '.join(str(one.total) for one in found)}"
    value = float(first.total) if alike else float("nan")
    return [
        judge.exact(
            "observation.bytes", "B", value, COPY_LIMIT, floor=float(first.inputs), n=len(found), why=why
        )
    ]


def _none(name: str, unit: str, count: int, ticks: int, why: str = "") -> Metric:
    return judge.exact(name, unit, count / ticks if ticks else float("nan"), 0, n=ticks, why=why)


def _reason(error: UnavailableError) -> str:
    return f"{error.message}: {error.hint}"


def _in_parallel(jobs: Sequence[Callable[[], Answer]]) -> list[Answer]:
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        waiting = [pool.submit(job) for job in jobs]
        try:
            return [one.result() for one in waiting]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
