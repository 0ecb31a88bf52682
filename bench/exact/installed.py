"""The installed modules, ticking in real time in a Python process: what their thread calls that it must not."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from spinal.bench.exact.counting import Calls, SystemCalls, parse_calls, trace_thread
from spinal.bench.exact.toolchain import Built, UnavailableError
from spinal.runtime.errors import BenchError

LIMIT_S = 30.0
LINE_TICKS = 64
"""That loop ticks slower, and page faults are counted once in as many."""
MODULE = "spinal.bench.exact.subject"
ALONE = f"try it alone: python -m {MODULE} 100 </dev/null"


@dataclass(frozen=True, slots=True)
class Installed:
    """Of ``ticks`` ticks in a row. ``system_calls``: of as many others, or why they were not counted."""

    ticks: int
    running_ticks: int
    switches: int
    page_faults: int
    memory_lock: str | None
    """None: memory was locked, so no page of it may fault; else why not."""
    calls: Calls
    system_calls: SystemCalls | UnavailableError
    line_calls: SystemCalls | UnavailableError
    """Of ticks over a socketpair."""


def observe(built: Built, ticks: int, names: Mapping[int, str], planted: bool = False) -> Installed:
    """Runs a loop in a process of its own, for about two seconds. Raises BenchError when it does not run.

    ``names``: of system calls. ``planted``: with the slow-down that ``built`` has.
    """
    with _subject(built, ticks, planted) as process:
        report = json.loads(_first_line(process))
        memory = _traced(built, report["thread_id"], ticks, names)
        line = _traced(built, report["line_thread_id"], LINE_TICKS, names)
    return Installed(
        ticks=report["ticks"],
        running_ticks=report["running_ticks"],
        switches=report["switches"],
        page_faults=report["page_faults"],
        memory_lock=report["memory_lock"],
        calls=parse_calls(report["calls"], built.folder),
        system_calls=memory,
        line_calls=line,
    )


def _traced(
    built: Built, thread_id: int, ticks: int, names: Mapping[int, str]
) -> SystemCalls | UnavailableError:
    try:
        return trace_thread(built, thread_id, ticks, names)
    except UnavailableError as error:
        return error


@contextlib.contextmanager
def _subject(built: Built, ticks: int, planted: bool) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", MODULE, str(ticks), *([str(built.plants)] if planted else [])]
    environment = {**os.environ, "LD_PRELOAD": str(built.counting)}
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
        if process.stdin:
            process.stdin.close()
            process.stdin = None
        try:
            left = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            raise BenchError("the loop does not end when it is told to", ALONE) from None
        if left:
            raise BenchError(f"the loop's process left with {left}", ALONE)
    finally:
        process.kill()
        process.communicate()


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    if process.stdout is None:
        raise ValueError("a process without output")
    ready, _, _ = select.select([process.stdout], [], [], LIMIT_S)
    line = process.stdout.readline() if ready else b""
    if not line:
        process.kill()
        complaint = process.communicate()[1].decode(errors="replace").strip().splitlines()
        raise BenchError(
            f"the installed loop does not run over ideal servos: {complaint[-1] if complaint else 'it hangs'}",
            ALONE,
        )
    return line
