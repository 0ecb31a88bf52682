"""A step between two that are allowed: it is one of the limiter's own, and the joint can still stop inside."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limiter_rig import LIMITS, PERIODS_S, emergency_of

from spinal.native.limiter import Limiter, between

requests = st.lists(st.tuples(st.floats(-3, 3), st.floats(-5, 5)), min_size=1, max_size=40)


@given(
    requests,
    st.tuples(st.floats(-3, 3), st.floats(-5, 5)),
    st.floats(0, 1),
    st.sampled_from(sorted(LIMITS)),
    st.sampled_from(PERIODS_S),
)
def test_a_step_between_a_brake_and_any_other_stays_in_the_set(path, request, share, name, dt_s):
    limits = LIMITS[name]
    emergency = emergency_of(limits)
    joint = Limiter(limits, dt_s, emergency=emergency)
    for position, velocity in path:
        joint.step(position, velocity)
    before = (joint.position, joint.velocity, joint.acceleration)
    other = Limiter(limits, dt_s, emergency=emergency)
    other.push(*before)
    other.step(*request)
    joint.brake()
    ends = [(one.position, one.velocity, one.acceleration) for one in (joint, other)]
    position, velocity, acceleration = between(before, *ends, share, dt_s)
    low, high = sorted(end[2] for end in ends)
    rounding = 1e-9 * limits[3]
    assert low - rounding <= acceleration <= high + rounding
    assert position == before[0] + velocity * dt_s
    assert velocity == before[1] + acceleration * dt_s
    there = Limiter(limits, dt_s, emergency=emergency)
    there.push(position, velocity, acceleration)
    assert there.is_viable()


def test_its_ends_are_the_two():
    before, one, other = (0.0, 1.0, 0.0), (0.0039, 0.984, -4.0), (0.00408, 1.016, 4.0)
    assert math.dist(between(before, one, other, 0.0, 0.004), (0.003936, 0.984, -4.0)) < 1e-12
    assert between(before, one, other, 1.0, 0.004) == pytest.approx((0.004064, 1.016, 4.0))
    assert between(before, one, other, 0.5, 0.004)[2] == 0
