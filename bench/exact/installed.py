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

LIMIT_S = 30.0
MODULE = "spinal.bench.exact.subject"


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


def observe(built: Built, ticks: int, names: Mapping[int, str], planted: bool = False) -> Installed:
    """Runs a loop in a process of its own, for about two seconds. Raises UnavailableError when it does not run.

    ``names``: of system calls. ``planted``: with the slow-down that ``built`` has.
    """
    with _subject(built, ticks, planted) as process:
        report = json.loads(_first_line(process))
        try:
            traced: SystemCalls | UnavailableError = trace_thread(built, report["thread_id"], ticks, names)
        except UnavailableError as error:
            traced = error
    return Installed(
        ticks=report["ticks"],
        running_ticks=report["running_ticks"],
        switches=report["switches"],
        page_faults=report["page_faults"],
        memory_lock=report["memory_lock"],
        calls=parse_calls(report["calls"], built.folder),
        system_calls=traced,
    )


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
        process.wait(LIMIT_S)
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
        raise UnavailableError(
            f"the loop does not run with the counting library: {complaint[-1] if complaint else 'it hangs'}",
            f"try it alone: python -m {MODULE} 100 </dev/null",
        )
    return line
