"""What people ask of a running loop: emergency stops in every mode, and the speed while it moves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loop_rig import ARM, DT_NS, EMERGENCY
from memory_rig import MemoryRig
from test_loop_modes import assert_inside, differences

from spinal.native import layout
from spinal.native.layout import Condition


def rig_in(mode):
    rig = MemoryRig(fade_ns=100_000_000)
    if mode == "off":
        rig.silent[0] = True
        rig.tick()
    elif mode == "ready":
        rig.ready()
    else:
        rig.running(steps=100)
        rig.tick(30)
        if mode == "holding":
            rig.order(layout.ORDER_HOLD)
            rig.tick()
    assert rig.loop.mode == mode
    return rig


@pytest.mark.parametrize("line", [0, 1])
@pytest.mark.parametrize("mode", ["ready", "running", "holding"])
def test_a_stop_line_stops_within_one_tick_and_stays_after_it_is_released(mode, line):
    rig = rig_in(mode)
    rig.stop_lines[line].press(rig.next_ns - 1)
    rig.tick()
    assert rig.loop.mode == "stopped"
    change = rig.transitions[-1]
    assert (change.risen, change.joint) == (Condition.ESTOP, -1)
    assert change.tick_ns == rig.next_ns - DT_NS
    rig.stop_lines[line].release()
    for giver in (0, 1):
        rig.order(layout.ORDER_RUN, giver=giver)
    rig.publish(rig.path())
    rig.tick(60)
    assert rig.loop.mode == "stopped"
    assert rig.state["latched"] == Condition.ESTOP
    assert rig.state["at_rest"]
    assert_inside(rig, EMERGENCY)
    assert rig.stats["risen"]["estop"] == 1
    assert len(rig.bus.torque_shares) == 1, "stopped is not limp"


def test_while_a_stop_line_is_pressed_nothing_is_armed_and_it_leaves_nothing_behind():
    rig = rig_in("off")
    rig.stop_lines[1].press(1)
    rig.silent[0] = False
    rig.tick(20)
    assert (rig.loop.mode, rig.bus.writes) == ("off", 0)
    rig.stop_lines[1].release()
    rig.tick()
    assert rig.loop.mode == "ready"


def test_a_stopped_arm_obeys_a_stop_line_that_is_pressed_later():
    rig = rig_in("running")
    rig.order(layout.ORDER_STOP)
    rig.tick()
    rig.stop_lines[0].press(rig.next_ns)
    rig.tick()
    assert rig.state["mode"] == layout.MODE_STOPPED
    rig.tick()
    assert rig.state["latched"] == Condition.ESTOP | Condition.ORDER_STOP


@pytest.mark.parametrize(
    ("kind", "mode", "condition"),
    [
        (layout.ORDER_OFF, "stopped", Condition.ORDER_OFF),
        (layout.ORDER_OFF + 1, "holding", Condition.ORDER_HOLD),
        (99, "holding", Condition.ORDER_HOLD),
        (-1, "holding", Condition.ORDER_HOLD),
    ],
)
def test_an_order_that_nobody_knows_holds_and_never_lets_go(kind, mode, condition):
    rig = rig_in("running")
    rig.order(kind, giver=1)
    rig.tick()
    assert rig.loop.mode == mode
    assert rig.transitions[-1].risen == condition


# ---- speed ----


@pytest.mark.parametrize(
    ("speeds", "scale"),
    [
        ((1.0, 1.0), 1.0),
        ((0.3, 1.0), 0.3),
        ((1.0, 0.3), 0.3),
        ((0.7, 0.2), 0.2),
        ((0.0, 1.0), 0.0),
        ((1.0, -5.0), 0.0),
        ((9.0, 1.0), 1.0),
        ((np.nan, 1.0), 0.0),
        ((1.0, np.nan), 0.0),
        ((np.nan, 0.5), 0.0),
        ((np.inf, 0.5), 0.5),
        ((-np.inf, 0.5), 0.0),
    ],
)
def test_the_smallest_speed_of_the_orders_counts_and_what_is_no_number_is_0(speeds, scale):
    rig = rig_in("running")
    for giver, speed in enumerate(speeds):
        rig.order(layout.ORDER_RUN, giver=giver, speed=speed)
    rig.tick(2)
    assert rig.state["speed_scale"] == scale
    assert rig.loop.mode == "running"
    rig.tick(40)
    begun = len(rig.seen) - 1
    rig.publish(rig.far_path(1.5))
    rig.tick(100)
    fastest = np.abs(np.diff(rig.commands()[begun:, :2], axis=0)).max() / (DT_NS * 1e-9)
    assert fastest <= scale * ARM[2] * (1 + 1e-9) + 1e-12
    if scale:
        assert fastest > 0.9 * min(scale, 0.8) * ARM[2]


def swing(rig):
    """A long fast motion: from one side to the other and back."""
    rig.publish(rig.far_path(1.4, 8))


def test_a_speed_lowered_in_motion_keeps_acceleration_and_jerk_and_1_goes_on():
    rig = MemoryRig().ready()
    swing(rig)
    rig.tick(80)
    moving = np.abs(np.diff(rig.commands()[-2:, 0]))[0] / (DT_NS * 1e-9)
    assert moving > 1
    rig.order(layout.ORDER_RUN, speed=0.1)
    begun = len(rig.seen)
    rig.tick(60)
    slow = np.abs(np.diff(rig.commands()[-2:, 0]))[0] / (DT_NS * 1e-9)
    assert slow <= 0.1 * ARM[2] * (1 + 1e-9)
    rig.order(layout.ORDER_RUN, speed=0.0)
    rig.tick(60)
    assert np.diff(rig.commands()[-20:, :2], axis=0) == pytest.approx(0, abs=1e-12)
    rig.order(layout.ORDER_RUN, speed=1.0)
    rig.tick(400)
    assert rig.positions[0] == pytest.approx(1.4, abs=1e-3)
    _, acceleration, jerk = differences(rig.commands())
    assert acceleration <= ARM[3] * (1 + 1e-6)
    assert jerk <= ARM[4] * (1 + 1e-6)
    assert rig.stats["running_ticks"] > begun


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 40), st.one_of(st.floats(0, 1), st.just(np.nan))), max_size=8))
def test_whatever_is_done_to_the_speed_acceleration_and_jerk_stay_inside(changes):
    rig = MemoryRig().ready()
    swing(rig)
    rig.tick(40)
    for ticks, speed in changes:
        rig.order(layout.ORDER_RUN, speed=speed)
        rig.tick(ticks)
    velocity, acceleration, jerk = differences(rig.commands())
    assert velocity <= ARM[2] * (1 + 1e-6)
    assert acceleration <= ARM[3] * (1 + 1e-6)
    assert jerk <= ARM[4] * (1 + 1e-6)


def test_the_brake_of_an_emergency_is_not_slowed_by_the_speed():
    rig = rig_in("running")
    rig.order(layout.ORDER_RUN, speed=0.05)
    rig.stop_lines[0].press(1)
    rig.tick(40)
    assert rig.state["at_rest"]
    assert rig.loop.mode == "stopped"
