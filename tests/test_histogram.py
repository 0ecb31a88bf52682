"""Histograms of durations, against numpy over the raw values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinal.native.histogram import Histogram

LARGEST_KNOWN_NS = (64 << 34) - 1
FRACTIONS = (0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0)


def filled(values):
    histogram = Histogram()
    for value in values:
        histogram.record(int(value))
    return histogram


def exact_quantile(values, fraction):
    """The smallest recorded value that ``fraction`` of the records do not pass."""
    return int(np.quantile(values, fraction, method="inverted_cdf"))


@pytest.mark.parametrize("spread", ["uniform", "lognormal", "two peaks", "one value"])
def test_quantiles_are_known_to_three_percent(spread):
    pick = np.random.default_rng(5)
    values = {
        "uniform": pick.integers(0, 2_000_000, 20_000),
        "lognormal": pick.lognormal(10, 2.5, 20_000).astype(np.int64),
        "two peaks": np.concatenate([pick.integers(40, 90, 15_000), pick.integers(10**9, 10**10, 5_000)]),
        "one value": np.full(100, 123_456_789),
    }[spread]
    histogram = filled(values)
    for fraction in FRACTIONS:
        exact = exact_quantile(values, fraction)
        assert exact <= histogram.quantile_ns(fraction) <= exact * 1.032
    assert histogram.max_ns == values.max()
    assert histogram.quantile_ns(1.0) == values.max()
    assert histogram.total == len(values)


@given(values=st.lists(st.integers(0, LARGEST_KNOWN_NS), min_size=1, max_size=50), fraction=st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_a_quantile_is_never_too_small_and_at_most_three_percent_too_large(values, fraction):
    exact = exact_quantile(values, fraction)
    assert exact <= filled(values).quantile_ns(fraction) <= exact * 1.032


def test_the_first_two_octaves_are_exact():
    for value in range(64):
        assert filled([value, 1 << 40]).quantile_ns(0.5) == value


@pytest.mark.parametrize(
    ("value", "at_most"), [(64, 65), (127, 127), (128, 131), (1 << 20, (1 << 20) * 33 // 32 - 1)]
)
def test_a_bucket_ends_where_the_next_begins(value, at_most):
    histogram = filled([value, 1 << 40])
    assert histogram.quantile_ns(0.5) == at_most
    assert filled([at_most + 1, 1 << 40]).quantile_ns(0.5) > at_most


def test_empty_and_reset():
    histogram = Histogram()
    assert histogram.quantile_ns(0.5) == 0
    assert histogram.summary() == {"p50": 0, "p90": 0, "p99": 0, "p999": 0, "max": 0, "n": 0}
    histogram.record(17)
    histogram.reset()
    assert (histogram.total, histogram.max_ns, histogram.quantile_ns(1.0)) == (0, 0, 0)


def test_a_negative_duration_counts_as_zero():
    histogram = filled([-5, -(1 << 62)])
    assert histogram.total == 2
    assert histogram.quantile_ns(1.0) == 0


def test_what_is_longer_than_the_last_bucket_is_counted_and_the_maximum_is_kept():
    histogram = filled([5, 1 << 50, (1 << 63) - 1])
    assert histogram.total == 3
    assert histogram.quantile_ns(0.3) == 5
    assert histogram.quantile_ns(1.0) == histogram.max_ns == (1 << 63) - 1


@pytest.mark.parametrize(
    ("late_ns", "seen_ns"),
    [
        (35, [35, 25, 15, 5]),  # the three slots that were skipped would have waited too
        (30, [30, 20, 10]),
        (9, [9]),
        (10, [10]),
        (0, [0]),
    ],
)
def test_a_late_tick_counts_for_every_slot_that_it_cost(late_ns, seen_ns):
    histogram = Histogram()
    histogram.record_late(late_ns, 10)
    assert histogram.total == len(seen_ns)
    ordered = sorted(seen_ns)
    for k, value in enumerate(ordered, start=1):
        assert histogram.quantile_ns(k / len(ordered)) == value


def test_one_stall_is_not_hidden_by_the_ticks_that_never_happened():
    period_ns = 1_000_000
    honest, naive = Histogram(), Histogram()
    for late_ns in [10_000] * 900 + [100 * period_ns]:
        honest.record_late(late_ns, period_ns)
        naive.record(late_ns)
    assert naive.quantile_ns(0.99) < 20_000
    assert honest.quantile_ns(0.99) > 85 * period_ns
    assert honest.total == 1000


@given(st.integers(1, 5_000_000), st.integers(1, 20_000))
def test_a_long_stall_counts_as_if_each_slot_were_recorded(late_ns, period_ns):
    late_ns = min(late_ns, 3000 * period_ns)
    histogram = Histogram()
    histogram.record_late(late_ns, period_ns)
    one_by_one = filled([late_ns, *range(late_ns - period_ns, 0, -period_ns)])
    assert list(histogram.counts()) == list(one_by_one.counts())
    assert histogram.total == one_by_one.total


def test_a_day_asleep_is_counted_without_counting():
    histogram = Histogram()
    day_ns = 86_400_000_000_000
    histogram.record_late(day_ns, 1_000_000)
    assert histogram.total == 86_400_000
    known = Histogram()
    known.record_late(600_000_000_000, 1_000_000)
    assert known.quantile_ns(0.5) == pytest.approx(300_000_000_000, rel=0.04)
    histogram.record_late((1 << 63) - 1, 1)
    assert histogram.total == 86_400_000 + (1 << 63) - 1
