"""Quantiles of buckets, ratios of slices, and what a verdict is made of."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinal.bench import judge
from spinal.bench.disturbance import PRESSURE_LIMIT, STEAL_LIMIT, Watch, reason
from spinal.bench.result import Disturbance, Verdict
from spinal.bench.statistics import (
    FEWEST_SLICES,
    Ratio,
    bootstrap_median,
    paired_difference,
    quantile,
    slice_ratio,
)
from spinal.native.histogram import UPPER_EDGES_NS, Histogram

SLICES = 24


def buckets(values):
    histogram = Histogram()
    for value in values:
        histogram.record(int(value))
    return histogram.counts()


def slices(rng, scale, count=SLICES, records=400):
    return np.stack([buckets(rng.exponential(scale, records) + scale) for _ in range(count)])


def test_the_buckets_of_a_histogram_are_the_records():
    counts = buckets([0, 1, 1, 63, 1000, 1 << 62])
    assert counts.sum() == 6
    assert counts[0] == 1
    assert counts[1] == 2
    assert counts[63] == 1
    assert counts[-1] == 1, "what does not fit is counted in the last"
    assert math.isinf(UPPER_EDGES_NS[-1])
    assert np.all(np.diff(UPPER_EDGES_NS) > 0)
    with pytest.raises(ValueError, match="read-only"):
        UPPER_EDGES_NS[0] = 1


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=200), st.sampled_from([0.1, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_lies_in_the_bucket_of_the_value_it_stands_for(values, fraction):
    found = quantile(buckets(values), UPPER_EDGES_NS, fraction)
    exact = sorted(values)[max(0, math.ceil(fraction * len(values)) - 1)]
    assert found == pytest.approx(exact, rel=1 / 32, abs=1)


def test_a_quantile_of_nothing_is_not_a_number():
    assert math.isnan(quantile(buckets([]), UPPER_EDGES_NS, 0.5))


def test_alike_loops_have_the_ratio_one_and_a_slower_one_its_own():
    rng = np.random.default_rng(1)
    floor = slices(rng, 20_000)
    alike = slice_ratio(slices(rng, 20_000), floor, UPPER_EDGES_NS, 0.5)
    slower = slice_ratio(slices(rng, 30_000), floor, UPPER_EDGES_NS, 0.5)
    assert alike.ratio == pytest.approx(1, abs=0.05)
    assert alike.low <= 1 <= alike.high
    assert slower.ratio == pytest.approx(1.5, abs=0.08)
    assert slower.low > 1.3
    assert slower.slices == SLICES
    assert slower.n == SLICES * 400


def test_a_stall_in_a_few_slices_does_not_move_the_ratio():
    rng = np.random.default_rng(2)
    floor, candidate = slices(rng, 20_000), slices(rng, 20_000)
    quiet = slice_ratio(candidate, floor, UPPER_EDGES_NS, 0.99)
    candidate[:3] = np.stack([buckets([50_000_000] * 400)] * 3)
    stalled = slice_ratio(candidate, floor, UPPER_EDGES_NS, 0.99)
    assert stalled.value > 100 * quiet.value, "pooled, three slices are everything"
    assert stalled.ratio == pytest.approx(quiet.ratio, rel=0.1)


def test_slices_without_records_are_left_out():
    rng = np.random.default_rng(3)
    floor, candidate = slices(rng, 20_000), slices(rng, 20_000)
    candidate[5] = 0
    floor[6] = 0
    assert slice_ratio(candidate, floor, UPPER_EDGES_NS, 0.5).slices == SLICES - 2
    assert math.isnan(slice_ratio(candidate * 0, floor, UPPER_EDGES_NS, 0.5).ratio)


def test_the_bootstrap_gives_the_same_interval_again_and_covers_the_median():
    rng = np.random.default_rng(4)
    covered = 0
    for trial in range(100):
        low, high = bootstrap_median(rng.normal(1, 0.1, 25), seed=trial)
        covered += low <= 1 <= high
    assert covered >= 88, "95 % of intervals hold the truth, about"
    values = rng.normal(1, 0.1, 25)
    assert bootstrap_median(values) == bootstrap_median(values)


def ratio(value, low, high, count=FEWEST_SLICES):
    return Ratio(value * 10, 10, value, low, high, count, 1000)


@pytest.mark.parametrize(
    ("found", "disturbed", "verdict"),
    [
        (ratio(1.1, 1.0, 1.2), "", Verdict.PASS),
        (ratio(1.4, 1.35, 1.5), "", Verdict.FAIL),
        (ratio(1.4, 1.2, 1.5), "", Verdict.INCONCLUSIVE),
        (ratio(1.1, 1.0, 1.2, FEWEST_SLICES - 1), "", Verdict.INCONCLUSIVE),
        (ratio(1.1, 1.0, 1.2), "the hypervisor took it", Verdict.INCONCLUSIVE),
        (ratio(1.4, 1.35, 1.5), "the hypervisor took it", Verdict.INCONCLUSIVE),
        (ratio(math.nan, math.nan, math.nan, 0), "", Verdict.INCONCLUSIVE),
    ],
)
def test_a_ratio_of_slices_is_judged_by_its_interval(found, disturbed, verdict):
    metric = judge.sliced("x", "us", found, 1.3, disturbed=disturbed)
    assert metric.verdict is verdict
    assert (metric.why == "") == (verdict in (Verdict.PASS, Verdict.FAIL))
    assert judge.sliced("x", "us", found, None, disturbed=disturbed).verdict is Verdict.INFO


def test_an_exact_figure_is_inside_its_limit_or_not():
    assert judge.exact("x", "", 0, 0).verdict is Verdict.PASS
    assert judge.exact("x", "", 1, 0).verdict is Verdict.FAIL
    assert judge.exact("x", "", math.nan, 1).verdict is Verdict.FAIL, "what is no number is inside no limit"
    assert judge.exact("gain", "", 0.9, 0.95, better="higher").verdict is Verdict.FAIL
    assert judge.exact("gain", "", 0.96, 0.95, better="higher").verdict is Verdict.PASS
    assert judge.exact("x", "", 12, 1.3, floor=10).verdict is Verdict.PASS, "with a floor the ratio is bound"
    assert judge.exact("x", "", 14, 1.3, floor=10).verdict is Verdict.FAIL
    assert judge.exact("x", "", 12).verdict is Verdict.INFO
    assert judge.exact("x", "", math.inf).value is None


def test_a_duration_over_its_limit_on_a_disturbed_machine_tells_nothing():
    assert judge.timed("x", "us", 9, 10, disturbed="stolen").verdict is Verdict.PASS
    assert judge.timed("x", "us", 11, 10).verdict is Verdict.FAIL
    assert judge.timed("x", "us", 11, 10, disturbed="stolen").verdict is Verdict.INCONCLUSIVE
    assert judge.timed("x", "us", 11, 10, low=9, high=12).verdict is Verdict.INCONCLUSIVE
    assert judge.timed("x", "us", 11, 10, low=10.5, high=12).verdict is Verdict.FAIL
    assert judge.timed("x", "us", math.nan, 10, disturbed="stolen").verdict is Verdict.FAIL


def test_the_worst_verdict_wins():
    ok, bad = judge.exact("a", "", 0, 0), judge.exact("b", "", 1, 0)
    unsure = judge.timed("c", "us", 2, 1, disturbed="stolen")
    assert judge.worst([ok, unsure, bad]) is Verdict.FAIL
    assert judge.worst([ok, unsure]) is Verdict.INCONCLUSIVE
    assert judge.worst([ok]) is Verdict.PASS
    assert judge.worst([]) is Verdict.INFO


def test_a_disturbed_machine_is_named():
    assert reason(Disturbance(steal=0, pressure=0), loaded=False) == ""
    assert "hypervisor" in reason(Disturbance(steal=STEAL_LIMIT * 1.1, pressure=0), loaded=True)
    busy = Disturbance(steal=0, pressure=PRESSURE_LIMIT * 1.1)
    assert "busy" in reason(busy, loaded=False)
    assert reason(busy, loaded=True) == "", "pressure that was made on purpose is no disturbance"


def test_the_watch_reads_shares():
    with Watch() as watch:
        sum(range(200_000))
    assert 0 <= watch.seen.steal <= 1
    assert 0 <= watch.seen.pressure <= 1


def test_pairs_count_what_only_one_of_them_solved():
    ours = [True] * 60 + [True] * 25 + [False] * 5 + [False] * 10
    theirs = [True] * 60 + [False] * 25 + [True] * 5 + [False] * 10
    difference, low, high = paired_difference(ours, theirs)
    assert difference == pytest.approx(0.20)
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(31 - 400 / 100) / 100)
    assert low > 0
    assert paired_difference(theirs, ours)[2] < 0


def test_pairs_that_never_differ_are_not_certain():
    difference, low, high = paired_difference([True] * 50, [True] * 50)
    assert (difference, low) == (0, -high)
    assert high == pytest.approx(1.96 / 50)


@pytest.mark.parametrize(("first", "second"), [([], []), ([True], [True, False])])
def test_what_is_no_pair_is_refused(first, second):
    with pytest.raises(ValueError, match="no pairs"):
        paired_difference(first, second)
