"""Several buses as one: joints in order, all asked before one is read, and each failure its own."""

import socket

import numpy as np
import pytest
from loop_rig import ARM, EMERGENCY, MS, Rig

from spinal.native import feetech, layout
from spinal.native.bus import MAX_BUSES, Bus, BusGroup
from spinal.native.clock import ManualClock
from spinal.native.emulator import Emulator, MemoryTransport
from spinal.native.feetech_bus import FeetechBus, SerialLine
from spinal.native.mirror import MirrorTransport

RAD_PER_COUNT = 2 * np.pi / 4096


def joints(ids):
    return [(i, 2048.0, RAD_PER_COUNT, 0.0, 4095.0, 1.0) for i in ids]


class GroupRig(Rig):
    """Three joints: two on the first line, one on the second."""

    second_every = 0

    def __init__(self, *transports):
        self.lines = transports
        super().__init__(
            transports[0], ManualClock(MS), limits=[ARM] * 3, emergency=[EMERGENCY] * 3, grippers=[False] * 3
        )

    def new_loop(self, givers=2):
        from spinal.native.loop import Loop

        first = FeetechBus(joints((1, 2)), 1_000_000, self.lines[0], self._clock, self.health_every)
        second = FeetechBus(joints((7,)), 1_000_000, self.lines[1], self._clock, self.second_every)
        self.group = group = BusGroup([first, second])
        assert group.joint_count == 3
        return Loop(
            self.plan,
            group,
            self.controller,
            0,
            self._state,
            self._records,
            self._givers,
            self._trajectories,
            self._clock,
        )

    def tick(self, at_ms):
        self._clock.now_ns = at_ms * MS
        self.loop.tick(at_ms * MS)
        (record,) = self.records()
        return record


def test_joints_come_in_the_order_of_the_buses():
    rig = GroupRig(MirrorTransport(2048), MirrorTransport(1024))
    rig.tick(4)
    assert rig.state["joints"]["position"] == pytest.approx([0, 0, -1024 * RAD_PER_COUNT])
    assert list(rig.state["joints"]["fresh"]) == [1, 1, 1]
    assert rig.stats["bus_cycles"] == 2


def test_commands_reach_the_bus_of_their_joint():
    left, right = MirrorTransport(2048), MirrorTransport(1024)
    rig = GroupRig(left, right)
    for giver in (0, 1):
        rig.order(layout.ORDER_RUN, giver=giver)
    rig.tick(4)
    path = rig.path_from(4 * MS)
    path.position[:, 2] = -1024 * RAD_PER_COUNT + path.position[:, 0]
    path.curvature[:, 2] = path.curvature[:, 0]
    rig.publish(path)
    for tick in range(2, 60):
        rig.tick(4 * tick)
    counts = [left.count(1), left.count(2), right.count(7)]
    applied = rig.state["joints"]["commanded_position"]
    assert applied[0] > 0.1, "it moves"
    assert counts[0] != counts[1]
    assert counts[2] - 1024 == pytest.approx(counts[0] - 2048, abs=1)


def test_replies_of_all_buses_travel_together():
    """With wire time: two lines of alike servos take as long as one, not twice."""
    spent = []
    for lines in (1, 2):
        clock = ManualClock(MS)
        wires = [MemoryTransport(Emulator((1, 2)), clock_address=clock.address) for _ in range(lines)]
        buses = [FeetechBus(joints((1, 2)), 1_000_000, wire, clock) for wire in wires]
        count = 2 * lines
        rig = Rig.__new__(Rig)
        spent.append(one_cycle_ns(rig, BusGroup(buses), clock, count))
    assert spent[1] == spent[0]
    assert spent[0] > 200_000, "the wire has its time"


def one_cycle_ns(rig, group, clock, count):
    wire = MirrorTransport()
    limits = {"limits": [ARM] * 3, "emergency": [EMERGENCY] * 3, "grippers": [False] * 3}
    Rig.__init__(rig, wire, clock, **limits)
    rig.plan.limits, rig.plan.emergency, rig.plan.grippers = (
        [ARM] * count,
        [EMERGENCY] * count,
        [False] * count,
    )
    from spinal.native.loop import Loop

    loop = Loop(rig.plan, group, rig.controller, 0, rig._state, None, rig._givers, rig._trajectories, clock)
    before = clock.now_ns
    loop.tick(before)
    return clock.now_ns - before


class Dead:
    """A line that nothing answers on."""

    def __init__(self, clock):
        self.emulator = Emulator((7,))
        self.emulator.set_faults(0, silent=True)
        self.wire = MemoryTransport(self.emulator, clock_address=clock.address)
        self.address = self.wire.address


def test_a_bus_that_is_silent_costs_the_others_nothing():
    rig = GroupRig(MirrorTransport(), MirrorTransport())
    dead = Dead(rig._clock)
    rig.lines = (rig.lines[0], dead)
    rig.loop = rig.new_loop()
    rig.tick(4)
    assert list(rig.state["joints"]["fresh"]) == [1, 1, 0]
    assert rig.stats["missing_replies"] == 1


def test_a_group_has_some_buses_and_not_too_many():
    with pytest.raises(ValueError, match=f"1 to {MAX_BUSES}"):
        BusGroup([])
    one = FeetechBus(joints((1,)), 1_000_000, MirrorTransport())
    with pytest.raises(ValueError, match=f"not {MAX_BUSES + 1}"):
        BusGroup([one] * (MAX_BUSES + 1))
    with pytest.raises(ValueError, match="without joints"):
        BusGroup([Bus()])


def test_a_mirror_stands_where_it_was_put():
    with pytest.raises(ValueError, match="0 to 4095"):
        MirrorTransport(4096)
    with pytest.raises(ValueError, match="no servo"):
        MirrorTransport().count(256)


class TellingRig(GroupRig):
    """The motors of one line are asked about themselves, those of the other are not."""

    def __init__(self, first_tells, *transports):
        self.health_every, self.second_every = int(first_tells), int(not first_tells)
        super().__init__(*transports)


@pytest.mark.parametrize(("first_tells", "tells"), [(True, [1, 1, 0]), (False, [0, 0, 1])])
def test_health_stands_side_by_side_and_one_line_may_tell_nothing(first_tells, tells):
    rig = TellingRig(first_tells, MirrorTransport(), MirrorTransport())
    for tick in range(1, 20):
        rig.tick(4 * tick)
    told = rig.group.health
    assert [joint["torque"] for joint in told] == tells
    assert [joint["voltage"] for joint in told] == pytest.approx([12.0 * one for one in tells])
    assert [joint["stamp_ns"] > 0 for joint in told] == tells, "the others: never"
    assert GroupRig(MirrorTransport(), MirrorTransport()).group.health is None


def test_torque_goes_to_every_line_even_when_one_fails():
    class Far:
        def __init__(self):
            self.here, self.there = socket.socketpair()
            self.line = SerialLine(self.here.fileno())

    one, other = Far(), Far()
    group = BusGroup([FeetechBus(joints((i,)), 1_000_000, far.line) for i, far in ((1, one), (7, other))])
    one.there.close()
    with one.here, other.here, other.there:
        with pytest.raises(OSError, match="Broken pipe"):
            group.torque(1)
        assert feetech.scan(other.there.recv(100)).packets
