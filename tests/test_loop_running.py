"""Running: what is taken of chunks and replies, what is counted, and what is published."""

from dataclasses import replace

import numpy as np
import pytest
from loop_rig import ARM, DT_NS, MS, SteppedRig
from test_loop_modes import NO_TRAJECTORY, assert_inside

from spinal.native import layout


def followed(fault=lambda rig, k: None):
    rig = SteppedRig().running(steps=60)
    for k in range(60):
        fault(rig, k)
        rig.tick()
    return rig


def test_a_lost_reply_changes_no_command():
    def lose(rig, k):
        if k in (10, 11, 30):
            rig.emulator.set_faults(k % 3, drop_replies=1)
        if k == 40:
            rig.emulator.set_faults(1, corrupt_replies=1, corrupt_byte=5)

    sound, lossy = followed(), followed(lose)
    assert lossy.stats["missing_replies"] - sound.stats["missing_replies"] == 4
    assert lossy.stats["bad_packets"] == 1
    assert (lossy.commands() == sound.commands()).all()
    assert lossy.stats["holds"] == 0


def test_a_lost_reply_keeps_the_old_sample_and_the_others_are_fresh():
    rig = SteppedRig().running(steps=60)
    rig.tick(20)
    before = rig.state["joints"].copy()
    rig.emulator.set_faults(1, drop_replies=1)
    rig.tick()
    after = rig.state["joints"]
    assert after["fresh"].tolist() == [1, 0, 1]
    assert after["stamp_ns"][1] == before["stamp_ns"][1]
    assert after["position"][1] == before["position"][1]
    assert (after["stamp_ns"][[0, 2]] > before["stamp_ns"][[0, 2]]).all()


def nan_in(array):
    def spoil(path):
        spoiled = getattr(path, array).copy()
        spoiled[7, 1] = np.nan
        return replace(path, **{array: spoiled})

    return spoil


REJECTED = {
    "NaN position": ("not_finite", nan_in("position")),
    "NaN curvature": ("not_finite", nan_in("curvature")),
    "a step of nothing": ("bad_shape", lambda path: replace(path, step_ns=0)),
    "a joint too few": (
        "bad_shape",
        lambda path: replace(
            path, position=path.position[:, :2].copy(), curvature=path.curvature[:, :2].copy()
        ),
    ),
    "ended already": ("stale", lambda path: replace(path, origin_ns=path.origin_ns - 10_000 * MS)),
    "an older observation": ("stale", lambda path: replace(path, observation_stamp_ns=1)),
    "from the future": ("future", lambda path: replace(path, observation_stamp_ns=path.origin_ns + 500 * MS)),
}


@pytest.mark.parametrize(("reason", "spoil"), REJECTED.values(), ids=REJECTED.keys())
def test_a_trajectory_that_may_not_be_executed_is_counted_and_changes_nothing(reason, spoil):
    def publish(rig, k):
        if k == 20:
            rig.publish(spoil(rig.path(swing=-0.3)))

    sound, spoiled = followed(), followed(publish)
    assert spoiled.stats["rejected"] == {**sound.stats["rejected"], reason: 1}
    assert spoiled.stats["accepted"] == sound.stats["accepted"] == 1
    assert (spoiled.commands() == sound.commands()).all()


def test_a_new_chunk_every_step_moves_without_a_seam():
    rig = SteppedRig().running(steps=30)
    for k in range(40):
        rig.publish(rig.path(steps=30, swing=0.2 * (-1) ** (k // 4), gripper=0.005 * (k % 3)))
        rig.tick(5)
    stats = rig.stats
    assert stats["switches"] == stats["accepted"] == 41
    assert max(stats["seam"].values()) < 1e-9
    assert_inside(rig)


def test_a_trajectory_that_waits_while_the_loop_holds_is_taken_when_it_runs():
    rig = SteppedRig().running(steps=60)
    rig.order(layout.ORDER_HOLD)
    rig.tick(30)
    assert rig.publish(rig.path(steps=60)) == 2
    rig.tick(3)
    assert rig.state["trajectory_id"] == 1
    rig.order(layout.ORDER_RUN)
    rig.tick()
    assert rig.seen[-1]["trajectory_id"] == 2


def test_a_waiting_trajectory_that_has_ended_is_not_taken():
    rig = SteppedRig().ready()
    rig.order(layout.ORDER_HOLD)
    rig.publish(rig.path(steps=10))
    rig.tick(60)
    rig.order(layout.ORDER_RUN)
    record = rig.tick()[-1]
    assert (record["mode"], record["conditions"]) == (layout.MODE_READY, NO_TRAJECTORY)


def test_ticks_that_follow_an_old_observation_are_counted_as_starved():
    rig = SteppedRig().running(steps=60, fresh_for_ns=60 * MS)
    rig.tick(49)
    # older than 60 ms from the 17th running tick on: 0, 4, ... 60 are fresh
    assert rig.stats["running_ticks"] == 50
    assert rig.stats["starved_ticks"] == 50 - 16
    assert rig.stats["age"]["max"] == 49 * DT_NS
    assert rig.stats["age"]["n"] == 50


def test_an_impossible_chunk_is_limited_counted_and_named():
    rig = SteppedRig().running(steps=30, swing=1.9, rate_hz=6)
    rig.tick(60)
    assert_inside(rig)
    limited = [r for r in rig.seen if r["mode"] == layout.MODE_RUNNING and r["joints"]["limited"][:2].any()]
    assert rig.stats["limited_ticks"] == len(limited) > 20
    for record in limited:
        # an arm joint only differs from what was requested where a reason is given
        for joint in record["joints"][:2]:
            assert joint["limited"] or joint["applied"] == joint["requested"]


def test_counters_are_those_of_the_records():
    rig = SteppedRig().running(steps=40)
    rig.tick(20)
    rig.tick(7, skipped=2)
    rig.order(layout.ORDER_HOLD)
    rig.tick(9)
    rig.order(layout.ORDER_RUN)
    rig.publish(rig.path(swing=1.0, rate_hz=5))
    rig.tick(30, skipped=5)
    stats, records = rig.stats, rig.seen
    modes = np.array([record["mode"] for record in records])
    ran = modes == layout.MODE_RUNNING
    assert stats["ticks"] == len(records) == records[-1]["tick"] + 1
    assert [record["tick"] for record in records] == list(range(len(records)))
    assert stats["running_ticks"] == ran.sum()
    assert stats["switches"] == sum(record["switched"] for record in records)
    assert not any(record["switched"] for record in records if record["mode"] != layout.MODE_RUNNING)
    assert stats["holds"] == (ran[:-1] & (modes[1:] == layout.MODE_HOLDING)).sum()
    assert stats["skipped_slots"] == 7
    assert np.diff([record["tick_ns"] for record in records]).sum() == (len(records) - 1 + 7) * DT_NS
    limited = sum(ran & np.array([record["joints"]["limited"][:2].any() for record in records]))
    assert stats["limited_ticks"] == limited > 0
    assert stats["bus_cycles"] == len(records)
    assert stats["compute"]["n"] == stats["bus_cycle"]["n"] == (modes != layout.MODE_OFF).sum()
    arm = np.concatenate([np.repeat(rig.commands()[:1, :2], 3, axis=0), rig.commands()[:, :2]])
    jerk = np.diff(arm, 3, axis=0) / (DT_NS * 1e-9) ** 3
    assert stats["jerk_count"] == 2 * ran.sum()
    assert stats["jerk_square_sum"] == pytest.approx((jerk[ran] ** 2).sum(), rel=1e-6)
    for record in records:
        assert record["woke_ns"] <= record["read_ns"] <= record["written_ns"]


def test_the_state_is_what_was_measured_now_and_commanded_last():
    rig = SteppedRig().running(steps=40)
    rig.tick(20)
    last = rig.seen[-1]
    rig.tick()
    state = rig.state
    assert state["tick_ns"] - state["command_ns"] == DT_NS
    assert state["command_ns"] == last["tick_ns"]
    assert (state["joints"]["commanded_position"] == last["joints"]["applied"]).all()
    assert (state["joints"]["position"] == rig.seen[-1]["joints"]["measured"]).all()
    assert state["trajectory_id"] == 1
    taken = next(record for record in rig.seen if record["switched"])
    assert state["in_force_ns"] == taken["tick_ns"]
    assert state["blend_end_ns"] == taken["tick_ns"] - DT_NS + rig.stats["blend"]["max"]
    assert rig.controller.heartbeat_ns >= rig.seen[-1]["tick_ns"]


def test_the_gripper_steps_at_its_own_speed():
    rig = SteppedRig().running(steps=40, gripper=0.02)
    rig.tick(40)
    jaw = rig.commands()[:, 2]
    steps = np.diff(jaw)
    assert jaw[-1] == pytest.approx(0.02, abs=1e-12)
    assert steps.max() == pytest.approx(0.25 * DT_NS * 1e-9, rel=1e-9)
    assert (steps >= 0).all()


def test_a_full_ring_of_records_does_not_stop_the_tick():
    rig = SteppedRig().ready()
    for _ in range(1100):
        rig.clock.now_ns = rig.next_ns
        rig.loop.tick(rig.next_ns)
        rig.next_ns += DT_NS
    assert len(rig.records()) == 1024
    assert rig._records.dropped == rig.stats["ticks"] - 1024 - len(rig.seen)


@pytest.mark.parametrize("givers", [0, 5])
def test_a_loop_obeys_one_to_four_givers(givers):
    with pytest.raises(ValueError, match="1 to 4 givers"):
        SteppedRig().new_loop(givers)


def test_a_plan_that_disagrees_with_the_bus_is_refused():
    with pytest.raises(ValueError, match="how many joints"):
        SteppedRig(limits=(ARM, ARM))
