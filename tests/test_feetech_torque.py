"""Switching on, when its frame is lost on the line: a motor that did not hear is told again, alone, and soon."""

import pytest
from loop_rig import DT_NS, JOINTS
from test_feetech_health import TURN, HealthRig

from spinal.native import layout
from spinal.native.layout import Condition


def enables(rig):
    return [rig.value(index, "torque_enable") for index in range(JOINTS)]


def armed_without(deaf, health_every=1, ticks=2):
    """The motors of ``deaf`` hear nothing in the tick that arms, and in the next: its frames wait for a reading."""
    rig = HealthRig(health_every)
    rig.order(layout.ORDER_STOP)
    rig.tick(5)
    assert rig.loop.mode == "off"
    rig.order(layout.ORDER_HOLD)
    for index in deaf:
        rig.emulator.set_faults(index, unplugged=True)
    rig.tick(ticks)
    for index in deaf:
        rig.emulator.set_faults(index)
    assert rig.loop.mode == "ready"
    return rig


@pytest.mark.parametrize("deaf", [(0,), (1,), (2,), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("health_every", [1, 3])
def test_motors_that_did_not_hear_that_they_are_on_are_told_again(deaf, health_every):
    rig = armed_without(deaf, health_every)
    assert enables(rig) == [int(index not in deaf) for index in range(JOINTS)]
    rig.tick(health_every * (JOINTS + 2 * len(deaf)) + 3)
    assert enables(rig) == [1] * JOINTS
    assert rig.stats["torque_repeats"] == len(deaf)
    rig.tick(2 * TURN * health_every)
    assert rig.torques() == [1] * JOINTS
    assert rig.stats["torque_repeats"] == len(deaf)
    assert rig.loop.mode == "ready"
    assert rig.stats["risen"]["motor_off"] == 0
    assert rig.emulator.stats().collisions == 0


def test_the_others_hear_nothing_of_it():
    rig = armed_without((1,))
    while not rig.torques()[0]:
        rig.tick()
        assert len(rig.seen) < 100
    rig.put(0, "torque_limit", 123)
    rig.tick(4)
    assert rig.stats["torque_repeats"] == 1
    assert [rig.value(index, "torque_limit") for index in range(JOINTS)] == [123, 800, 500]


def test_nobody_is_told_again_for_ever():
    rig = armed_without((1,))
    for _ in range(20):
        rig.put(1, "torque_enable", 0)  # the frame is lost each time
        rig.tick()
    rig.tick(2 * TURN)
    assert rig.stats["torque_repeats"] == 3
    assert rig.loop.mode == "stopped"
    assert Condition.MOTOR_OFF in Condition(int(rig.state["latched"]))
    assert enables(rig) == [1, 0, 1]


def test_each_motor_has_repeats_of_its_own():
    """A frame that is garbled on the line is lost to all of them, and so may the next be."""
    rig = armed_without((0, 1, 2))
    while rig.stats["torque_repeats"] < 3:
        rig.put(0, "torque_enable", 0)  # the first is told three times before the others are asked
        rig.tick()
        assert len(rig.seen) < 200
    rig.tick(3 * TURN)
    assert enables(rig) == [1] * JOINTS
    assert rig.stats["torque_repeats"] == 5
    assert rig.loop.mode == "ready"
    assert rig.stats["risen"]["motor_off"] == 0


def test_a_motor_that_had_heard_and_is_off_has_lost_its_power_and_is_not_switched_on():
    rig = HealthRig()
    rig.tick_until("ready")
    rig.tick(JOINTS + 1)
    assert rig.stats["torque_repeats"] == 0
    rig.put(2, "torque_enable", 0)
    rig.tick(3 * TURN)
    assert (rig.stats["torque_repeats"], enables(rig)[2]) == (0, 0)
    assert Condition.MOTOR_OFF in Condition(int(rig.state["latched"]))


def test_a_motor_that_is_away_from_its_goal_by_now_would_leap_and_stays_off():
    rig = armed_without((1,))
    rig.emulator.set_present(1, 2048 + 60, 0.0)
    for _ in range(3 * TURN):
        rig.clock.now_ns = rig.next_ns
        rig.loop.tick(rig.next_ns)
        rig.next_ns += DT_NS
    assert (rig.stats["torque_repeats"], enables(rig)[1]) == (0, 0)
    assert Condition.MOTOR_OFF in Condition(int(rig.state["latched"]))


def test_motors_that_are_told_to_be_off_are_not_told_to_be_on():
    rig = armed_without(())
    rig.bus.torque(0)
    rig.tick(2 * TURN)
    assert enables(rig) == [0] * JOINTS
    assert rig.stats["torque_repeats"] == 0


def test_switched_on_anew_each_is_told_again_anew():
    rig = armed_without((0,))
    rig.tick(4 * TURN)
    rig.bus.torque(0)
    rig.tick(2 * TURN)
    rig.emulator.set_faults(2, unplugged=True)
    rig.bus.torque(0.5)
    rig.tick(1)
    rig.emulator.set_faults(2)
    rig.tick(2 * TURN)
    assert enables(rig) == [1] * JOINTS
    assert rig.value(2, "torque_limit") == 250
    assert rig.stats["torque_repeats"] == 2
