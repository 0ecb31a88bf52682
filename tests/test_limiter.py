"""What the limiter promises, judged from the positions that it emits, and against a slow exact oracle."""

import math
import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from limiter_oracle import Oracle, State

from spinal.native.limiter import (
    ACCELERATION,
    INVALID,
    JERK,
    POSITION,
    VELOCITY,
    Limiter,
    stop_position_max,
)

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

every_limit = pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS.keys())
every_period = pytest.mark.parametrize("dt_s", PERIODS_S)


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
    assert max(shares.values()) <= 1e-6, shares


def push(joint, limits, dt_s, towards):
    """One tick with the furthest acceleration that jerk and acceleration allow; returns its bits."""
    _, _, top, most, jerk = limits
    wanted = min(max(joint.acceleration + towards * jerk * dt_s, -most), most)
    velocity = joint.velocity + wanted * dt_s
    analytic = min(max(velocity + 0.5 * wanted * dt_s, -top), top)
    return joint.step(joint.position + velocity * dt_s, analytic, wanted)


class Restless:
    """A stream of requests of every bad kind, one call a tick."""

    def __init__(self, seed, limits, dt_s):
        self._random = random.Random(seed)
        self._limits, self._dt_s = limits, dt_s
        self._left = 0

    def tick(self, joint):
        if self._left == 0:
            self._choose()
        self._left -= 1
        match self._kind:
            case 0:
                joint.step(self._target)
            case 1:
                joint.step(self._target, self._velocity, self._acceleration)
            case 2:
                self._phase += self._turn
                joint.step(self._target + self._swing * math.sin(self._phase), self._velocity)
            case 3:
                joint.brake()
            case 4:
                push(joint, self._limits, self._dt_s, self._side)
            case 5:
                push(joint, self._limits, self._dt_s, self._random.uniform(-1, 1))
            case _:
                joint.step(*self._random.choices((*GARBAGE, 0.0), k=3))

    def _choose(self):
        low, high, velocity, acceleration, _ = self._limits
        pick, span = self._random, high - low
        self._kind = pick.randrange(7)
        self._left = 1 + int(200 ** pick.random())
        self._target = pick.uniform(low - 0.2 * span, high + 0.2 * span)
        self._velocity = pick.uniform(-2, 2) * velocity
        self._acceleration = pick.uniform(-2, 2) * acceleration
        self._swing, self._phase, self._turn = pick.random() * span, 0.0, pick.random()
        self._side = pick.choice((-1, 1))


def test_a_million_restless_ticks_stay_inside_the_limits():
    ticks = 1_000_000 // (len(LIMITS) * len(PERIODS_S)) + 1
    at_an_end = 0
    for seed, (limits, dt_s) in enumerate((limits, dt_s) for limits in LIMITS.values() for dt_s in PERIODS_S):
        joint, requests = Limiter(limits, dt_s, 0.01), Restless(seed, limits, dt_s)
        positions = [joint.position]
        for _ in range(ticks):
            requests.tick(joint)
            positions.append(joint.position)
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
            assert seen[-1] & ~JERK == ACCELERATION
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
    joint = Limiter(limits, dt_s)
    while joint.velocity < 4.6999:
        push(joint, limits, dt_s, 1)
    while joint.acceleration != 0:
        joint.step(joint.position + joint.velocity * dt_s, joint.velocity)
    ahead = joint.position + joint.velocity * dt_s
    for speed, bits in ((4.74, JERK), (4.7, 0)):
        assert joint.step(ahead, speed) == bits
        ahead = joint.position + joint.velocity * dt_s


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


def ticks_to_rest(limits, dt_s):
    _, _, velocity, acceleration, jerk = limits
    return int((velocity / acceleration + 2 * acceleration / jerk) / dt_s) + 8


TIGHT = {
    "10 ms": ((-0.15, 0.2, 2.0, 40.0, 2000.0), 0.010),
    "4 ms": ((-0.05, 0.06, 1.5, 60.0, 8000.0), 0.004),
    "4 ms desk": ((-0.1, 0.1, 2.0, 80.0, 4000.0), 0.004),
}
every_tight = pytest.mark.parametrize(("limits", "dt_s"), TIGHT.values(), ids=TIGHT.keys())


def pushed_states(limits, dt_s, seed):
    """For ever: (state after the wanted command, whether the limiter passed it, state after its own)."""
    _, _, top, most, jerk = limits
    pick, joint = random.Random(seed), Limiter(limits, dt_s)
    while True:
        side, ticks = pick.choice((-1, 1)), pick.randrange(1, 25)
        for _ in range(ticks):
            share = side * pick.choice((0.999, 0.999, pick.random()))
            wanted = min(max(joint.acceleration + share * jerk * dt_s, -most), most)
            after = State(joint.position, joint.velocity, joint.acceleration).after(wanted, dt_s)
            analytic = min(max(after.velocity + 0.5 * wanted * dt_s, -top), top)
            passed = joint.step(after.position, analytic, wanted) == 0
            yield after, passed, State(joint.position, joint.velocity, joint.acceleration)


def near_an_end(state, limits):
    low, high = limits[:2]
    return not low + 0.3 * (high - low) < state.position < high - 0.3 * (high - low)


@every_tight
def test_the_oracle_finds_a_brake_from_every_command(limits, dt_s):
    """Nothing is ever emitted from which the limits could not be kept any more."""
    oracle, judged = Oracle(limits, dt_s, ticks_to_rest(limits, dt_s)), 0
    for _, _, emitted in pushed_states(limits, dt_s, seed=1):
        if near_an_end(emitted, limits):
            assert oracle.can_rest(emitted), emitted
            judged += 1
            if judged == 200:
                return


@every_tight
def test_the_oracle_agrees_with_every_refusal(limits, dt_s):
    """What the limiter does not pass could not be passed for ever, or only just.

    Velocity is judged exactly. Its stated conservatism in position: it expects a brake to begin one tick late,
    to use 80 % of the jerk and 90 % of the acceleration, not to turn back, and to end J dt^3 / 8 before the
    range does.
    """
    low, high, velocity, acceleration, jerk = limits
    ticks, hair = ticks_to_rest(limits, dt_s), jerk * dt_s**3 / 8
    anywhere = Oracle((low - 9, high + 9, velocity, acceleration, jerk), dt_s, ticks)
    refused = 0
    for wanted, passed, _ in pushed_states(limits, dt_s, seed=2):
        if passed or not near_an_end(wanted, limits):
            continue
        top = max(0.9 * acceleration, abs(wanted.acceleration))
        careful = Oracle((low + hair, high - hair, velocity + 9, top, 0.8 * jerk), dt_s, ticks + 8)
        late = [
            replace(wanted.after(a, dt_s), acceleration=wanted.acceleration)
            for a in (max(wanted.acceleration, 0), min(wanted.acceleration, 0))
        ]
        passable = anywhere.can_rest(wanted, -1e-6) and all(
            careful.can_rest(state, -1e-9, turning=False) for state in late
        )
        assert not passable, wanted
        refused += 1
        if refused == 400:
            return


@every_tight
def test_the_oracle_agrees_with_every_refusal_of_speed(limits, dt_s):
    """Far from the ends of the range the limiter is exact: what it refuses could not be passed."""
    wide = (-1e3, 1e3, *limits[2:])
    oracle, refused = Oracle((-2e3, 2e3, *limits[2:]), dt_s, ticks_to_rest(limits, dt_s)), 0
    for wanted, passed, _ in pushed_states(wide, dt_s, seed=4):
        if not passed:
            assert not oracle.can_rest(wanted, -1e-6), wanted
            refused += 1
            if refused == 100:
                return


def test_the_stopping_point_is_that_of_the_best_brake():
    limits = (-10.0, 10.0, 4.0, 50.0, 2000.0)
    pick, exact = random.Random(3), 0
    for _ in range(30):
        velocity, acceleration = pick.uniform(-1, 4), pick.uniform(-50, 50)
        duration_s = 1.3 * (abs(velocity) / 50 + 3 * 50 / 2000)
        oracle = Oracle((-10, 10, 1e3, 50, 2000), duration_s / 80, 80)
        best = oracle.least_excursion(State(0.0, velocity, acceleration))
        end = stop_position_max(limits, 0.0, velocity, acceleration)
        grain = 3 * duration_s / 80 * (abs(velocity) + 1)  # of the oracle's ticks
        assert end >= best - grain
        if acceleration >= 0 or 2 * 2000 * velocity > acceleration**2:
            assert end <= best + grain
            exact += 1
    assert exact > 15


@given(
    velocity=st.floats(-5, 5), acceleration=st.floats(-80, 80), more=st.floats(0, 1), most=st.floats(0, 20)
)
@settings(max_examples=200, deadline=None)
def test_the_stopping_point_only_moves_up_with_speed_and_acceleration(velocity, acceleration, more, most):
    here = stop_position_max(DESK, 0.1, velocity, acceleration)
    assert here >= 0.1
    assert stop_position_max(DESK, 0.1, velocity + more, acceleration) >= here - 1e-12
    assert stop_position_max(DESK, 0.1, velocity, acceleration + most) >= here - 1e-12


def test_speed_is_used_up_to_its_limit_and_not_beyond():
    joint = Limiter(WIDE, 0.004)
    speeds = []
    for _ in range(200):
        joint.step(900.0)
        speeds.append(joint.velocity)
    assert max(speeds) == pytest.approx(4.7, rel=1e-6)
    assert all(b >= a - 1e-12 for a, b in pairwise(speeds))
