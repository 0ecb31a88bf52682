"""The loop over motors in memory: everything that a wire cannot say, one tick a call, a manual clock.

The motors follow their goals at once, as far as torque is on; a test may hold one back, push it, or let it say
anything. What the loop publishes beside its state (commands, transitions, health) is read here.
"""

import ctypes
from types import SimpleNamespace

import numpy as np
from loop_rig import EPOCH_NS, JOINTS, MS, STATS, TickedRig

from spinal.native import layout
from spinal.native.clock import ManualClock
from spinal.native.loop import COMMAND_BYTES, HEALTH_BYTES, TRANSITION_BYTES, Loop
from spinal.native.memory_bus import MemoryBus
from spinal.native.shared import Mailbox, Segment
from spinal.runtime.controller.plan import SafetyPlan

COMMANDS, TRANSITIONS, HEALTHS = range(3)
HISTORY = 16


class StopLine:
    """An emergency stop of one int64: the instant at which it was pressed, 0 while it is not."""

    def __init__(self):
        self._pressed_ns = ctypes.c_int64(0)
        self.address = ctypes.addressof(self._pressed_ns)

    def press(self, now_ns):
        self._pressed_ns.value = now_ns

    def release(self):
        self._pressed_ns.value = 0


class MemoryRig(TickedRig):
    """``safety``: parts of the SafetyPlan. ``tells``: whether the bus knows of torque and health."""

    def __init__(self, tells=True, position=(0.0, 0.0, 0.0), **safety):
        self.bus = MemoryBus(JOINTS, tells)
        self.clock = ManualClock(EPOCH_NS)
        self.stop_lines = [StopLine(), StopLine()]
        sizes = ((COMMAND_BYTES, 2), (TRANSITION_BYTES, HISTORY), (HEALTH_BYTES, 2))
        self.told = Segment.create("told", [Mailbox.size(size, slots) for size, slots in sizes])
        for part, (size, slots) in enumerate(sizes):
            Mailbox.format(self.told, part, size, slots)
        self._boxes = [Mailbox(self.told, part) for part in range(3)]
        self.positions = list(position)
        self.velocities = [0.0] * JOINTS
        self.loads = [0.0] * JOINTS
        self.errors = [0] * JOINTS
        self.silent = [False] * JOINTS
        self.held_back = [False] * JOINTS
        """Joints that stay where they are, whatever they are told."""
        self.health = [{} for _ in range(JOINTS)]
        self.next_ns = EPOCH_NS
        self.seen = []
        super().__init__(None, self.clock, safety=SafetyPlan(**safety))

    def new_loop(self):
        """A loop on this rig's memory and motors, as a controller that was restarted makes it."""
        commands, transitions, healths = self._boxes
        return Loop(
            self.plan,
            self.bus,
            self.controller,
            STATS,
            self._state,
            self._records,
            self._givers,
            self._trajectories,
            self.clock,
            commands,
            transitions,
            healths,
            self.stop_lines,
        )

    def _before_tick(self):
        for joint in range(JOINTS):
            self.bus.measure(
                joint,
                stamp_ns=self.next_ns,
                position=self.positions[joint],
                velocity=self.velocities[joint],
                load=self.loads[joint],
                error=self.errors[joint],
                fresh=not self.silent[joint],
            )
            self.bus.tell(
                joint, **{"stamp_ns": self.next_ns // (200 * MS) * (200 * MS), **self.health[joint]}
            )

    def _after_tick(self):
        shares = self.bus.torque_shares
        if not self.bus.writes or not shares or shares[-1][0] == 0:
            return
        for joint, goal in enumerate(self.bus.goals):
            if not self.held_back[joint]:
                self.positions[joint] = goal

    def far_path(self, position, seconds=2):
        """A chunk that stands still at ``position`` (rad) of both arm joints from its first waypoint on."""
        whole = self.path(steps=100, swing=0.0, step_ns=seconds * 10 * MS)
        whole.position[:, :2] = position
        whole.curvature[:] = 0
        return whole

    @property
    def conditions(self):
        """Those of the last tick."""
        return layout.Condition(int(self.seen[-1]["conditions"]))

    @property
    def command(self):
        """The command that was published last, for whoever guards; None before the first."""
        record = np.zeros(1, layout.command_dtype(JOINTS))
        return record[0] if self._boxes[COMMANDS].read_latest(record.view(np.uint8)) else None

    @property
    def transitions(self):
        """Every change of mode so far, as plain values with the conditions' names."""
        box, changes = self._boxes[TRANSITIONS], []
        record = np.zeros(1, layout.TRANSITION)
        for number in range(1, box.latest + 1):
            assert box.read(number, record.view(np.uint8))
            row = record[0]
            changes.append(
                SimpleNamespace(
                    tick=int(row["tick"]),
                    tick_ns=int(row["tick_ns"]),
                    edge=int(row["edge"]),
                    modes=(int(row["from"]), int(row["to"])),
                    risen=layout.Condition(int(row["risen"])),
                    conditions=layout.Condition(int(row["conditions"])),
                    joint=int(row["joint"]),
                )
            )
        return changes
