"""Before the first command: the loop tests itself, looks at the arm, and begins where the arm is."""

from types import SimpleNamespace

import numpy as np
import pytest
from loop_rig import ARM, DT_NS
from memory_rig import MemoryRig
from reflex_rig import LIMITS
from test_loop_modes import assert_moves_inside

from spinal.bench.live.supervised_robot import SHIPPED
from spinal.native import layout
from spinal.native.layout import Condition
from spinal.runtime.config.load import load_robot
from spinal.runtime.controller.plan import held_grips

TEST_TICKS = 25


def self_testing(**changes):
    return MemoryRig(self_test_ticks=TEST_TICKS, **changes)


def test_nothing_is_written_before_the_self_test_has_passed():
    rig = self_testing()
    for record in rig.tick(TEST_TICKS - 1):
        assert Condition.NOT_TESTED in Condition(int(record["conditions"]))
    assert (rig.loop.mode, rig.bus.writes, rig.bus.torque_shares) == ("off", 0, [])
    rig.tick()
    assert (rig.loop.mode, rig.bus.writes) == ("ready", 1)


@pytest.mark.parametrize("fault", ["a reply is missing", "a slot is skipped"])
def test_the_self_test_begins_anew_with_every_fault(fault):
    rig = self_testing()
    rig.tick(TEST_TICKS - 1)
    rig.silent[1] = fault == "a reply is missing"
    rig.tick(skipped=0 if rig.silent[1] else 1)
    rig.silent[1] = False
    rig.tick(TEST_TICKS - 1)
    assert (rig.loop.mode, rig.bus.writes) == ("off", 0)
    rig.tick()
    assert rig.loop.mode == "ready"


def test_once_passed_the_self_test_is_over():
    rig = self_testing()
    rig.tick_until("ready")
    for giver in (0, 1):
        rig.order(layout.ORDER_RUN, giver=giver)
    rig.publish(rig.path(steps=100))
    rig.tick(10)
    rig.silent[0] = True
    rig.tick(3, skipped=2)
    assert rig.loop.mode == "running"
    assert not rig.conditions & Condition.NOT_TESTED


def test_without_a_test_nothing_is_waited_for():
    rig = MemoryRig()
    rig.tick()
    assert rig.loop.mode == "ready"


@pytest.mark.parametrize("restarted", [False, True])
def test_an_arm_that_was_moved_by_hand_does_not_jump(restarted):
    rig = self_testing(arming_speed=0.05)
    if restarted:
        rig.tick_until("ready")
        rig.loop = rig.new_loop()
        rig.tick(3)
    rig.held_back = [True] * 3
    path = np.linspace(0.0, 1.1, 20)
    writes = rig.bus.writes
    for angle in path:
        rig.positions[:2] = [angle, -angle]
        rig.velocities[:2] = [0.055 / 0.004, -0.055 / 0.004]
        rig.tick()
    assert (rig.loop.mode, rig.bus.writes) == ("off", writes)
    rig.velocities = [0.0] * 3
    rig.tick_until("ready")
    assert rig.bus.goals[:2] == [1.1, -1.1]
    begun = len(rig.seen) - 1
    rig.held_back = [False] * 3
    for giver in (0, 1):
        rig.order(layout.ORDER_RUN, giver=giver)
    rig.publish(rig.path(steps=100))
    rig.tick(100)
    assert rig.loop.mode == "running"
    assert_moves_inside(rig.commands()[begun:])


@pytest.mark.parametrize(("share", "armed"), [(0.04, True), (-0.04, True), (0.06, False), (-0.06, False)])
def test_a_joint_that_moves_is_not_armed(share, armed):
    rig = MemoryRig(arming_speed=0.05)
    rig.velocities[1] = share * ARM[2]
    rig.tick(20)
    assert rig.loop.mode == ("ready" if armed else "off")
    assert bool(rig.conditions & Condition.NOT_ARMED) == (not armed)
    rig.velocities[1] = 0.0
    rig.tick()
    assert rig.loop.mode == "ready"


def test_without_an_arming_speed_whatever_moves_is_armed():
    rig = MemoryRig(arming_speed=0.0)
    rig.velocities[1] = ARM[2]
    rig.tick()
    assert rig.loop.mode == "ready"


def test_a_gripper_that_moves_is_armed():
    rig = MemoryRig(arming_speed=0.05)
    rig.velocities[2] = 1.0
    rig.tick()
    assert rig.loop.mode == "ready"


def test_a_gripper_that_has_held_on_goes_on_with_its_command():
    block_m, command_m = 0.010, 0.002
    rig = MemoryRig(position=(0.0, 0.0, block_m), grips=(np.nan, np.nan, command_m))
    rig.held_back[2] = True
    rig.tick_until("ready")
    rig.tick(5)
    assert rig.bus.goals == [0.0, 0.0, command_m]


@pytest.mark.parametrize(("grip", "goal"), [(np.nan, 0.010), (np.inf, 0.010), (-0.5, 0.0), (0.5, 0.022)])
def test_what_is_no_place_for_a_gripper_is_not_gone_to(grip, goal):
    rig = MemoryRig(position=(0.0, 0.0, 0.010), grips=(np.nan, np.nan, grip))
    rig.held_back[2] = True
    rig.tick_until("ready")
    assert rig.bus.goals[2] == pytest.approx(goal)


def test_an_arm_joint_never_begins_elsewhere_than_where_it_stands():
    rig = MemoryRig(position=(0.3, 0.0, 0.0), grips=(1.0, 1.0, np.nan))
    rig.tick_until("ready")
    assert rig.bus.goals[:2] == [0.3, 0.0]


@pytest.mark.parametrize("energised", [True, False])
def test_only_what_has_had_torque_all_the_while_holds_on(energised):
    robot = load_robot(SHIPPED)
    commanded = np.zeros((6, 3))
    commanded[:, 0] = np.arange(6) / 100
    last = SimpleNamespace(energised=energised, commanded=commanded)
    grips = held_grips(robot, last)
    assert np.isnan(grips[:5]).all()
    assert np.isnan(grips[5]) != energised
    assert not energised or grips[5] == 0.05
    assert np.isnan(held_grips(robot, None)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("word", ["positions", "velocities"])
def test_a_joint_that_says_no_number_is_not_armed(word, value):
    rig = MemoryRig(arming_speed=0.05)
    getattr(rig, word)[0] = value
    rig.tick(20)
    assert (rig.loop.mode, rig.bus.writes) == ("off", 0)


@pytest.mark.parametrize(
    ("health", "condition"),
    [({"temperature": 70.0}, Condition.OVERHEATED), ({"voltage": 3.0}, Condition.VOLTAGE_FAILED)],
)
def test_an_arm_whose_motors_may_not_be_used_is_not_armed_until_they_may(health, condition):
    rig = MemoryRig(reflexes=(LIMITS,) * 3, self_test_ticks=120)
    rig.health[1] = health
    rig.tick(200)
    assert (rig.loop.mode, rig.bus.writes) == ("off", 0)
    assert rig.conditions & condition
    assert rig.transitions == []
    rig.health[1] = {}
    rig.tick_until("ready")


def test_the_transition_to_ready_says_what_was_waited_for():
    rig = self_testing()
    rig.silent[2] = True
    rig.tick(10)
    rig.silent[2] = False
    rig.tick_until("ready")
    (change,) = rig.transitions
    assert change.modes == (layout.MODE_OFF, layout.MODE_READY)
    assert change.tick_ns == rig.next_ns - DT_NS
    assert change.tick == len(rig.seen) - 1
    assert change.conditions == Condition.NO_TRAJECTORY | Condition.ORDER_STALE


# ---- easing in ----


def speeds(rig, since):
    return np.abs(np.diff(rig.commands()[since:, :2], axis=0)).max(axis=0) / (DT_NS * 1e-9)


@pytest.mark.parametrize(("far", "eased"), [(1.5, True), (0.1, False)])
def test_a_far_trajectory_is_eased_into_and_a_near_one_is_not(far, eased):
    rig = MemoryRig(ease_travel=0.2, ease_speed=0.2).ready()
    rig.publish(rig.far_path(far, 3))
    begun = len(rig.seen) - 1
    rig.tick(61)
    assert rig.loop.mode == "running"
    if eased:
        assert speeds(rig, begun).max() <= 0.2 * ARM[2] * (1 + 1e-9)
        assert rig.state["speed_scale"] == 0.2
    else:
        assert rig.state["speed_scale"] == 1
    rig.tick(500)
    assert rig.positions[0] == pytest.approx(far, abs=1e-3), "it arrives"
    assert rig.state["speed_scale"] == 1, "and is free again"
    assert_moves_inside(rig.commands()[begun:])


def test_after_easing_in_the_next_chunk_is_followed_at_full_speed():
    rig = MemoryRig(ease_travel=0.2, ease_speed=0.2).ready()
    rig.publish(rig.far_path(1.5, 3))
    rig.tick(600)
    rig.publish(rig.far_path(-1.5, 3))
    begun = len(rig.seen)
    rig.tick(60)
    assert speeds(rig, begun).max() > 0.5 * ARM[2]


def test_a_slower_order_counts_while_easing():
    rig = MemoryRig(ease_travel=0.2, ease_speed=0.2).ready()
    rig.order(layout.ORDER_RUN, speed=0.05)
    rig.publish(rig.far_path(1.5, 3))
    rig.tick(2)
    begun = len(rig.seen)
    rig.tick(100)
    assert rig.state["speed_scale"] == 0.05
    assert speeds(rig, begun).max() <= 0.05 * ARM[2] * (1 + 1e-9)
