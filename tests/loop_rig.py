"""The native loop with everything that it needs, for tests: two arm joints and a gripper on one Feetech line.

``Rig`` wires the loop to any transport and clock. ``SteppedRig`` is a whole robot in one thread: emulated servos
behind the real protocol, a manual clock, and a tick whenever the test says so.
"""

from types import SimpleNamespace

import numpy as np

from spinal.drivers.feetech.configure import ServoSetup, configure
from spinal.native import layout
from spinal.native.clock import ManualClock, now_ns
from spinal.native.emulator import Emulator, MemoryTransport
from spinal.native.feetech_bus import FeetechBus
from spinal.native.loop import ORDER_BYTES, STATS_BYTES, Loop, LoopStats
from spinal.native.shared import Mailbox, Ring, Segment
from spinal.native.trajectory import LARGEST_BYTES, TrajectoryWriter
from spinal.runtime.controller.plan import SafetyPlan
from spinal.runtime.trajectory import fit
from spinal.runtime.types import Trajectory

MS = 1_000_000
DT_NS = 4 * MS
JOINTS = 3
ARM = (-2.0, 2.0, 4.7, 80.0, 4000.0)
EMERGENCY = (-2.0, 2.0, 4.7, 120.0, 20000.0)
GRIPPER = (0.0, 0.022, 0.25, 1e9, 1e9)
RAD_PER_COUNT = 2 * np.pi / 4096
M_PER_COUNT = 0.022 / 1024
ZERO_COUNT = 2048.0
IDS = (1, 2, 6)
STATS, STATE, RECORDS = range(3)
RECORD_SLOTS = 1024
FOREVER_NS = 1 << 60


class Rig:
    """A loop over ``transport``; ``clock`` None means real time. ``changes`` replace parts of the plan."""

    health_every = 0
    torque_limits = (1.0, 1.0, 1.0)

    def __init__(self, transport, clock=None, **changes):
        self.plan = SimpleNamespace(
            dt_ns=DT_NS,
            read_budget_ns=2 * MS,
            joint_age_limit_ns=50 * MS,
            missed_to_hold=3,
            limits=(ARM, ARM, GRIPPER),
            emergency=(EMERGENCY, EMERGENCY, GRIPPER),
            grippers=(False, False, True),
            fifo_priority=0,
            lock_memory=False,
            cpu=-1,
            safety=SafetyPlan(),
        )
        vars(self.plan).update(changes)
        scales = (RAD_PER_COUNT, -RAD_PER_COUNT, M_PER_COUNT)
        self._joints = [
            (i, ZERO_COUNT, scale, 0.0, 4095.0, limit)
            for i, scale, limit in zip(IDS, scales, self.torque_limits, strict=True)
        ]
        record_bytes = layout.record_dtype(JOINTS).itemsize
        state_bytes = layout.state_dtype(JOINTS).itemsize
        self.controller = Segment.create(
            "controller", [STATS_BYTES, Mailbox.size(state_bytes, 8), Ring.size(record_bytes, RECORD_SLOTS)]
        )
        Mailbox.format(self.controller, STATE, state_bytes, 8)
        Ring.format(self.controller, RECORDS, record_bytes, RECORD_SLOTS)
        self.others = Segment.create(
            "others", [64, Mailbox.size(ORDER_BYTES), Mailbox.size(ORDER_BYTES), Mailbox.size(LARGEST_BYTES)]
        )
        for part, size in ((1, ORDER_BYTES), (2, ORDER_BYTES), (3, LARGEST_BYTES)):
            Mailbox.format(self.others, part, size)
        self._givers = [Mailbox(self.others, 1), Mailbox(self.others, 2)]
        self._trajectories = Mailbox(self.others, 3)
        self._writer = TrajectoryWriter(self._trajectories)
        self._state = Mailbox(self.controller, STATE)
        self._records = Ring(self.controller, RECORDS, self.others, 0)
        self._stats = LoopStats(self.controller, STATS)
        self._transport, self._clock = transport, clock
        self.loop = self.new_loop()

    def new_loop(self, givers=2, stop_lines=()):
        """A loop on this rig's memory and line, as a controller that was restarted makes it."""
        self.bus = FeetechBus(
            self._joints, 1_000_000, self._transport, self._clock, health_every=self.health_every
        )
        return Loop(
            self.plan,
            self.bus,
            self.controller,
            STATS,
            self._state,
            self._records,
            self._givers[:1] * givers if givers != 2 else self._givers,
            self._trajectories,
            self._clock,
            stop_lines=stop_lines,
        )

    def order(self, kind, now_ns=0, valid_for_ns=FOREVER_NS, giver=0, speed=1.0):
        """An order of one of the two givers; the loop runs only while both say run."""
        record = np.array([(now_ns, now_ns + valid_for_ns, kind, 0, speed, 0)], layout.ORDER)
        self._givers[giver].publish(record.view(np.uint8))

    def publish(self, trajectory):
        return self._writer.publish(trajectory, trajectory.position, trajectory.curvature)

    def publish_now(self, **path):
        """A chunk that begins at this instant of the real clock."""
        return self.publish(self.path_from(now_ns(), **path))

    def path_from(self, begin_ns, steps=30, swing=0.3, rate_hz=1.5, gripper=0.01, step_ns=20 * MS, **changes):
        """A chunk that begins at ``begin_ns``: both arms swing from where they are, the gripper opens."""
        t_s = np.arange(1, steps + 1) * step_ns * 1e-9
        wave = swing * np.sin(np.pi * rate_hz * t_s) ** 2
        actions = np.column_stack([wave, 0.5 * wave, np.full(steps, gripper)])
        joints = self.state["joints"]
        here = np.stack(
            [joints[f"commanded_{word}"] for word in ("position", "velocity", "acceleration")], axis=1
        )
        actions[:, :2] += here[:2, 0]
        position, curvature = fit(here, actions, 0, step_ns * 1e-9, 0.1, 0.0)
        position[1:, 2] = gripper
        head = {
            "observation_stamp_ns": begin_ns,
            "sensor_stamp_ns": begin_ns - MS,
            "published_ns": begin_ns,
            "origin_ns": begin_ns,
            "step_ns": step_ns,
            "fresh_for_ns": 60 * MS,
            "blend_min_ns": 20 * MS,
            "blend_max_ns": 160 * MS,
            "blend_share": 0.5,
        }
        return Trajectory(**{**head, "position": position, "curvature": curvature, **changes})

    @property
    def stats(self):
        return self._stats.read()

    @property
    def stats_address(self):
        """Where the counters lie; the first is that of ticks."""
        return self.controller.part_address(STATS)

    @property
    def state(self):
        """The newest published state, as one record."""
        record = np.zeros(1, layout.state_dtype(JOINTS))
        return record[0] if self._state.read_latest(record.view(np.uint8)) else None

    def records(self):
        """Every tick's record since the last call."""
        taken = np.zeros(RECORD_SLOTS, layout.record_dtype(JOINTS))
        return taken[: self._records.take(taken.view(np.uint8))]


EPOCH_NS = 10_000_000_000


class TickedRig(Rig):
    """A manual clock, one tick a call. ``next_ns`` is the slot of the next one, ``seen`` every record so far."""

    def _before_tick(self):
        """What the motors do until ``next_ns``."""

    def _after_tick(self):
        """What they make of what was written."""

    def tick(self, count=1, skipped=0):
        """So many ticks, the first behind ``skipped`` slots that nobody came to; returns their records."""
        self.next_ns += skipped * DT_NS
        for _ in range(count):
            self._before_tick()
            self.clock.now_ns = self.next_ns
            self.loop.tick(self.next_ns, skipped)
            self._after_tick()
            self.next_ns += DT_NS
            skipped = 0
        fresh = self.records()
        self.seen.extend(fresh)
        return fresh

    def tick_until(self, mode, limit=500):
        """Ticks until the loop is in ``mode``; returns how many."""
        for count in range(1, limit + 1):
            self.tick()
            if self.loop.mode == mode:
                return count
        raise AssertionError(f"still {self.loop.mode}, not {mode}, after {limit} ticks")

    def ready(self):
        """Armed, both givers say run."""
        self.tick_until("ready")
        for giver in (0, 1):
            self.order(layout.ORDER_RUN, giver=giver)
        return self

    def running(self, **path):
        """Following a motion."""
        self.ready()
        self.publish(self.path(**path))
        self.tick()
        assert self.loop.mode == "running"
        return self

    def path(self, **path):
        """A chunk that begins with the next tick; see ``path_from``."""
        return self.path_from(self.next_ns, **path)

    def commands(self):
        """[tick, joint] of everything applied so far."""
        return np.array([record["joints"]["applied"] for record in self.seen])


class SteppedRig(TickedRig):
    """Emulated servos behind the real protocol."""

    def __init__(self, configured=True, **changes):
        self.emulator = Emulator(IDS)
        self.clock = ManualClock(EPOCH_NS)
        self.wire = MemoryTransport(self.emulator, clock_address=self.clock.address)
        if configured:
            configure(self.wire, [ServoSetup(i, f"joint {i}", 1.0) for i in IDS])
        super().__init__(self.wire, self.clock, **changes)
        self.next_ns = -(-self.clock.now_ns // DT_NS) * DT_NS + DT_NS
        self.seen = []

    def _before_tick(self):
        self.emulator.follow(self.next_ns, lag_ns=10 * MS)
