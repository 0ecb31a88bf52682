"""The chunk store under random latencies: the native loop on a manual clock, against a model of its own.

Chunks of 4 to 127 steps, of both kinds of path, arrive late, in bursts, overtaken by newer ones, or never; the
policy restarts, the loop restarts on the same memory, slots are missed. Every regime draws its own latencies,
below the chunk's length less a margin; some are followed by an outage that no chunk can outlast.

Each command tells what it is of. Joint 0 of every chunk is the same line over absolute time, so a command says
its instant; joint 1 is a number of the chunk's own. Blends end within a tick. What the loop should do is
modelled apart, from what was published when: the newest answer wins if it is of a newer observation than those
accepted before, has not ended, and was published since the loop began.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, fields

import numpy as np

from spinal.bench.loop.rig import Plan
from spinal.bench.seam.feed import Array
from spinal.native import layout
from spinal.native.clock import ManualClock
from spinal.native.loop import STATS_BYTES, Loop, LoopStats
from spinal.native.memory_bus import MemoryBus
from spinal.native.shared import Mailbox, Ring, Segment
from spinal.native.trajectory import LARGEST_BYTES, MAX_DEGREE, TrajectoryWriter
from spinal.runtime.types import Trajectory

MS = 1_000_000
EPOCH_NS = 10_000_000_000
TICK_NS, STEP_NS = 4 * MS, 20 * MS
JOINTS = 2
SHORTEST, LONGEST = 4, 127
"""Steps of a chunk."""
MARGIN_NS = STEP_NS + 2 * TICK_NS
LIMITS = (-1e6, 1e6, 1e6, 1e9, 1e13)
"""So wide that every mismatch decays within a tick: each command is then its chunk's own."""
RATE = 0.1
"""rad/s of the line that tells the time: 4e-4 rad from tick to tick, 1e-9 is 10 ns."""
BEGIN_TICKS = 8
"""From a chunk that may be executed until a loop that stood still runs."""
RECORDS = 2048
FOREVER_NS = 1 << 60


@dataclass(slots=True)
class Counts:
    """What came of so many ticks; the first block has to be 0."""

    starved: int = 0
    """Ticks without a chunk in force, while latency stayed below the chunk's length less the margin."""
    late: int = 0
    """Ticks beyond ``fresh_for_ns``, which is the chunk's length, as the loop counts them."""
    twice: int = 0
    """Commands of an instant that an earlier command had."""
    elsewhen: int = 0
    """Commands of another instant than their own tick's."""
    another: int = 0
    """Commands of another chunk than the model's, by the loop's word or by what they are."""
    back: int = 0
    """Ticks whose chunk answers an older observation than the tick's before, in one loop's life."""
    past_its_end: int = 0
    """Commands of a chunk that had ended."""
    stale_epoch: int = 0
    """Commands of a chunk from before the loop's own beginning."""

    ticks: int = 0
    running: int = 0
    switches: int = 0
    published: int = 0
    dropped: int = 0
    """Chunks that never arrived."""
    overtaken: int = 0
    """Published behind a chunk of a newer observation, and refused."""
    unseen: int = 0
    """Followed by another before the tick came to look."""
    missed_slots: int = 0
    outages: int = 0
    outage_ticks: int = 0
    """Without any chunk to execute, as nobody had one."""
    policy_restarts: int = 0
    loop_restarts: int = 0
    begin_ticks: int = 0
    """Of a loop that had stood still, until it ran."""

    @property
    def faults(self) -> dict[str, int]:
        """What has to be 0."""
        names = [one.name for one in fields(self)][:8]
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class _Sent:
    number: int
    code: float
    stamp_ns: int
    end_ns: int
    epoch: int


@dataclass(order=True, slots=True)
class _Due:
    at_ns: int
    stamp_ns: int
    steps: int = field(compare=False)


class QueueModel:
    """One run; ``seed`` draws all of it. Memory is given back by ``close``."""

    def __init__(self, seed: int) -> None:
        self.counts = Counts()
        self._rng = np.random.default_rng(seed)
        self._clock = ManualClock(EPOCH_NS)
        self._record_type = layout.record_dtype(JOINTS)
        state, record = layout.state_dtype(JOINTS).itemsize, self._record_type.itemsize
        self._own = Segment.create(
            "controller", [STATS_BYTES, Mailbox.size(state, 8), Ring.size(record, RECORDS)]
        )
        Mailbox.format(self._own, 1, state, 8)
        Ring.format(self._own, 2, record, RECORDS)
        order = layout.ORDER.itemsize
        self._others = Segment.create("others", [64, Mailbox.size(order), Mailbox.size(LARGEST_BYTES)])
        Mailbox.format(self._others, 1, order)
        Mailbox.format(self._others, 2, LARGEST_BYTES)
        self._order, self._box = Mailbox(self._others, 1), Mailbox(self._others, 2)
        given = np.array([(0, FOREVER_NS, layout.ORDER_RUN, 0, 1.0, 0)], layout.ORDER)
        self._order.publish(given.view(np.uint8))
        self._ring = Ring(self._own, 2, self._others, 0)
        self._stats = LoopStats(self._own, 0)
        self._taken = np.zeros(RECORDS, self._record_type)
        self._expected: list[tuple[_Sent | None, bool]] = []
        self._due: list[_Due] = []
        self._force: _Sent | None = None
        self._newest: _Sent | None = None
        self._looked_at = self._accepted_ns = 0
        self._tick_ns = EPOCH_NS
        self._unsteady = 0
        self._last_stamp_ns = 0
        self._last_instant_ns = float("-inf")
        self._epoch = 0
        self._begin_loop()
        self._begin_policy()

    def close(self) -> None:
        """Gives the memory back."""
        self._own.close()
        self._others.close()

    def run(self, ticks: int) -> Counts:
        """So many ticks, in regimes of their own latencies, with what happens between them."""
        while self.counts.ticks < ticks:
            self._bridge()
            self._regime(min(ticks - self.counts.ticks, int(self._rng.integers(500, 2500))))
            kind = self._rng.random()
            if kind < 0.15:
                self._outage()
            elif kind < 0.3:
                self._begin_policy()
            elif kind < 0.45:
                self._begin_loop()
        self._examine()
        counted = self._stats.read()
        self.counts.late = counted["starved_ticks"]
        self.counts.switches = counted["switches"]
        return self.counts

    # --- what happens

    def _begin_loop(self) -> None:
        """A loop that starts on the memory of the one before: nothing published before it is its to execute."""
        if self.counts.ticks:
            self._examine()
            self.counts.loop_restarts += 1
        bus = MemoryBus(JOINTS, False)
        for joint in range(JOINTS):
            bus.measure(joint, stamp_ns=1 << 59)
        plan = Plan(
            dt_ns=TICK_NS,
            read_budget_ns=TICK_NS // 2,
            joint_age_limit_ns=1 << 60,
            missed_to_hold=1000,
            limits=(LIMITS,) * JOINTS,
            emergency=(LIMITS,) * JOINTS,
            grippers=(False,) * JOINTS,
            fifo_priority=0,
            lock_memory=False,
        )
        self._loop = Loop(
            plan, bus, self._own, 0, Mailbox(self._own, 1), self._ring, [self._order], self._box, self._clock
        )
        self._epoch += 1
        self._force, self._looked_at = None, self._newest.number if self._newest else 0
        self._accepted_ns = self._last_stamp_ns = 0
        self._unsteady = BEGIN_TICKS

    def _begin_policy(self) -> None:
        """A policy that starts on the same mailbox, and knows nothing of what was sent before."""
        self._writer = TrajectoryWriter(self._box)
        self.counts.policy_restarts += 1

    def _bridge(self) -> None:
        """An answer at once, as long as can be: no regime has to wait for the one before it."""
        heapq.heappush(self._due, _Due(self._tick_ns, self._tick_ns, LONGEST))

    def _outage(self) -> None:
        """Nothing arrives any more until whatever is in force has ended, and a little longer."""
        self.counts.outages += 1
        self._due.clear()
        end_ns = self._force.end_ns if self._force else self._tick_ns
        while self._tick_ns < end_ns + int(self._rng.integers(1, 300)) * MS:
            self._tick()

    def _regime(self, ticks: int) -> None:
        rng = self._rng
        steps = int(rng.integers(SHORTEST, LONGEST + 1))
        length_ns = steps * STEP_NS
        in_a_row = int(rng.integers(0, 3))  # chunks that may be lost behind one another
        room_ns = length_ns - MARGIN_NS
        period_ns = int(rng.integers(STEP_NS // 2, max(STEP_NS, room_ns // (2 * (in_a_row + 2))) + 1))
        if period_ns * (in_a_row + 1) >= room_ns:
            in_a_row = 0
        longest_ns = max(0, room_ns - period_ns * (in_a_row + 1))
        rolling = rng.choice(["any", "constant", "rolling", "bursts"])
        lost, level_ns, burst_ns = 0, rng.integers(0, longest_ns + 1), 0
        end, next_ns = self.counts.ticks + ticks, self._tick_ns + period_ns
        while self.counts.ticks < end:
            while next_ns <= self._tick_ns:
                if in_a_row and lost < in_a_row and rng.random() < 0.2:
                    lost += 1
                    self.counts.dropped += 1
                else:
                    lost = 0
                    if rolling == "any":
                        level_ns = rng.integers(0, longest_ns + 1)
                    elif rolling == "rolling":
                        level_ns = np.clip(level_ns + rng.integers(-8 * MS, 8 * MS), 0, longest_ns)
                    at_ns = next_ns + int(level_ns)
                    if rolling == "bursts":  # what was ready in the meantime comes at once
                        if not burst_ns or next_ns > burst_ns:
                            burst_ns = next_ns + int(rng.integers(0, longest_ns + 1))
                        at_ns = burst_ns
                    heapq.heappush(self._due, _Due(at_ns, next_ns, steps))
                next_ns += period_ns
            self._tick(late=int(rng.integers(1, 4)) if rng.random() < 0.002 else 0)

    # --- one tick of the loop, and of the model

    def _tick(self, late: int = 0) -> None:
        self._tick_ns += late * TICK_NS
        self.counts.missed_slots += late
        while self._due and self._due[0].at_ns <= self._tick_ns:
            # Of those that come between two ticks the newest comes last, as one policy sends them.
            due = [heapq.heappop(self._due)]
            while self._due and self._due[0].at_ns <= self._tick_ns:
                due.append(heapq.heappop(self._due))
            for one in sorted(due, key=lambda each: each.stamp_ns):
                self._send(one.stamp_ns, one.steps)
        self._choose()
        force = self._force
        self._expected.append((force, self._unsteady > 0))
        self._unsteady = BEGIN_TICKS if force is None else max(0, self._unsteady - 1)
        self._clock.now_ns = self._tick_ns
        self._loop.tick(self._tick_ns, late)
        self.counts.ticks += 1
        if len(self._expected) == RECORDS:
            self._examine()
        self._tick_ns += TICK_NS

    def _choose(self) -> None:
        newest = self._newest
        if newest is not None and newest.number > self._looked_at:
            self.counts.unseen += newest.number - self._looked_at - 1
            self._looked_at = newest.number
            if newest.stamp_ns <= self._accepted_ns:
                self.counts.overtaken += 1
            elif newest.end_ns > self._tick_ns:
                self._force, self._accepted_ns = newest, newest.stamp_ns
        if self._force is not None and self._force.end_ns <= self._tick_ns:
            self._force = None

    def _send(self, stamp_ns: int, steps: int) -> None:
        rng = self._rng
        code = float(rng.uniform(-1, 1))
        times_ns = stamp_ns + STEP_NS * np.arange(steps + 1, dtype=np.float64)
        degree = int(rng.integers(0, MAX_DEGREE + 1))
        controls = None
        if degree:  # a straight line's control points lie on it, each at the mean of its knots (Greville)
            count = int(rng.integers(degree + 1, min(steps, 40) + degree + 1))
            inner = np.linspace(0, 1, count - degree + 1)
            knots = np.concatenate([np.zeros(degree), inner, np.ones(degree)])
            greville = np.convolve(knots[1:-1], np.ones(degree) / degree, mode="valid")
            controls = _told(stamp_ns + greville * steps * STEP_NS, code)
        position = _told(times_ns, code)
        path = Trajectory(
            observation_stamp_ns=stamp_ns,
            sensor_stamp_ns=stamp_ns,
            published_ns=self._tick_ns,
            origin_ns=stamp_ns,
            step_ns=STEP_NS,
            fresh_for_ns=steps * STEP_NS,
            blend_min_ns=MS,
            blend_max_ns=MS,
            blend_share=1.0,
            position=position,
            curvature=np.zeros_like(position),
            degree=degree,
            controls=controls,
        )
        number = self._writer.publish(path, path.position, path.curvature)
        self._newest = _Sent(number, code, stamp_ns, path.end_ns, self._epoch)
        self.counts.published += 1

    # --- what it did

    def _examine(self) -> None:
        """Holds the records since the last call to the model."""
        count = self._ring.take(self._taken.view(np.uint8))
        expected, self._expected = self._expected, []
        if count != len(expected):
            raise RuntimeError(f"{count} records of {len(expected)} ticks")
        counts, records = self.counts, self._taken[:count]
        nobody = _Sent(0, 0.0, 0, 0, 0)
        running = records["mode"] == layout.MODE_RUNNING
        tick_ns = records["tick_ns"]
        there = np.array([one is not None for one, _ in expected], np.bool_)
        unsteady = np.array([waits for _, waits in expected], np.bool_)
        sent = [one or nobody for one, _ in expected]
        counts.running += int(running.sum())
        counts.outage_ticks += int((~there & ~running).sum())
        counts.begin_ticks += int((there & unsteady & ~running).sum())
        counts.starved += int((there & ~unsteady & ~running).sum())
        counts.past_its_end += int((running & ~there).sum())
        asked = records["joints"]["requested"]
        instant_ns = asked[:, 0] / RATE * 1e9 + EPOCH_NS
        on = running & there
        counts.elsewhen += int((np.abs(instant_ns - tick_ns)[on] > 100).sum())
        instants = np.concatenate([[self._last_instant_ns], instant_ns[on]])
        counts.twice += int((np.diff(instants) < TICK_NS / 2).sum())
        self._last_instant_ns = float(instants[-1])
        other = records["trajectory_id"] != np.array([one.number for one in sent], np.uint64)
        other |= np.abs(asked[:, 1] - np.array([one.code for one in sent], np.float64)) > 1e-9
        counts.another += int(other[on].sum())
        stamps = np.concatenate([[self._last_stamp_ns], records["observation_stamp_ns"][on]])
        counts.back += int((np.diff(stamps) < 0).sum())
        counts.stale_epoch += int((np.array([one.epoch for one in sent], np.int64)[on] != self._epoch).sum())
        self._last_stamp_ns = int(stamps[-1])


def _told(times_ns: Array, code: float) -> Array:
    """[instant, joint]: the line over time, and the chunk's number."""
    return np.stack([RATE * (times_ns - EPOCH_NS) * 1e-9, np.full(len(times_ns), code)], axis=1)


def run(ticks: int, seed: int = 0) -> Counts:
    """``ticks`` ticks drawn from ``seed``."""
    model = QueueModel(seed)
    try:
        return model.run(ticks)
    finally:
        model.close()
