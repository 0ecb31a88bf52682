"""What makes a pose stream a fault: silence, garbage, and the same sample again and again, each said in words."""

import math

import pytest

from spinal.native.shared import Segment
from spinal.runtime import segments
from spinal.runtime.policy.observe import PoseInput
from spinal.runtime.pose_filter import PoseFilter
from spinal.runtime.segments import SIM_POSE, PoseReader, PoseSample, PoseWriter, Writer

MS = 1_000_000
PERIOD_NS = 10 * MS
BEGIN_NS = 1_000 * MS


class Camera:
    """A stream with 100 ms of patience, and 50 ms with a picture that does not change."""

    def __init__(self, frozen_ns=50 * MS):
        self._segment: Segment = segments.create(Writer.SIM, 2)
        self._poses = PoseWriter(self._segment, SIM_POSE)
        self.input = PoseInput(PoseReader(self._segment, SIM_POSE), PoseFilter(), 100 * MS, frozen_ns)
        self.now_ns = BEGIN_NS

    def sees(self, x, times=1):
        for _ in range(times):
            self.now_ns += PERIOD_NS
            self._poses.publish(PoseSample(self.now_ns, self.now_ns, x, 0.0, 0.0, 0.0))
            self.input.take()

    def waits(self, ms):
        self.now_ns += ms * MS

    @property
    def fault(self):
        self.input.take()
        return self.input.fault(self.input.filter.at(self.now_ns))


def test_silence_is_a_fault_from_its_age_on():
    camera = Camera()
    assert camera.fault == "no sample yet"
    camera.sees(0.1)
    assert camera.fault is None
    camera.waits(100)
    assert camera.fault is None
    camera.waits(1)
    assert camera.fault == "101 ms old"


@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf])
def test_garbage_is_put_aside_and_named_and_the_stream_recovers(garbage):
    camera = Camera()
    camera.sees(0.1, 3)
    camera.sees(garbage, 2)
    assert camera.fault is None, "two lost samples of a stream that may lose ten"
    camera.sees(garbage, 10)
    assert camera.fault == "12 samples in a row are no numbers"
    camera.sees(0.1)
    assert camera.fault is None
    assert math.isfinite(camera.input.filter.at(camera.now_ns).position_m[0])


def test_a_picture_that_does_not_change_is_a_fault_though_it_is_fresh():
    camera = Camera()
    camera.sees(0.1, 6)
    assert camera.fault is None, "50 ms from the first to the sixth"
    camera.sees(0.1)
    assert camera.fault == "frozen: the same sample for 60 ms"
    camera.sees(0.1001)
    assert camera.fault is None


def test_a_sensor_that_rightly_repeats_itself_is_believed():
    camera = Camera(frozen_ns=0)
    camera.sees(0.1, 100)
    assert camera.fault is None
