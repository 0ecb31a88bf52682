"""What motors say of their temperature and their supply."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reflex_rig import LIMITS, MS, readings, said, spells

from spinal.native.layout import Condition


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
