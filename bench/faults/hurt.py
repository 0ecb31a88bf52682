"""What takes processors and memory away, in a process of its own: ``python -m spinal.bench.faults.hurt KIND ...``.

It says "ready", waits for a line, does its worst for a bounded time, and ends; with its parent, too.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence

from spinal.native.realtime import die_with_parent

PAGE = 4096
TOP_PRIORITY = 99


def fifo(cpu: int, seconds: float) -> None:
    """Keeps processor ``cpu`` busy at the highest real-time priority. OSError: not permitted."""
    os.sched_setaffinity(0, {cpu})
    _wait_for_go()
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(TOP_PRIORITY))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def memory(mib: int, seconds: float) -> None:
    """Takes and touches so much memory as fast as it can, keeps it for a while, and lets it go."""
    _wait_for_go()
    block = bytearray(mib << 20)
    for at in range(0, len(block), PAGE):
        block[at] = 1
    time.sleep(seconds)


def _wait_for_go() -> None:
    print("ready", flush=True)
    if not sys.stdin.readline():
        sys.exit(0)


def main(arguments: Sequence[str]) -> int:
    """``fifo CPU SECONDS`` or ``memory MIB SECONDS``."""
    die_with_parent(signal.SIGKILL)
    match list(arguments):
        case ["fifo", cpu, seconds]:
            fifo(int(cpu), float(seconds))
        case ["memory", mib, seconds]:
            memory(int(mib), float(seconds))
        case _:
            print(
                "usage: python -m spinal.bench.faults.hurt fifo CPU SECONDS | memory MIB SECONDS",
                file=sys.stderr,
            )
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
