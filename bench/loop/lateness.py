"""How late two loops wake at the same time, half a period apart: a subject, and the empty loop that is its floor.

A run is cut into blocks, a block into slices. In each block both threads are new, and which of them has which half
of the period, and which starts first, goes round in four blocks: where the kernel puts a thread, and what else
happens at the same place of each period, favours neither. The counts of a slice are differences, so nothing
between slices is seen.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from spinal.bench.loads import busy_thread, inference_thread
from spinal.bench.loop.rig import MS, SECOND, Rig
from spinal.bench.machine import FIFO_PRIORITY
from spinal.bench.statistics import Counts
from spinal.native.clock import now_ns, sleep_until_ns
from spinal.native.floor import Floor
from spinal.runtime.awake import AwakeProcessors

JOINTS = 14
AHEAD_NS = 20 * MS
SETTLE_NS = 30 * MS
"""Behind the start of both threads, before the first slice of a block."""
THREADS = {"busy": busy_thread, "inference": inference_thread}
"""What may run beside the loop in its own process."""
FRACTIONS = {"p50": 0.5, "p99": 0.99}
"""Of a slice that are compared. Never the largest: on a shared machine it is somebody else's."""
BLOCKS_IN_A_ROUND = 4
SLICE_S = {1000: 0.42, 500: 0.6, 250: 1.0, 100: 2.0}
"""By rate: 200 records at least, so that two lie above the 99th percentile of a slice."""
MOST_SLICES = 240


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long is measured, and in how many pieces. ``blocks`` is a multiple of BLOCKS_IN_A_ROUND."""

    rate_hz: int
    blocks: int
    slices: int
    """Of a block."""
    slice_s: float

    @property
    def seconds(self) -> float:
        """What it takes, without the start of the process."""
        return self.blocks * (self.slices * self.slice_s + 0.06)

    @property
    def period_ns(self) -> int:
        """Of both loops."""
        return round(SECOND / self.rate_hz)


@dataclass(frozen=True, slots=True)
class Condition:
    """What a machine does meanwhile. ``processes``: of ``loads.KINDS``; ``threads``: of THREADS."""

    name: str
    processes: tuple[str, ...] = ()
    threads: tuple[str, ...] = ()

    @property
    def loaded(self) -> bool:
        """Whether waiting for a processor is on purpose."""
        return bool(self.processes or self.threads)


def schedule(rate_hz: int, seconds: float = 0.0) -> Schedule:
    """Of one run at one of SLICE_S; ``seconds``: of a soak, cut into MOST_SLICES at most."""
    slice_s = SLICE_S[rate_hz]
    if seconds <= 0:
        return Schedule(rate_hz, 12, 2, slice_s) if slice_s < 0.5 else Schedule(rate_hz, 4, 5, slice_s)
    rounds = max(3, min(MOST_SLICES, int(seconds / slice_s)) // (2 * BLOCKS_IN_A_ROUND))
    slices = rounds * 2 * BLOCKS_IN_A_ROUND
    return Schedule(rate_hz, rounds * BLOCKS_IN_A_ROUND, 2, max(slice_s, seconds / slices))


@dataclass(slots=True)
class Pair:
    """What a run saw. ``late`` and ``floor``: [slice, bucket of ``histogram.UPPER_EDGES_NS``]."""

    late: Counts
    floor: Counts
    skipped: int = 0
    """Slots that the subject did not come to at all."""
    faults: int = 0
    """Page faults of the subject's thread, behind its first tick."""
    realtime: dict[str, str | None] = field(default_factory=dict)
    """What the kernel granted the subject: name -> None, or why not."""
    floor_fifo: str | None = None
    """None: the floor has its real-time priority; else why not."""

    @property
    def alike(self) -> bool:
        """Whether both ran under the same rules of the kernel, so that a ratio means something."""
        return (self.realtime.get("fifo") is None) == (self.floor_fifo is None)


class Subject(Protocol):
    """One side of a pair: a loop with what feeds it, or another floor."""

    def begin(self, start_ns: int) -> None:
        """Starts a thread whose slots are ``start_ns`` and whole periods behind it."""

    def run_until(self, end_ns: int) -> None:
        """Keeps it going until then."""

    def late_counts(self) -> Counts:
        """Buckets of how late it woke, rising while it runs."""

    def end(self) -> None:
        """Ends the thread."""

    def skipped(self) -> int:
        """Slots that it did not come to at all, rising."""

    def account(self, pair: Pair) -> None:
        """Adds what this block's thread was granted and did; before ``end``."""


class LoopSubject:
    """The real loop, fed."""

    def __init__(self, rate_hz: int, joints: int = JOINTS) -> None:
        self._rig = Rig(joints, rate_hz)
        self.begin, self.run_until = self._rig.begin, self._rig.run_until
        self.late_counts, self.end = self._rig.late_counts, self._rig.end

    def skipped(self) -> int:
        """As the loop counts them."""
        return self._rig.stats["skipped_slots"]

    def account(self, pair: Pair) -> None:
        """Adds page faults."""
        stats = self._rig.stats
        pair.faults += stats["minor_faults"] + stats["major_faults"]
        pair.realtime = self._rig.realtime


class EmptySubject:
    """A floor in the loop's place: two alike loops, for what their ratio is when nothing differs."""

    def __init__(self, rate_hz: int) -> None:
        self._period_ns = round(SECOND / rate_hz)
        self._floor = self._new()

    def begin(self, start_ns: int) -> None:
        """Starts a new one."""
        self._floor = self._new()
        self._floor.start(start_ns)

    def run_until(self, end_ns: int) -> None:
        """Sleeps."""
        sleep_until_ns(end_ns)

    def late_counts(self) -> Counts:
        """Of the present one."""
        return self._floor.counts()

    def end(self) -> None:
        """Stops it."""
        self._floor.stop()

    def skipped(self) -> int:
        """It counts none: they are in its lateness."""
        return 0

    def account(self, pair: Pair) -> None:
        """What it was granted."""
        pair.realtime = {"fifo": self._floor.fifo}

    def _new(self) -> Floor:
        return Floor(self._period_ns, FIFO_PRIORITY, lock_memory=True)


def measure_pair(schedule: Schedule, threads: tuple[str, ...], empty: bool) -> Pair:
    """One run, beside ``threads`` (of THREADS) of this process; ``empty``: the subject is a floor too.

    For a process of its own: it locks memory. Raises SpinalError when the loop did not run all the time.
    """
    with ExitStack() as beside:
        beside.enter_context(AwakeProcessors(True))  # as the controller does, and cyclictest
        for name in threads:
            beside.enter_context(THREADS[name]())
        subject: Subject = EmptySubject(schedule.rate_hz) if empty else LoopSubject(schedule.rate_hz)
        return run(subject, schedule)


def run(subject: Subject, schedule: Schedule) -> Pair:
    """All blocks. Ends both threads, whatever happens."""
    late: list[Counts] = []
    floors: list[Counts] = []
    pair = Pair(np.zeros((0, 0), np.uint64), np.zeros((0, 0), np.uint64))
    for block in range(schedule.blocks):
        floor = Floor(schedule.period_ns, FIFO_PRIORITY, lock_memory=True)
        try:
            _start(subject, floor, block, schedule.period_ns)
            subject.run_until(now_ns() + SETTLE_NS)
            end_ns = now_ns()
            before = subject.late_counts(), floor.counts()
            skipped = subject.skipped()
            for _ in range(schedule.slices):
                end_ns += round(schedule.slice_s * SECOND)
                subject.run_until(end_ns)
                after = subject.late_counts(), floor.counts()
                late.append(after[0] - before[0])
                floors.append(after[1] - before[1])
                before = after
            pair.skipped += subject.skipped() - skipped
            subject.account(pair)
            pair.floor_fifo = floor.fifo
        finally:
            subject.end()
            floor.stop()
    pair.late, pair.floor = np.stack(late), np.stack(floors)
    return pair


def phases(block: int) -> tuple[bool, bool]:
    """Whether in this block the subject has the later half of the period, and whether it is started first.

    All four combinations in each round of blocks.
    """
    turn = block % BLOCKS_IN_A_ROUND
    return turn in (1, 2), turn in (0, 2)


def _start(subject: Subject, floor: Floor, block: int, period_ns: int) -> None:
    """Slots lie a quarter and three quarters of a period behind whole periods of the clock, where the kernel's
    own timer ticks."""
    base_ns = (now_ns() + AHEAD_NS) // period_ns * period_ns
    early_ns, late_ns = base_ns + period_ns // 4, base_ns + period_ns // 4 + period_ns // 2
    later, first = phases(block)
    ours_ns, theirs_ns = (late_ns, early_ns) if later else (early_ns, late_ns)
    if first:
        subject.begin(ours_ns)
        floor.start(theirs_ns)
    else:
        floor.start(theirs_ns)
        subject.begin(ours_ns)
