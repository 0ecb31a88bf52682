"""What the motors say about themselves, and what switches them: on emulated servos, a wire and a manual clock."""

import json
import math
import socket
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loop_rig import DT_NS, IDS, JOINTS, MS, Rig, SteppedRig

from spinal.drivers.feetech import units
from spinal.drivers.feetech.registers import BY_NAME
from spinal.native import feetech, layout
from spinal.native.bus import BusGroup
from spinal.native.clock import ManualClock
from spinal.native.emulator import Emulator, MemoryTransport
from spinal.native.feetech_bus import FeetechBus, SerialLine
from spinal.native.layout import Condition
from spinal.native.mirror import MirrorTransport
from spinal.native.shared import RingFollower
from spinal.runtime import segments

TURN = 2 * JOINTS
"""Readings until every motor has told all about itself."""
LIMITS = (1.0, 0.8, 0.5)
GOLDEN = json.loads((Path(__file__).parent / "golden" / "feetech.json").read_text())["packets"]


class HealthRig(SteppedRig):
    """One reading a tick, each motor with a torque limit of its own, and every write to the servos on record."""

    health_every = 1
    torque_limits = LIMITS

    def __init__(self, health_every=1, configured=True, **changes):
        self.health_every = health_every
        super().__init__(configured, **changes)
        self._sim = segments.create(segments.Writer.SIM, JOINTS)
        self.emulator.record_to(self._sim.part_address(segments.SIM_WIRE))
        self._arrivals = RingFollower(self._sim, segments.SIM_WIRE)

    def arrived(self):
        """The writes that reached the servos since the last call: (register, goals, limits, torques)."""
        taken = np.zeros(1024, layout.wire_dtype(JOINTS))
        taken = taken[: self._arrivals.follow(taken.view(np.uint8))]
        words = [one["servos"] for one in taken]
        return [
            (
                int(one["address"]),
                *(word[name].tolist() for name in ("goal", "torque_limit", "torque")),
            )
            for one, word in zip(taken, words, strict=True)
        ]

    def value(self, index, name):
        register = BY_NAME[name]
        return self.emulator.register(index, register.address, register.width)

    def put(self, index, name, value):
        register = BY_NAME[name]
        self.emulator.put_register(index, register.address, value, register.width)

    def torques(self):
        return [joint["torque"] for joint in self.bus.health]

    def stamps(self):
        return [joint["stamp_ns"] for joint in self.bus.health]


class MirrorRig(Rig):
    """The same over ideal servos."""

    health_every = 1
    torque_limits = LIMITS


def test_every_motor_tells_its_voltage_warmth_current_and_error_in_turns():
    rig = HealthRig()
    for index, (decivolts, celsius, error) in enumerate([(118, 31, 0), (74, 55, 0x20), (126, 70, 0x08)]):
        rig.emulator.set_supply(index, decivolts=decivolts, celsius=celsius)
        rig.emulator.set_faults(index, error_bits=error)
    assert rig.stamps() == [0, 0, 0], "never read"
    rig.tick(2 * TURN)
    for index, joint in enumerate(rig.bus.health):
        assert joint["voltage"] == pytest.approx(units.volts(rig.value(index, "present_voltage")))
        assert joint["temperature"] == rig.value(index, "present_temperature")
        assert joint["error"] == rig.value(index, "status")
        assert 0 < rig.clock.now_ns - joint["stamp_ns"] < (TURN + 1) * DT_NS
    assert [round(joint["voltage"], 1) for joint in rig.bus.health] == [11.8, 7.4, 12.6]
    assert [joint["error"] for joint in rig.bus.health] == [0, 0x20, 0x08]


@given(st.integers(0, 0x7FFF), st.sampled_from([0, 0x8000]))
@settings(max_examples=20, deadline=None)
def test_a_current_is_amperes_without_its_sign(amount, sign):
    rig = HealthRig()
    rig.tick(2)
    rig.emulator.set_faults(0, frozen=True)
    register = BY_NAME["present_current"]
    rig.emulator.put_register(0, register.address, amount | sign, 2)
    rig.tick(TURN)
    assert rig.bus.health[0]["current"] == pytest.approx(units.amperes(amount))


def test_a_reading_costs_the_tick_nothing():
    """Whether motors are asked or not, each tick reads, plans and writes at the same instants."""
    with_health, without = HealthRig(1), HealthRig(0)
    for rig in (with_health, without):
        rig.running()
        rig.tick(40)
    assert without.bus.health is None
    for column in ("woke_ns", "read_ns", "planned_ns", "computed_ns", "written_ns"):
        ours, theirs = (np.array([record[column] for record in rig.seen]) for rig in (with_health, without))
        assert (ours == theirs).all(), column
    more_ns = with_health.emulator.stats().busy_ns - without.emulator.stats().busy_ns
    readings = len(with_health.seen) - 1  # one write switched torque in its place
    byte_ns = 10_000
    assert readings * (8 + 15) * byte_ns < more_ns < readings * (8 + 16) * byte_ns + 100 * byte_ns
    assert with_health.emulator.stats().collisions == 0
    assert with_health.bus.health_wire_ns == (8 + 16) * byte_ns
    assert with_health.stats["missing_replies"] == with_health.stats["bad_packets"] == 0


@pytest.mark.parametrize("every", [1, 3, 7])
def test_each_so_many_th_cycle_asks_one_motor(every):
    rig = HealthRig(every)
    rig.tick(every * TURN + 2)
    packets = rig.emulator.stats().packets
    rig.tick(10 * every)
    assert rig.emulator.stats().packets - packets == 2 * 10 * every + 10, (
        "request, goals, and a tenth so often"
    )
    assert all(rig.stamps())


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("fault", ["drop_replies", "corrupt_replies"])
def test_a_reading_that_is_lost_is_missed_and_asked_again_in_its_turn(fault, every):
    rig = HealthRig(every)
    rig.tick((2 * TURN + JOINTS) * every)  # the first readings are of settings alone
    missed, before = rig.bus.health_missed, rig.bus.health[1]["stamp_ns"]
    others = [rig.bus.health[index]["stamp_ns"] for index in (0, 2)]
    rig.emulator.set_faults(1, **{fault: 1000})
    rig.tick((TURN + 1) * every)
    rig.emulator.set_faults(1)
    rig.tick(every)
    assert rig.bus.health_missed == missed + 2
    assert all(rig.bus.health[index]["stamp_ns"] > stamp for index, stamp in zip((0, 2), others, strict=True))
    rig.tick((TURN + 1) * every)
    assert rig.bus.health[1]["stamp_ns"] > before
    assert rig.bus.health_missed == missed + 2


@pytest.mark.parametrize("turn", range(TURN))
@pytest.mark.parametrize("asked", [(62, 9), (40, 10), (56, 6)])
def test_another_servos_words_are_not_taken_for_the_reading(asked, turn):
    """Replies are lost, and somebody else's lies in the line: of the same registers, or of others."""
    rig = HealthRig()
    rig.tick(2 * TURN + turn)
    rig.emulator.set_supply(1, celsius=42)
    rig.put(1, "torque_enable", 0)
    for index in range(JOINTS):
        rig.emulator.lose_replies(index, drop=2)  # of its position, and of what it is asked
    missed = rig.bus.health_missed
    rig.tick()
    rig.clock.now_ns += MS
    rig.emulator.set_faults(1)
    rig.wire.write(feetech.read(IDS[1], *asked))
    rig.tick()
    told = rig.bus.health
    assert [told[index]["temperature"] for index in (0, 2)] == [30, 30]
    assert [told[index]["torque"] for index in (0, 2)] == [1, 1]
    if asked == (56, 6):
        assert rig.bus.health_missed == missed + 1


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 3)), max_size=30))
@settings(max_examples=25, deadline=None)
def test_whatever_is_lost_what_is_known_is_true_and_grows_no_younger_than_it_is(faults):
    rig = HealthRig()
    rig.tick(2)
    stamps = rig.stamps()
    for index, drop, corrupt in faults:
        rig.emulator.lose_replies(index, drop=drop, corrupt=corrupt)
        rig.tick()
        now = rig.stamps()
        assert all(before <= after <= rig.clock.now_ns for before, after in zip(stamps, now, strict=True))
        stamps = now
        for joint in rig.bus.health:
            assert joint["voltage"] == pytest.approx(12.0 if joint["stamp_ns"] else joint["voltage"])
            assert joint["voltage"] in (0, pytest.approx(12.0))
            assert joint["temperature"] in (0, 30)
    rig.emulator.set_faults(0), rig.emulator.set_faults(1), rig.emulator.set_faults(2)
    rig.tick(2 * TURN)
    assert all(rig.torques())


def test_a_motor_that_answers_late_is_not_waited_for():
    rig = HealthRig()
    rig.tick(2 * TURN)
    rig.emulator.set_faults(2, extra_delay_ns=9 * MS)
    missed = rig.bus.health_missed
    records = rig.tick(3 * TURN)
    assert rig.bus.health_missed - missed >= 4
    late_ns = max(record["read_ns"] - record["woke_ns"] for record in records)
    assert late_ns <= rig.plan.read_budget_ns, "the positions' own deadline"


def test_the_tick_behind_a_very_late_one_lets_a_speaking_servo_finish():
    """50 us behind the last word of the write the next slot is due, and a reading is on its way."""
    rig = HealthRig()
    rig.tick(TURN)
    rig.clock.now_ns += 50_000 + 8 * 10_000 + 17 * 10_000
    rig.loop.tick(rig.next_ns, 0)
    (record,) = rig.records()
    assert record["read_ns"] - record["woke_ns"] < 1.2 * MS, "its few hundred us, and the positions"
    assert rig.emulator.stats().collisions == 0
    assert rig.bus.health_missed == 0
    assert list(rig.state["joints"]["fresh"]) == [1, 1, 1]


def test_a_reading_that_never_comes_is_waited_for_no_longer_than_its_time_on_the_wire():
    rig = HealthRig()
    rig.tick(TURN)
    rig.emulator.set_faults(0, silent=True), rig.emulator.set_faults(1, silent=True)
    rig.tick()
    asked_ns = rig.clock.now_ns
    rig.loop.tick(rig.next_ns, 0)
    (record,) = rig.records()
    read_ns = record["read_ns"] - asked_ns
    assert read_ns <= rig.plan.read_budget_ns + 0.6 * MS


GOAL, ENABLE, LIMIT = (BY_NAME[name].address for name in ("goal_position", "torque_enable", "torque_limit"))


@pytest.mark.parametrize("every", [0, 1])
def test_torque_comes_behind_the_first_goals_and_behind_its_limit(every):
    """The servos' goals are far away and their limits wide open: neither must ever move a motor."""
    rig = HealthRig(every)
    for index in range(JOINTS):
        rig.put(index, "goal_position", 500)
        rig.put(index, "torque_limit", 1000)
    rig.tick(3)
    arrived = rig.arrived()
    assert [address for address, *_ in arrived][:4] == [GOAL, LIMIT, ENABLE, GOAL][:4] or every
    assert arrived[0][0] == GOAL
    on = next(number for number, (_, _, _, torques) in enumerate(arrived) if any(torques))
    address, goals, limits, torques = arrived[on]
    assert address == ENABLE
    assert goals == [2048] * JOINTS
    assert limits == [1000, 800, 500]
    assert torques == [1, 1, 1], "all of them in one frame"
    assert arrived[on - 1][0] == LIMIT
    assert [address for address, *_ in arrived].count(ENABLE) == 1


def test_torque_is_true_only_of_motors_that_are_on_with_what_they_were_given():
    rig = HealthRig()
    assert rig.torques() == [0, 0, 0]
    rig.tick(2 * TURN)
    assert rig.torques() == [1, 1, 1]
    rig.put(1, "torque_limit", 1000)
    rig.put(2, "torque_enable", 0)
    rig.tick(TURN + 2)
    assert rig.torques() == [1, 0, 0]


@pytest.mark.parametrize("index", range(JOINTS))
def test_a_motor_that_lost_its_power_stops_the_arm_for_good(index):
    rig = HealthRig(2).running(steps=100)
    rig.tick(2 * 2 * TURN)
    assert rig.loop.mode == "running"
    rig.emulator.power_cycle(index)
    rig.tick(2 * (TURN + 2))
    assert rig.loop.mode == "stopped"
    assert int(rig.state["conditions"]) & Condition.MOTOR_OFF
    assert rig.torques() == [number != index for number in range(JOINTS)]
    rig.put(index, "torque_limit", round(1000 * LIMITS[index]))
    rig.put(index, "torque_enable", 1)
    rig.tick(2 * (TURN + 2))
    assert rig.torques() == [1, 1, 1]
    assert rig.loop.mode == "stopped", "a person arms it again, nobody else"
    assert rig.value(index, "torque_enable") == 1


def test_no_motor_is_switched_on_again_by_itself():
    rig = HealthRig().running()
    rig.tick(TURN)
    rig.emulator.power_cycle(0)
    rig.arrived()
    rig.tick(5 * TURN)
    assert rig.value(0, "torque_enable") == 0
    assert {address for address, *_ in rig.arrived()} == {GOAL}


@pytest.mark.parametrize("every", [0, 1])
def test_a_share_of_torque_is_a_share_of_each_joints_own_limit(every):
    rig = HealthRig(every)
    rig.tick(4)
    rig.arrived()
    rig.bus.torque(0.5)
    rig.tick()
    assert [rig.value(index, "torque_limit") for index in range(JOINTS)] == [500, 400, 250]
    assert ENABLE not in [address for address, *_ in rig.arrived()], "they are on"
    rig.tick(2 * TURN)
    if every:
        assert rig.torques() == [1, 1, 1]
    rig.bus.torque(0)
    rig.tick()
    assert [rig.value(index, "torque_enable") for index in range(JOINTS)] == [0, 0, 0]
    assert LIMIT not in [address for address, *_ in rig.arrived()]
    rig.tick(2 * TURN)
    if every:
        assert rig.torques() == [0, 0, 0]
    rig.bus.torque(1)
    rig.tick()
    assert [rig.value(index, "torque_limit") for index in range(JOINTS)] == [1000, 800, 500]
    assert [rig.value(index, "torque_enable") for index in range(JOINTS)] == [1, 1, 1]
    assert rig.emulator.stats().collisions == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_torque_never_speaks_into_a_reading(changes):
    rig = HealthRig(2)
    rig.tick(3)
    for ticks, share in changes:
        rig.tick(ticks)
        rig.bus.torque(share)
    rig.tick(2)
    share = changes[-1][1]
    for index, limit in enumerate(LIMITS):
        assert rig.value(index, "torque_enable") == (share > 0)
        if share > 0:
            assert rig.value(index, "torque_limit") == pytest.approx(1000 * limit * share, abs=0.5)
    assert rig.emulator.stats().collisions == 0


def test_a_motor_that_did_not_hear_that_it_is_off_is_told_again():
    rig = HealthRig()
    rig.tick(2 * TURN)
    rig.emulator.set_faults(1, unplugged=True)
    rig.bus.torque(0)
    rig.tick(2)
    rig.emulator.set_faults(1)
    assert [rig.value(index, "torque_enable") for index in range(JOINTS)] == [0, 1, 0]
    rig.put(1, "torque_limit", 0)  # as if it had heard half of it
    for _ in range(TURN + 3):
        rig.tick()
        assert rig.bus.health[1]["stamp_ns"] < rig.clock.now_ns - MS or not rig.torques()[1]
    assert rig.torques() == [0, 0, 0]
    assert [rig.value(index, "torque_enable") for index in range(JOINTS)] == [0, 0, 0]


def test_motors_that_nobody_switched_are_left_as_they_are():
    rig = HealthRig(self_test_ticks=1)
    rig.put(0, "torque_enable", 1)
    rig.emulator.set_faults(2, unplugged=True)
    rig.tick(3 * TURN)
    assert rig.loop.mode == "off", "a joint is silent: it never arms"
    assert rig.arrived() == []
    assert rig.value(0, "torque_enable") == 1


def test_what_was_asked_before_torque_changed_says_nothing_of_it():
    """The reply to a settings read from before is not taken for a motor that is off behind it."""
    rig = HealthRig()
    rig.tick(3 * TURN)
    for _ in range(2 * TURN):
        for share in (0.9, 0.6):
            rig.bus.torque(share)
            rig.tick()
            assert rig.torques() == [1, 1, 1]
            rig.tick()
            assert rig.torques() == [1, 1, 1]


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan, math.inf])
def test_a_share_that_is_none_is_refused_untouched(share):
    rig = HealthRig()
    rig.tick(3)
    rig.arrived()
    with pytest.raises(ValueError, match="0 to 1"):
        rig.bus.torque(share)
    rig.tick(3)
    assert {address for address, *_ in rig.arrived()} == {GOAL}


@pytest.mark.parametrize("limit", [0.0, -1.0, 1.001, math.nan])
def test_a_torque_limit_that_is_none_is_refused(limit):
    with pytest.raises(ValueError, match="cannot have these joints"):
        FeetechBus([(1, 2048.0, 0.1, 0.0, 4095.0, limit)], 1_000_000, MirrorTransport())


def test_the_torque_frames_are_the_vendors_bytes():
    joints = [(servo, 2048.0, 1e-3, 0.0, 4095.0, limit) for servo, limit in zip(IDS, LIMITS, strict=True)]
    here, there = socket.socketpair()
    with here, there:
        bus = FeetechBus(joints, 1_000_000, SerialLine(here.fileno()))

        def sent(share):
            bus.torque(share)
            return there.recv(1024).hex(" ").upper()

        on = " ".join((GOLDEN["sync_write_torque_limits"], GOLDEN["sync_write_torque_on"]))
        assert sent(1) == on
        assert sent(1) == GOLDEN["sync_write_torque_limits"], "they are on"
        assert sent(0) == GOLDEN["sync_write_torque_off"]
        assert sent(1) == on
        there.close()
        with pytest.raises(OSError, match="Broken pipe"):
            bus.torque(0)


def test_several_buses_are_switched_together_and_told_of_side_by_side():
    clock = ManualClock(MS)
    emulators = [Emulator((1, 2)), Emulator((7,))]
    wires = [MemoryTransport(one, clock_address=clock.address) for one in emulators]
    plans = [[(i, 2048.0, 1e-3, 0.0, 4095.0, 0.5) for i in one.ids] for one in emulators]
    buses = [FeetechBus(plan, 1_000_000, wire, clock) for plan, wire in zip(plans, wires, strict=True)]
    group = BusGroup(buses)
    assert group.health is None, "none of them tells anything"
    group.torque(0.4)
    for one in emulators:
        for index in range(len(one)):
            assert one.register(index, ENABLE) == 1
            assert one.register(index, LIMIT, 2) == 200
    group.torque(0)
    assert [one.register(0, ENABLE) for one in emulators] == [0, 0]


def test_ideal_servos_answer_a_reading_behind_goals_and_take_torque():
    mirror = MirrorTransport()
    clock = ManualClock(MS)
    rig = MirrorRig(mirror, clock)
    for number in range(1, 4 * TURN):
        clock.now_ns = number * DT_NS
        rig.loop.tick(number * DT_NS)
    assert [mirror.torque(servo) for servo in IDS] == [1000, 800, 500]
    assert [joint["torque"] for joint in rig.bus.health] == [1, 1, 1]
    assert [joint["voltage"] for joint in rig.bus.health] == pytest.approx([12.0] * 3)
    assert rig.bus.health_missed == 0
    assert rig.stats["failed_writes"] == 0
