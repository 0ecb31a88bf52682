"""The process that ``installed`` looks at: two installed loops in real time, each following a stream of new chunks.

One has ideal servos in memory and is watched call by call; the other has emulated servos at the end of a
socketpair, for the system calls of a real line.

    python -m spinal.bench.exact.subject TICKS [PLANT_LIBRARY]

Counts TICKS ticks of the first loop's thread, prints one JSON object, and ticks on until its input ends, so that
somebody can look at both threads from outside. The counting library is preloaded, or nothing is counted.
"""

from __future__ import annotations

import ctypes
import json
import math
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spinal.native import layout
from spinal.native.clock import now_ns, sleep_until_ns
from spinal.native.emulator import Emulator, EmulatorServer
from spinal.native.feetech_bus import FeetechBus, SerialLine
from spinal.native.loop import Loop, LoopStats
from spinal.native.mirror import MirrorTransport
from spinal.native.shared import Mailbox, Ring
from spinal.native.trajectory import TrajectoryWriter
from spinal.runtime import segments
from spinal.runtime.controller.plan import LoopPlan, SafetyPlan
from spinal.runtime.segments import OrderWriter, Writer
from spinal.runtime.types import Trajectory

if TYPE_CHECKING:
    from spinal.native.feetech_bus import NativeTransport

JOINTS = 6
SERVOS = range(1, JOINTS + 1)
MS = 1_000_000
DT_NS, LINE_DT_NS = MS, 4 * MS
FEED_NS = 5 * MS
BAUD = 1_000_000
HEALTH_EVERY = 1
"""The dearest tick, and all alike."""
WAYPOINTS = 50
STEP_NS = 20 * MS
SLOW_TICKS = 64
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
    """A loop with its memory, over ``wire``."""

    def __init__(self, wire: NativeTransport, dt_ns: int) -> None:
        made = {writer: segments.create(writer, JOINTS) for writer in Writer}
        controller, supervisor = made[Writer.CONTROLLER], made[Writer.SUPERVISOR]
        joints = [(servo, 2048.0, math.tau / 4096, 0.0, 4095.0, 1.0) for servo in SERVOS]
        self._records = Ring(controller, segments.CONTROLLER_RECORDS, supervisor, segments.SUPERVISOR_TAIL)
        self._taken = np.zeros(segments.RECORD_SLOTS, layout.record_dtype(JOINTS)).view(np.uint8)
        trajectories = Mailbox(made[Writer.POLICY], segments.POLICY_TRAJECTORY)
        self._writer = TrajectoryWriter(trajectories)
        OrderWriter(supervisor, segments.SUPERVISOR_ORDER).give(layout.ORDER_RUN, 0, FOREVER_NS)
        self._stats = LoopStats(controller, segments.CONTROLLER_STATS)
        self.loop = Loop(
            _plan(dt_ns),
            FeetechBus(joints, BAUD, wire, health_every=HEALTH_EVERY),
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

    def feed(self) -> None:
        """Publishes a chunk that begins now, and drains the records."""
        path = _path(now_ns())
        self._writer.publish(path, path.position, path.curvature)
        self._records.take(self._taken)


def feed_until(done: Callable[[], bool], subjects: Sequence[Subject], limit_s: float = LIMIT_S) -> None:
    """Feeds them every few ms until ``done``. Raises TimeoutError."""
    deadline_ns = now_ns() + int(limit_s * 1e9)
    while not done():
        if now_ns() > deadline_ns:
            ticks = ", ".join(str(subject.ticks) for subject in subjects)
            raise TimeoutError(f"not within {limit_s:g} s; ticks: {ticks}")
        for subject in subjects:
            subject.feed()
        sleep_until_ns(now_ns() + FEED_NS)


def _plan(dt_ns: int) -> LoopPlan:
    return LoopPlan(
        dt_ns=dt_ns,
        read_budget_ns=dt_ns // 2,
        joint_age_limit_ns=50 * MS,
        missed_to_hold=3,
        safety=SafetyPlan(),
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
    mirror = MirrorTransport()
    subject = Subject(mirror if library is None else PlantedTransport(library, mirror), DT_NS)
    near, far = socket.socketpair()
    on_line = Subject(SerialLine(near.fileno()), LINE_DT_NS)
    both = (subject, on_line)
    counting = ctypes.CDLL(None)
    # Where only ancestors may trace (yama), the one who counts system calls is a sibling.
    counting.prctl(PR_SET_PTRACER, ctypes.c_ulong(PR_SET_PTRACER_ANY), 0, 0, 0)
    counts = hasattr(counting, "count_calls_watch")
    with near, far, EmulatorServer(Emulator(SERVOS, baud=BAUD), far.fileno()):
        try:
            for one in both:
                one.loop.start()
            feed_until(lambda: all(one.loop.mode == "running" for one in both), both)
            before = subject.figures()
            if counts:
                counting.count_calls_watch(ctypes.c_long(subject.loop.thread_id))
            feed_until(lambda: subject.ticks >= before["ticks"] + ticks, both)
            if counts:
                counting.count_calls_watch(ctypes.c_long(0))
            after = subject.figures()
            # Faults are counted every so many ticks.
            feed_until(lambda: subject.ticks > after["ticks"] + SLOW_TICKS, both)
            text = ctypes.create_string_buffer(REPORT_BYTES)
            if counts:
                counting.count_calls_report(text, ctypes.c_int(REPORT_BYTES))
            report = {
                **{name: after[name] - before[name] for name in ("ticks", "running_ticks", "switches")},
                "page_faults": subject.figures()["page_faults"],
                "memory_lock": subject.loop.realtime["mlock"],
                "thread_id": subject.loop.thread_id,
                "line_thread_id": on_line.loop.thread_id,
                "calls": text.value.decode() if counts else "",
            }
            print(json.dumps(report), flush=True)
            ended = threading.Event()
            threading.Thread(target=_wait_for_the_end, args=(ended,), daemon=True).start()
            feed_until(ended.is_set, both, 2 * LIMIT_S)
        finally:
            for one in both:
                one.loop.stop()


def _wait_for_the_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
