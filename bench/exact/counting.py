"""Calls that a tick should not make: what the counting library and the tracer have seen, and who did it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spinal.bench.exact.toolchain import LIMIT_S, Built, UnavailableError
from spinal.runtime.errors import BenchError

CATEGORIES = ("allocation", "lock", "gil", "sleep")
NOT_PERMITTED, TOO_LATE = 3, 4
SHOWN_CALLERS = 4
ENTRY = "sp_loop_tick"


@dataclass(slots=True)
class Calls:
    """``counts``: category -> how many. ``names``: category -> function -> how many. ``first``: who was it."""

    counts: dict[str, int] = field(default_factory=dict)
    names: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    first: dict[str, str] = field(default_factory=dict)
    """Category -> callers of the first call, outer first, joined by arrows."""

    def why(self, category: str, ticks: int) -> str:
        """For a person: which calls, how often in a tick, and the first one's callers; empty for none."""
        if not self.counts.get(category):
            return ""
        each = ", ".join(f"{name} {n / ticks:.2f}" for name, n in self.names[category].items())
        by = f"; first by {self.first[category]}" if self.first.get(category) else ""
        return f"per tick: {each}{by}"


@dataclass(frozen=True, slots=True)
class Harness:
    """What the harness said, and the calls in its ticks."""

    ticks: int
    page_faults: int
    calls: Calls


@dataclass(frozen=True, slots=True)
class SystemCalls:
    """Of ``ticks`` ticks: name -> how many; ``most``: in a single tick."""

    ticks: int
    most: int
    calls: dict[str, int]


def count_harness(built: Built, joints: int, ticks: int) -> Harness:
    """Runs the harness with the counting library. Raises BenchError when the loop does not run as it should."""
    done = subprocess.run(
        [built.harness, str(joints), str(ticks), "count"],
        cwd=built.folder, env={**os.environ, "LD_PRELOAD": str(built.counting)},
        capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip
    if done.returncode:
        how = f"signal {-done.returncode}" if done.returncode < 0 else done.stderr.strip()
        raise BenchError(
            f"the native harness, a loop over ideal servos, broke down: {how}", "look at the tick"
        )
    said, *lines = done.stdout.splitlines()
    report = json.loads(said)
    return Harness(report["ticks"], report["faults"], parse_calls("\n".join(lines), built.folder))


def trace_harness(built: Built, joints: int, ticks: int, names: Mapping[int, str]) -> SystemCalls:
    """Runs the harness under the tracer. Raises UnavailableError where tracing is not permitted."""
    return _traced(built, ["run", built.harness, str(joints), str(ticks), "mark"], names)


def trace_thread(built: Built, thread_id: int, ticks: int, names: Mapping[int, str]) -> SystemCalls:
    """Looks at a running loop's thread. Raises UnavailableError where tracing is not permitted."""
    return _traced(built, ["attach", str(thread_id), str(ticks)], names)


def _traced(built: Built, arguments: list[str], names: Mapping[int, str]) -> SystemCalls:
    done = subprocess.run(
        [str(built.tracer), *arguments],
        cwd=built.folder, capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip
    if done.returncode:
        reasons = {NOT_PERMITTED: "tracing is not permitted here", TOO_LATE: "the loop did not tick in time"}
        reason = reasons.get(done.returncode, done.stderr.strip())
        raise UnavailableError(
            f"system calls cannot be counted: {reason}",
            "allow ptrace: docker run --cap-add SYS_PTRACE, or sysctl kernel.yama.ptrace_scope=1",
        )
    return parse_trace(done.stdout, names)


def parse_trace(text: str, names: Mapping[int, str]) -> SystemCalls:
    """What the tracer printed."""
    report = json.loads(text)
    calls = {names.get(int(number), f"call {number}"): count for number, count in report["calls"].items()}
    return SystemCalls(report["ticks"], report["most"], calls)


def parse_calls(text: str, folder: Path) -> Calls:
    """The report of count_calls.c. Static functions get their names from debug information, where addr2line is."""
    calls = Calls()
    frames: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    what: dict[str, str] = {}
    for line in text.splitlines():
        match line.split(maxsplit=4):
            case ["count", category, number]:
                calls.counts[category] = int(number)
            case ["call", category, name, number]:
                calls.names[category][name] = int(number)
            case ["first", category, name]:
                what[category] = name
            case ["frame", category, offset, symbol, image]:
                frames[category].append((offset, symbol, image))
    for category, name in what.items():
        callers = [caller for frame in frames[category] for caller in _functions(*frame, folder)]
        calls.first[category] = " -> ".join(reversed([name, *_up_to_the_tick(callers)]))
    return calls


def _up_to_the_tick(callers: list[str]) -> list[str]:
    known = [caller for caller in callers if caller != "?"]
    return known[: known.index(ENTRY) + 1] if ENTRY in known else known[:SHOWN_CALLERS]


def _functions(offset: str, symbol: str, image: str, folder: Path) -> list[str]:
    """Inner first: the function at ``offset`` of ``image``, and what it was inlined into."""
    tool = shutil.which("addr2line")
    if tool is None or not re.match(r"(\./harness$|.*/(native|plant_library)[^/]*\.so$|.*/native/)", image):
        return [symbol]
    done = subprocess.run(
        [tool, "-f", "-i", "-s", "-e", image, offset],
        cwd=folder, capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip
    found = [name for name in done.stdout.splitlines()[::2] if name and not name.startswith("??")]
    return found or [symbol]
