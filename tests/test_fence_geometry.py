"""What the fence is made of, each against its own oracle: poses, distances, and the bounds of a brake."""

import numpy as np
import pytest
from fence_rig import box_distance, clearance, pair_distance, planar, poses, random_arm
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spinal.native.fence import Fence, Sweep, segment_box_distance, segments_distance
from spinal.native.limiter import Limiter

coordinates = st.floats(-1, 1).map(lambda x: round(x, 3))
points = st.tuples(coordinates, coordinates, coordinates)
WIDE = (-1e3, 1e3)


def rows(*values):
    return [np.array([value], float) for value in values]


@given(points, points, points, st.tuples(*[st.floats(0, 1)] * 3))
@settings(max_examples=150, deadline=None)
def test_segment_and_box(start, end, low, size):
    high = tuple(np.add(low, size))
    got = segment_box_distance(start, end, low, high)
    assert max(got, 0) == pytest.approx(
        box_distance(*rows(start, end), np.array(low), np.array(high), 70)[0], abs=1e-6
    )


@given(points, st.tuples(coordinates, coordinates, coordinates))
def test_a_segment_in_a_box_says_how_far_it_must_move(start, half):
    half = np.abs(half) + 0.01
    assert segment_box_distance(start, start, np.subtract(start, half), np.add(start, half)) == pytest.approx(
        -half.min(), abs=1e-12
    )


@given(points, points, points, points)
@settings(max_examples=150, deadline=None)
def test_two_segments(a, b, c, d):
    assert segments_distance(a, b, c, d) == pytest.approx(pair_distance(*rows(a, b, c, d), 70)[0], abs=1e-6)


@given(points, points, st.floats(-1e-7, 1e-7), st.floats(-1, 1), st.floats(0.001, 1))
@settings(max_examples=100, deadline=None)
def test_two_segments_that_are_nearly_parallel(a, way, tilt, shift, apart):
    assume(np.linalg.norm(way) > 0.01)
    a, way = np.array(a), np.array(way)
    side = np.cross(way, [0.36, -0.48, 0.8])
    assume(np.linalg.norm(side) > 0.005)
    c = a + shift * way + apart * side / np.linalg.norm(side)
    d = c + way + tilt * side
    assert segments_distance(a, a + way, c, d) == pytest.approx(
        pair_distance(*rows(a, a + way, c, d), 70)[0], abs=1e-6
    )


@pytest.mark.parametrize("seed", range(6))
def test_poses_and_clearance_are_those_of_numpy(seed):
    rng = np.random.default_rng(seed)
    joints = 1 + seed % 5
    description, start = random_arm(rng, joints)
    fence = Fence(description, joints)
    for _ in range(20):
        at = start + rng.normal(size=joints) * 0.3
        origins, rotations = fence.poses(at)
        for k, (origin, rotation) in enumerate(poses(description, at[None])):
            assert np.abs(origins[k] - origin[0]).max() < 1e-12
            assert np.abs(rotations[k] - rotation[0]).max() < 1e-12
        expected = clearance(description, at[None])[0]
        assert max(min(fence.clearance(at)), -0.02) == pytest.approx(max(expected, -0.02), abs=1e-5) or (
            expected <= 0 and min(fence.clearance(at)) <= 0
        )


def test_a_link_without_a_joint_goes_with_its_parent():
    arm = planar(links=2)
    rigid = arm.links[1]._replace(joint=-1)
    fence = Fence(arm._replace(links=[arm.links[0], rigid]), 2)
    origins, rotations = fence.poses((0.5, 9.0))
    assert origins[1] == pytest.approx([0.2 * np.cos(0.5), 0.2 * np.sin(0.5), 0.1])
    assert np.allclose(rotations[0], rotations[1])


def test_what_stands_still_by_itself_is_not_judged():
    """A base's capsule in the floor is no reason to refuse anything."""
    arm = planar()
    base = arm.links[0]._replace(joint=-1)
    fence = Fence(arm._replace(links=[base, arm.links[1]], workspace=((-1, -1, 0.09), (1, 1, 1))), 2)
    assert fence.clearance((0.0, 0.0))[0] < 0
    alone = planar(links=1)
    fixed = Fence(
        alone._replace(links=[alone.links[0]._replace(joint=-1)], workspace=((2, 2, 2), (3, 3, 3))), 1
    )
    assert fixed.clearance((0.0,)) == (np.inf, np.inf, np.inf)


# ---- the bounds of a brake ----


@st.composite
def states(draw):
    """dt, limits, emergency, velocity, acceleration: where acceleration turns the joint round too."""
    dt_s = draw(st.sampled_from([0.001, 0.004, 0.01]))
    acceleration = draw(st.floats(2, 200))
    jerk = acceleration / dt_s * draw(st.floats(0.02, 2))
    speed = draw(st.floats(0.2, 6))
    limits = (*WIDE, speed, acceleration, jerk)
    emergency = (*WIDE, speed, acceleration * draw(st.floats(1, 3)), jerk * draw(st.floats(1, 20)))
    a = acceleration * draw(st.floats(-1, 1))
    turn = draw(st.sampled_from([0.0, 1.0]))
    v = speed * draw(st.floats(-1, 1)) if not turn else -np.sign(a) * a * a / jerk * draw(st.floats(0, 0.8))
    return dt_s, limits, emergency, float(v), a


def assert_bounds_hold(state, changes):
    """The joint steps its normal brake until a tick of ``changes``, and the emergency brake from there."""
    dt_s, limits, emergency, velocity, acceleration = state
    sweep = Sweep(0.0, (0.0, velocity, acceleration), limits, emergency, dt_s)
    rounding = 1e-9 * (1 + abs(velocity))
    for change in changes:
        joint = Limiter(limits, dt_s, emergency=emergency)
        joint.push(0.0, velocity, acceleration)
        for tick in range(1, int(sweep.ticks) + 3):
            if tick == change + 1:
                changed = Limiter(emergency, dt_s)
                changed.push(joint.position, joint.velocity, joint.acceleration)
                joint = changed
            joint.brake_normal()
            low, high = sweep.span(tick, tick)
            assert low - rounding <= joint.position <= high + rounding


@given(states(), st.data())
@settings(max_examples=150, deadline=None)
def test_bounds_hold_whenever_the_brake_changes(state, data):
    dt_s, limits, emergency, velocity, acceleration = state
    ticks = Sweep(0.0, (0.0, velocity, acceleration), limits, emergency, dt_s).ticks
    assume(ticks < 400)
    assert_bounds_hold(state, [data.draw(st.integers(0, int(ticks) + 1)) for _ in range(4)])


@pytest.mark.parametrize("sign", [-1, 1])
def test_bounds_hold_where_a_late_change_goes_beyond_either_brake(sign):
    """Acceleration turns the joint round under the normal brake, and just not under the emergency one."""
    limits, emergency = (*WIDE, 13.1, 1.4175, 2.4131), (*WIDE, 13.1, 2.1262, 5.2406)
    assert_bounds_hold((0.01, limits, emergency, 0.24462 * sign, -1.4175 * sign), range(120))


@given(states())
def test_a_sweep_follows_either_brake_tick_by_tick(state):
    dt_s, limits, emergency, velocity, acceleration = state
    sweep = Sweep(0.0, (0.0, velocity, acceleration), limits, emergency, dt_s)
    assume(sweep.ticks < 400)
    for brake, bounds in enumerate((limits, emergency)):
        joint = Limiter(bounds, dt_s)
        joint.push(0.0, velocity, acceleration)
        for tick in range(int(sweep.ticks) + 2):
            assert joint.position == pytest.approx(sweep.at(brake, tick), abs=1e-9 * (1 + abs(velocity)))
            joint.brake_normal()


def test_a_longer_stretch_holds_the_shorter_ones_and_the_first_holds_the_step():
    limits, emergency = (*WIDE, 4.7, 80.0, 4000.0), (*WIDE, 4.7, 120.0, 20000.0)
    sweep = Sweep(-0.3, (0.0, 2.0, 10.0), limits, emergency, 0.004)
    assert sweep.span(0, 2)[0] == -0.3
    assert sweep.span(1, 2)[0] > 0
    whole = sweep.span(0, sweep.ticks)
    for first in range(int(sweep.ticks)):
        low, high = sweep.span(first, first + 1)
        assert whole[0] <= low <= high <= whole[1]


@pytest.mark.parametrize("sign", [-1, 1])
def test_bounds_hold_where_a_joint_goes_on_before_it_turns_round(sign):
    limits, emergency = (*WIDE, 4.7, 80.0, 4000.0), (*WIDE, 4.7, 120.0, 200_000.0)
    assert_bounds_hold((0.001, limits, emergency, -0.4 * sign, 80.0 * sign), range(60))


def test_an_emergency_brake_counts_as_at_least_the_normal_one():
    limits = (*WIDE, 4.7, 80.0, 4000.0)
    same, weak = (
        Sweep(0.0, (0.0, 3.0, 5.0), limits, (*WIDE, 4.7, *brake), 0.004)
        for brake in ((80.0, 4000.0), (20.0, 500.0))
    )
    assert [weak.span(k, k + 1) for k in range(30)] == [same.span(k, k + 1) for k in range(30)]


def test_a_joint_that_stands_has_nothing_to_sweep():
    bounds = (*WIDE, 4.7, 80.0, 4000.0)
    assert Sweep(0.1, (0.1, 0.0, 0.0), bounds, bounds, 0.004).ticks == 0
    assert Sweep(0.0, (0.1, 0.0, 0.0), bounds, bounds, 0.004).ticks == 1
    assert Sweep(0.0, (0.1, 0.0, 0.0), bounds, bounds, 0.004).span(0, 1) == (0.0, 0.1)


# ---- what cannot be kept ----


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d._replace(links=[d.links[0]._replace(parent=0)]), "hangs on link 0"),
        (lambda d: d._replace(links=[d.links[0]._replace(joint=5)]), "joint 5"),
        (lambda d: d._replace(capsules=[d.capsules[0]._replace(link=1)]), "on link 1"),
        (lambda d: d._replace(capsules=[d.capsules[0]._replace(radius=-1.0)]), "radius -1"),
        (lambda d: d._replace(capsules=[d.capsules[0]._replace(radius=np.nan)]), "radius nan"),
        (lambda d: d._replace(capsules=[d.capsules[0]._replace(end=(0, 0, np.inf))]), "not a finite number"),
        (lambda d: d._replace(links=[d.links[0]._replace(axis=(0, 1))]), "3 numbers"),
        (lambda d: d._replace(pairs=[(0, 3)]), "capsules 0 and 3"),
        (lambda d: d._replace(boxes=[((0, 0, 0), (1, 1, 1))] * 17), "at most 16 boxes"),
        (lambda d: d._replace(capsules=list(d.capsules) * 25), "at most 24 capsules"),
    ],
)
def test_a_description_that_cannot_be_kept_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        Fence(change(planar(links=1)), 1)


def test_numbers_of_joints_are_held_to():
    fence = Fence(planar(), 2)
    limits = [(*WIDE, 1.0, 1.0, 1.0)] * 2
    still = np.zeros((2, 3))
    with pytest.raises(ValueError, match="positions of 2 joints"):
        fence.poses([0.0])
    with pytest.raises(ValueError, match="states of 2 joints"):
        fence.judge(still[:1], still, limits, limits, 0.004)
    with pytest.raises(ValueError, match="limits of 2 joints"):
        fence.judge(still, still, limits, limits[:1], 0.004)
    assert fence.address
