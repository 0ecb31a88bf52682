import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinal.runtime.pose_filter import FilterSettings, PoseFilter, steady_gains

MS = 1_000_000


def feed(filter_, path, stamps_ms, sigma=0.0, seed=0):
    rng = np.random.default_rng(seed)
    for t in stamps_ms:
        x, y, z = np.asarray(path(t * 1e-3)) + sigma * rng.standard_normal(3)
        filter_.update(round(t * MS), x, y, z, 0.0)


def line(t):
    return 0.1 + 0.12 * t, -0.05 - 0.07 * t, 0.04 + 0.01 * t


def test_nothing_is_known_before_the_first_sample_and_after_a_reset():
    f = PoseFilter()
    assert f.at(5) is None
    f.update(0, 1, 2, 3, 0.4)
    estimate = f.at(2 * MS)
    assert estimate.position_m == pytest.approx([1, 2, 3])
    assert estimate.velocity_m_s == pytest.approx([0, 0, 0])
    assert estimate.age_ns == 2 * MS
    f.reset()
    assert f.at(5) is None


def test_an_object_that_has_just_appeared_has_its_velocity_from_the_second_sample_on():
    f = PoseFilter()
    feed(f, line, [0, 10])
    assert f.at(10 * MS).velocity_m_s == pytest.approx([0.12, -0.07, 0.01])


@given(st.lists(st.floats(1.0, 40.0), min_size=3, max_size=60), st.floats(0.0, 50.0))
def test_a_straight_path_is_followed_exactly_whatever_the_intervals(gaps, ahead):
    f = PoseFilter()
    stamps = np.cumsum(gaps).round(3)
    feed(f, line, stamps)
    at = round(stamps[-1] * MS) + round(ahead * MS)
    estimate = f.at(at)
    assert estimate.position_m == pytest.approx(line(at * 1e-9), abs=1e-6)
    assert estimate.velocity_m_s == pytest.approx([0.12, -0.07, 0.01], abs=1e-4)
    assert estimate.age_ns == at - round(stamps[-1] * MS)


def test_gains_satisfy_the_steady_kalman_relations():
    for dt in (0.005, 0.01, 0.02, 0.05):
        settings = FilterSettings()
        alpha, beta = steady_gains(dt, settings)
        index = settings.acceleration_sigma_m_s2 * dt * dt / settings.position_sigma_m
        assert beta**2 / (1 - alpha) == pytest.approx(index**2)
        assert 0 < alpha < 1
        assert 0 < beta < 2
    assert steady_gains(0.02, settings) > steady_gains(0.01, settings)


def test_noise_is_reduced_as_the_gains_promise():
    settings = FilterSettings()
    alpha, beta = steady_gains(0.01, settings)
    share = alpha * (4 - 2 * alpha - beta)
    position = math.sqrt((2 * alpha**2 + beta * (2 - 3 * alpha)) / share) * 1e-3
    velocity = math.sqrt(2 * beta**2 / share) * 1e-3 / 0.01
    f, errors = PoseFilter(settings), []
    rng = np.random.default_rng(1)
    for k in range(6000):
        f.update(k * 10 * MS, *(np.array(line(k * 0.01)) + 1e-3 * rng.standard_normal(3)), 0.0)
        estimate = f.at(k * 10 * MS)
        errors.append(
            [*(estimate.position_m - line(k * 0.01)), *(estimate.velocity_m_s - (0.12, -0.07, 0.01))]
        )
    spread = np.std(errors[100:], axis=0)
    assert spread[:3] == pytest.approx([position] * 3, rel=0.06)
    assert spread[3:] == pytest.approx([velocity] * 3, rel=0.06)
    assert position < 0.75e-3
    assert velocity < 0.03


def test_a_turn_of_the_cart_is_followed_within_a_tenth_of_a_second():
    def turning(t):
        after = max(0.0, t - 0.5)
        brake = min(after, 0.2)
        return 0.15 * t - 0.75 * brake**2 - 0.3 * (after - brake), 0.0, 0.04

    f = PoseFilter()
    feed(f, turning, np.arange(0, 800, 10))
    assert f.at(790 * MS).position_m[0] == pytest.approx(turning(0.79)[0], abs=1e-3)
    assert f.at(790 * MS).velocity_m_s[0] == pytest.approx(-0.15, abs=0.03)


def test_late_duplicates_are_refused():
    f = PoseFilter()
    feed(f, line, [0, 10, 20])
    before = f.at(20 * MS)
    assert not f.update(20 * MS, 0.1, 0, 0, 0)
    assert not f.update(10 * MS, 0.1, 0, 0, 0)
    assert f.at(20 * MS).position_m == pytest.approx(before.position_m)


def test_one_outlier_is_put_aside_and_the_age_tells():
    f = PoseFilter()
    feed(f, line, range(0, 200, 10))
    assert not f.update(200 * MS, 0.5, 0.5, 0.5, 0.0)
    assert f.at(200 * MS).position_m == pytest.approx(line(0.2), abs=1e-6)
    assert f.at(200 * MS).age_ns == 10 * MS
    assert f.update(210 * MS, *line(0.21), 0.0)
    assert f.at(210 * MS).position_m == pytest.approx(line(0.21), abs=1e-6)


def test_two_outliers_that_agree_are_a_new_object():
    f = PoseFilter()
    feed(f, line, range(0, 200, 10))
    assert not f.update(200 * MS, 0.3, 0.3, 0.04, 1.0)
    assert f.update(210 * MS, 0.301, 0.3, 0.04, 1.0)
    estimate = f.at(210 * MS)
    assert estimate.position_m == pytest.approx([0.301, 0.3, 0.04])
    assert estimate.velocity_m_s == pytest.approx([0.1, 0, 0])
    assert estimate.yaw_rad == pytest.approx(1.0)


def test_two_outliers_that_disagree_are_not():
    f = PoseFilter()
    feed(f, line, range(0, 200, 10))
    assert not f.update(200 * MS, 0.5, 0.5, 0.5, 0.0)
    assert not f.update(210 * MS, -0.5, 0.5, 0.5, 0.0)
    assert f.at(210 * MS).age_ns == 20 * MS


def test_a_long_gap_starts_anew():
    f = PoseFilter()
    feed(f, line, [0, 10, 20])
    assert f.update(400 * MS, *line(0.4), 0.0)
    assert f.at(400 * MS).velocity_m_s == pytest.approx([0, 0, 0])


@given(st.floats(-3.0, 3.0), st.lists(st.integers(-2, 2), min_size=2, max_size=40))
def test_quarter_turns_of_a_square_block_do_not_move_its_yaw(yaw, quarters):
    f = PoseFilter()
    for k, quarter in enumerate(quarters):
        f.update(k * 10 * MS, 0, 0, 0, math.remainder(yaw + quarter * math.pi / 2, 2 * math.pi))
    assert math.remainder(f.at(0).yaw_rad - yaw, math.pi / 2) == pytest.approx(0, abs=1e-9)
    first = math.remainder(yaw + quarters[0] * math.pi / 2, 2 * math.pi)
    assert math.remainder(f.at(0).yaw_rad - first, 2 * math.pi) == pytest.approx(0, abs=1e-9)
