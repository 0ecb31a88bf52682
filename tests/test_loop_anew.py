"""A joint that was silent for too long: its command begins anew where it stands, or it has heard everything."""

import math

import pytest
from loop_rig import ARM, SteppedRig
from memory_rig import MemoryRig

from spinal.native import layout
from spinal.native.layout import Condition

RANGE, FASTEST = ARM[1] - ARM[0], ARM[2]
AT_ONCE = 2


def test_a_joint_that_was_unplugged_begins_where_it_stands():
    rig = SteppedRig().running(steps=100, swing=0.6)
    rig.tick(40)
    rig.emulator.set_faults(0, unplugged=1)
    rig.tick(60)
    assert rig.loop.mode == "holding"
    missed = rig.seen[-1]["joints"]["applied"][0] - rig.seen[-1]["joints"]["measured"][0]
    assert abs(missed) > 0.02, "the arm has braked on without it"
    heard = rig.emulator.reference(0).position_counts
    rig.order(layout.ORDER_HOLD)
    rig.emulator.set_faults(0, unplugged=0)
    for _ in range(20):
        rig.tick()
        assert abs(rig.emulator.reference(0).position_counts - heard) < 3, "it does not leap after the others"
    assert rig.loop.mode == "holding"
    rig.order(layout.ORDER_RUN)
    rig.publish(rig.path_from(rig.next_ns))
    rig.tick(5)
    assert rig.loop.mode == "running"


def unplugged_in_motion(then=layout.ORDER_HOLD, plugged_after=60):
    """The first joint is unplugged in motion and stays where it is; the arm brakes on without it, and is at rest.

    Returns the rig, where it stands, and where its command has come to.
    """
    rig = MemoryRig().running(steps=100, swing=0.6)
    rig.tick(40)
    rig.silent[0] = rig.held_back[0] = True
    rig.tick(plugged_after)
    rig.order(then)
    rig.tick(5)
    assert rig.loop.mode == ("stopped" if then == layout.ORDER_STOP else "holding")
    assert rig.state["at_rest"]
    stands, commanded = rig.positions[0], rig.bus.goals[0]
    assert abs(commanded - stands) > 0.02
    return rig, stands, commanded


def plug(rig, ticks=AT_ONCE):
    """It answers again; whether its command has begun anew."""
    rig.silent[0] = False
    return any(record["joints"]["limited"][0] & layout.BEGINS_ANEW for record in rig.tick(ticks))


@pytest.mark.parametrize("then", [layout.ORDER_HOLD, layout.ORDER_STOP])
def test_a_joint_that_stood_still_begins_there_and_once_only(then):
    rig, stands, _ = unplugged_in_motion(then)
    assert plug(rig, 1)
    assert rig.bus.goals[0] == stands
    assert not plug(rig, 20)


@pytest.mark.parametrize(("share", "anew"), [(0.25, True), (0.4, False), (1.0, False)])
def test_a_joint_that_has_come_a_third_of_the_way_has_heard_and_goes_on(share, anew):
    rig, stands, commanded = unplugged_in_motion()
    rig.positions[0] += share * (commanded - stands)
    assert plug(rig) == anew
    assert rig.bus.goals[0] == (rig.positions[0] if anew else commanded)


@pytest.mark.parametrize("ticks", [60, 65, 70, 72, 74, 76, 78])
def test_what_a_joint_sags_under_its_load_is_no_reason(ticks):
    rig = MemoryRig().running(steps=100, swing=0.6)
    rig.tick(ticks)
    rig.silent[0] = rig.held_back[0] = True
    rig.tick(60)
    missed = abs(rig.bus.goals[0] - rig.positions[0])
    assert plug(rig) == (missed > 0.005 * RANGE)


@pytest.mark.parametrize(("share", "anew"), [(0.009, True), (-0.009, True), (0.011, False), (-0.011, False)])
def test_a_joint_that_moves_is_waited_for(share, anew):
    rig, _, commanded = unplugged_in_motion()
    rig.velocities[0] = share * FASTEST
    assert plug(rig, 20) == anew
    rig.velocities[0] = 0.0
    if not anew:
        assert rig.bus.goals[0] == commanded
        assert plug(rig, 1)


def test_a_joint_whose_first_word_is_no_number_is_waited_for():
    rig, stands, commanded = unplugged_in_motion()
    rig.positions[0] = math.nan
    assert not plug(rig, 5)
    assert rig.bus.goals[0] == commanded
    rig.positions[0] = stands
    assert plug(rig, 1)


def test_the_arm_is_waited_for_until_it_rests():
    rig = MemoryRig().running(steps=100, swing=0.6)
    rig.tick(40)
    rig.silent[0] = rig.held_back[0] = True
    rig.tick_until("holding", limit=40)
    assert not rig.state["at_rest"]
    rig.silent[0] = False
    moving = []
    while not rig.state["at_rest"]:
        record = rig.tick()[-1]
        moving.append(bool(record["joints"]["limited"][0] & layout.BEGINS_ANEW))
    assert len(moving) > 3
    assert not any(moving[:-1])


@pytest.mark.parametrize("end", [0, 1])
def test_a_joint_that_stands_past_its_end_begins_at_the_end(end):
    inwards = (1, -1)[end]
    rig = MemoryRig(position=(ARM[end], 0.0, 0.0)).running(steps=100, swing=0.6 * inwards)
    rig.tick(10)
    rig.silent[0] = rig.held_back[0] = True
    rig.tick(60)
    rig.order(layout.ORDER_HOLD)
    rig.positions[0] = ARM[end] - 0.01 * inwards
    assert plug(rig)
    assert rig.bus.goals[0] == ARM[end]


def test_a_gripper_that_was_silent_keeps_its_command():
    rig = MemoryRig().running(steps=100, swing=0.0, gripper=0.02)
    rig.tick(5)
    rig.silent[2] = rig.held_back[2] = True
    rig.tick(60)
    rig.order(layout.ORDER_HOLD)
    rig.tick(20)
    goal = rig.bus.goals[2]
    assert abs(goal - rig.positions[2]) > 0.001
    rig.silent[2] = False
    rig.tick(20)
    assert rig.bus.goals[2] == goal
    assert not rig.conditions & Condition.JOINT_SILENT
