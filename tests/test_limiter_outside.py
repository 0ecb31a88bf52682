"""What the limiter promises from outside the viable set: pushed arms, limits that are changed live."""

import math
import random
from itertools import pairwise

import numpy as np
import pytest
from limiter_rig import DESK, LIMITS, PERIODS_S, Restless, emergency_of

from spinal.native.limiter import (
    EMERGENCY,
    INVALID,
    JERK,
    OUTSIDE_ACCELERATION,
    OUTSIDE_JERK,
    OUTSIDE_POSITION,
    OUTSIDE_VELOCITY,
    POSITION,
    VELOCITY,
    Limiter,
    scaled,
)

OUTSIDE = OUTSIDE_POSITION | OUTSIDE_VELOCITY | OUTSIDE_ACCELERATION | OUTSIDE_JERK


def random_limits(pick):
    middle, half = pick.uniform(-2, 2), 10 ** pick.uniform(-1.5, 0.5)
    bounds = (10 ** pick.uniform(low, high) for low, high in ((-0.7, 0.9), (0.7, 2.5), (1.7, 4.7)))
    return (middle - half, middle + half, *bounds)


def change(pick, joint, limits, emergency):
    """Lowers limits, moves the range, or pushes the joint; returns the limits."""
    low, high, velocity, acceleration, jerk = limits
    match pick.randrange(6):
        case 0:
            limits = scaled(limits, pick.random())
        case 1:
            limits = (low, high, velocity, pick.uniform(0.3, 1) * acceleration, pick.uniform(0.3, 1) * jerk)
        case 2:
            middle, half = pick.uniform(low, high), pick.uniform(0.1, 0.7) * (high - low)
            limits = (middle - half, middle + half, velocity, acceleration, jerk)
        case _:
            position = joint.position + pick.uniform(-0.6, 0.6) * (high - low)
            speed = joint.velocity + pick.choice((0, 1.5)) * pick.uniform(-velocity, velocity)
            joint.push(position, speed, pick.choice((0, 1)) * pick.uniform(-emergency[3], emergency[3]))
    joint.limits = limits
    return limits


def run(joint, requests, ticks):
    """Rows of (position, velocity, acceleration, bits, viable), the first before any tick."""
    rows = [(joint.position, joint.velocity, joint.acceleration, 0, joint.is_viable())]
    for _ in range(ticks):
        bits = requests.tick(joint)
        rows.append((joint.position, joint.velocity, joint.acceleration, bits, joint.is_viable()))
    return np.array(rows)


def judge(rows, limits, emergency, dt_s, reach):
    """Every promise of the return, and that of the set once it is inside; ``reach``: of the emergency brake."""
    low, high, top, most, jerk = limits
    position, velocity, acceleration = rows[:, :3].T
    bits, viable = rows[1:, 3].astype(int), rows[:, 4].astype(bool)
    assert np.isfinite(rows).all()
    hair = 1e-8 * (high - low)
    # No jump: a position is the last one and the velocity.
    moved = position[:-1] + velocity[1:] * dt_s
    assert np.abs(position[1:] - moved).max() <= 1e-12 * np.abs(position).max() + 1e-15
    # Bounded always by the emergency limits.
    step = np.abs(np.diff(acceleration)) / dt_s
    assert np.abs(acceleration[1:]).max() <= emergency[3] * (1 + 1e-9)
    assert step.max() <= emergency[4] * (1 + 1e-7)
    # Position is never further outside than the emergency brake had to go.
    assert position.max() <= max(high, reach[1]) + hair
    assert position.min() >= min(low, reach[0]) - hair
    # The set is never left again, and inside it every limit is kept and no emergency is spoken of.
    assert not (viable[:-1] & ~viable[1:]).any()
    inside = viable[:-1]
    assert not (bits[inside] & (EMERGENCY | OUTSIDE)).any()
    assert (step[inside] <= jerk * (1 + 1e-7)).all()
    # From outside the step either is one of the return, or went to a request inside the limits at once.
    returning = (bits & EMERGENCY) != 0
    assert (viable[1:][~returning]).all()
    # What is named is what is outside.
    over = {
        OUTSIDE_POSITION: np.maximum(position[1:] - high, low - position[1:]) / (high - low),
        OUTSIDE_VELOCITY: (np.abs(velocity[1:]) - top) / (top + jerk * dt_s**2),
        OUTSIDE_ACCELERATION: np.abs(acceleration[1:]) / most - 1,
        OUTSIDE_JERK: step / jerk - 1,
    }
    for bit, share in over.items():
        named = (bits & bit) != 0
        assert not (named & (share < 1e-10)).any(), bit
        assert not (~named & (share > 1e-7)).any(), bit
    # Velocity over its limit falls from the tick on at which no acceleration drives it.
    fast = (np.abs(velocity[:-1]) > top * (1 + 1e-6)) & (velocity[:-1] * acceleration[:-1] <= 0)
    rising = (np.abs(velocity[1:]) > np.abs(velocity[:-1]) + 1e-12) & (velocity[1:] * velocity[:-1] > 0)
    assert not (fast & rising & viable_position(rows, limits)).any()


def viable_position(rows, limits):
    """Where position has no say: the joint is far from both ends."""
    position, velocity, acceleration = rows[:-1, :3].T
    low, high, _, most, jerk = limits
    way = np.abs(velocity) * (np.abs(velocity) / most + 4 * np.abs(acceleration) / jerk)
    return (position - way > low) & (position + way < high)


def test_a_million_ticks_of_pushes_and_live_changes_come_back_as_promised():
    pick, ticks, outside, ended_inside, runs = random.Random(11), 0, 0, 0, 0
    while ticks < 1_000_000:
        limits = random_limits(pick)
        emergency = (*limits[:3], pick.uniform(1, 3) * limits[3], pick.uniform(1, 8) * limits[4])
        dt_s = pick.choice(PERIODS_S)
        joint = Limiter(limits, dt_s, pick.uniform(*limits[:2]), emergency)
        requests = Restless(runs, limits, dt_s)
        for _ in range(20):
            limits = requests.limits = change(pick, joint, limits, emergency)
            if limits[2] < 0.05:
                limits = requests.limits = joint.limits = (*limits[:2], 0.5, *limits[3:])
            hard = Limiter(emergency, dt_s)
            hard.push(joint.position, joint.velocity, joint.acceleration)
            rows = run(joint, requests, pick.randrange(20, 300))
            judge(rows, limits, emergency, dt_s, hard.brake_path())
            ticks += len(rows) - 1
            outside += int((~rows[:, 4].astype(bool)).sum())
            ended_inside += joint.is_viable()
            runs += 1
    assert outside > 0.05 * ticks
    assert ended_inside > 0.5 * runs


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS.keys())
@pytest.mark.parametrize("dt_s", PERIODS_S)
@pytest.mark.parametrize("side", [-1, 1])
def test_a_joint_outside_its_range_comes_back_when_asked_and_stays_when_not(limits, dt_s, side):
    low, high, velocity, acceleration, jerk = limits
    end, far = (high, high + 0.3 * (high - low)) if side > 0 else (low, low - 0.3 * (high - low))
    joint = Limiter(limits, dt_s, far, emergency_of(limits))
    assert not joint.is_viable()
    for _ in range(20):
        assert joint.brake() == EMERGENCY | OUTSIDE_POSITION
        assert joint.step(math.nan) == INVALID | EMERGENCY | OUTSIDE_POSITION
    assert joint.position == far
    outside = [far]
    seconds = 4 * ((high - low) / velocity + velocity / acceleration + 3 * acceleration / jerk) + 20 * dt_s
    while not joint.is_viable():
        # One beyond the end: the end itself is as far as it goes.
        joint.step(end + side * 0.1 * (high - low))
        outside.append(joint.position)
        assert len(outside) * dt_s < seconds + 10 * acceleration / jerk
        assert abs(joint.velocity) <= velocity * (1 + 1e-9)
    assert all(side * (b - a) <= 0 for a, b in pairwise(outside)), "only ever inwards"
    assert abs(joint.position - end) <= 0.3 * (high - low)
    for _ in range(2000):
        assert not joint.step(end) & EMERGENCY
    assert joint.position == pytest.approx(end, abs=1e-4 * (high - low))


def test_without_emergency_limits_the_return_has_the_normal_ones():
    normal, hard = (Limiter(DESK, 0.004, 0.0, emergency_of(DESK)) for _ in range(2))
    for joint in (normal, hard):
        joint.push(1.9, 4.0)
    bits, peaks = 0, [0.0, 0.0]
    for _ in range(100):
        bits |= normal.step_normal(1.0)
        hard.step(1.0)
        peaks = [max(p, j.position) for p, j in zip(peaks, (normal, hard), strict=True)]
        assert abs(normal.acceleration) <= DESK[3] * (1 + 1e-9)
    assert bits & OUTSIDE_POSITION
    assert not bits & (OUTSIDE_JERK | OUTSIDE_ACCELERATION)
    assert peaks[1] < peaks[0]
    normal.push(1.9, 4.0)
    braked = [normal.brake_normal() for _ in range(100)]
    assert braked[0] & EMERGENCY
    assert normal.velocity == pytest.approx(0, abs=1e-9)
    assert normal.position > peaks[0] - 0.05


def test_emergency_limits_that_are_weaker_count_as_the_normal_ones():
    weak, normal = Limiter(DESK, 0.004, emergency=(0, 0, 0.1, 1.0, 10.0)), Limiter(DESK, 0.004)
    for joint in (weak, normal):
        joint.push(1.8, 5.0, 20.0)
    for _ in range(60):
        assert weak.step(0.5) == normal.step(0.5)
        assert weak.position == normal.position


def test_an_acceleration_beyond_the_emergency_s_is_cut_off_and_the_jerk_named():
    joint = Limiter(DESK, 0.004, 0.0, emergency_of(DESK))
    for side in (1, -1):
        joint.push(0.0, 0.0, side * 500.0)
        assert joint.brake() & (EMERGENCY | OUTSIDE_JERK | OUTSIDE_ACCELERATION) == (
            EMERGENCY | OUTSIDE_JERK | OUTSIDE_ACCELERATION
        )
        assert joint.acceleration == pytest.approx(side * 120.0)


def test_an_acceleration_over_its_limit_comes_back_with_emergency_jerk():
    joint = Limiter((-9.0, 9.0, 4.7, 80.0, 4000.0), 0.001, 0.0, (-9.0, 9.0, 4.7, 120.0, 20000.0))
    for side in (1, -1):
        joint.push(0.0, 0.0, side * 115.0)
        assert joint.step(side * 5.0) & (EMERGENCY | OUTSIDE_JERK | OUTSIDE_ACCELERATION) == (
            EMERGENCY | OUTSIDE_JERK | OUTSIDE_ACCELERATION
        )
        assert joint.acceleration == pytest.approx(side * 95.0)
        assert joint.step(side * 5.0) & EMERGENCY
        assert side * joint.acceleration == pytest.approx(80.0)
        assert joint.is_viable()


@pytest.mark.parametrize("side", [-1, 1])
def test_an_acceleration_that_is_needed_to_stop_comes_back_by_the_normal_jerk_alone(side):
    """Position goes before acceleration: the brake just fits, so its limit, lowered live, has to wait."""
    limits, dt_s = (-9.0, 9.0, 4.7, 20.0, 1000.0), 0.004
    joint = Limiter(limits, dt_s, 0.0, (-9.0, 9.0, 4.7, 120.0, 20000.0))
    joint.push(0.0, side * 3.0, side * -60.0)
    way = abs(joint.brake_path()[2])
    joint.push(side * (9.0 - way), side * 3.0, side * -60.0)
    for expected in (-56.0, -52.0, -48.0, -44.0, -40.0):
        assert joint.step(side * 9.0) & OUTSIDE_ACCELERATION
        assert joint.acceleration == pytest.approx(side * expected, abs=1e-3)
    for _ in range(200):
        joint.brake()
        assert side * joint.position <= 9.0 + 1e-7
    assert joint.is_viable()
    assert joint.position == pytest.approx(side * 9.0, abs=1e-3)


def test_a_request_that_is_inside_is_passed_from_outside():
    """A state may be outside by what its brake would do, and the request takes it in at once."""
    joint = Limiter(DESK, 0.004, DESK[1] + 1e-5, emergency_of(DESK))
    assert not joint.is_viable()
    assert joint.step(DESK[1] - 1e-5) == 0
    assert joint.position == DESK[1] - 1e-5


def test_a_brake_far_stronger_than_normal_does_not_throw_the_joint_out_at_the_other_side():
    """At normal jerk its acceleration takes so long to come back that both ends of a short range are in the way."""
    limits, dt_s = (-0.05, 0.05, 1.1, 10.0, 140.0), 0.001
    emergency = (*limits[:3], 240.0, 12000.0)
    pick, moved = random.Random(13), 0
    for seed in range(400):
        joint, hard = Limiter(limits, dt_s, 0.0, emergency), Limiter(emergency, dt_s)
        state = pick.uniform(-0.05, 0.05), pick.uniform(-2, 2), pick.uniform(-240, 240)
        joint.push(*state)
        hard.push(*state)
        if hard.is_viable():
            rows = run(joint, Restless(seed, limits, dt_s), 80)
            judge(rows, limits, emergency, dt_s, hard.brake_path())
            moved += 1
    assert moved > 50


def test_both_ends_in_the_way_is_the_emergency_brake():
    """A range that was moved under a moving joint, too short for it on either side."""
    limits = (-0.01, 0.01, 4.7, 80.0, 4000.0)
    for side in (1, -1):
        joint = Limiter(limits, 0.004, 0.0, emergency_of(limits))
        joint.push(-0.03 * side, 4.0 * side, -115.0 * side)
        hard = Limiter(emergency_of(limits), 0.004)
        hard.push(joint.position, joint.velocity, joint.acceleration)
        lowest, highest, _ = hard.brake_path()
        for _ in range(100):
            assert joint.step(0.0) & ~(POSITION | VELOCITY | JERK)
            assert lowest - 1e-9 <= joint.position <= highest + 1e-9
            if joint.is_viable():
                break
