"""Looks on while a robot runs, and only reads: its records, its states, and the kernel's counters of its loop.

Nothing here can be noticed by the robot: no tail is moved, no signal sent, nothing is traced or locked, every
mapping is read-only. What it costs is a few reads of /proc a hundred times a second; nice 19 is the caller's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spinal.bench.profile.evidence import Sample
from spinal.native import clock, layout
from spinal.native.loop import JOINT_RECORD_BYTES, RECORD_HEAD_BYTES, LoopStats
from spinal.native.shared import Mailbox, RingFollower, Segment
from spinal.runtime.segments import (
    CONTROLLER_RECORDS,
    CONTROLLER_REPORT,
    CONTROLLER_STATE,
    CONTROLLER_STATS,
    ReportReader,
)
from spinal.runtime.supervisor.table import CONTROLLER

PERIOD_NS = 10_000_000
TELL_PERIOD_NS = 500_000_000
SILENT_LIMIT_NS = 5_000_000_000
"""A loop that records nothing for so long has ended, or waits for a device that does not come back."""
TAKE = 512
LARGEST_FILE = 8192
JIFFY_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")

Tell = Callable[[float, int, int], None]
"""Told twice a second: seconds so far, ticks so far, the longest tick in ns (from its own slot)."""


@dataclass
class Seen:
    """What a watch brought. ``heads``: tick records without their joints."""

    seconds: float
    heads: NDArray[np.void]
    samples: list[Sample]
    missing: dict[int, int]
    """Tick -> joints that did not answer in it."""
    lost: int
    """Records that were overwritten before they were read here."""
    dropped: int
    """Records that the robot left out itself, because its supervisor did not come by."""
    counters: dict[str, int]
    """What the loop counted meanwhile: skipped_slots, minor_faults, major_faults, missing_replies.
    A controller that was started anew counts its own faults from 0."""
    cost: float
    """The share of one processor that watching took."""
    notes: list[str] = field(default_factory=list)


class Watcher:
    """Of one controller's memory. One thread."""

    def __init__(self, controller: Segment) -> None:
        self._segment = controller
        self._ring = RingFollower(controller, CONTROLLER_RECORDS)
        joints = (self._ring.record_bytes - RECORD_HEAD_BYTES) // JOINT_RECORD_BYTES
        self._buffer = np.zeros((TAKE, self._ring.record_bytes), np.uint8)
        self._heads: list[NDArray[np.void]] = [np.zeros(0, HEAD)]
        self._ticks = 0
        self._longest_ns = 0
        self._states = Mailbox(controller, CONTROLLER_STATE)
        self._state = np.zeros(1, layout.state_dtype(joints))
        self._state_bytes = self._state.view(np.uint8)
        self._next_state = self._states.latest + 1
        self._missing: dict[int, int] = {}
        self._stats = LoopStats(controller, CONTROLLER_STATS)

    def watch(self, seconds: float, tell: Tell) -> Seen:
        """For ``seconds``, or until Ctrl-C or the robot's end; the notes say which."""
        notes: list[str] = []
        samples: list[Sample] = []
        before, dropped, work_ns = self._counters(), self._ring.dropped, time.thread_time_ns()
        began_ns = due_ns = told_ns = alive_ns = clock.now_ns()
        thread = LoopThread(self._segment)
        try:
            while due_ns - began_ns < seconds * 1e9:
                due_ns = max(due_ns + PERIOD_NS, clock.now_ns())
                clock.sleep_until_ns(due_ns)
                samples.append(thread.sample(due_ns))
                alive_ns = due_ns if self._take() else alive_ns
                if due_ns - alive_ns > SILENT_LIMIT_NS:
                    notes.append(f"the loop recorded nothing more after {(alive_ns - began_ns) / 1e9:.1f} s")
                    break
                if due_ns - told_ns > TELL_PERIOD_NS:
                    told_ns = due_ns
                    tell((due_ns - began_ns) / 1e9, self._ticks, self._longest_ns)
        except KeyboardInterrupt:
            notes.append(f"ended by hand, before its {seconds:g} s")
        finally:
            thread.close()
        after = self._counters()
        if thread.lives > 1:
            notes.append(f"the controller was started anew {thread.lives - 1} times meanwhile")
        if not thread.lives:
            notes.append("the kernel's counters of the loop's thread may not be read: causes are unknown")
        return Seen(
            seconds=(clock.now_ns() - began_ns) / 1e9,
            heads=np.concatenate(self._heads),
            samples=samples,
            missing=self._missing,
            lost=self._ring.lost,
            dropped=self._ring.dropped - dropped,
            counters={name: max(0, after[name] - before[name]) for name in after},
            cost=(time.thread_time_ns() - work_ns) / max(1, clock.now_ns() - began_ns),
            notes=notes,
        )

    def _take(self) -> int:
        """The records and states since the last call; how many records."""
        before = self._ticks
        while count := self._ring.follow(self._buffer.reshape(-1)):
            heads = self._buffer[:count, :RECORD_HEAD_BYTES].copy().view(HEAD)[:, 0]
            self._heads.append(heads)
            self._ticks += count
            self._longest_ns = max(self._longest_ns, int((heads["written_ns"] - heads["tick_ns"]).max()))
        newest = self._states.latest
        for number in range(max(self._next_state, newest - self._states.slots + 2), newest + 1):
            if self._states.read(number, self._state_bytes):
                state = self._state[0]
                silent = len(state["joints"]) - int(state["joints"]["fresh"].sum())
                if silent:
                    self._missing[int(state["tick"])] = silent
        self._next_state = newest + 1
        return self._ticks - before

    def _counters(self) -> dict[str, int]:
        counts = self._stats.read()
        return {
            "skipped_slots": counts["skipped_slots"],
            "minor_faults": counts["minor_faults"],
            "major_faults": counts["major_faults"],
            "missing_replies": counts["missing_replies"],
        }


HEAD = layout.record_dtype(0)


class LoopThread:
    """The kernel's counters of the loop's thread, whichever process runs it now. ``lives``: how many it had."""

    def __init__(self, controller: Segment) -> None:
        self._controller = controller
        self._report = ReportReader(controller, CONTROLLER_REPORT)
        self._machine = os.open("/proc/stat", os.O_RDONLY | os.O_CLOEXEC)
        self._own = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        self._files: list[int] = []
        self._thread = 0
        self.lives = 0

    def sample(self, due_ns: int) -> Sample:
        """Everything, now. A thread that is gone is looked for again; meanwhile its counters are 0."""
        began_ns = clock.now_ns()
        own_ns = _waited_ns(self._own)
        stopped = waited_ns = forced = faults = 0
        try:
            if not self._files:
                self._find()
            stat, schedstat, status = self._files
            fields = os.pread(stat, LARGEST_FILE, 0).rpartition(b")")[2].split()
            stopped, faults = int(fields[0] in b"Tt"), int(fields[7]) + int(fields[9])
            waited_ns = _waited_ns(schedstat)
            forced = int(os.pread(status, LARGEST_FILE, 0).rpartition(b"nonvoluntary_ctxt_switches:")[2])
        except (OSError, ValueError, IndexError):
            self._forget()
        steal = int(os.pread(self._machine, 256, 0).split(b"\n", 1)[0].split()[8]) * JIFFY_NS
        done_ns = clock.now_ns()
        return Sample(
            due_ns, began_ns, done_ns, self._thread, stopped, waited_ns, forced, faults, steal, own_ns
        )

    def close(self) -> None:
        """Closes what it reads."""
        self._forget()
        os.close(self._machine)
        os.close(self._own)

    def _find(self) -> None:
        """Raises OSError when it is not there, or may not be read."""
        thread = int(self._report.read().get("thread_id", 0))
        process = Path(f"/proc/{self._controller.writer_pid}")
        if CONTROLLER.module.encode() not in (process / "cmdline").read_bytes():
            raise ProcessLookupError  # in a container, whose process ids are others than ours
        for name in ("stat", "schedstat", "status"):
            self._files.append(os.open(process / "task" / str(thread) / name, os.O_RDONLY | os.O_CLOEXEC))
        self._thread = thread
        self.lives += 1

    def _forget(self) -> None:
        for file in self._files:
            with suppress(OSError):
                os.close(file)
        self._files.clear()
        self._thread = 0


def _waited_ns(schedstat: int) -> int:
    """Second word: time spent in a run queue. -1 where the kernel keeps none."""
    words = os.pread(schedstat, LARGEST_FILE, 0).split()
    return int(words[1]) if len(words) == 3 and words[2] != b"0" else -1
