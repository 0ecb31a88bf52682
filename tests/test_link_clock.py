"""The clock estimate's promise, and the histogram's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinal.runtime.link.clock import MAX_AGE_NS, ClockFilter
from spinal.runtime.link.histogram import Histogram

ways = st.lists(
    st.tuples(st.integers(0, 10**8), st.integers(0, 10**6), st.integers(0, 10**8)), min_size=1, max_size=60
)


@given(st.integers(-(10**18), 10**18), ways)
def test_the_true_offset_is_within_the_error(offset_ns, exchanges):
    clock = ClockFilter()
    now_ns = 0
    for there_ns, work_ns, back_ns in exchanges:
        robot_receive_ns = now_ns + there_ns + offset_ns
        received_ns = now_ns + there_ns + work_ns + back_ns
        trip_ns = clock.add(now_ns, robot_receive_ns, robot_receive_ns + work_ns, received_ns)
        assert trip_ns == there_ns + back_ns
        now_ns = received_ns + 1000
        estimate = clock.estimate(now_ns)
        assert estimate is not None
        assert abs(estimate.offset_ns - offset_ns) <= estimate.error_ns


def test_the_shortest_round_trip_is_believed_until_it_is_old():
    clock = ClockFilter()
    clock.add(0, 50, 50, 100)
    clock.add(200, 9000, 9000, 10000)
    assert clock.estimate(10000).round_trip_ns == 100
    assert clock.estimate(100 + MAX_AGE_NS + 1).round_trip_ns == 9800
    assert clock.estimate(10001 + MAX_AGE_NS) is None


def test_a_new_robot_starts_a_new_estimate():
    clock = ClockFilter()
    clock.add(0, 50, 50, 100)
    clock.reset()
    assert clock.estimate(100) is None


@pytest.mark.parametrize("stamps", [(10, 0, 0, 9), (0, 5, 4, 10), (0, 0, 20, 10)])
def test_stamps_that_run_backwards_are_refused(stamps):
    with pytest.raises(ValueError, match="backwards"):
        ClockFilter().add(*stamps)


@given(st.lists(st.integers(0, 1 << 39), min_size=1, max_size=200), st.sampled_from([0.5, 0.99, 1.0]))
def test_quantiles_are_true_to_three_percent(values, fraction):
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    exact = np.quantile(values, fraction, method="inverted_cdf")
    assert exact <= histogram.quantile_ns(fraction) <= exact * 1.032 + 1


def test_an_empty_histogram_has_a_summary():
    assert Histogram().summary_us() == {"n": 0, "p50": 0.0, "p99": 0.0, "p999": 0.0, "max": 0.0}
