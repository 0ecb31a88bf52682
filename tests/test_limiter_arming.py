"""Which joints may be armed, and which numbers never become a state."""

import math

import pytest
from limiter_rig import DESK

from spinal.native.limiter import INVALID, Limiter


def test_what_is_not_viable_is_said_before_arming():
    joint = Limiter(DESK, 0.004, 0.5)
    assert joint.is_viable()
    for state in (
        (2.0, 0, 0),
        (-2.0, 0, 0),
        (0, 4.71, 0),
        (0, -4.71, 0),
        (0, 0, 80.1),
        (0, 0, -80.1),
        (1.9, 3.0, 0),
    ):
        joint.push(*state)
        assert not joint.is_viable(), state
    for absurd in (math.nan, math.inf, -math.inf, 1e30, -1e30, 1e300):
        for place in range(3):
            state = [0.0, 0.0, 0.0]
            state[place] = absurd
            joint.push(*state)
            assert not joint.is_viable(), state
    joint.push(0.0)
    low, high, *bounds = DESK
    for place in range(5):
        for bad in (math.nan, math.inf, -math.inf):
            joint.limits = tuple(bad if k == place else value for k, value in enumerate(DESK))
            assert not joint.is_viable(), joint.limits
    for place in (2, 3, 4):
        for bad in (-1.0, -0.0) if place > 2 else (-1.0,):
            joint.limits = tuple(bad if k == place else value for k, value in enumerate(DESK))
            assert not joint.is_viable(), joint.limits
    joint.limits = (high, low, *bounds)
    assert not joint.is_viable()
    joint.limits = (0.0, 0.0, 0.0, *bounds[1:])
    assert joint.is_viable(), "a joint that may not move stands"
    for bad in (0.0, -0.004, math.nan, math.inf):
        assert not Limiter(DESK, bad).is_viable()


def test_nothing_makes_a_state_that_is_not_finite():
    joint = Limiter(DESK, 0.004, 0.25)
    for bad in (math.nan, math.inf, -math.inf):
        assert not joint.rest(bad)
        assert joint.position == 0.25
        with pytest.raises(ValueError, match="cannot rest"):
            Limiter(DESK, 0.004, bad)
    assert joint.rest(0.5)
    assert (joint.position, joint.setpoint) == (0.5, (0.5, 0.0, 0.0))
    for state in ((1e308, 1e308, 1e308), (0.0, -1.7e308, 0.0), (0.0, 0.0, 1e308), (1.0, 1e200, -1e200)):
        joint.push(*state)
        for _ in range(5):
            joint.step(0.1)
            joint.brake()
            assert all(
                map(math.isfinite, (joint.position, joint.velocity, joint.acceleration, *joint.setpoint))
            )
    joint.push(0.0, math.nan, 0.0)
    assert joint.step(0.1) & INVALID
    assert joint.brake() & INVALID
    assert joint.position == 0.0, "a step whose result is not finite is refused"
