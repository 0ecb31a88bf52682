"""The process that ``installed`` looks at: the installed loop in real time, ideal servos, a stream of new chunks.

    python -m spinal.bench.exact.subject TICKS [PLANT_LIBRARY]

Counts TICKS ticks of the loop's thread, prints one JSON object, and ticks on until its input ends, so that somebody
can look at the thread from outside. The counting library is preloaded, or nothing is counted.
"""

from __future__ import annotations

import ctypes
import json
import math
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spinal.native import layout
from spinal.native.clock import now_ns, sleep_until_ns
from spinal.native.feetech_bus import FeetechBus
from spinal.native.loop import Loop, LoopStats
from spinal.native.mirror import MirrorTransport
from spinal.native.shared import Mailbox, Ring
from spinal.native.trajectory import TrajectoryWriter
from spinal.runtime import segments
from spinal.runtime.controller.plan import LoopPlan
from spinal.runtime.segments import OrderWriter, Writer
from spinal.runtime.types import Trajectory

JOINTS = 6
MS = 1_000_000
DT_NS = MS
CHUNK_TICKS = 5
WAYPOINTS = 50
STEP_NS = 20 * MS
FAULT_CHECK_TICKS = 64
FOREVER_NS = 1 << 60
LIMIT_S = 20.0
REPORT_BYTES = 16384
PR_SET_PTRACER, PR_SET_PTRACER_ANY = 0x59616D61, 2**64 - 1
LIMITS = (-2.0, 2.0, 4.7, 80.0, 4000.0)


class PlantedTransport:
    """``inner`` with the one slow-down that ``library`` was compiled with."""

    def __init__(self, library: Path, inner: MirrorTransport) -> None:
        self._keeps = (ctypes.CDLL(str(library)), inner)
        around = self._keeps[0].plant_around
        around.restype = ctypes.c_void_p
        take, give = (
            ctypes.cast(function, ctypes.c_void_p)
            for function in (ctypes.pythonapi.PyGILState_Ensure, ctypes.pythonapi.PyGILState_Release)
        )
        self.address: int = around(ctypes.c_void_p(inner.address), ctypes.c_int(JOINTS), take, give)


class Subject:
    """The loop with its memory; a new chunk whenever asked."""

    def __init__(self, library: Path | None) -> None:
        mirror = MirrorTransport()
        wire = mirror if library is None else PlantedTransport(library, mirror)
        made = {writer: segments.create(writer, JOINTS) for writer in Writer}
        controller, supervisor = made[Writer.CONTROLLER], made[Writer.SUPERVISOR]
        joints = [(servo, 2048.0, math.tau / 4096, 0.0, 4095.0) for servo in range(1, JOINTS + 1)]
        self._records = Ring(controller, segments.CONTROLLER_RECORDS, supervisor, segments.SUPERVISOR_TAIL)
        self._taken = np.zeros(segments.RECORD_SLOTS, layout.record_dtype(JOINTS)).view(np.uint8)
        trajectories = Mailbox(made[Writer.POLICY], segments.POLICY_TRAJECTORY)
        self._writer = TrajectoryWriter(trajectories)
        OrderWriter(supervisor, segments.SUPERVISOR_ORDER).give(layout.ORDER_RUN, 0, FOREVER_NS)
        self._stats = LoopStats(controller, segments.CONTROLLER_STATS)
        self.loop = Loop(
            _plan(),
            FeetechBus(joints, 1_000_000, wire),
            controller,
            segments.CONTROLLER_STATS,
            Mailbox(controller, segments.CONTROLLER_STATE),
            self._records,
            [Mailbox(supervisor, segments.SUPERVISOR_ORDER)],
            trajectories,
        )

    @property
    def ticks(self) -> int:
        """So far."""
        return self._stats.read()["ticks"]

    def figures(self) -> dict[str, int]:
        """The loop's counters that the report has."""
        read = self._stats.read()
        return {
            "ticks": read["ticks"],
            "running_ticks": read["running_ticks"],
            "switches": read["switches"],
            "page_faults": read["minor_faults"] + read["major_faults"],
        }

    def feed_until(self, done: Callable[[], bool]) -> None:
        """Publishes chunks and drains the records until ``done``. Raises TimeoutError."""
        deadline_ns = now_ns() + int(LIMIT_S * 1e9)
        while not done():
            if now_ns() > deadline_ns:
                raise TimeoutError(f"not within {LIMIT_S:g} s: the loop made {self.ticks} ticks")
            path = _path(now_ns())
            self._writer.publish(path, path.position, path.curvature)
            self._records.take(self._taken)
            sleep_until_ns(now_ns() + CHUNK_TICKS * DT_NS)


def _plan() -> LoopPlan:
    return LoopPlan(
        dt_ns=DT_NS,
        read_budget_ns=DT_NS // 2,
        joint_age_limit_ns=50 * MS,
        missed_to_hold=3,
        limits=(LIMITS,) * JOINTS,
        emergency=(LIMITS,) * JOINTS,
        grippers=(False,) * JOINTS,
        fifo_priority=0,
        lock_memory=True,
    )


def _path(begin_ns: int) -> Trajectory:
    """A slow wave from ``begin_ns`` on: each chunk continues the last."""
    t_s = (begin_ns + np.arange(WAYPOINTS) * STEP_NS) * 1e-9
    turns_s = math.tau * 0.3
    position = np.tile(0.3 * np.sin(turns_s * t_s)[:, None], (1, JOINTS))
    return Trajectory(
        observation_stamp_ns=begin_ns,
        sensor_stamp_ns=begin_ns,
        published_ns=begin_ns,
        origin_ns=begin_ns,
        step_ns=STEP_NS,
        fresh_for_ns=3 * STEP_NS,
        blend_min_ns=20 * MS,
        blend_max_ns=160 * MS,
        blend_share=0.5,
        position=position,
        curvature=-(turns_s**2) * position,
    )


def main(ticks: int, library: Path | None) -> None:
    """Prints the report, and goes on until the input ends."""
    subject = Subject(library)
    counting = ctypes.CDLL(None)
    # Where only ancestors may trace (yama), the one who counts system calls is a sibling.
    counting.prctl(PR_SET_PTRACER, ctypes.c_ulong(PR_SET_PTRACER_ANY), 0, 0, 0)
    counts = hasattr(counting, "count_calls_watch")
    subject.loop.start()
    try:
        subject.feed_until(lambda: subject.loop.mode == "running")
        before = subject.figures()
        if counts:
            counting.count_calls_watch(ctypes.c_long(subject.loop.thread_id))
        subject.feed_until(lambda: subject.ticks >= before["ticks"] + ticks)
        if counts:
            counting.count_calls_watch(ctypes.c_long(0))
        after = subject.figures()
        # Faults are counted every so many ticks.
        subject.feed_until(lambda: subject.ticks > after["ticks"] + FAULT_CHECK_TICKS)
        text = ctypes.create_string_buffer(REPORT_BYTES)
        if counts:
            counting.count_calls_report(text, ctypes.c_int(REPORT_BYTES))
        report = {
            **{name: after[name] - before[name] for name in ("ticks", "running_ticks", "switches")},
            "page_faults": subject.figures()["page_faults"],
            "memory_lock": subject.loop.realtime["mlock"],
            "thread_id": subject.loop.thread_id,
            "calls": text.value.decode() if counts else None,
        }
        print(json.dumps(report), flush=True)
        ended = threading.Event()
        threading.Thread(target=_wait_for_the_end, args=(ended,), daemon=True).start()
        subject.feed_until(ended.is_set)
    finally:
        subject.loop.stop()


def _wait_for_the_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
