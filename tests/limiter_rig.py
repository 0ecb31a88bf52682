"""What the tests of the limiter share: limits, bad requests, and a judge of emitted positions."""

import math
import random

import numpy as np

DESK = (-1.92, 1.92, 4.7, 80.0, 4000.0)
SLOW = (-3.0, 2.0, 1.0, 10.0, 100.0)
SHORT = (-0.05, 0.08, 6.0, 150.0, 20000.0)
"""A range so short that its ends are always near."""
COARSE = (-1.0, 1.0, 4.0, 200.0, 30000.0)
"""At 10 ms, jerk takes the whole acceleration off within one tick, and acceleration half the speed."""
LIMITS = {"desk": DESK, "slow": SLOW, "short": SHORT, "coarse": COARSE}
PERIODS_S = (0.001, 0.004, 0.010)
WIDE = (-1e3, 1e3, 4.7, 80.0, 4000.0)
GARBAGE = (math.nan, math.inf, -math.inf, 1e300, -1e300, 1.7e308)


def emergency_of(limits):
    """What an emergency brake may use: half as much again of acceleration, five times the jerk."""
    low, high, velocity, acceleration, jerk = limits
    return low, high, velocity, 1.5 * acceleration, 5 * jerk


def excess(positions, limits, dt_s):
    """How far the emitted positions exceed each limit, as shares of it; what doubles round away is not counted.

    The joint stood at ``positions[0]`` for ever before.
    """
    low, high, *bounds = limits
    emitted = np.asarray(positions)
    assert np.isfinite(emitted).all()
    difference = np.concatenate([np.full(3, emitted[0]), emitted])
    rounding = 4 * np.finfo(float).eps * np.abs(emitted).max()
    shares = {"position": max(emitted.max() - high, low - emitted.min()) / (high - low)}
    for name, bound in zip(("velocity", "acceleration", "jerk"), bounds, strict=True):
        difference = np.diff(difference) / dt_s
        rounding *= 2 / dt_s
        shares[name] = (np.abs(difference).max() - rounding) / bound - 1
    return shares


def assert_inside(positions, limits, dt_s):
    shares = excess(positions, limits, dt_s)
    assert max(shares.values()) <= 1e-8, shares


def push(joint, limits, dt_s, towards):
    """One tick with the furthest acceleration that jerk and acceleration allow; returns its bits."""
    _, _, top, most, jerk = limits
    wanted = min(max(joint.acceleration + towards * jerk * dt_s, -most), most)
    velocity = joint.velocity + wanted * dt_s
    analytic = min(max(velocity + 0.5 * wanted * dt_s, -top), top)
    return joint.step(joint.position + velocity * dt_s, analytic, wanted)


class Restless:
    """A stream of requests of every bad kind, one call a tick; ``limits`` may be changed."""

    def __init__(self, seed, limits, dt_s):
        self._random = random.Random(seed)
        self.limits, self._dt_s = limits, dt_s
        self._left = 0

    def tick(self, joint):
        """Bits of the step."""
        if self._left == 0:
            self._choose()
        self._left -= 1
        match self._kind:
            case 0:
                return joint.step(self._target)
            case 1:
                return joint.step(self._target, self._velocity, self._acceleration)
            case 2:
                self._phase += self._turn
                return joint.step(self._target + self._swing * math.sin(self._phase), self._velocity)
            case 3:
                return joint.brake()
            case 4:
                return push(joint, self.limits, self._dt_s, self._side)
            case 5:
                return push(joint, self.limits, self._dt_s, self._random.uniform(-1, 1))
            case _:
                return joint.step(*self._random.choices((*GARBAGE, 0.0), k=3))

    def _choose(self):
        low, high, velocity, acceleration, _ = self.limits
        pick, span = self._random, high - low
        self._kind = pick.randrange(7)
        self._left = 1 + int(200 ** pick.random())
        self._target = pick.uniform(low - 0.2 * span, high + 0.2 * span)
        self._velocity = pick.uniform(-2, 2) * velocity
        self._acceleration = pick.uniform(-2, 2) * acceleration
        self._swing, self._phase, self._turn = pick.random() * span, 0.0, pick.random()
        self._side = pick.choice((-1, 1))


def ticks_to_rest(limits, dt_s):
    """Enough ticks for any brake inside ``limits``."""
    _, _, velocity, acceleration, jerk = limits
    return int((velocity / acceleration + 2 * acceleration / jerk) / dt_s) + 8
