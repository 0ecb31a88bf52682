"""The computer: processors and memory that others take, a clock that is set, permissions that are missing."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from spinal.bench import loads
from spinal.bench.faults.fault import CARRIES_ON, Cause, Fault, Promise
from spinal.bench.faults.harness import FaultRobot
from spinal.native import clock
from spinal.native.realtime import probe
from spinal.runtime.errors import ProcessError
from spinal.runtime.supervisor.journal import PATTERN, Journal

HOG_S = 0.2
MEMORY_MIB, MOST_SHARE = 1536, 0.25
JOURNAL_BYTES = 4096
HOUR_S = 3600.0
AWAY_S = 0.3
"""How long the wall clock is wrong."""
CARRIES_ON_OR_HOLDS = Promise(("running", "holding"), react_ms=1500.0)
NO_PROCESSOR = Promise(("running", "holding"), react_ms=1500.0, gap_ms=None)
"""Nothing can run, the guard neither: servos stand at their last goal, the loop holds behind it and plans again."""


@contextmanager
def _hurting(robot: FaultRobot, commands: Sequence[Sequence[str]]) -> Iterator[int]:
    """Starts them, waits until the arm moves, lets them go at once."""
    with ExitStack() as stack:
        started = []
        for words in commands:
            command = [sys.executable, "-m", "spinal.bench.faults.hurt", *words]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            stack.callback(_end, process)
            started.append(process)
        for process in started:
            _until_ready(robot, process)
        robot.until_moving()
        began_ns = clock.now_ns()
        for process in started:
            if process.stdin is not None:
                process.stdin.write(b"go\n")
                process.stdin.flush()
        yield began_ns


def _until_ready(robot: FaultRobot, process: subprocess.Popen[bytes]) -> None:
    if process.stdout is None:
        raise ValueError("a process whose output is not read")
    os.set_blocking(process.stdout.fileno(), False)
    said = bytearray()

    def ready() -> bool:
        if process.stdout is not None:
            said.extend(process.stdout.read() or b"")
        if process.poll() is not None:
            raise ProcessError("what was to hurt the robot ended by itself", hint="run it by hand: hurt.py")
        return b"ready" in said

    robot.until(ready, "what is to hurt the robot is ready")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _hogs(count: int) -> Cause:
    @contextmanager
    def cause(robot: FaultRobot) -> Iterator[int]:
        processors = sorted(os.sched_getaffinity(0))[:count]
        with _hurting(robot, [["fifo", str(cpu), str(HOG_S)] for cpu in processors]) as began_ns:
            yield began_ns

    return cause


@contextmanager
def _memory(robot: FaultRobot) -> Iterator[int]:
    with _hurting(robot, [["memory", str(MEMORY_MIB), "0.5"]]) as began_ns:
        yield began_ns


@contextmanager
def _busy(robot: FaultRobot) -> Iterator[int]:
    """As many busy processes as processors, at nice 0."""
    robot.until_moving()
    with loads.processes(["busy"] * len(os.sched_getaffinity(0))):
        robot.until_moving()
        yield clock.now_ns()


def _clock_set(by_s: float) -> Cause:
    """The wall clock jumps, and is right again before the robot is looked at."""

    @contextmanager
    def cause(robot: FaultRobot) -> Iterator[int]:
        robot.until_moving()
        began_ns = clock.now_ns()
        before = time.clock_gettime(time.CLOCK_REALTIME)
        time.clock_settime(time.CLOCK_REALTIME, before + by_s)
        try:
            yield began_ns
        finally:
            passed = (clock.now_ns() - began_ns) / 1e9
            time.clock_settime(time.CLOCK_REALTIME, before + passed)

    return cause


@contextmanager
def _journal_full(robot: FaultRobot) -> Iterator[int]:
    """The journal of this run meets a disk that takes no more, while the robot moves and goes on being told of.

    A limit on the size of files stands for the full disk: the write fails all the same, and nothing else is filled.
    """
    directory = robot.folder / "states"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(directory, {"robot": robot.supervisor.robot.name}) as journal:
        robot.until(
            lambda: any(path.stat().st_size for path in directory.glob(PATTERN)), "the journal is begun"
        )
        robot.until_moving()
        began_ns = clock.now_ns()
        resource.setrlimit(resource.RLIMIT_FSIZE, (JOURNAL_BYTES, before[1]))
        try:
            trouble: list[str] = []

            def fails() -> bool:
                journal.write("filler", text="." * JOURNAL_BYTES)
                trouble.append(journal.trouble)
                return any(trouble)

            robot.until(fails, "the journal has failed and said so")
            yield began_ns
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _no_fifo() -> str:
    return "" if probe(99)["fifo"] is None else "SCHED_FIFO is not granted"


def _no_clock() -> str:
    """Whether the wall clock may be set: by setting it to what it is."""
    try:
        time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME))
    except OSError as error:
        return f"the wall clock cannot be set: {error.strerror}"
    return ""


def _no_memory() -> str:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return "" if total * MOST_SHARE > MEMORY_MIB << 20 else "too little memory to take some away"


def _one_processor() -> str:
    return _no_fifo() or ("" if len(os.sched_getaffinity(0)) > 1 else "only one processor")


FAULTS = [
    Fault(
        "hog-one",
        "a real-time process of the highest priority takes one processor for 0.2 s",
        _hogs(1),
        CARRIES_ON_OR_HOLDS,
        lasts_s=1.0,
        starves=True,
        absent=_one_processor,
        counters=("skipped slots", "starved ticks"),
    ),
    Fault(
        "hog-all",
        "real-time processes of the highest priority take every processor for 0.2 s",
        _hogs(64),
        NO_PROCESSOR,
        lasts_s=1.0,
        starves=True,
        absent=_no_fifo,
        counters=("skipped slots", "starved ticks"),
    ),
    Fault(
        "busy",
        "as many busy processes as processors for 3 s",
        _busy,
        CARRIES_ON_OR_HOLDS,
        lasts_s=3.0,
        starves=True,
    ),
    Fault(
        "memory",
        "1.5 GiB is taken and let go",
        _memory,
        CARRIES_ON_OR_HOLDS,
        lasts_s=1.5,
        starves=True,
        absent=_no_memory,
    ),
    Fault(
        "clock-forward",
        "the wall clock jumps an hour ahead",
        _clock_set(HOUR_S),
        CARRIES_ON,
        AWAY_S,
        absent=_no_clock,
    ),
    Fault(
        "clock-back",
        "the wall clock jumps an hour back",
        _clock_set(-HOUR_S),
        CARRIES_ON,
        AWAY_S,
        absent=_no_clock,
    ),
    Fault(
        "journal-full",
        "the disk of the journal takes no more for 2 s",
        _journal_full,
        CARRIES_ON,
        lasts_s=2.0,
    ),
]
