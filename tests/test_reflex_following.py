"""A joint away from its command, and a sensor that says the same while the command moves on."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reflex_oracle import Tick
from reflex_rig import DT_NS, LIMITS, MS, as_ticks, at, said, series, servo_run, some_ticks, spells

from spinal.native.layout import Condition
from spinal.native.reflex import Reflex


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


def test_at_the_travel_is_not_beyond_it():
    limits = LIMITS._replace(lag_s=0.0, frozen_travel=0.125)
    assert not any(said(limits, frozen_at(20, command=lambda k: 0.125 if k >= 20 else 0.0)))
    assert any(said(limits, frozen_at(20, command=lambda k: 0.1251 if k >= 20 else 0.0)))
