"""Putting the newest samples of everything at one instant, each with its age."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from spinal.native import layout
from spinal.native.shared import Segment
from spinal.runtime.config.robot import AlphaBetaFilter, RobotConfig
from spinal.runtime.goals import GoalReader
from spinal.runtime.policy.forecast import Forecast
from spinal.runtime.pose_filter import FilterSettings, PoseEstimate, PoseFilter
from spinal.runtime.segments import PoseReader, StateReader
from spinal.runtime.types import Observation, State, StreamValue

AT_AN_END = (layout.MODE_STOPPED, layout.MODE_OFF)
"""Where nothing is under way that a policy could go on with."""


@dataclass
class PoseInput:
    """One pose stream: where it arrives, the filter behind it, and what makes it a fault.

    A sample that is not finite is put aside. One that says the same for longer than ``frozen_ns`` (0: for ever) is
    a fault even when it is fresh: a camera that hangs goes on sending its last picture.
    """

    reader: PoseReader
    filter: PoseFilter
    max_age_ns: int
    frozen_ns: int = 0
    garbage: int = 0
    """Samples in a row that were not finite."""
    _said: tuple[float, ...] = ()
    _since_ns: int = 0
    _newest_ns: int = 0

    def take(self) -> None:
        """Moves what has arrived into the filter."""
        for sample in self.reader.take():
            said = (sample.x, sample.y, sample.z, sample.yaw)
            if not all(map(isfinite, said)):
                self.garbage += 1
                self._said = ()
                continue
            self.garbage = 0
            if said != self._said:
                self._said, self._since_ns = said, sample.capture_ns
            self._newest_ns = sample.capture_ns
            self.filter.update(sample.capture_ns, *said)

    def fault(self, estimate: PoseEstimate | None) -> str | None:
        """What is wrong with it, given the filter's estimate for now; None when it can be used."""
        if estimate is not None and estimate.age_ns <= self.max_age_ns:
            same_ns = self._newest_ns - self._since_ns
            if self.frozen_ns and same_ns > self.frozen_ns:
                return f"frozen: the same sample for {same_ns // 1_000_000} ms"
            return None
        if self.garbage:
            return f"{self.garbage} samples in a row are no numbers"
        return "no sample yet" if estimate is None else f"{estimate.age_ns // 1_000_000} ms old"


def pose_inputs(robot: RobotConfig, segment: Segment, part: int) -> dict[str, PoseInput]:
    """The robot file's pose streams, read from ``part`` of ``segment``, each with the filter it names."""
    return {
        name: PoseInput(
            PoseReader(segment, part),
            PoseFilter(_settings(stream.filter)),
            stream.max_age_ms * 1_000_000,
            stream.frozen_ms * 1_000_000,
        )
        for name, stream in robot.streams.items()
    }


def _settings(chosen: AlphaBetaFilter | None) -> FilterSettings:
    if chosen is None:
        return FilterSettings()
    return FilterSettings(
        position_sigma_m=chosen.position_sigma_m,
        acceleration_sigma_m_s2=chosen.acceleration_sigma_m_s2,
        yaw_gain=chosen.yaw_gain,
        gate_m=chosen.gate_m,
    )


class Observer:
    """Builds observations from the controller's state and the pose streams. One thread.

    ``missing`` says after each call why there was no observation; too old is missing, never silently reused. After
    that, and when the robot was stopped meanwhile, a new epoch begins: what was before is not continued.
    """

    def __init__(
        self,
        state: StateReader,
        streams: dict[str, PoseInput],
        joints_max_age_ns: int,
        forecast: Forecast,
        goals: GoalReader | None = None,
    ) -> None:
        self._goals = goals
        self._epoch = 0
        self._interrupted = False
        self._state = state
        self._forecast = forecast
        self._streams = streams
        self._joints_max_age_ns = joints_max_age_ns
        self.missing: str | None = "nothing was observed yet"
        self.newest: State | None = None

    def observe(self, now_ns: int, ahead_ns: Sequence[int] = ()) -> Observation | None:
        """The observation at ``now_ns``, or None (see ``missing``); it looks ahead by each of ``ahead_ns``."""
        observation = self._observe(now_ns, ahead_ns)
        stopped = self.newest is not None and self.newest.mode in AT_AN_END
        self._interrupted = observation is None or stopped
        return observation

    def _observe(self, now_ns: int, ahead_ns: Sequence[int]) -> Observation | None:
        state = self.newest = self._state.read()
        values = {name: self._stream_value(name, now_ns) for name in self._streams}
        if state is None:
            self.missing = "the controller has published no state"
            return None
        if not state.stamp_ns.all():
            self.missing = "a joint has not answered yet"
            return None
        joints_age_ns = int(now_ns - state.stamp_ns.min())
        if joints_age_ns > self._joints_max_age_ns:
            self.missing = f"a joint's sample is {joints_age_ns // 1_000_000} ms old"
            return None
        streams = {name: value for name, value in values.items() if value is not None}
        if len(streams) < len(values):
            return None
        self.missing = None
        if self._interrupted:
            self._epoch += 1
        age_s = (now_ns - state.stamp_ns) * 1e-9
        command = self._forecast.motion(state, [now_ns, *(now_ns + ahead for ahead in ahead_ns)])
        return Observation(
            stamp_ns=now_ns,
            position=state.position + state.velocity * age_s,
            velocity=state.velocity,
            command=command[0],
            ahead=command[1:, :, 0],
            joints_age_ns=joints_age_ns,
            streams=streams,
            under_way=self._forecast.under_way(state),
            load=state.load,
            goals=self._goals.read() if self._goals else {},
            epoch=self._epoch,
        )

    def _stream_value(self, name: str, now_ns: int) -> StreamValue | None:
        stream = self._streams[name]
        stream.take()
        estimate = stream.filter.at(now_ns)
        fault = stream.fault(estimate)
        if estimate is None or fault is not None:
            self.missing = f"stream {name}: {fault}"
            return None
        return StreamValue(
            position_m=estimate.position_m,
            velocity_m_s=estimate.velocity_m_s,
            yaw_rad=estimate.yaw_rad,
            capture_ns=now_ns - estimate.age_ns,
        )
