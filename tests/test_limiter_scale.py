"""The speed scale, 0 to 100 %, changed while a joint moves."""

import math
import random

import pytest
from limiter_rig import DESK, GARBAGE, PERIODS_S, Restless, emergency_of, excess

from spinal.native.limiter import (
    EMERGENCY,
    INVALID,
    OUTSIDE_ACCELERATION,
    OUTSIDE_JERK,
    OUTSIDE_POSITION,
    OUTSIDE_VELOCITY,
    VELOCITY,
    Limiter,
    scaled,
)


def test_velocity_alone_is_scaled():
    assert scaled(DESK, 0.5) == (-1.92, 1.92, 2.35, 80.0, 4000.0)
    assert scaled(DESK, 1.0) == scaled(DESK, 1.5) == scaled(DESK, math.inf) == DESK
    for nothing in (0.0, -0.0, -1.0, -math.inf, math.nan):
        assert scaled(DESK, nothing)[2] == 0.0


def at_full_speed(dt_s):
    joint = Limiter(DESK, dt_s, -1.9, emergency_of(DESK))
    for _ in range(10_000):
        joint.step(1.9)
        if joint.velocity > 0.9999 * DESK[2]:
            return joint
    raise AssertionError("it never got fast")


@pytest.mark.parametrize("dt_s", PERIODS_S)
@pytest.mark.parametrize("scale", [0.0, 0.3, 0.95])
def test_a_scale_that_is_lowered_in_motion_is_a_normal_brake_and_no_other(dt_s, scale):
    """The differences stay inside the acceleration and jerk of every day, and the speed comes down at once."""
    joint, slow = at_full_speed(dt_s), scaled(DESK, scale)
    joint.limits = slow
    before, seen = (joint.velocity, joint.acceleration), []
    while joint.velocity > slow[2] + 1e-9:
        bits = joint.step(1.9)
        assert bits & EMERGENCY
        assert not bits & (OUTSIDE_POSITION | OUTSIDE_ACCELERATION | OUTSIDE_JERK)
        assert bool(bits & OUTSIDE_VELOCITY) == (joint.velocity > slow[2] + 1e-8)
        velocity, acceleration = joint.velocity, joint.acceleration
        assert velocity <= before[0] + max(0.0, before[1]) * dt_s
        assert abs(acceleration) <= DESK[3] * (1 + 1e-9)
        assert abs(acceleration - before[1]) <= DESK[4] * dt_s * (1 + 1e-9)
        before = velocity, acceleration
        seen.append(velocity)
        assert len(seen) * dt_s < DESK[2] / DESK[3] + 2 * DESK[3] / DESK[4] + 3 * dt_s
    for _ in range(50):
        assert not joint.step(1.9) & EMERGENCY, "once inside it stays"
        assert joint.is_viable()


@pytest.mark.parametrize("dt_s", PERIODS_S)
def test_scale_nothing_comes_to_rest_and_stays_for_any_request(dt_s):
    joint, pick = at_full_speed(dt_s), random.Random(1)
    joint.limits = scaled(DESK, 0.0)
    while abs(joint.velocity) > 1e-9:
        joint.step(1.9)
    rest = joint.position
    for _ in range(300):
        bits = joint.step(pick.uniform(-3, 3), pick.uniform(-5, 5), pick.choice((0.0, *GARBAGE)))
        assert bits & (VELOCITY | INVALID)
        assert not bits & EMERGENCY
        assert joint.position == pytest.approx(rest, abs=1e-9)
    joint.limits = DESK
    for _ in range(int(3 / dt_s)):
        joint.step(-1.0)
    assert joint.position == pytest.approx(-1.0, abs=1e-4)


def test_a_lowered_scale_never_costs_a_joint_its_range():
    """Whatever the scale does, and wherever it is when it does it: every other limit of the whole speed is kept."""
    for seed, dt_s in enumerate(PERIODS_S):
        joint, pick = Limiter(DESK, dt_s, 0.0, emergency_of(DESK)), random.Random(seed)
        requests, positions = Restless(seed, DESK, dt_s), [0.0]
        for _ in range(400):
            joint.limits = requests.limits = scaled(DESK, pick.choice((1.0, 1.0, pick.random(), 0.0)))
            for _ in range(pick.randrange(1, 200)):
                bits = requests.tick(joint)
                assert not bits & (OUTSIDE_POSITION | OUTSIDE_ACCELERATION | OUTSIDE_JERK)
                positions.append(joint.position)
        shares = excess(positions, DESK, dt_s)
        assert max(shares.values()) <= 1e-8, shares


@pytest.mark.parametrize("dt_s", PERIODS_S)
def test_a_lower_scale_stops_on_a_shorter_way(dt_s):
    ways = []
    for scale in (0.25, 0.5, 1.0):
        joint = Limiter(scaled(DESK, scale), dt_s)
        joint.push(0.0, scale * DESK[2])
        assert joint.is_viable()
        ways.append(joint.brake_path()[2])
    assert ways == sorted(ways)
    assert ways[0] < 0.25 * ways[2]
