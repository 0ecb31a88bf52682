"""``spinal bench run exact``: what one tick does, counted, so that the machine's mood does not move it.

- Instructions of a running tick, with and without a hand-off, at 6, 14, 28 and 57 joints (57 on two buses), beside
  the accepted baseline of the same compiler; linear in joints.
- Allocations, locks, sleeps, page faults and system calls of a tick: in the native harness, and in the installed
  modules in real time in a Python process, there also what takes the interpreter's lock. None may be there.
- Bytes that the policy process writes for one observation.

It gates every change. ``--plant`` puts a slow-down into the tick, to see it caught.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from spinal.bench import judge
from spinal.bench.bench import Bench
from spinal.bench.exact import counting, installed, instructions, observation, toolchain
from spinal.bench.exact.baseline import PLANTED, read_baseline
from spinal.bench.exact.counting import Calls, SystemCalls
from spinal.bench.exact.toolchain import Built, UnavailableError
from spinal.bench.options import PLANTS
from spinal.bench.result import Metric, SuiteResult, Verdict
from spinal.runtime.errors import BenchError

COUNTED_JOINTS = 14
FAULT_CHECK_SHARE = 1 / 64
"""loop.c counts page faults once in so many ticks."""
COPY_LIMIT = 6.17
"""Bytes written for an observation over those of the model's inputs, which nobody can spare: today's, and 1 %."""
TIME_CALLS = ("clock_gettime",)
"""System calls only where the kernel cannot tell time without one: the machine's doing, so they are not judged."""
LINE_CALLS = ("read", "write", "ppoll")
"""What a bus on a descriptor that never waits is made of."""
RUNNING_SHARE = 0.5


def measure(bench: Bench) -> SuiteResult:
    """Counts, for some seconds. Raises BenchError for a plant that does not exist, a bad baseline, or a loop
    that does not run: that is a failure, and not something that this machine lacks."""
    plant: str = getattr(bench.options, "plant", "none")
    if plant not in PLANTS:
        raise BenchError(f"--plant has no {plant!r}", f"there are: {', '.join(PLANTS)}")
    bench.say("  bytes of one observation")
    bytes_written = of_observation(observation.measure())
    try:
        tools = toolchain.find()
        known = read_baseline(tools)
        with tempfile.TemporaryDirectory(prefix="spinal-exact-") as folder:
            bench.say(f"  compiling the harness: {tools.name}")
            built = toolchain.build(tools, Path(folder), plant)
            names = toolchain.call_names(tools)
            bench.say("  calls of one tick, in the harness and installed")
            # First: a harness that breaks down is a failure, and callgrind could not tell it from one of its own.
            calls = _or_missing("harness", lambda: in_harness(built, names))
            real = _or_missing("installed", lambda: in_process(built, names, plant != "none"))
            bench.say("  instructions of one tick, under callgrind")
            counted = _or_missing("instructions", lambda: instructions.measure(built, tools, known))
            parts = [counted, calls, real]
    except UnavailableError as error:
        parts = [_missing(name, error) for name in ("instructions", "harness", "installed")]
    notes = [f"{PLANTED} {plant}"] if plant != "none" else []
    return SuiteResult(
        metrics=[metric for part in parts for metric in part.metrics] + bytes_written,
        curves=[curve for part in parts for curve in part.curves],
        notes=notes,
    )


def in_harness(built: Built, names: Mapping[int, str]) -> SuiteResult:
    """Calls and page faults of ticks that are alone in a process, on a manual clock."""
    found = counting.count_harness(built, COUNTED_JOINTS, instructions.TICKS)
    metrics = of_calls("harness", found.calls, found.ticks, ("allocation", "lock", "sleep"))
    metrics.append(_none("harness.page_faults", "a tick", found.page_faults, found.ticks))
    try:
        traced = counting.trace_harness(built, COUNTED_JOINTS, instructions.TICKS, names)
    except UnavailableError as error:
        return SuiteResult(metrics=[*metrics, *_missing("harness.system_calls", error).metrics])
    return SuiteResult(metrics=metrics + of_system_calls("harness.system_calls", traced))


def in_process(built: Built, names: Mapping[int, str], planted: bool) -> SuiteResult:
    """The same of the installed modules in real time, in a Python process."""
    found = installed.observe(built, instructions.TICKS, names, planted)
    metrics = [
        of_running(found.running_ticks, found.ticks),
        *of_calls("installed", found.calls, found.ticks, counting.CATEGORIES),
    ]
    if found.memory_lock is None:
        metrics.append(_none("installed.page_faults", "a tick", found.page_faults, found.ticks))
    else:
        why = f"memory could not be locked ({found.memory_lock}), so pages may fault"
        metrics.append(
            judge.exact("installed.page_faults", "a tick", found.page_faults / found.ticks, why=why)
        )
    for name, traced, needed in (
        ("installed.system_calls", found.system_calls, ()),
        ("line.system_calls", found.line_calls, LINE_CALLS),
    ):
        metrics += (
            _missing(name, traced).metrics
            if isinstance(traced, UnavailableError)
            else of_system_calls(name, traced, needed)
        )
    return SuiteResult(metrics=metrics)


def of_running(running_ticks: int, ticks: int) -> Metric:
    """Whether what was looked at was a running tick: on a machine that hardly lets it run, nothing can be told."""
    share = running_ticks / ticks if ticks else 0.0
    found = judge.exact("installed.running", "of ticks", share, RUNNING_SHARE, better="higher", n=ticks)
    if found.verdict is Verdict.PASS:
        return found
    why = "the loop hardly followed a trajectory: the machine was too busy to look at it"
    return msgspec.structs.replace(found, verdict=Verdict.INCONCLUSIVE, why=why)


def of_calls(where: str, calls: Calls, ticks: int, categories: Sequence[str]) -> list[Metric]:
    """A figure for each kind of call; none may be there. Raises UnavailableError when nothing was counted."""
    if not all(one in calls.counts for one in categories):
        raise UnavailableError("the counting library was not preloaded", "measure with dynamic linking")
    words = {"allocation": "allocations", "lock": "locks", "gil": "gil", "sleep": "sleeps"}
    return [
        _none(f"{where}.{words[one]}", "calls/tick", calls.counts[one], ticks, calls.why(one, ticks))
        for one in categories
    ]


def of_system_calls(name: str, traced: SystemCalls, needed: Sequence[str] = ()) -> list[Metric]:
    """getrusage once in 64 ticks, ``needed``, and nothing else.

    Where the loop runs by itself, its sleep to the slot is not among the calls. How often it has to read until all
    servos have answered is the line's doing: that is shown, only the names are judged.
    """
    ticks = traced.ticks
    per_tick = {call: count / ticks for call, count in traced.calls.items()} if ticks else {}
    others = {
        call: rate for call, rate in per_tick.items() if call not in ("getrusage", *TIME_CALLS, *needed)
    }
    time_calls = [f"{call} is a system call on this machine" for call in TIME_CALLS if call in per_tick]
    never = float("nan")
    metrics = []
    if needed:
        rate = sum(per_tick.get(call, 0.0) for call in needed) if ticks else never
        metrics.append(judge.exact(f"{name}.bus", "calls/tick", rate, n=ticks, why=_each(per_tick, needed)))
    checks = per_tick.get("getrusage", 0.0) if ticks else never
    allowed = math.ceil(ticks * FAULT_CHECK_SHARE) / max(1, ticks)
    other = sum(others.values()) if ticks else never
    why = "; ".join(filter(None, [_each(others, others), *time_calls]))
    return [
        *metrics,
        judge.exact(f"{name}.getrusage", "calls/tick", checks, allowed, n=ticks),
        judge.exact(f"{name}.other", "calls/tick", other, 0, n=ticks, why=why),
    ]


def of_observation(found: Sequence[observation.Written]) -> list[Metric]:
    """Bytes beside the model's inputs alone; the same number each time, or it fails."""
    first = found[0]
    alike = all(one == first for one in found)
    why = f"mailboxes {first.mailboxes}, arrays {first.arrays}, native {first.native}, inputs {first.inputs}"
    if not alike:
        why = f"not the same each time: {', '.join(str(one.total) for one in found)}"
    value, floor = (first.total if alike else float("nan")), float(first.inputs)
    return [judge.exact("observation.bytes", "B", value, COPY_LIMIT, floor=floor, n=len(found), why=why)]


def _each(per_tick: Mapping[str, float], calls: Sequence[str] | Mapping[str, float]) -> str:
    named = ", ".join(f"{call} {per_tick[call]:.2f}" for call in calls if call in per_tick)
    return f"per tick: {named}" if named else ""


def _none(name: str, unit: str, count: int, ticks: int, why: str = "") -> Metric:
    return judge.exact(name, unit, count / ticks if ticks else float("nan"), 0, n=ticks, why=why)


def _or_missing(name: str, count: Callable[[], SuiteResult]) -> SuiteResult:
    try:
        return count()
    except UnavailableError as error:
        return _missing(name, error)


def _missing(name: str, error: UnavailableError) -> SuiteResult:
    return SuiteResult(metrics=[judge.missing(name, "", f"{error.message}: {error.hint}")])
