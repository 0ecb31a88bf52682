"""The limiter's closed forms against slow exact oracles: a brake walked tick by tick, and linear programs."""

import random

import numpy as np
import pytest
from limiter_oracle import Oracle, State, walk
from limiter_rig import DESK, PERIODS_S, emergency_of, push, ticks_to_rest

from spinal.native.limiter import EMERGENCY, POSITION, Limiter

TIGHT = {
    "10 ms": ((-0.15, 0.2, 2.0, 40.0, 2000.0), 0.010),
    "4 ms": ((-0.05, 0.06, 1.5, 60.0, 8000.0), 0.004),
    "4 ms desk": ((-0.1, 0.1, 2.0, 80.0, 4000.0), 0.004),
}
every_tight = pytest.mark.parametrize(("limits", "dt_s"), TIGHT.values(), ids=TIGHT.keys())


def state_of(joint):
    return State(joint.position, joint.velocity, joint.acceleration)


def in_state(state, limits, dt_s, emergency=None):
    joint = Limiter(limits, dt_s, emergency=emergency)
    joint.push(state.position, state.velocity, state.acceleration)
    return joint


def random_state(pick, limits, wildness=1.0):
    low, high, velocity, acceleration, _ = limits
    return State(
        pick.uniform(low, high),
        wildness * pick.uniform(-velocity, velocity) * pick.choice((0, 0.1, 1, 1)),
        wildness * pick.uniform(-acceleration, acceleration) * pick.choice((0, 0.3, 1, 1)),
    )


@pytest.mark.parametrize("dt_s", PERIODS_S)
def test_the_path_of_a_brake_is_that_of_its_ticks(dt_s):
    """Whole numbers of jerk steps too, where a phase ends exactly with a tick, and states beyond the limits."""
    pick = random.Random(5)
    for _ in range(1200):
        limits = (
            -1.0,
            1.0,
            10 ** pick.uniform(-1, 1),
            10 ** pick.uniform(0, 2.5),
            10 ** pick.uniform(2.5, 4.5),
        )
        state = random_state(pick, limits, wildness=1.5)
        if pick.random() < 0.3:
            step = limits[4] * dt_s
            limits = (*limits[:3], step * pick.randrange(1, 20), limits[4])
            state = State(0.0, step * dt_s * pick.randrange(-99, 99), step * pick.randrange(-22, 22))
        positions = [state.position for state in walk(state, limits, dt_s)]
        path = in_state(state, limits, dt_s).brake_path()
        size = max(abs(p - positions[0]) for p in positions)
        expected = (min(positions), max(positions), positions[-1])
        assert path == pytest.approx(expected, rel=0, abs=1e-9 * size + 1e-12), (state, limits)


@pytest.mark.parametrize("dt_s", PERIODS_S)
def test_the_brake_is_what_the_limiter_does(dt_s):
    pick = random.Random(6)
    for _ in range(50):
        state = random_state(pick, DESK)
        joint = in_state(state, (-9.0, 9.0, 99.0, *DESK[3:]), dt_s)
        for expected in walk(state, DESK, dt_s)[1:]:
            assert not joint.brake() & EMERGENCY
            assert joint.position == pytest.approx(expected.position, abs=1e-12)
            assert joint.acceleration == pytest.approx(expected.acceleration, abs=1e-6)
        # An acceleration that is above the limit, and may be in an emergency, comes back by the same jerk.
        state = State(0.0, 3.0, pick.uniform(-400, 400))
        joint = in_state(state, (-9.0, 9.0, 99.0, *DESK[3:]), dt_s, (-9.0, 9.0, 99.0, 500.0, DESK[4]))
        for expected in walk(state, DESK, dt_s)[1:]:
            joint.brake()
            assert joint.acceleration == pytest.approx(expected.acceleration, abs=1e-6)


def test_no_sequence_that_does_not_turn_back_stops_sooner_than_the_brake():
    """And one that turns back stops sooner by no more than A^3 / (6 J^2) and a tick."""
    pick, judged = random.Random(3), 0
    while judged < 40:
        dt_s = pick.choice(PERIODS_S)
        limits = (-9.0, 9.0, pick.uniform(0.3, 2), pick.uniform(10, 60), 10 ** pick.uniform(3, 4.3))
        state = random_state(pick, limits)
        positions = [s.position for s in walk(state, limits, dt_s)]
        if state.velocity <= 0 or positions[-1] < max(positions) or not 3 < len(positions) < 120:
            continue
        _, _, _, most, jerk = limits
        oracle, rest = Oracle(limits, dt_s, len(positions) + 3), in_state(state, limits, dt_s).brake_path()[2]
        way = rest - state.position
        assert oracle.least_excursion(state, turning=False) == pytest.approx(rest, abs=1e-5 * way)
        tick = most * dt_s**2 + jerk * dt_s**3
        assert oracle.least_excursion(state) >= rest - most**3 / (6 * jerk**2) - tick
        judged += 1


@every_tight
def test_viable_is_what_the_oracle_can_bring_to_rest_without_turning_back(limits, dt_s):
    """Both ways, to a millionth: no state that could be stopped is refused, none is armed that could not."""
    pick, oracle = random.Random(8), Oracle(limits, dt_s, ticks_to_rest(limits, dt_s))
    verdicts = []
    while len(verdicts) < 150:
        state = random_state(pick, limits)
        lowest, highest, rest = in_state(state, limits, dt_s).brake_path()
        if rest != (highest if state.velocity > 0 else lowest):
            continue  # acceleration under way turns it round, which the linear program would have to allow
        near = min(rest - limits[0], limits[1] - rest)
        if abs(near) > 0.05 * (limits[1] - limits[0]):
            continue
        joint = in_state(state, limits, dt_s)
        if joint.is_viable():
            assert oracle.can_rest(state, 1e-6, turning=False), state
        else:
            assert not oracle.can_rest(state, -1e-6, turning=False), state
        verdicts.append(joint.is_viable())
    assert 20 < sum(verdicts) < 130, "the states are all of one kind"


def pushed_states(limits, dt_s, seed):
    """For ever: (state after the wanted command, whether the limiter passed it, state after its own)."""
    _, _, top, most, jerk = limits
    pick, joint = random.Random(seed), Limiter(limits, dt_s)
    while True:
        side, ticks = pick.choice((-1, 1)), pick.randrange(1, 25)
        for _ in range(ticks):
            share = side * pick.choice((0.999, 0.999, pick.random()))
            wanted = min(max(joint.acceleration + share * jerk * dt_s, -most), most)
            after = state_of(joint).after(wanted, dt_s)
            analytic = min(max(after.velocity + 0.5 * wanted * dt_s, -top), top)
            passed = joint.step(after.position, analytic, wanted) == 0
            yield after, passed, state_of(joint)


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
            if judged == 100:
                return


@every_tight
def test_the_oracle_agrees_with_every_refusal(limits, dt_s):
    """What the limiter does not pass could not be stopped inside the limits without turning back."""
    oracle, refused = Oracle(limits, dt_s, ticks_to_rest(limits, dt_s)), 0
    for wanted, passed, _ in pushed_states(limits, dt_s, seed=2):
        if passed:
            continue
        assert not oracle.can_rest(wanted, -1e-6, turning=False), wanted
        refused += 1
        if refused == 150:
            return


@every_tight
def test_the_oracle_agrees_with_every_refusal_of_speed(limits, dt_s):
    """Far from the ends of the range what it refuses could not be passed, turning back or not."""
    wide = (-1e3, 1e3, *limits[2:])
    oracle, refused = Oracle((-2e3, 2e3, *limits[2:]), dt_s, ticks_to_rest(limits, dt_s)), 0
    for wanted, passed, _ in pushed_states(wide, dt_s, seed=4):
        if not passed:
            assert not oracle.can_rest(wanted, -1e-6), wanted
            refused += 1
            if refused == 60:
                return


@every_tight
@pytest.mark.parametrize("braking", [True, False], ids=["brake", "any request"])
def test_no_sequence_inside_the_emergency_limits_would_have_left_the_range_by_less(limits, dt_s, braking):
    """Of those that do not turn back; and of all others by no more than A^3 / (6 J^2) and a tick."""
    pick, emergency = random.Random(9), emergency_of(limits)
    low, high, _, most, jerk = emergency
    judged = 0
    while judged < 25:
        state = random_state(pick, (0.7 * high, 1.2 * high, *emergency[2:]))
        best = [s.position for s in walk(state, emergency, dt_s)]
        if state.velocity <= 0 or best[-1] < max(best) or best[-1] <= high or len(best) < 3:
            continue
        joint, emitted = in_state(state, limits, dt_s, emergency), [state.position]
        target = pick.uniform(2 * low, 2 * high)
        for k in range(2 * len(best) + 20):
            bits = joint.brake() if braking else joint.step(target)
            assert k > 0 or bits & EMERGENCY
            emitted.append(joint.position)
        oracle = Oracle(emergency, dt_s, len(best) + 3)
        least = max(high, oracle.least_excursion(state, turning=False))
        assert max(emitted) <= least + 1e-5 * (least - state.position) + 1e-9
        allowance = most**3 / (6 * jerk**2) + most * dt_s**2 + jerk * dt_s**3
        assert max(emitted) <= max(high, oracle.least_excursion(state)) + allowance
        judged += 1


@pytest.mark.parametrize(("hard", "which"), [(99.0, "normal"), (1.0, "emergency")])
def test_no_sequence_would_have_come_down_to_the_lowered_speed_sooner(hard, which):
    """Summed over the ticks: the speed above the limit is the speed of a joint that is braked to rest."""
    dt_s, normal = 0.004, (-1e3, 1e3, 1.0, 60.0, 4000.0)
    emergency = (*normal[:2], hard, *emergency_of(normal)[3:])
    bounds, pick = {"normal": normal, "emergency": emergency}[which], random.Random(10)
    for _ in range(25):
        velocity, acceleration = pick.uniform(1.5, 4), pick.uniform(-20, 60)
        joint = in_state(State(0.0, velocity, acceleration), normal, dt_s, emergency)
        over, way = State(0.0, velocity - 1, acceleration), 0.0
        oracle, ticks = Oracle(bounds, dt_s, 60), 0
        while joint.velocity > 1 + 1e-9:
            assert joint.step(500.0) & EMERGENCY
            way += max(0.0, joint.velocity - 1) * dt_s
            ticks += 1
            assert ticks < 60
        least = oracle.least_excursion(over, turning=False)
        assert way <= least * (1 + 1e-5)
        if which == "normal":
            assert way >= least * (1 - 1e-5), "a lowered speed is no emergency"
        # An emergency's acceleration comes back with no more jerk than it must, so a little below the limit.
        assert joint.velocity >= 1 - 1e-9 - emergency[3] * dt_s * (which == "emergency")


@every_tight
def test_near_an_end_the_most_is_taken_that_can_still_be_stopped(limits, dt_s):
    """Against a search for it: in 99 of 100 ticks within a tenth of a jerk step, and never above."""
    _, _, _, most, jerk = limits
    joint, probe, short_of = Limiter(limits, dt_s), Limiter(limits, dt_s), []
    pick, side = random.Random(12), 1
    for k in range(1500):
        side = side if k % 60 else pick.choice((-1, 1))
        before = state_of(joint)
        if not push(joint, limits, dt_s, side) & POSITION:
            continue
        low, high = side * joint.acceleration, min(side * before.acceleration + jerk * dt_s, most)
        for _ in range(30):
            middle = 0.5 * (low + high)
            after = before.after(side * middle, dt_s)
            probe.push(after.position, after.velocity, after.acceleration)
            low, high = (middle, high) if probe.is_viable() else (low, middle)
        short_of.append((low - side * joint.acceleration) / (jerk * dt_s))
    assert len(short_of) > 100
    assert min(short_of) >= -1e-6
    assert np.quantile(short_of, 0.99) < 0.1
