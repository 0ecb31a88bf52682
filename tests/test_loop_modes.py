"""The tick on a manual clock: which mode when, what is commanded meanwhile, and what is counted."""

import numpy as np
import pytest
from loop_rig import ARM, DT_NS, EMERGENCY, ZERO_COUNT, SteppedRig

from spinal.native import layout

GOAL_REGISTER = 42
NO_TRAJECTORY, ORDER_HOLD, ORDER_STALE, BUS_SILENT, LATE, ORDER_STOP, NOT_ARMED = (1 << k for k in range(7))


def differences(commands):
    """Velocity, acceleration and jerk of the arm joints; the arm stood still before the first command."""
    arm = np.concatenate([np.repeat(commands[:1, :2], 3, axis=0), commands[:, :2]])
    result = []
    for _ in range(3):
        arm = np.diff(arm, axis=0) / (DT_NS * 1e-9)
        result.append(np.abs(arm).max())
    return result


def assert_moves_inside(commands, limits=ARM):
    for got, limit, rounding in zip(differences(commands), limits[2:], (1e-12, 1e-9, 1e-6), strict=True):
        assert got <= limit * (1 + 1e-6) + rounding
    assert commands[:, :2].min() >= limits[0]
    assert commands[:, :2].max() <= limits[1]


def assert_inside(rig, limits=ARM):
    """A joint that had not heard its commands begins anew, at rest: what it hears is inside from there on."""
    armed = [record for record in rig.seen if record["mode"] != layout.MODE_OFF]
    commands = np.array([record["joints"]["applied"] for record in armed])
    anew = [k for k, record in enumerate(armed) if (record["joints"]["limited"] & layout.BEGINS_ANEW).any()]
    for piece in np.split(commands, anew):
        assert_moves_inside(piece, limits)


def assert_rests(rig):
    rig.tick(60)
    last = rig.commands()[-20:]
    assert (last == last[-1]).all()
    assert rig.state["at_rest"] == 1


def test_off_until_every_joint_has_answered_and_nothing_is_written_before():
    rig = SteppedRig()
    rig.emulator.set_faults(1, silent=True)
    goals = [rig.emulator.register(k, GOAL_REGISTER, 2) for k in range(3)]
    rig.emulator.put_register(0, GOAL_REGISTER, goals[0] + 100, 2)
    for record in rig.tick(30):
        assert record["mode"] == layout.MODE_OFF
        assert record["conditions"] & NOT_ARMED
    assert rig.emulator.register(0, GOAL_REGISTER, 2) == goals[0] + 100
    assert rig.stats["missing_replies"] == 30
    rig.emulator.set_faults(1)
    assert rig.tick_until("ready") == 1


@pytest.mark.parametrize("beyond", [-0.05, 0.05])
def test_a_joint_outside_its_range_is_not_armed_and_nothing_is_written(beyond):
    rig = SteppedRig()
    end = ARM[0] if beyond < 0 else ARM[1]
    count = round(ZERO_COUNT + (end + beyond) * 4096 / (2 * np.pi))
    rig.emulator.set_present(0, count)
    rig.emulator.put_register(0, GOAL_REGISTER, count, 2)
    for record in rig.tick(30):
        assert record["mode"] == layout.MODE_OFF
        assert record["conditions"] & NOT_ARMED
    assert rig.emulator.register(0, GOAL_REGISTER, 2) == count
    rig.emulator.set_present(0, ZERO_COUNT)
    rig.tick_until("ready")


def test_a_joint_a_hair_outside_begins_at_the_end_of_its_range_and_stays_there():
    rig = SteppedRig()
    count = int(ZERO_COUNT + ARM[1] * 4096 / (2 * np.pi)) + 2
    rig.emulator.set_present(0, count)
    rig.tick_until("ready")
    rig.tick(20)
    armed = [record["mode"] != layout.MODE_OFF for record in rig.seen]
    assert (rig.commands()[armed][:, 0] == ARM[1]).all()


def test_ready_holds_the_pose_that_was_measured():
    rig = SteppedRig()
    for index, count in enumerate((2348, 1800, 2500)):
        rig.emulator.set_present(index, count)
        rig.emulator.put_register(index, GOAL_REGISTER, count, 2)
    rig.tick(50)
    assert rig.loop.mode == "ready"
    assert [rig.emulator.register(k, GOAL_REGISTER, 2) for k in range(3)] == [2348, 1800, 2500]
    radians = (2348 - ZERO_COUNT) * 2 * np.pi / 4096
    assert rig.state["joints"]["position"][0] == pytest.approx(radians, abs=1e-12)
    assert rig.state["joints"]["commanded_position"][0] == pytest.approx(radians, abs=1e-12)
    assert rig.state["joints"]["position"][1] > 0, "the second joint counts downwards"


def test_ready_runs_only_with_every_givers_order_and_a_trajectory():
    rig = SteppedRig()
    rig.tick_until("ready")
    assert rig.tick()[-1]["conditions"] == NO_TRAJECTORY | ORDER_STALE
    rig.order(layout.ORDER_RUN, giver=0)
    assert rig.tick()[-1]["conditions"] == NO_TRAJECTORY | ORDER_STALE
    rig.order(layout.ORDER_RUN, giver=1)
    assert rig.tick()[-1]["conditions"] == NO_TRAJECTORY
    assert rig.loop.mode == "ready"
    rig.publish(rig.path())
    record = rig.tick()[-1]
    assert (record["conditions"], record["mode"], record["switched"]) == (0, layout.MODE_RUNNING, 1)
    assert record["trajectory_id"] == 1


def test_a_restarted_loop_does_not_execute_what_was_published_before_it_began():
    rig = SteppedRig().running(steps=100)
    rig.publish(rig.path(steps=100))
    rig.loop = rig.new_loop()
    rig.tick(10)
    assert rig.loop.mode == "ready"
    assert rig.publish(rig.path()) == 3
    rig.tick()
    assert (rig.loop.mode, rig.seen[-1]["trajectory_id"]) == ("running", 3)


HOLDS = {
    "an order to hold": (ORDER_HOLD, lambda rig: rig.order(layout.ORDER_HOLD, giver=1)),
    "an order nobody knows": (ORDER_HOLD, lambda rig: rig.order(-1, giver=1)),
    "an order that has expired": (
        ORDER_STALE,
        lambda rig: rig.order(layout.ORDER_RUN, now_ns=rig.next_ns - 100, valid_for_ns=99),
    ),
    "a joint that falls silent": (BUS_SILENT, lambda rig: rig.emulator.set_faults(1, silent=True)),
    "a bus that falls silent": (
        BUS_SILENT,
        lambda rig: [rig.emulator.set_faults(k, unplugged=True) for k in range(3)],
    ),
}


@pytest.mark.parametrize(("condition", "cause"), HOLDS.values(), ids=HOLDS.keys())
def test_running_holds_and_goes_on(condition, cause):
    rig = SteppedRig().running(steps=100)
    rig.tick(40)
    assert np.abs(differences(rig.commands()[-4:])[0]) > 0.1, "it moves"
    cause(rig)
    needed = rig.tick_until("holding", limit=20)
    assert needed == (13 if condition == BUS_SILENT else 1), (
        "a silent joint is a fault once it is older than 50 ms"
    )
    assert rig.seen[-1]["conditions"] == condition
    assert_rests(rig)
    assert rig.stats["holds"] == 1
    # and back, from where it stands, with the tail of the same trajectory
    for index in range(3):
        rig.emulator.set_faults(index)
    for giver in (0, 1):
        rig.order(layout.ORDER_RUN, giver=giver)
    record = rig.tick()[-1]
    assert (record["mode"], record["switched"]) == (layout.MODE_RUNNING, 1)
    rig.tick(60)
    assert rig.stats["holds"] == 1
    assert_inside(rig)


def test_a_trajectory_that_ends_is_held_and_the_next_one_is_followed():
    rig = SteppedRig().running(steps=10)
    while rig.loop.mode == "running":
        rig.tick()
        assert len(rig.seen) < 200
    record = rig.seen[-1]
    assert (record["mode"], record["conditions"]) == (layout.MODE_HOLDING, NO_TRAJECTORY)
    ran = sum(record["mode"] == layout.MODE_RUNNING for record in rig.seen)
    assert ran == 10 * 5, "to its last waypoint and not longer"
    assert_rests(rig)
    rig.publish(rig.path())
    rig.tick(40)
    assert rig.loop.mode == "running"
    assert_inside(rig)


@pytest.mark.parametrize("skipped", [1, 3])
def test_a_few_skipped_slots_are_bridged_from_the_last_command(skipped):
    rig = SteppedRig().running(steps=60, swing=0.5, rate_hz=2)
    rig.tick(30)
    record = rig.tick(skipped=skipped)[0]
    assert (record["mode"], record["conditions"], record["switched"]) == (layout.MODE_RUNNING, 0, 1)
    rig.tick(60)
    assert rig.stats["skipped_slots"] == skipped
    assert rig.stats["switches"] == 2
    assert rig.stats["limited_ticks"] == 0, "the hand-off alone keeps the limits"
    assert_inside(rig)


def test_too_many_skipped_slots_are_held_and_then_planned_again():
    rig = SteppedRig().running(steps=100, swing=0.5, rate_hz=2)
    rig.tick(30)
    record = rig.tick(skipped=4)[0]
    assert (record["mode"], record["conditions"]) == (layout.MODE_HOLDING, LATE)
    record = rig.tick()[0]
    assert (record["mode"], record["conditions"], record["switched"]) == (layout.MODE_RUNNING, 0, 1)
    rig.tick(60)
    assert (rig.stats["holds"], rig.stats["skipped_slots"], rig.stats["switches"]) == (1, 4, 2)
    assert_inside(rig)


def test_the_check_notices_a_command_that_makes_up_for_lost_time():
    rig = SteppedRig().running(steps=60, swing=0.5, rate_hz=2)
    rig.tick(60)
    assert_inside(rig)
    commands = rig.commands()
    with pytest.raises(AssertionError):
        assert_moves_inside(np.concatenate([commands[1:30], commands[33:]]))


def test_a_stop_latches_brakes_with_the_emergency_limits_and_outlives_its_order():
    rig = SteppedRig().running(steps=100, swing=0.5, rate_hz=2)
    rig.tick(35)
    speed = abs(np.diff(rig.commands()[-2:, 0])[0]) / (DT_NS * 1e-9)
    rig.order(layout.ORDER_STOP, now_ns=rig.next_ns, valid_for_ns=1)
    record = rig.tick()[-1]
    assert (record["mode"], record["conditions"]) == (layout.MODE_STOPPED, ORDER_STOP)
    rig.tick(1)
    # at most v/A + 2A/J of the emergency limits
    ticks = (speed / EMERGENCY[3] + 2 * EMERGENCY[3] / EMERGENCY[4]) / (DT_NS * 1e-9) + 3
    rig.tick(int(ticks))
    assert rig.state["at_rest"] == 1
    assert_rests(rig)
    assert_inside(rig, EMERGENCY)
    with pytest.raises(AssertionError):
        assert_inside(rig, ARM)
    for giver in (0, 1):
        rig.order(layout.ORDER_RUN, giver=giver)
    rig.publish(rig.path())
    rig.tick(20)
    assert rig.loop.mode == "stopped"
    assert_rests(rig)


@pytest.mark.parametrize("before", ["ready", "holding"])
def test_a_stop_is_obeyed_from_every_mode(before):
    rig = SteppedRig()
    if before == "ready":
        rig.ready()
    else:
        rig.running()
        rig.order(layout.ORDER_HOLD)
        rig.tick_until("holding")
    rig.order(layout.ORDER_STOP, giver=1)
    rig.tick()
    assert rig.loop.mode == "stopped"


def test_off_is_not_left_while_a_stop_is_ordered():
    rig = SteppedRig()
    rig.order(layout.ORDER_STOP)
    rig.tick(5)
    assert rig.loop.mode == "off"
    rig.order(layout.ORDER_HOLD)
    rig.tick()
    assert rig.loop.mode == "ready"


def test_whoever_owns_the_loop_may_bring_it_to_rest_for_good():
    rig = SteppedRig().running(steps=100)
    rig.tick(10)
    rig.loop.hold()
    rig.tick(60)
    assert (rig.loop.mode, rig.state["at_rest"]) == ("holding", 1)
    rig.order(layout.ORDER_RUN)
    rig.tick(5)
    assert rig.loop.mode == "holding"
