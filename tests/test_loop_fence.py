"""The tick behind a fence: two links and a gripper; a post stands where the shoulder swings."""

import numpy as np
import pytest
from fence_rig import clearance, planar
from loop_rig import ARM, EMERGENCY, GRIPPER, SteppedRig

from spinal.native import layout
from spinal.native.fence import KEEP_OUT, WORKSPACE, Fence
from spinal.runtime.controller.plan import SafetyPlan

POST = ((0.25, 0.12, 0.0), (0.35, 0.2, 0.2))
FENCED = KEEP_OUT | WORKSPACE


def fenced(description):
    return SteppedRig(safety=SafetyPlan(fence=Fence(description, 3)))


def swing(rig, swing_rad, steps=80):
    """A chunk on which both joints go away from where they are by ``swing_rad``, and the second half as far."""
    return rig.path(steps=steps, swing=swing_rad, rate_hz=0.4)


def arm(rig):
    """Positions [tick, joint] of the arm since it was armed."""
    armed = [record["mode"] != layout.MODE_OFF for record in rig.seen]
    return rig.commands()[armed][:, :2]


def limited(rig):
    return np.array([record["joints"]["limited"] for record in rig.seen])


def test_a_chunk_that_leads_into_a_box_ends_in_rest_before_it_and_goes_on_elsewhere():
    description = planar(workspace=None, boxes=[POST])
    rig = fenced(description).ready()
    rig.publish(swing(rig, 0.9))
    rig.tick(260)
    bits = limited(rig)
    positions = arm(rig)
    free = clearance(description, positions)
    assert free.min() >= 0
    assert free[-1] < 0.001
    assert rig.state["at_rest"] == 1
    assert rig.loop.mode == "running"
    assert (bits[-1][:2] & KEEP_OUT).all()
    assert not (bits[:, 2] & FENCED).any()
    assert rig.stats["fenced_ticks"] == (bits[:, 0] & KEEP_OUT != 0).sum() > 0
    stood = positions[-1]
    rig.tick(150)
    rig.publish(swing(rig, -0.5))
    rig.tick(200)
    assert arm(rig)[-1][0] < stood[0] - 0.2
    assert not (limited(rig)[-1] & FENCED).any()


def test_the_gripper_moves_while_the_arm_is_kept_from_a_box():
    rig = fenced(planar(workspace=None, boxes=[POST])).ready()
    rig.publish(swing(rig, 0.9))
    rig.tick(260)
    assert rig.commands()[-1][2] == pytest.approx(0.01)


def test_what_is_recorded_as_applied_is_what_went_out_and_it_is_inside_the_limits():
    rig = fenced(planar(workspace=None, boxes=[POST])).ready()
    rig.publish(swing(rig, 0.9))
    rig.tick(260)
    commanded = rig.state["joints"]["commanded_position"]
    rig.tick(1)
    assert commanded == pytest.approx(rig.seen[-2]["joints"]["applied"])
    difference = np.concatenate([np.repeat(arm(rig)[:1], 3, axis=0), arm(rig)])
    for bound in ARM[2:]:
        difference = np.diff(difference, axis=0) / 0.004
        assert np.abs(difference).max() <= bound * (1 + 1e-5)


@pytest.mark.parametrize("order", [layout.ORDER_HOLD, layout.ORDER_STOP])
def test_a_hold_or_a_stop_on_the_way_ends_clear_too(order):
    description = planar(workspace=None, boxes=[POST])
    for ticks in range(40, 160, 12):
        rig = fenced(description).ready()
        rig.publish(swing(rig, 0.9))
        rig.tick(ticks)
        rig.order(order)
        rig.tick(60)
        assert rig.state["at_rest"] == 1
        assert clearance(description, arm(rig)).min() >= 0


def test_a_robot_without_a_fence_passes_through():
    rig = SteppedRig().ready()
    rig.publish(swing(rig, 0.9))
    rig.tick(260)
    assert clearance(planar(workspace=None, boxes=[POST]), arm(rig)).min() < 0
    assert rig.stats["fenced_ticks"] == 0


def test_the_loop_keeps_its_fence_alive():
    rig = SteppedRig(
        safety=SafetyPlan(fence=Fence(planar(workspace=((-1, -0.1, -1), (1, 0.1, 1))), 3)),
        limits=(ARM, ARM, GRIPPER),
        emergency=(EMERGENCY, EMERGENCY, GRIPPER),
    ).ready()
    rig.plan.safety = None
    rig.publish(rig.path(swing=0.9, steps=80, rate_hz=0.4))
    rig.tick(200)
    assert limited(rig)[-1][0] & WORKSPACE
