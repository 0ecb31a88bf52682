"""Where an object is now, and how fast it moves, from stamped, noisy, late pose samples.

The filter is an alpha-beta filter: the steady-state Kalman filter for a position whose acceleration is
white. Its gains follow from the tracking index, sigma_a dt^2 / sigma_x (Kalata, "The tracking index",
IEEE AES-20, 1984), for each sample's own interval, so irregular and lost samples need no special case. Until
the steady gains are reached it uses those of a growing least-squares line: the velocity of an object that
has just appeared is unbiased from the second sample on.

1. A sample is put at its capture instant, never at its arrival.
2. ``at`` carries the last estimate to the instant asked for, at constant velocity, and says how far.
3. Yaw is followed without a velocity. A block looks the same after a quarter turn, so a sample's yaw is
   first moved by whole quarter turns to the one nearest to the estimate.
4. A sample further than ``gate_m`` from where the object can be is put aside. If the next one agrees
   with it, the object has been put elsewhere, and the filter starts anew from these two.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class FilterSettings(NamedTuple):
    """What the filter assumes: sensor noise, the object's unsteadiness, and when to start anew."""

    position_sigma_m: float = 0.001
    acceleration_sigma_m_s2: float = 1.5
    yaw_gain: float = 0.25
    yaw_symmetry_rad: float = math.pi / 2
    gate_m: float = 0.03
    longest_gap_ns: int = 200_000_000


class PoseEstimate(NamedTuple):
    """An object at one instant: position [3] m, velocity [3] m/s, yaw rad, age of what it rests on."""

    time_ns: int
    position_m: NDArray[np.float64]
    velocity_m_s: NDArray[np.float64]
    yaw_rad: float
    age_ns: int


def steady_gains(dt_s: float, settings: FilterSettings) -> tuple[float, float]:
    """Gains (alpha, beta) of the steady-state filter at a sampling interval."""
    index = settings.acceleration_sigma_m_s2 * dt_s * dt_s / settings.position_sigma_m
    root = (4 + index - math.sqrt(8 * index + index * index)) / 4
    alpha = 1 - root * root
    return alpha, 2 * (2 - alpha) - 4 * math.sqrt(1 - alpha)


class PoseFilter:
    """Follows one object. One thread only; times are integer nanoseconds of one clock."""

    def __init__(self, settings: FilterSettings | None = None) -> None:
        self.settings = settings or FilterSettings()
        self.reset()

    def reset(self) -> None:
        """Forget everything: ``at`` answers None until the next sample."""
        self._samples = 0
        self._time_ns = 0
        self._position = [0.0, 0.0, 0.0]
        self._velocity = [0.0, 0.0, 0.0]
        self._yaw = 0.0
        self._aside: tuple[int, list[float], float] | None = None

    def update(self, capture_ns: int, x: float, y: float, z: float, yaw: float) -> bool:
        """Take one sample (m, rad); say whether it moved the estimate. Older ones than the last do not."""
        measured = [x, y, z]
        if self._samples == 0:
            self._start(capture_ns, measured, yaw)
            return True
        dt_ns = capture_ns - self._time_ns
        if dt_ns <= 0:
            return False
        if dt_ns > self.settings.longest_gap_ns:
            self._start(capture_ns, measured, yaw)
            return True
        dt = dt_ns * 1e-9
        predicted = [p + v * dt for p, v in zip(self._position, self._velocity, strict=True)]
        if math.dist(measured, predicted) > self.settings.gate_m:
            return self._jump(capture_ns, measured, yaw)
        self._aside = None
        self._samples += 1
        alpha, beta = self._gains(dt)
        for axis in range(3):
            innovation = measured[axis] - predicted[axis]
            self._position[axis] = predicted[axis] + alpha * innovation
            self._velocity[axis] += beta / dt * innovation
        gain = max(self.settings.yaw_gain, 1 / self._samples)
        self._yaw += gain * math.remainder(yaw - self._yaw, self.settings.yaw_symmetry_rad)
        self._time_ns = capture_ns
        return True

    def at(self, time_ns: int) -> PoseEstimate | None:
        """The estimate carried to an instant, or None before the first sample."""
        if self._samples == 0:
            return None
        age_ns = time_ns - self._time_ns
        velocity = np.array(self._velocity)
        position = np.array(self._position) + velocity * (age_ns * 1e-9)
        yaw = math.remainder(self._yaw, 2 * math.pi)
        return PoseEstimate(time_ns, position, velocity, yaw, age_ns)

    def _gains(self, dt_s: float) -> tuple[float, float]:
        n = self._samples
        alpha, beta = steady_gains(dt_s, self.settings)
        return max(alpha, 2 * (2 * n - 1) / (n * (n + 1))), max(beta, 6 / (n * (n + 1)))

    def _start(self, capture_ns: int, measured: list[float], yaw: float) -> None:
        self.reset()
        self._samples, self._time_ns = 1, capture_ns
        self._position, self._yaw = measured, yaw

    def _jump(self, capture_ns: int, measured: list[float], yaw: float) -> bool:
        aside = self._aside
        if aside is None or math.dist(measured, aside[1]) > self.settings.gate_m:
            self._aside = (capture_ns, measured, yaw)
            return False
        self._start(*aside)
        return self.update(capture_ns, measured[0], measured[1], measured[2], yaw)
