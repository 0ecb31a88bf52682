"""The reflexes of one joint against the plain oracle, and what each of them promises."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reflex_oracle import OFF, Tick, conditions_of

from spinal.native.layout import Condition
from spinal.native.limiter import Limiter
from spinal.native.reflex import Reflex

MS = 1_000_000
DT_NS = 4 * MS
EPOCH_NS = 10_000 * MS
ARM = (-2.0, 2.0, 4.7, 80.0, 4000.0)
COUNT_RAD = 2 * math.pi / 4096

LIMITS = OFF._replace(
    following_hold=0.25,
    following_stop=0.5,
    contact_hold=0.6,
    contact_stop=2.0,
    contact_drag=0.22,
    contact_inertia=0.013,
    temperature_hold=60.0,
    temperature_stop=66.0,
    voltage_hold=10.5,
    voltage_stop=9.5,
    lag_s=0.025,
    load_limit=1.0,
    frozen_travel=0.03,
    frozen_ns=60 * MS,
    following_ns=100 * MS,
    contact_ns=250 * MS,
    contact_long_ns=3000 * MS,
    clear_ns=500 * MS,
)
NOTHING = Condition(0)


def said(limits, ticks):
    """The conditions of every tick."""
    reflex = Reflex(limits)
    return [
        reflex.tick(t.tick_ns, *t[1:5], fresh=t.fresh, health=t.health, energised=t.energised) for t in ticks
    ]


def at(k):
    return EPOCH_NS + k * DT_NS


def series(count, **values):
    """``count`` ticks; a value may be a function of the tick's number."""
    return [
        Tick(at(k), **{name: value(k) if callable(value) else value for name, value in values.items()})
        for k in range(count)
    ]


def spells(conditions, bit):
    """[first, behind the last) of every unbroken run of ``bit``."""
    flags = np.array([bool(c & bit) for c in conditions] + [False])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


# ---- against the oracle ----

COARSE = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, -0.5, -1.0])
WILD = st.sampled_from([math.nan, math.inf, -math.inf, 1e300, 1e9])
values = st.one_of(COARSE, COARSE, COARSE, st.floats(-2, 2), WILD)
thresholds = st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0, 1.5, 3.0, math.nan])
spans_ns = st.sampled_from([0, 1, 4 * MS, 8 * MS, 20 * MS])
some_limits = st.builds(
    lambda doubles, spans, temperature, voltage: OFF._replace(
        **dict(
            zip(("following_hold", "following_stop", "contact_hold", "contact_stop"), doubles, strict=True)
        ),
        **temperature,
        **voltage,
        **spans,
    ),
    st.tuples(thresholds, thresholds, thresholds, thresholds),
    st.fixed_dictionaries(
        {
            **dict.fromkeys(
                ("following_ns", "contact_ns", "contact_long_ns", "clear_ns", "frozen_ns"), spans_ns
            ),
            "lag_s": st.sampled_from([0.0, 0.004, 0.05]),
            "frozen_travel": st.sampled_from([0.0, 0.05, 0.4]),
            "contact_drag": st.sampled_from([0.0, 0.2]),
            "contact_inertia": st.sampled_from([0.0, 0.01]),
            "load_limit": st.sampled_from([0.0, 0.5, 1.0]),
        }
    ),
    st.fixed_dictionaries(
        {"temperature_hold": st.sampled_from([0, 40, 60]), "temperature_stop": st.sampled_from([0, 41, 70])}
    ),
    st.fixed_dictionaries(
        {"voltage_hold": st.sampled_from([0, 6, 11]), "voltage_stop": st.sampled_from([0, 5])}
    ),
)
healths = st.none() | st.tuples(
    st.integers(0, 6).map(lambda k: k * 7 * MS),
    st.sampled_from([0.0, 4.0, 5.5, 6.1, 12.0, math.nan, math.inf]),
    st.sampled_from([0.0, 30.0, 38.0, 50.0, 65.0, 80.0, math.nan, -math.inf]),
)
some_ticks = st.lists(
    st.tuples(
        st.sampled_from([0, DT_NS, DT_NS, DT_NS, 3 * DT_NS]),
        COARSE,
        values,
        values,
        values,
        st.sampled_from([True, True, True, False]),
        healths,
        st.sampled_from([True] * 8 + [False]),
    ),
    min_size=1,
    max_size=40,
)


def as_ticks(rows):
    now_ns, ticks = EPOCH_NS, []
    for step_ns, *rest in rows:
        now_ns += step_ns
        ticks.append(Tick(now_ns, *rest))
    return ticks


@settings(max_examples=400)
@given(some_limits, some_ticks)
def test_any_history_is_judged_as_the_oracle_judges_it(limits, rows):
    ticks = as_ticks(rows)
    assert said(limits, ticks) == conditions_of(ticks, limits)


@pytest.mark.parametrize("seed", range(8))
def test_a_moving_joint_is_judged_as_the_oracle_judges_it(seed):
    """A limiter-made motion, a lagging servo, pushes, lost replies and readings that come and go."""
    rng = np.random.default_rng(seed)
    joint, position, ticks, now_ns, target = Limiter(ARM, 0.004), 0.0, [], EPOCH_NS, 0.0
    push = frozen = 0
    velocity = load = 0.0
    for k in range(130):
        now_ns += DT_NS * int(rng.choice([1, 1, 1, 1, 1, 1, 2]))
        if k % 40 == 0:
            target, push = rng.uniform(-1.5, 1.5), int(rng.integers(0, 2)) * 30
            frozen = int(rng.integers(0, 3)) == 0 and 25
        ticks.append(
            Tick(
                now_ns,
                joint.position,
                round(position, 3),
                round(velocity, 2),
                round(load, 3),
                bool(rng.random() > 0.05),
                (
                    EPOCH_NS + (k // 20) * 80 * MS,
                    float(rng.choice([9, 10, 12])),
                    float(rng.choice([40, 61, 67])),
                ),
            )
        )
        joint.step(target)
        push, frozen = max(0, push - 1), max(0, frozen - 1)
        if not frozen:
            velocity = 0.0 if push else (joint.position - position) / 0.03
            load = 0.9 if push else 0.22 * velocity
            position += velocity * 0.004
    quick = LIMITS._replace(
        contact_ns=60 * MS, following_ns=20 * MS, clear_ns=60 * MS, contact_long_ns=100 * MS
    )
    got = said(quick, ticks)
    assert got == conditions_of(ticks, quick)
    assert any(got)


# ---- following ----


def servo_run(requests, limits=LIMITS, lag_s=0.025, blocked_from=None, payload=0.1):
    """A servo with ``lag_s`` that follows what a limiter makes of ``requests``; counts as an encoder gives them.

    Its load is what the motion takes, as reflex.h says. ``blocked_from``: it stands from that tick on and pushes.
    Returns the conditions and the loads.
    """
    joint, reflex = Limiter(ARM, 0.004), Reflex(limits)
    part = -math.expm1(-0.004 / lag_s)
    position = velocity = 0.0
    conditions, loads = [], []
    for k, request in enumerate(requests):
        command = joint.position
        blocked = blocked_from is not None and k >= blocked_from
        before, speed_before = position, velocity
        position += 0.0 if blocked else part * (command - position)
        velocity = (position - before) / 0.004
        acceleration = 0.0 if blocked else (velocity - speed_before) / 0.004
        load = payload + 0.22 * velocity + 0.013 * acceleration
        if blocked:
            load = payload + 85 * (command - position)
        loads.append(round(max(-1.0, min(1.0, load)), 3))
        conditions.append(
            reflex.tick(
                at(k),
                command,
                round(position / COUNT_RAD) * COUNT_RAD,
                round(velocity / COUNT_RAD) * COUNT_RAD,
                loads[-1],
            )
        )
        joint.step(request)
    return conditions, loads


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.floats(-3, 3), st.integers(1, 60)), min_size=1, max_size=8),
    st.floats(-0.3, 0.3),
)
def test_a_servo_that_follows_with_its_lag_never_trips_whatever_the_limiter_makes(legs, payload):
    requests = [target for target, ticks in legs for _ in range(ticks)]
    conditions, _ = servo_run(requests, payload=payload)
    assert not any(conditions)


def test_without_the_lag_the_same_motion_would_trip():
    swing = [1.9] * 150 + [-1.9] * 250
    conditions, _ = servo_run(swing, LIMITS._replace(lag_s=0.0, following_hold=0.1, following_stop=0.0))
    assert spells(conditions, Condition.FOLLOWING)
    conditions, _ = servo_run(swing, LIMITS._replace(following_hold=0.1, following_stop=0.0))
    assert not spells(conditions, Condition.FOLLOWING)


@pytest.mark.parametrize("ticks_of_lasting", [0, 1, 25])
@pytest.mark.parametrize(
    ("away", "bits"),
    [
        (0.26, Condition.FOLLOWING),
        (-0.26, Condition.FOLLOWING),
        (0.51, Condition.FOLLOWING | Condition.FOLLOWING_LOST),
    ],
)
def test_following_trips_when_it_has_lasted_and_not_a_tick_before(away, bits, ticks_of_lasting):
    limits = LIMITS._replace(following_ns=ticks_of_lasting * DT_NS)
    got = said(
        limits, series(80, position=lambda k: away if k >= 10 else 0.0, load=lambda k: 0.001 * (k % 2))
    )
    assert got[: 10 + ticks_of_lasting] == [0] * (10 + ticks_of_lasting)
    assert set(got[10 + ticks_of_lasting :]) == {bits}


def test_at_the_threshold_is_not_beyond_it():
    got = said(LIMITS._replace(following_ns=0), series(50, position=0.25, load=lambda k: 0.001 * (k % 2)))
    assert not any(got)


def test_a_break_starts_the_count_anew():
    away = [0.3] * 24 + [0.0] + [0.3] * 24 + [0.0] * 10
    got = said(LIMITS, [Tick(at(k), position=x) for k, x in enumerate(away)])
    assert not any(got)


def test_following_clears_after_a_clean_window_and_what_is_nearly_too_far_is_not_clean():
    clear = 125  # ticks
    away = [0.3] * 40 + [0.24] * 50 + [0.19] * 30 + [0.21] + [0.19] * 200
    got = said(LIMITS, [Tick(at(k), position=x) for k, x in enumerate(away)])
    assert spells(got, Condition.FOLLOWING) == [(25, 120 + clear)]


def test_a_sample_that_is_not_fresh_changes_nothing_and_does_not_break_the_count():
    ticks = [t._replace(fresh=k % 3 == 0) for k, t in enumerate(series(60, position=0.3))]
    garbage = [t if t.fresh else t._replace(position=math.nan, velocity=math.nan, load=9e9) for t in ticks]
    got = said(LIMITS, garbage)
    assert got == said(LIMITS, ticks)
    assert spells(got, Condition.FOLLOWING) == [(27, 60)], "at the first fresh sample behind 100 ms"


@given(st.floats(0.01, 1), st.floats(0.01, 1), some_ticks)
def test_a_lower_following_threshold_trips_no_later_and_clears_no_sooner(one, other, rows):
    low, high = sorted((one, other))
    careful, lax = (
        said(LIMITS._replace(following_hold=x, following_stop=x, following_ns=8 * MS), as_ticks(rows))
        for x in (low, high)
    )
    for bit in (Condition.FOLLOWING, Condition.FOLLOWING_LOST):
        assert all(c & bit for c, h in zip(careful, lax, strict=True) if h & bit)


# ---- contact ----


@settings(max_examples=40)
@given(st.integers(20, 140), st.sampled_from([-1, 1]))
def test_a_joint_that_is_jammed_in_motion_is_a_contact_in_time(block_at, side):
    """Within 60 ms for what it pushes to be believed, the configured time, and a tick."""
    requests = [1.9 * side] * 100 + [-1.9 * side] * 250
    limits = LIMITS._replace(following_hold=0, following_stop=0)
    conditions, loads = servo_run(requests, limits, blocked_from=block_at)
    due = math.ceil((60 + 250) / 4) + 1
    pushing = [(a, b) for sign in (-1, 1) for a, b in spells([int(sign * x > 0.95) for x in loads], 1)]
    jammed = [(max(a, block_at), b) for a, b in pushing if b - max(a, block_at) > due]
    assert jammed
    for begin, end in jammed:
        assert all(c & Condition.CONTACT for c in conditions[begin + due : end])


@pytest.mark.parametrize("side", [-1, 1])
def test_contact_trips_once_its_residual_has_lasted_and_not_a_tick_before(side):
    reflex, first = Reflex(LIMITS), None
    for k in range(120):
        got = reflex.tick(at(k), load=side * (0.9 if k >= 20 else 0.001 * (k % 2)))
        beyond = abs(reflex.outside - reflex.rest) > 0.6
        first = k if beyond and first is None else first
        assert bool(got & Condition.CONTACT) == (first is not None and (k - first) * DT_NS >= 250 * MS)
    assert first - 20 <= 60 / 4
    assert math.copysign(1, reflex.outside) == side


def test_what_a_joint_carries_becomes_its_rest_and_is_no_contact():
    limits = LIMITS._replace(frozen_ns=0)
    reflex = Reflex(limits)
    for k in range(1500):
        assert not reflex.tick(at(k), load=0.3)
    assert reflex.rest == pytest.approx(0.3, abs=1e-3)
    got = [reflex.tick(at(k), load=-0.5) for k in range(1500, 1600)]
    ((begin, _),) = spells(got, Condition.CONTACT)
    assert 62 < begin <= 62 + 15, "0.8 from its rest, for 250 ms"


@pytest.mark.parametrize("seconds", [0.5, 5, 50])
def test_however_slowly_a_push_grows_all_that_a_motor_has_is_a_contact(seconds):
    rise = round(seconds * 250)
    got = said(LIMITS, series(rise + 100, load=lambda k: min(1.0, k / rise)))
    ((begin, _),) = spells(got, Condition.CONTACT)
    assert begin <= rise + 80


def test_the_rest_does_not_learn_while_something_is_suspected():
    reflex = Reflex(LIMITS)
    for k in range(40):
        reflex.tick(at(k), load=0.9)
    learnt = reflex.rest
    for k in range(40, 400):
        reflex.tick(at(k), load=0.9)
        assert reflex.rest == learnt
    for k in range(400, 400 + 124):  # held, until the window is over
        assert reflex.tick(at(k), load=0.0) & Condition.CONTACT or k > 400 + 130
        assert reflex.rest == learnt


def test_contact_clears_by_itself_and_stops_when_it_goes_on_for_long():
    def load(k):
        return 0.9 if 50 <= k < 450 or k >= 700 else 0.0

    got = said(LIMITS._replace(frozen_ns=0), series(1700, load=load))
    contact, again = spells(got, Condition.CONTACT)
    assert contact[0] < 450 + 125 < contact[1] < 450 + 125 + 10
    ((collision, end),) = spells(got, Condition.COLLISION)
    assert again[0] < collision
    residual_from = again[0] - round(250 / 4 + 0.5)
    assert abs(collision - (residual_from + 750)) <= 1
    assert end == again[1] == 1700


def test_never_for_long_is_never():
    got = said(LIMITS._replace(contact_long_ns=0, frozen_ns=0), series(3000, load=0.95))
    assert not spells(got, Condition.COLLISION)
    assert spells(got, Condition.CONTACT)


def stopped_within(seconds, speed=4.7, load=1.0):
    """A joint at full speed that something brings to rest in so long, its motor pushing on."""
    return series(
        80,
        command=lambda k: 0.0188 * k,
        velocity=lambda k: speed * max(0.0, min(1.0, 1 - (k - 30) * 0.004 / seconds)),
        position=lambda k: 0.0188 * min(k, 32) + 1e-4 * k,
        load=lambda k: load if k >= 30 else speed * 0.22,
    )


def test_an_impact_stops_at_once_and_a_brake_of_its_own_does_not():
    got = said(LIMITS, stopped_within(0.016))
    ((begin, _),) = spells(got, Condition.COLLISION)
    assert 30 < begin <= 35, "within 20 ms"
    # 4.7 rad/s in 60 ms is what its own motor can brake: duty against the motion
    braked = said(LIMITS._replace(following_hold=0, following_stop=0), stopped_within(0.06, load=-0.5))
    assert not spells(braked, Condition.COLLISION)


@given(
    st.integers(1, 60), st.sampled_from([1e9, -1e9, 50.0, -50.0, 2.0]), st.sampled_from(["velocity", "load"])
)
def test_one_garbled_sample_of_any_size_is_no_collision(when, size, word):
    ticks = series(90, load=lambda k: 0.5 + 0.001 * (k % 2))
    ticks[when] = ticks[when]._replace(**{word: size})
    assert not spells(said(LIMITS, ticks), Condition.COLLISION)


def test_a_gripper_like_joint_with_contact_off_pushes_for_ever():
    limits = LIMITS._replace(
        contact_hold=0, contact_stop=0, following_hold=0, following_stop=0, load_limit=0.5
    )
    got = said(limits, series(3000, command=lambda k: 0.001 * k, load=0.5, position=0.01))
    assert not any(got)


# ---- frozen ----


def test_a_joint_at_rest_says_the_same_for_ever():
    assert not any(said(LIMITS, series(5000, position=0.3, command=0.3, load=0.2)))


def frozen_at(start, count=200, **changes):
    """The command moves on at 1 rad/s from tick ``start``; the sensor says what it said."""
    return series(
        count,
        **{
            "command": lambda k: max(0, k - start) * 0.004,
            "position": 0.0,
            "velocity": 0.0,
            "load": 0.2,
            **changes,
        },
    )


def test_a_sensor_that_stays_while_the_command_moves_is_frozen_in_time():
    limits = LIMITS._replace(following_hold=0, following_stop=0)
    reflex, moved = Reflex(limits), None
    for k, t in enumerate(frozen_at(50)):
        got = reflex.tick(*t[:5])
        moved = k if reflex.lagged > 0.03 and moved is None else moved
        assert bool(got & Condition.FROZEN) == (moved is not None and (k - moved) * DT_NS >= 60 * MS)
    assert moved - 50 <= (30 + 25) / 4 + 1


@pytest.mark.parametrize("word", ["position", "velocity", "load"])
def test_one_bit_that_changes_now_and_then_is_alive(word):
    alive = frozen_at(20, **{word: lambda k: 0.2 + 0.001 * (k // 12 % 2)})
    assert not spells(said(LIMITS, alive), Condition.FROZEN)
    assert spells(said(LIMITS, frozen_at(20)), Condition.FROZEN)


def test_frozen_clears_for_its_own_part_when_the_bytes_change():
    got = said(LIMITS, frozen_at(20, load=lambda k: 0.2 if k < 100 else 0.001 * (k % 2), count=130))
    ((begin, end),) = spells(got, Condition.FROZEN)
    assert begin < 60
    assert end == 100, "that it stays is the loop's doing"


def test_a_command_that_swings_and_comes_back_has_moved():
    got = said(LIMITS, frozen_at(0, command=lambda k: 0.2 * math.sin(k / 10)))
    assert spells(got, Condition.FROZEN)


def test_replies_that_are_missing_are_silence_and_not_a_frozen_sensor():
    ticks = [t._replace(fresh=not 20 < k < 60) for k, t in enumerate(frozen_at(20))]
    got = said(LIMITS, ticks)
    assert spells(got[:60], Condition.FROZEN) == []


@pytest.mark.parametrize(
    ("limit", "load", "frozen"), [(1.0, 1.0, 0), (0.5, 0.49, 0), (1.0, 0.97, 1), (1.0, -1.0, 0)]
)
def test_a_joint_that_pushes_with_all_it_has_says_the_same_and_is_alive(limit, load, frozen):
    got = said(LIMITS._replace(load_limit=limit), frozen_at(20, load=load))
    assert len(spells(got, Condition.FROZEN)) == frozen
    moving = said(LIMITS._replace(load_limit=limit), frozen_at(20, load=load, velocity=2.0))
    assert spells(moving, Condition.FROZEN), "but one that says it moves is not standing"


def test_frozen_can_be_switched_off():
    assert not spells(said(LIMITS._replace(frozen_ns=0), frozen_at(20)), Condition.FROZEN)


# ---- heat and supply ----


def readings(*rows, every=50, behind=0):
    """Ticks over which one reading after the other stands: (voltage, temperature)."""
    return [
        Tick(
            at(k),
            load=0.001 * (k % 2),
            health=(at(k // every * every), *rows[min(k // every, len(rows) - 1)]),
        )
        for k in range(every * len(rows) + behind)
    ]


@pytest.mark.parametrize(
    ("celsius", "bits"),
    [(60, 0), (61, Condition.HOT), (66, Condition.HOT), (67, Condition.HOT | Condition.OVERHEATED)],
)
def test_heat_counts_at_the_second_reading(celsius, bits):
    got = said(LIMITS, readings((12, celsius), (12, celsius)))
    assert set(got[:50]) == {0}
    assert set(got[50:]) == {int(bits)}


@pytest.mark.parametrize(
    ("volt", "bits"),
    [(10.5, 0), (10.4, Condition.VOLTAGE_LOW), (9.4, Condition.VOLTAGE_LOW | Condition.VOLTAGE_FAILED)],
)
def test_a_supply_counts_at_the_second_reading(volt, bits):
    got = said(LIMITS, readings((volt, 30), (volt, 30)))
    assert set(got[:50]) == {0}
    assert set(got[50:]) == {int(bits)}


def test_one_garbled_reading_is_none():
    assert not any(said(LIMITS, readings((12, 30), (0.1, 255), (12, 30), (12, 250), (3, 30))))


def test_heat_clears_below_a_margin_and_after_the_window():
    celsius = [61, 61, 59, 58, 57, 57, 57, 57, 57]
    got = said(LIMITS, readings(*((12, c) for c in celsius)))
    # unclean last at reading 3 (58 is above 60 - 3); 500 ms are two and a half readings
    assert spells(got, Condition.HOT) == [(50, 6 * 50)]


def test_a_supply_clears_above_a_margin_and_after_the_window():
    volts = [10, 10, 10.6, 10.6, 10.7, 10.7, 10.7, 10.7]
    got = said(LIMITS, readings(*((v, 30) for v in volts)))
    assert spells(got, Condition.VOLTAGE_LOW) == [(50, 6 * 50)]


def test_what_is_not_known_is_not_judged():
    assert not any(said(LIMITS, readings((0, 0), (0, 0), (0, 0))))
    never = [t._replace(health=(0, 1.0, 99.0)) for t in readings((1, 1), (1, 1))]
    assert not any(said(LIMITS, never))


def test_heat_and_supply_are_judged_without_torque_too():
    ticks = [t._replace(energised=False) for t in readings((9, 70), (9, 70))]
    assert said(LIMITS, ticks)[-1] == (
        Condition.HOT | Condition.OVERHEATED | Condition.VOLTAGE_LOW | Condition.VOLTAGE_FAILED
    )


@given(st.floats(1, 100), st.floats(1, 100), st.lists(st.floats(1, 120), min_size=1, max_size=12))
def test_lower_heat_and_higher_voltage_thresholds_trip_no_later(one, other, series_of):
    low, high = sorted((one, other))
    ticks = readings(*((x, x) for x in series_of), every=5)

    def judged(heat, volt):
        return said(
            LIMITS._replace(
                temperature_hold=heat,
                temperature_stop=heat,
                voltage_hold=volt,
                voltage_stop=volt,
                clear_ns=40 * MS,
            ),
            ticks,
        )

    for careful, lax in zip(judged(low, high), judged(high, low), strict=True):
        assert careful & lax == lax


# ---- what is not a number, and torque ----

NOT_NUMBERS = (math.nan, math.inf, -math.inf)


@pytest.mark.parametrize("value", NOT_NUMBERS)
@pytest.mark.parametrize("limits", [LIMITS, OFF], ids=["on", "off"])
@pytest.mark.parametrize(
    ("word", "bits"),
    [
        ("position", Condition.FOLLOWING | Condition.FOLLOWING_LOST),
        ("velocity", Condition.COLLISION),
        ("load", Condition.COLLISION),
    ],
)
def test_a_sample_that_is_no_number_is_the_worst_of_its_kind(word, bits, limits, value):
    got = said(limits, series(40, **{word: lambda k: value if k >= 3 else 0.0}))
    assert not any(got[:3])
    assert got[3 + 25] & bits == bits, "within following_ns and a tick"


@pytest.mark.parametrize("value", NOT_NUMBERS)
@pytest.mark.parametrize("limits", [LIMITS, OFF], ids=["on", "off"])
def test_a_reading_that_is_no_number_is_the_worst_of_its_kind(limits, value):
    got = said(limits, readings((value, value), (value, value)))
    assert got[-1] == (
        Condition.HOT | Condition.OVERHEATED | Condition.VOLTAGE_LOW | Condition.VOLTAGE_FAILED
    )


@pytest.mark.parametrize("word", ["velocity", "load"])
@pytest.mark.parametrize("value", [*NOT_NUMBERS, 1e308])
def test_nothing_of_it_stays_once_numbers_are_back(word, value):
    reflex = Reflex(LIMITS)
    for k in range(40):
        reflex.tick(at(k), **{word: value if 10 <= k < 30 else 0.001 * (k % 2)})
    for k in range(40, 400):
        got = reflex.tick(at(k), load=0.001 * (k % 2))
    assert got == NOTHING
    assert abs(reflex.outside) < 0.01


@pytest.mark.parametrize("name", [name for name in OFF._fields if name.endswith(("_hold", "_stop"))])
def test_a_threshold_that_is_no_number_is_always_exceeded(name):
    got = said(OFF._replace(**{name: math.nan}), readings((12, 30), (12, 30)))
    assert got[-1], name


def test_motion_is_not_judged_without_torque_and_begins_anew_with_it():
    on = Tick(at(0), command=1.0, position=0.0, velocity=0.0, load=0.95)
    ticks = [on._replace(tick_ns=at(k), energised=not 60 <= k < 80) for k in range(200)]
    got = said(LIMITS, ticks)
    lost = Condition.FOLLOWING | Condition.FOLLOWING_LOST
    assert got[59] & lost == lost
    assert not any(got[60:80])
    assert got[80 : 80 + 60] == got[:60], "as if it had never been on before"
    assert spells(got, lost) == [(25, 60), (105, 200)]


def test_the_first_tick_with_torque_takes_the_command_for_where_the_servo_is():
    reflex = Reflex(LIMITS)
    reflex.tick(at(0), 0.7, 0.7)
    assert reflex.lagged == 0.7
    reflex.tick(at(1), 0.9, 0.7)
    assert 0.7 < reflex.lagged < 0.9
    reflex.tick(at(2), 0.9, 0.7, energised=False)
    reflex.tick(at(3), -0.5, 0.7)
    assert reflex.lagged == -0.5


def test_missed_slots_are_time_that_the_servo_had():
    one, other = Reflex(LIMITS._replace(lag_s=0.5)), Reflex(LIMITS._replace(lag_s=0.5))
    for k in range(9):
        one.tick(at(k), 1.0 if k else 0.0)
    other.tick(at(0), 0.0)
    other.tick(at(8), 1.0)
    assert other.lagged == pytest.approx(one.lagged, rel=0.05)


def test_a_tick_that_comes_twice_changes_nothing():
    reflex = Reflex(LIMITS._replace(lag_s=0.0))
    for _ in range(3):
        assert not reflex.tick(at(0), 0.1, 0.1, 0.5, 0.2)
    assert (reflex.lagged, reflex.outside, reflex.rest) == (0.1, 0.0, 0.0)
