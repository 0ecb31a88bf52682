"""The arithmetic on commands at the servos: on sequences whose motion is known."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinal.bench.faults import motion
from spinal.bench.faults.motion import Frames
from spinal.bench.live.supervised_robot import SHIPPED
from spinal.native.limiter import Limiter
from spinal.runtime.config.limits import command_limits, emergency_limits
from spinal.runtime.config.load import load_robot

JOINTS = load_robot(SHIPPED).joints
DT_NS, DT_S = 4_000_000, 0.004
MIDDLE = np.array([joint.count_at_zero for joint in JOINTS])
GRIPPER = 5


def frames(counts, joint=0, gaps_ns=DT_NS):
    """Frames in which one joint moves by ``counts`` [frame] from its zero, and the others stand."""
    every = np.tile(MIDDLE, (len(counts), 1)).astype(np.int64)
    every[:, joint] += np.asarray(counts, np.int64)
    return Frames(np.cumsum(np.broadcast_to(gaps_ns, len(counts))), every, np.ones(every.shape, bool))


def rounded(position, joint=0):
    """A motion in rad, in counts from the joint's zero."""
    return np.rint(np.asarray(position) * JOINTS[joint].counts_per_unit).astype(np.int64)


def hasty(seed, limits, ticks=300):
    """What the limiter makes of far-away targets: as fast and as jerky as may be."""
    rng = np.random.default_rng(seed)
    limiter, emitted = Limiter(limits, DT_S), []
    for tick in range(ticks):
        if tick % 25 == 0:
            target = rng.uniform(*limits[:2])
        limiter.step(target)
        emitted.append(limiter.position)
    return np.array(emitted)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 30), st.booleans())
def test_a_motion_inside_its_limits_is_never_accused(seed, emergency):
    limits = (emergency_limits if emergency else command_limits)(JOINTS[0])
    used = motion.excess(frames(rounded(hasty(seed, limits))), JOINTS, DT_S, emergency)
    assert used.share <= 1.0 + 1e-9, used
    assert used.share > 0.9, "and it uses them up: the check bites"


@pytest.mark.parametrize("order", [2, 3, 4], ids=["velocity", "acceleration", "jerk"])
def test_a_motion_over_a_limit_is_found(order):
    low, high, *rates = command_limits(JOINTS[0])
    larger = list(rates)
    larger[order - 2] *= 1.5 if order < 4 else 3.0
    used = motion.excess(frames(rounded(hasty(1, (low, high, *larger)))), JOINTS, DT_S)
    assert used.share > 1.1, used
    assert used.joint == "shoulder_pan"


def test_a_command_outside_its_range_is_found_and_a_rounded_one_is_not():
    high = command_limits(JOINTS[0])[1]
    at_end = rounded(np.full(50, high))
    assert motion.excess(frames(at_end), JOINTS, DT_S).share <= 1
    found = motion.excess(frames(at_end + 2), JOINTS, DT_S)
    assert found.limit == "position"
    assert str(found).startswith("shoulder_pan")


def test_one_jump_of_a_rogue_writer_is_over_every_clean_step_and_limit():
    still = frames(np.zeros(100))
    still.counts[50, 0] += 400
    assert motion.step_ratio(motion.steps(still, JOINTS), np.array([12.0, 47.0])) == pytest.approx(400 / 12)
    assert motion.excess(still, JOINTS, DT_S).share > 10
    assert motion.excess(still, JOINTS, DT_S, deaf=(0,)).share <= 1


def test_a_gripper_is_held_against_its_own_steps():
    ratio = motion.step_ratio(motion.steps(frames([0, 47, 94], GRIPPER), JOINTS), np.array([12.0, 47.0]))
    assert ratio == 1.0
    assert motion.excess(frames(np.arange(20) * 46, GRIPPER), JOINTS, DT_S).share <= 1
    assert motion.excess(frames(np.arange(15) * 60, GRIPPER), JOINTS, DT_S).share > 1.2


def test_no_step_is_no_ratio():
    assert motion.step_ratio(motion.steps(frames([0]), JOINTS), np.ones(2)) == 0


def test_rest_is_where_goals_stay():
    brake = np.concatenate([np.arange(0, 100, 10), [104, 106, 107], np.full(40, 107)])
    moving = frames(brake)
    found = motion.rest_ns(moving, int(moving.arrived_ns[-1]))
    assert found == moving.arrived_ns[11], "within a count of where it stays"
    assert motion.rest_ns(frames(np.arange(60) * 3), 10**9) is not None, (
        "the last goal stays when nobody writes"
    )
    assert motion.rest_ns(frames(np.arange(60) * 3), 61 * DT_NS) is None
    assert motion.rest_ns(frames([]), 10**9) is None


def test_a_moving_arm_without_a_command_is_abandoned_and_one_at_rest_is_not():
    gaps = np.full(60, DT_NS)
    gaps[30] = 80_000_000
    moving, resting = frames(np.arange(60) * 5, gaps_ns=gaps), frames(np.zeros(60), gaps_ns=gaps)
    end_ns = int(moving.arrived_ns[-1])
    assert motion.abandoned(moving, end_ns, 50_000_000) == (5.0, 80_000_000)
    assert motion.abandoned(moving, end_ns, 100_000_000) == (0.0, 0)
    assert motion.abandoned(resting, end_ns, 50_000_000) == (0.0, 0)
    assert motion.abandoned(moving, end_ns + 10**9, 100_000_000)[1] == 10**9, "for ever"


def test_lives_are_cut_where_nobody_writes():
    gaps = np.full(20, DT_NS)
    gaps[[5, 12]] = 400_000_000
    assert [len(life) for life in motion.lives(frames(np.zeros(20), gaps_ns=gaps), 300_000_000)] == [5, 7, 8]
    assert motion.lives(frames([]), 1) == []


@given(st.sets(st.integers(0, 199)), st.integers(0, DT_NS - 1))
def test_missed_ticks_are_the_slots_without_one(gone, phase_ns):
    slots = np.arange(-100, 400) * DT_NS
    ticks = slots[[slot // DT_NS not in gone for slot in slots]]
    assert motion.missed(ticks, -phase_ns, 200 * DT_NS - phase_ns, DT_NS) == len(gone)


def test_a_loop_that_stands_still_misses_every_slot():
    ticks = np.arange(100) * DT_NS
    assert motion.missed(ticks, 100 * DT_NS, 600 * DT_NS, DT_NS) == 500
    assert motion.missed(ticks[:0], 0, 500 * DT_NS, DT_NS) == 500


def test_windows_lie_side_by_side_and_overlap_only_where_time_is_short():
    second = 10**9
    wide = motion.matched_windows(0, 42 * second, 2 * second)
    assert len(wide) == 20
    assert all(a[1] == b[0] for a, b in pairwise(wide))
    short = motion.matched_windows(0, 12 * second, 2 * second)
    assert len(short) == 11
    assert short[-1][1] <= 12 * second
    assert motion.matched_windows(0, second, 2 * second) == []
