"""A real loop to measure: the native thread over ideal servos in memory, fed with chunks as a policy feeds it.

The bus costs next to nothing, so what is seen is the tick's own. All joints are arm joints, the dearer kind. A loop
that holds does less than one that runs, so every tick's record is looked at: a single one in another mode, or one
that was lost, ends the measurement with an error.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spinal.bench.machine import FIFO_PRIORITY
from spinal.native import layout
from spinal.native.bus import Bus, BusGroup
from spinal.native.clock import now_ns, sleep_until_ns
from spinal.native.feetech_bus import FeetechBus
from spinal.native.loop import STATS_BYTES, Loop, LoopStats, mode_name
from spinal.native.mirror import MirrorTransport
from spinal.native.shared import Mailbox, Ring, Segment
from spinal.native.trajectory import LARGEST_BYTES, TrajectoryWriter
from spinal.runtime.controller.plan import SafetyPlan
from spinal.runtime.errors import SpinalError
from spinal.runtime.trajectory import fit
from spinal.runtime.types import Trajectory

if TYPE_CHECKING:
    from spinal.native.loop import LoopCounts

Limits = tuple[float, float, float, float, float]
Stamps = dict[str, NDArray[np.int64]]
Array = NDArray[np.float64]

MS = 1_000_000
SECOND = 1_000_000_000
LIMITS: Limits = (-2.0, 2.0, 4.7, 80.0, 4000.0)
EMERGENCY: Limits = (-2.0, 2.0, 4.7, 120.0, 20000.0)
RAD_PER_COUNT = 2 * np.pi / 4096
STEP_NS = 20 * MS
"""Of the policy, and between waypoints: 50 Hz."""
CHUNK_STEPS = 50
"""As many as a policy of ACT's size answers; 1 s of motion, so a stall of the feeder starves nothing."""
SWING_RAD = 0.3
MISMATCH_RAD = 0.005
"""By how much a chunk differs from the one before: a hand-off has something to decay."""
ORDER_VALID_NS = 2 * SECOND
RECORD_SLOTS = 2048
"""Two seconds of a loop at 1 kHz."""
STAMPS = ("tick_ns", "woke_ns", "read_ns", "planned_ns", "computed_ns", "written_ns", "switched")
"""What is kept of each tick's record."""
SETTLE_S = 0.5
"""In which a chunk leads back to the common motion from wherever the arm stands."""
BEGIN_LIMIT_S = 10.0
GIVERS = 2


@dataclass(frozen=True)
class Plan:
    """What the native loop asks of a plan; see ``native/loop.pyi``."""

    dt_ns: int
    read_budget_ns: int
    joint_age_limit_ns: int
    missed_to_hold: int
    limits: tuple[Limits, ...]
    emergency: tuple[Limits, ...]
    grippers: tuple[bool, ...]
    fifo_priority: int
    lock_memory: bool
    safety: SafetyPlan = field(default_factory=SafetyPlan)
    cpu: int = -1


class Rig:
    """A loop of ``joints`` on ``buses`` at ``rate_hz``. ``begin``, ``run_until`` and ``end``, as often as wished.

    Thread contract: one thread; it feeds while it waits. Raises ValueError for joints that do not fit the buses.
    """

    def __init__(
        self,
        joints: int,
        rate_hz: int,
        *,
        buses: int = 1,
        fifo_priority: int = FIFO_PRIORITY,
        lock_memory: bool = True,
        keep_records: bool = False,
    ) -> None:
        self.joints, self.period_ns = joints, round(SECOND / rate_hz)
        self._keep = keep_records
        self._plan = Plan(
            dt_ns=self.period_ns,
            read_budget_ns=self.period_ns // 2,
            joint_age_limit_ns=SECOND,
            # A stall of a shared machine is to be counted as lateness, not to end the run.
            missed_to_hold=rate_hz,
            limits=(LIMITS,) * joints,
            emergency=(EMERGENCY,) * joints,
            grippers=(False,) * joints,
            fifo_priority=fifo_priority,
            lock_memory=lock_memory,
        )
        self._buses = [
            FeetechBus([_servo(n) for n in range(len(share))], 1_000_000, MirrorTransport())
            for share in np.array_split(np.arange(joints), buses)
        ]
        self._bus: Bus = self._buses[0] if buses == 1 else BusGroup(self._buses)
        self._state_type = layout.state_dtype(joints)
        self._record_type = layout.record_dtype(joints)
        self._make_memory()
        self._phase = 0.1 * np.arange(joints)
        self._noise = np.random.default_rng(0)
        self._lost = 0
        self._taken: list[NDArray[np.int64]] = []
        self._loop: Loop | None = None

    def _make_memory(self) -> None:
        state, record = self._state_type.itemsize, self._record_type.itemsize
        self._controller = Segment.create(
            "controller", [STATS_BYTES, Mailbox.size(state, 8), Ring.size(record, RECORD_SLOTS)]
        )
        Mailbox.format(self._controller, 1, state, 8)
        Ring.format(self._controller, 2, record, RECORD_SLOTS)
        order = layout.ORDER.itemsize
        self._others = Segment.create(
            "others", [64, *[Mailbox.size(order)] * GIVERS, Mailbox.size(LARGEST_BYTES)]
        )
        for part in range(1, GIVERS + 1):
            Mailbox.format(self._others, part, order)
        Mailbox.format(self._others, GIVERS + 1, LARGEST_BYTES)
        self._givers = [Mailbox(self._others, part) for part in range(1, GIVERS + 1)]
        self._trajectories = Mailbox(self._others, GIVERS + 1)
        self._writer = TrajectoryWriter(self._trajectories)
        self._state = Mailbox(self._controller, 1)
        self._ring = Ring(self._controller, 2, self._others, 0)
        self._stats = LoopStats(self._controller, 0)
        self._buffer = np.zeros(RECORD_SLOTS, self._record_type)

    def begin(self, start_ns: int | None = None) -> None:
        """A new loop on this rig's memory, whose slots are ``start_ns`` and whole periods behind it.

        Returns once it runs, with all earlier records gone. Raises SpinalError when it does not come to run.
        """
        self.end()
        self._loop = Loop(
            self._plan,
            self._bus,
            self._controller,
            0,
            self._state,
            self._ring,
            self._givers,
            self._trajectories,
        )
        self._order()
        self._loop.start(start_ns)
        deadline = time.monotonic() + BEGIN_LIMIT_S
        while self._loop.mode != "running":
            if time.monotonic() > deadline:
                mode = self._loop.mode
                self.end()
                raise SpinalError(
                    f"the loop to be measured is {mode} after {BEGIN_LIMIT_S:.0f} s and does not run",
                    hint="the machine is overloaded: end what runs beside it and measure again",
                )
            # Joints are armed before a chunk can begin where they stand.
            sleep_until_ns(now_ns() + max(self.period_ns, 2 * MS))
            self._feed()
        while self._ring.take(self._buffer.view(np.uint8)):
            pass
        self._taken.clear()
        self._lost = self._ring.dropped

    def run_until(self, end_ns: int) -> None:
        """Feeds until ``end_ns``. Raises SpinalError when the loop did anything but run."""
        while now_ns() < end_ns:
            # On the policy's own grid: after a stall whole steps are left out, and the phase stays.
            due_ns = (now_ns() // STEP_NS + 1) * STEP_NS
            sleep_until_ns(min(due_ns, end_ns))
            if due_ns <= end_ns:
                self._drain()
                self._feed()
        self._drain()

    def end(self) -> None:
        """Stops the loop; nothing happens without one."""
        if self._loop is not None:
            self._loop.stop()
            self._loop = None

    def records(self) -> Stamps:
        """Of every tick since ``begin`` or the last call: STAMPS, each [tick]. Raises as ``run_until``."""
        self._drain()
        found = np.concatenate(self._taken) if self._taken else np.zeros((0, len(STAMPS)), np.int64)
        self._taken.clear()
        return {name: found[:, column] for column, name in enumerate(STAMPS)}

    def late_counts(self) -> NDArray[np.uint64]:
        """Buckets of how late the loop woke, in all so far."""
        return self._stats.counts("late")

    @property
    def stats(self) -> LoopCounts:
        """The loop's counters; those of faults are the present loop's."""
        return self._stats.read()

    @property
    def realtime(self) -> dict[str, str | None]:
        """What the kernel granted the loop's thread; empty before the first."""
        return {} if self._loop is None else self._loop.realtime

    def _feed(self) -> None:
        self._order()
        state = self._newest_state()
        if state is None:
            return
        began_ns = now_ns()
        joints = state["joints"]
        command = np.stack(
            [joints[f"commanded_{word}"] for word in ("position", "velocity", "acceleration")], axis=1
        )
        position, curvature = fit(
            command, self._actions(began_ns, command[:, 0]), 0, STEP_NS * 1e-9, 0.1, 100.0
        )
        chunk = Trajectory(
            observation_stamp_ns=began_ns,
            sensor_stamp_ns=began_ns,
            published_ns=now_ns(),
            origin_ns=began_ns,
            step_ns=STEP_NS,
            fresh_for_ns=3 * STEP_NS,
            blend_min_ns=2 * STEP_NS,
            blend_max_ns=8 * STEP_NS,
            blend_share=0.5,
            position=position,
            curvature=curvature,
        )
        self._writer.publish(chunk, position, curvature)

    def _actions(self, began_ns: int, here: Array) -> Array:
        """[step, joint]: slow sines of absolute time, a little off by chance, reached from ``here`` [joint]."""
        since_s = STEP_NS * 1e-9 * np.arange(CHUNK_STEPS + 1)[:, None]
        wave = SWING_RAD * np.sin(np.pi * (began_ns * 1e-9 % 1e4 + since_s) + self._phase)
        wave += (here - wave[0]) * np.exp(-since_s / SETTLE_S)
        actions: Array = wave[1:] + self._noise.uniform(-MISMATCH_RAD, MISMATCH_RAD, self.joints)
        return actions

    def _newest_state(self) -> Any:
        record = np.zeros(1, self._state_type)
        return record[0] if self._state.read_latest(record.view(np.uint8)) else None

    def _order(self) -> None:
        stamp_ns = now_ns()
        order = np.array([(stamp_ns, stamp_ns + ORDER_VALID_NS, layout.ORDER_RUN, 0, 1.0, 0)], layout.ORDER)
        for giver in self._givers:
            giver.publish(order.view(np.uint8))

    def _drain(self) -> None:
        count = RECORD_SLOTS
        while count == RECORD_SLOTS:
            count = self._ring.take(self._buffer.view(np.uint8))
            taken = self._buffer[:count]
            require_running(taken["mode"], taken["conditions"])
            if self._keep and count:
                self._taken.append(np.stack([taken[name] for name in STAMPS], axis=1))
        if self._ring.dropped > self._lost:
            raise SpinalError(
                f"{self._ring.dropped - self._lost} records of ticks were lost: the measurement has holes",
                hint="the machine stood still for seconds: end what runs beside it and measure again",
            )


def require_running(modes: NDArray[np.int64], conditions: NDArray[np.uint64]) -> None:
    """Raises SpinalError, which says why, when a tick did anything but follow its trajectory. Both [tick]."""
    others = np.flatnonzero(modes != layout.MODE_RUNNING)
    if not len(others):
        return
    first = int(conditions[others[0]])
    why = ", ".join(word for bit, word in layout.CONDITIONS.items() if first & bit) or "no condition"
    raise SpinalError(
        f"{len(others)} of {len(modes)} ticks of the loop to be measured did not run but were"
        f" {mode_name(int(modes[others[0]]))}: {why}",
        hint="a loop that holds does less than one that runs, so nothing was measured: measure again",
    )


def _servo(number: int) -> tuple[int, float, float, float, float, float]:
    return number + 1, 2048.0, RAD_PER_COUNT, 0.0, 4095.0, 1.0
