"""The reflexes of one joint against the plain oracle; what is no number, torque, and time."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from reflex_oracle import OFF, Tick, conditions_of
from reflex_rig import (
    ARM,
    DT_NS,
    EPOCH_NS,
    LIMITS,
    MS,
    NOTHING,
    as_ticks,
    at,
    readings,
    said,
    series,
    some_limits,
    some_ticks,
    spells,
)

from spinal.native.layout import Condition
from spinal.native.limiter import Limiter
from spinal.native.reflex import Reflex


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
