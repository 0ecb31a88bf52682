import math

import numpy as np
import pytest

from spinal.drivers.sim.pose_stream import DELAY_NS, PERIOD_NS, PoseStream


def collect(seed, seconds, pose=lambda t: (0.0, 0.0, 0.0, 0.0), every_ns=2_000_000):
    stream, out = PoseStream(seed), []
    for now in range(0, round(seconds * 1e9), every_ns):
        stream.capture(now, pose(now))
        out += [(now, sample) for sample in stream.released(now)]
    return out


def test_samples_are_captured_on_the_grid_and_released_when_due():
    got = collect(3, 2.0)
    assert [sample.capture_ns for _, sample in got] == [PERIOD_NS * k for k in range(len(got))]
    for now, sample in got:
        assert sample.arrival_ns <= now < sample.arrival_ns + 2_000_000


def test_one_seed_gives_one_sequence():
    assert collect(3, 1.0) == collect(3, 1.0)
    assert collect(3, 1.0) != collect(4, 1.0)


def test_delay_is_uniform_from_7_to_13_ms():
    delay = np.array([sample.arrival_ns - sample.capture_ns for _, sample in collect(5, 60.0)])
    assert delay.min() >= DELAY_NS[0]
    assert delay.max() <= DELAY_NS[1]
    assert delay.mean() == pytest.approx(10e6, rel=0.01)
    assert delay.std() == pytest.approx(6e6 / math.sqrt(12), rel=0.02)


def test_the_first_delays_of_a_seed_are_these():
    delays = [sample.arrival_ns - sample.capture_ns for _, sample in collect(0, 0.06)]
    assert delays == [9348567, 12646126, 8439192, 8413970, 12926191]


def test_noise_has_the_stated_spread_and_no_bias():
    samples = np.array([sample[2:] for _, sample in collect(6, 60.0, lambda _: (0.2, -0.1, 0.04, 0.5))])
    error = samples - (0.2, -0.1, 0.04, 0.5)
    assert error.std(axis=0) == pytest.approx([1e-3, 1e-3, 1e-3, 1e-2], rel=0.04)
    assert np.abs(error.mean(axis=0)).max() < 4e-4


def test_noise_and_delay_do_not_depend_on_what_is_measured():
    still = collect(9, 1.0)
    moving = collect(9, 1.0, lambda t: (t * 1e-9, 0.0, 0.0, 0.0))
    for (_, a), (_, b) in zip(still, moving, strict=True):
        assert (a.capture_ns, a.arrival_ns) == (b.capture_ns, b.arrival_ns)
        assert b.x - a.x == pytest.approx(a.capture_ns * 1e-9, abs=1e-12)
        assert (a.y, a.z, a.yaw) == (b.y, b.z, b.yaw)


def test_yaw_stays_within_half_a_turn():
    yaw = [sample.yaw for _, sample in collect(1, 2.0, lambda _: (0, 0, 0, math.pi))]
    assert max(map(abs, yaw)) <= math.pi
    assert min(yaw) < 0 < max(yaw)


def test_the_grid_is_not_stretched_by_a_late_call():
    stream = PoseStream(0)
    assert stream.capture(0, (0, 0, 0, 0))
    assert not stream.capture(9_999_999, (0, 0, 0, 0))
    assert stream.capture(14_000_000, (0, 0, 0, 0))
    assert stream.next_capture_ns == 20_000_000
