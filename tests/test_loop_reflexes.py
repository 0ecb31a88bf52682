"""Reflexes in the tick: each leads to its answer, goes or stays as it must, and is told with its joint."""

import math

import numpy as np
import pytest
from loop_rig import ARM, DT_NS, EMERGENCY, MS, ZERO_COUNT, SteppedRig
from memory_rig import MemoryRig
from reflex_oracle import OFF
from reflex_rig import LIMITS
from test_loop_modes import assert_inside, assert_moves_inside

from spinal.native import layout
from spinal.native.layout import Condition
from spinal.runtime.controller.plan import SafetyPlan

QUICK = LIMITS._replace(contact_ns=100 * MS, contact_long_ns=0, clear_ns=100 * MS)
JOINTS = (QUICK, QUICK, QUICK._replace(following_hold=0, following_stop=0, contact_hold=0, contact_stop=0))
VOLTAGE, HEAT, OVERLOAD = 0x01, 0x04, 0x20
LOST = Condition.FOLLOWING | Condition.FOLLOWING_LOST


def rig_running(reflexes=JOINTS, **path):
    rig = MemoryRig(reflexes=reflexes).running(**{"steps": 120, "swing": 0.4, "rate_hz": 0.5, **path})
    rig.tick(20)
    return rig


def follow_slowly(rig, joint):
    """A joint that stays where it is while the command moves on."""
    rig.held_back[joint] = True


def push(rig, joint):
    rig.loads[joint] = 0.9


def hit(rig, joint):
    """The joint comes to full speed with what its motor has for it, and something stops it within a sample."""
    for k in range(30):
        speed = 4.7 * k / 29
        rig.velocities[joint], rig.loads[joint] = speed, min(1.0, 0.22 * speed + 0.013 * 40)
        rig.tick()
    assert rig.loop.mode == "running"
    rig.velocities[joint], rig.loads[joint] = 0.0, 1.0


def heat(celsius):
    return lambda rig, joint: rig.health[joint].update(temperature=celsius)


def supply(volt):
    return lambda rig, joint: rig.health[joint].update(voltage=volt)


def sound(rig, joint):
    rig.held_back[joint] = False
    rig.positions[joint] = rig.bus.goals[joint]
    rig.velocities[joint] = rig.loads[joint] = 0.0
    rig.health[joint] = {}
    rig.errors[joint] = 0


FIRST = {
    "contact": (Condition.CONTACT, push),
    "hot": (Condition.HOT, heat(62.0)),
    "voltage_low": (Condition.VOLTAGE_LOW, supply(10.0)),
}
SECOND = {
    "overheated": (Condition.OVERHEATED, heat(67.0)),
    "overheated, not a number": (Condition.OVERHEATED, heat(math.nan)),
    "voltage_failed": (Condition.VOLTAGE_FAILED, supply(5.0)),
    "collision": (Condition.COLLISION, lambda rig, joint: rig.loads.__setitem__(joint, math.nan)),
    "following_lost": (
        Condition.FOLLOWING_LOST,
        lambda rig, joint: (follow_slowly(rig, joint), rig.positions.__setitem__(joint, math.nan)),
    ),
    "frozen": (Condition.FROZEN, follow_slowly),
    "device_error": (Condition.DEVICE_ERROR, lambda rig, joint: rig.errors.__setitem__(joint, OVERLOAD)),
    "motor_off": (Condition.MOTOR_OFF, lambda rig, joint: rig.health[joint].update(torque=False)),
}


@pytest.mark.parametrize("joint", [0, 1])
@pytest.mark.parametrize(("condition", "cause"), FIRST.values(), ids=FIRST.keys())
def test_the_first_grade_holds_and_goes_on_by_itself(condition, cause, joint):
    rig = rig_running()
    cause(rig, joint)
    rig.tick_until("holding", limit=130)
    change = rig.transitions[-1]
    assert (change.risen, change.joint) == (condition, joint)
    assert change.modes == (layout.MODE_RUNNING, layout.MODE_HOLDING)
    rig.tick(30)
    assert rig.state["at_rest"]
    assert rig.state["latched"] == 0
    sound(rig, joint)
    rig.tick_until("running", limit=130)
    assert rig.transitions[-1].modes == (layout.MODE_HOLDING, layout.MODE_RUNNING)
    rig.tick(20)
    assert rig.stats["risen"][condition.name.lower()] == 1
    assert_inside(rig, ARM)


@pytest.mark.parametrize("joint", [0, 1])
@pytest.mark.parametrize(("condition", "cause"), SECOND.values(), ids=SECOND.keys())
def test_the_second_grade_stops_and_stays(condition, cause, joint):
    rig = rig_running()
    cause(rig, joint)
    rig.tick_until("stopped", limit=130)
    change = next(change for change in rig.transitions if change.modes[1] == layout.MODE_STOPPED)
    assert condition in change.risen
    assert change.joint == joint
    sound(rig, joint)
    rig.publish(rig.path(steps=120))
    rig.tick(200)
    assert rig.loop.mode == "stopped"
    assert condition in Condition(int(rig.state["latched"]))
    assert rig.state["at_rest"]
    assert_inside(rig, EMERGENCY)
    assert len(rig.bus.torque_shares) == 1, "stopped is not limp"
    # a controller that starts afresh, because a person asked for it
    rig.loop = rig.new_loop()
    rig.tick_until("ready", limit=3)


def test_a_joint_that_falls_behind_holds_and_when_it_catches_up_goes_on():
    rig = rig_running(reflexes=(QUICK._replace(frozen_ns=0, following_stop=1.0),) * 2 + JOINTS[2:], swing=0.9)
    follow_slowly(rig, 1)
    rig.tick_until("holding", limit=300)
    assert (rig.transitions[-1].risen, rig.transitions[-1].joint) == (Condition.FOLLOWING, 1)
    sound(rig, 1)
    rig.tick_until("running", limit=60)


def test_an_impact_stops_at_once():
    rig = rig_running()
    hit(rig, 0)
    assert rig.tick_until("stopped", limit=6) <= 5
    assert (rig.transitions[-1].risen, rig.transitions[-1].joint) == (Condition.COLLISION, 0)


def test_a_contact_that_goes_on_while_it_is_held_stops():
    rig = rig_running(reflexes=(QUICK._replace(contact_long_ns=400 * MS),) * 3)
    push(rig, 0)
    held = rig.tick_until("holding")
    stopped = rig.tick_until("stopped")
    assert abs(stopped * DT_NS - 300 * MS) <= 2 * DT_NS, "100 ms had passed when it held"
    assert held * DT_NS <= 160 * MS
    assert rig.transitions[-1].risen == Condition.COLLISION


def test_a_grasp_is_no_contact():
    rig = rig_running()
    rig.held_back[2] = True
    rig.loads[2] = -1.0
    rig.tick(400)
    assert rig.loop.mode == "running"
    assert rig.conditions == Condition(0)


def test_the_joint_of_a_transition_is_that_of_what_rose_and_not_of_what_was_there_before():
    rig = rig_running()
    heat(62.0)(rig, 0)
    rig.tick_until("holding", limit=130)
    assert rig.transitions[-1].joint == 0
    rig.loads[1] = math.nan
    rig.tick()
    change = rig.transitions[-1]
    assert Condition.HOT in change.conditions
    assert change.modes == (layout.MODE_HOLDING, layout.MODE_STOPPED)
    assert (Condition.COLLISION in change.risen, change.joint) == (True, 1)


def test_the_worst_of_several_wins():
    rig = rig_running()
    heat(62.0)(rig, 0)
    heat(67.0)(rig, 1)
    rig.tick_until("stopped", limit=130)
    assert len(rig.transitions) == 3, "arm, begin, stop"
    assert {Condition.HOT, Condition.OVERHEATED} <= set(rig.transitions[-1].risen)


def test_reflexes_judge_an_arm_that_no_policy_drives():
    rig = MemoryRig(reflexes=JOINTS).ready()
    rig.tick(10)
    rig.positions[0] += 0.6
    follow_slowly(rig, 0)
    rig.tick_until("stopped", limit=40)
    assert Condition.FOLLOWING_LOST in rig.transitions[-1].risen


def test_a_joint_that_is_pushed_aside_while_it_stands_stopped_changes_nothing_more():
    rig = rig_running()
    rig.stop_lines[0].press(1)
    rig.tick(30)
    rig.positions[0] += 1.0
    follow_slowly(rig, 0)
    goals = rig.bus.goals
    rig.tick(100)
    assert rig.loop.mode == "stopped"
    assert rig.bus.goals == goals


def test_while_torque_fades_an_arm_that_sinks_is_no_fault():
    rig = MemoryRig(reflexes=JOINTS, fade_ns=400 * MS).running(steps=10)
    rig.order(layout.ORDER_OFF)
    rig.tick_until("stopped")
    rig.held_back = [True] * 3
    while rig.loop.mode != "off":
        rig.positions[0] -= 0.02
        rig.tick()
    assert Condition(int(rig.state["latched"])) == Condition.ORDER_OFF | Condition.RELEASED


def test_a_motor_that_protects_itself_for_less_than_its_patience_or_for_its_supply_changes_nothing():
    rig = rig_running()
    for _ in range(6):
        rig.errors[0] = OVERLOAD
        rig.tick(12)
        rig.errors[0] = 0
        rig.tick()
    rig.errors[1] = VOLTAGE
    rig.tick(30)
    assert (rig.loop.mode, rig.conditions) == ("running", Condition(0))


def test_an_overload_that_only_switching_on_cures_does_not_keep_the_arm_from_being_armed():
    rig = rig_running()
    rig.errors[0] = OVERLOAD
    rig.tick_until("stopped", limit=20)
    rig.loop = rig.new_loop()
    rig.tick_until("ready", limit=3)
    rig.errors[0] = 0
    rig.tick(30)
    assert rig.loop.mode == "ready"
    rig.errors[0] = HEAT
    rig.tick_until("stopped", limit=20)


def test_without_reflexes_nothing_is_judged_but_what_is_no_number():
    rig = rig_running(reflexes=(OFF,) * 3)
    rig.held_back = [True] * 3
    rig.loads = [1.0] * 3
    rig.health = [{"temperature": 250.0, "voltage": 0.1}] * 3
    rig.tick(200)
    assert rig.loop.mode == "running"
    rig.loads[1] = math.nan
    rig.tick()
    assert rig.loop.mode == "stopped"


# ---- over the real protocol ----


def test_a_jammed_servo_on_the_wire_holds_and_a_moving_one_never_does():
    rig = SteppedRig(safety=SafetyPlan(reflexes=(LIMITS,) * 3))
    rig.running(steps=120, swing=1.2, rate_hz=0.9)
    rig.tick(300)
    assert rig.loop.mode == "running"
    assert not any(rig.stats["risen"][name] for name in ("following", "frozen", "contact", "collision"))
    count = ZERO_COUNT + rig.commands()[-1][0] * 4096 / (2 * np.pi)
    for k in range(150):
        rig.emulator.follow(rig.next_ns, lag_ns=10 * MS)
        rig.emulator.set_present(0, count, 0.0, load_permille=900 + k % 2)
        rig.clock.now_ns = rig.next_ns
        rig.loop.tick(rig.next_ns)
        rig.next_ns += DT_NS
        rig.seen.extend(rig.records())
        if rig.loop.mode != "running":
            break
    assert rig.loop.mode == "holding"
    assert Condition(int(rig.seen[-1]["conditions"])) & (Condition.FOLLOWING | Condition.CONTACT)
    assert_moves_inside(rig.commands()[1:])
