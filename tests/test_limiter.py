"""What the limiter promises from a viable state, judged from the positions that it emits."""

import math
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from limiter_rig import (
    COARSE,
    DESK,
    GARBAGE,
    LIMITS,
    PERIODS_S,
    SHORT,
    WIDE,
    Restless,
    assert_inside,
    emergency_of,
    excess,
    push,
)

from spinal.native.limiter import ACCELERATION, INVALID, JERK, POSITION, VELOCITY, Limiter

every_limit = pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS.keys())
every_period = pytest.mark.parametrize("dt_s", PERIODS_S)


def test_a_million_restless_ticks_stay_inside_the_limits():
    ticks = 1_000_000 // (len(LIMITS) * len(PERIODS_S)) + 1
    at_an_end = 0
    for seed, (limits, dt_s) in enumerate((limits, dt_s) for limits in LIMITS.values() for dt_s in PERIODS_S):
        joint, requests = Limiter(limits, dt_s, 0.01, emergency_of(limits)), Restless(seed, limits, dt_s)
        positions, bits = [joint.position], 0
        for _ in range(ticks):
            bits |= requests.tick(joint)
            positions.append(joint.position)
        assert joint.is_viable()
        assert not bits & ~(POSITION | VELOCITY | ACCELERATION | JERK | INVALID), "an emergency"
        assert_inside(positions, limits, dt_s)
        reached = excess(positions, limits, dt_s)
        assert reached["jerk"] > -1e-3, "the requests never asked for more than the limits"
        at_an_end += reached["position"] > -0.01
    assert at_an_end >= 6, "the requests hardly ever drove a joint to an end of its range"


@every_limit
@every_period
def test_no_run_up_carries_a_joint_past_the_end_of_its_range(limits, dt_s):
    low, high, velocity, acceleration, jerk = limits
    for run_up in np.geomspace(0.002, 1, 8):
        for side, start in ((1, high - run_up * (high - low)), (-1, low + run_up * (high - low))):
            joint = Limiter(limits, dt_s, start)
            positions = [start]
            seconds = run_up * (high - low) / velocity + 2 * velocity / acceleration + 4 * acceleration / jerk
            for _ in range(int(seconds / dt_s) + 20):
                push(joint, limits, dt_s, side)
                positions.append(joint.position)
            assert_inside(positions, limits, dt_s)
            assert min(abs(positions[-1] - high), abs(positions[-1] - low)) < 0.02 * (high - low), (
                "not there yet"
            )


ANYTHING = st.one_of(
    st.sampled_from(GARBAGE), st.floats(-3, 3), st.floats(allow_nan=True, allow_infinity=True, width=64)
)
ACTS = st.one_of(
    st.tuples(st.just("request"), st.tuples(ANYTHING, ANYTHING, ANYTHING), st.integers(1, 120)),
    st.tuples(st.just("hold"), st.floats(-0.3, 1.3), st.integers(1, 200)),
    st.tuples(st.just("sine"), st.tuples(st.floats(0, 1), st.floats(0.01, 3.0)), st.integers(1, 200)),
    st.tuples(st.just("push"), st.floats(-1, 1), st.integers(1, 120)),
    st.tuples(st.just("brake"), st.none(), st.integers(1, 60)),
)


@given(
    limits=st.sampled_from(sorted(LIMITS.values())),
    dt_s=st.sampled_from(PERIODS_S),
    start=st.floats(0, 1),
    acts=st.lists(ACTS, min_size=1, max_size=12),
)
@example(limits=SHORT, dt_s=0.01, start=0.0, acts=[("push", 1.0, 60), ("hold", 1.3, 60)])
@settings(max_examples=150, deadline=None)
def test_no_sequence_of_requests_leaves_the_limits(limits, dt_s, start, acts):
    low, high = limits[:2]
    joint = Limiter(limits, dt_s, low + start * (high - low))
    positions = [joint.position]
    for kind, what, ticks in acts:
        for k in range(ticks):
            match kind:
                case "request":
                    joint.step(*what)
                case "hold":
                    joint.step(low + what * (high - low))
                case "sine":
                    joint.step(low + (high - low) * (0.5 + what[0] * math.sin(what[1] * k)))
                case "push":
                    push(joint, limits, dt_s, what)
                case "brake":
                    joint.brake()
            assert all(map(math.isfinite, joint.setpoint))
            positions.append(joint.position)
    assert_inside(positions, limits, dt_s)


def minimum_jerk(start, end, duration_s, t_s):
    """Position, velocity and acceleration of the smoothest move from rest to rest."""
    x, way = t_s / duration_s, end - start
    return (
        start + way * x**3 * (10 - 15 * x + 6 * x * x),
        way / duration_s * 30 * x * x * (1 - x) ** 2,
        way / duration_s**2 * 60 * x * (1 - x) * (1 - 2 * x),
    )


@every_limit
@every_period
@given(start=st.floats(0.1, 0.9), end=st.floats(0.1, 0.9), share=st.floats(0.3, 0.98))
@settings(max_examples=15, deadline=None)
def test_a_motion_inside_the_limits_passes_bit_for_bit(limits, dt_s, start, end, share):
    low, high, velocity, acceleration, jerk = limits
    first, last = (low + x * (high - low) for x in (start, end))
    way = abs(last - first)
    # peaks: 15/8, 10/sqrt(3) and 60 over the powers of the duration
    duration_s = max(
        1.875 * way / (share * velocity),
        math.sqrt(5.7735 * way / (share * acceleration)),
        math.cbrt(60 * way / (share * jerk)),
        8 * dt_s,
    )
    joint = Limiter(limits, dt_s, first)
    for k in range(1, int(duration_s / dt_s) + 1):
        wanted = minimum_jerk(first, last, duration_s, k * dt_s)
        assert joint.step(*wanted) == 0
        assert joint.setpoint == wanted
        assert joint.position == wanted[0]


@every_limit
@every_period
@given(seed=st.integers(0, 1 << 32), ticks=st.integers(1, 400))
@settings(max_examples=25, deadline=None)
def test_a_brake_ends_at_rest_in_time_and_does_not_turn_back(limits, dt_s, seed, ticks):
    limits = (-1e3, 1e3, *limits[2:])
    _, _, top, most, jerk = limits
    pick, joint, side = random.Random(seed), Limiter(limits, dt_s), 1
    for _ in range(ticks):
        side = -side if pick.random() < 0.03 else side
        push(joint, limits, dt_s, side * (1 if pick.random() < 0.8 else pick.random()))
    forward = math.copysign(1, joint.velocity)
    # An acceleration that is already turning the joint round cannot be taken off in time.
    turning = max(0.0, -forward * joint.acceleration)
    must_reverse = turning * (turning + jerk * dt_s) / (2 * jerk) >= abs(joint.velocity)
    allowed_ticks = (top / most + 2 * most / jerk) / dt_s + 3
    positions = [joint.position]
    while abs(joint.velocity) > 1e-9 or abs(joint.acceleration) > 1e-6:
        joint.brake()
        positions.append(joint.position)
        assert len(positions) <= allowed_ticks
        if not must_reverse:
            assert forward * joint.velocity >= -0.01 * jerk * dt_s * dt_s
    assert joint.setpoint == pytest.approx((joint.position, 0, 0), abs=1e-6)
    for _ in range(100):
        joint.brake()
    assert joint.position == pytest.approx(positions[-1], abs=1e-9)


@every_limit
@every_period
def test_a_request_that_is_not_finite_brings_the_joint_to_rest(limits, dt_s):
    joint = Limiter(limits, dt_s)
    for _ in range(3):
        push(joint, limits, dt_s, 1)
    assert joint.velocity > 0
    for k in range(2000):
        bad = GARBAGE[k % 3]
        assert joint.step(*((bad, 0, 0), (0, bad, 0), (0, 0, bad))[k // 3 % 3]) == INVALID
        assert all(map(math.isfinite, joint.setpoint))
    assert abs(joint.velocity) < 1e-9


@every_limit
@every_period
def test_a_step_is_reached_and_kept(limits, dt_s):
    low, high, velocity, acceleration, jerk = limits
    joint, target = Limiter(limits, dt_s, low + 0.1 * (high - low)), high - 0.1 * (high - low)
    fastest_s = (high - low) / velocity + velocity / acceleration + acceleration / jerk
    for _ in range(int((4 * fastest_s + 10 * acceleration / jerk) / dt_s) + 40):
        joint.step(target)
    assert joint.position == pytest.approx(target, abs=1e-4 * (high - low))


def test_bits_name_the_limit_that_is_in_the_way():
    limits, dt_s = (-50.0, 50.0, 4.7, 40.0, 2000.0), 0.004
    joint = Limiter(limits, dt_s)
    seen = []
    while joint.velocity < 4.6999:
        before = joint.acceleration
        seen.append(joint.step(49.0))
        assert len(seen) < 200
        if joint.acceleration == pytest.approx(before + 8.0):
            assert seen[-1] & ~JERK == 0
        elif before == joint.acceleration == 40.0:
            assert seen[-1] == ACCELERATION | JERK
    assert seen[0] == JERK
    assert any(bits & ACCELERATION for bits in seen)
    for _ in range(3):
        assert joint.step(49.0) & (VELOCITY | ACCELERATION | POSITION) == VELOCITY


def test_the_position_bit_names_a_request_behind_the_end_and_a_rush_at_it():
    limits, dt_s = DESK, 0.004
    for behind, before in ((2.0, 1.9), (-2.0, -1.9)):
        joint = Limiter(limits, dt_s, before)
        assert joint.step(behind) & POSITION
        assert not joint.step(before) & POSITION
    joint = Limiter(limits, dt_s)
    seen = []
    while joint.position < 1.85:
        seen.append((joint.position, push(joint, limits, dt_s, 1)))
    rushed = [position for position, bits in seen if bits & POSITION]
    assert 1.0 < rushed[0] < 1.85, "far from the end nothing is said about position"
    assert len(rushed) > 5


@every_limit
@every_period
def test_the_very_end_of_the_range_can_be_reached_and_kept(limits, dt_s):
    low, high = limits[:2]
    for end in (low, high):
        joint, seconds = Limiter(limits, dt_s, 0.9 * end), 1 + 10 * limits[3] / limits[4]
        for _ in range(int(seconds / dt_s)):
            joint.step(end)
        assert joint.position == pytest.approx(end, abs=1e-5 * (high - low))
        standing = Limiter(limits, dt_s, end)
        assert [standing.step(end), standing.brake(), standing.step(end)] == [0, 0, 0]
        assert standing.position == end


def test_a_request_that_is_too_fast_at_its_instant_does_not_pass():
    """Its position alone could be reached; the motion that it stands for could not."""
    limits, dt_s = WIDE, 0.004
    for side in (1, -1):
        joint = Limiter(limits, dt_s)
        while side * joint.velocity < 4.6999:
            push(joint, limits, dt_s, side)
        while joint.acceleration != 0:
            joint.step(joint.position + joint.velocity * dt_s, joint.velocity)
        ahead = joint.position + joint.velocity * dt_s
        for speed, bits in ((4.74, JERK), (4.7, 0)):
            assert joint.step(ahead, side * speed) == bits
            ahead = joint.position + joint.velocity * dt_s


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize(
    ("limits", "dt_s", "second", "acceleration"),
    [
        (DESK, 0.004, 20.0, 28.0),  # the tick after would need too much jerk
        (DESK, 0.004, 10.0, 28.0),  # the one after that
        (COARSE, 0.010, 250.0, 150.0),  # too much acceleration on the way
        (COARSE, 0.010, 150.0, 250.0),  # too much in the end
    ],
)
def test_a_request_that_cannot_be_followed_up_does_not_pass(limits, dt_s, second, acceleration, side):
    """From rest, to the very position: ``second`` is the acceleration that the next tick would have."""
    velocity = (second - 0.5 * acceleration) * dt_s
    assert Limiter(limits, dt_s).step(0.0, side * velocity, side * acceleration) == JERK
    fine = 0.3 * limits[4] * dt_s
    assert Limiter(limits, dt_s).step(0.0, side * 0.2 * fine * dt_s, side * fine) == 0


def test_each_bit_of_a_gripper():
    joint = Limiter((0.0, 0.022, 0.25, 1e9, 1e9), 0.004, 0.01)
    assert joint.step_gripper(0.0105) == 0
    assert joint.position == 0.0105
    assert joint.step_gripper(0.02) == VELOCITY
    assert joint.position == pytest.approx(0.0115, abs=1e-15)
    assert joint.step_gripper(1.0) == POSITION | VELOCITY
    assert joint.step_gripper(math.nan) == INVALID
    assert joint.position == pytest.approx(0.0125, abs=1e-15)
    for _ in range(40):
        joint.step_gripper(-1e300)
    assert joint.position == 0.0
    assert joint.step_gripper(-1e-9) == POSITION


def test_speed_is_used_up_to_its_limit_and_not_beyond():
    joint = Limiter(WIDE, 0.004)
    speeds = []
    for _ in range(200):
        joint.step(900.0)
        speeds.append(joint.velocity)
    assert max(speeds) == pytest.approx(4.7, rel=1e-6)
    assert all(b >= a - 1e-12 for a, b in pairwise(speeds))
