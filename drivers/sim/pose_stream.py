"""A pose sensor for the block: 100 Hz, noisy, late. Pure logic on integer nanoseconds.

Each sample is captured on an exact 10 ms grid, gets Gaussian noise (1 mm on x, y and z, 0.01 rad on
yaw), and arrives after a delay drawn uniformly from 7 to 13 ms, so samples never overtake each other.
Noise and delay come from generators of their own: sample k carries the same noise and the same delay in
any two runs of one seed, whatever was measured.
"""

import math
from collections import deque

import numpy as np

from spinal.runtime.segments import PoseSample

PERIOD_NS = 10_000_000
DELAY_NS = (7_000_000, 13_000_000)
POSITION_SIGMA_M = 0.001
YAW_SIGMA_RAD = 0.01


class PoseStream:
    """Samples a true pose on the grid and releases each sample when its delay has passed."""

    def __init__(self, seed: int, start_ns: int = 0) -> None:
        self._noise = np.random.default_rng([seed, 101])
        self._delay = np.random.default_rng([seed, 102])
        self._in_flight: deque[PoseSample] = deque()
        self.next_capture_ns = start_ns

    def capture(self, now_ns: int, pose: tuple[float, float, float, float]) -> bool:
        """Take the true pose (x, y, z, yaw) if the grid asks for one by now; say whether it did.

        Call it at least as often as the grid: one call takes at most one sample, stamped with its grid
        instant.
        """
        if now_ns < self.next_capture_ns:
            return False
        stamp = self.next_capture_ns
        self.next_capture_ns += PERIOD_NS
        x, y, z, turn = self._noise.standard_normal(4).tolist()
        delay = int(self._delay.integers(DELAY_NS[0], DELAY_NS[1] + 1))
        sample = PoseSample(
            stamp,
            stamp + delay,
            pose[0] + POSITION_SIGMA_M * x,
            pose[1] + POSITION_SIGMA_M * y,
            pose[2] + POSITION_SIGMA_M * z,
            math.remainder(pose[3] + YAW_SIGMA_RAD * turn, 2 * math.pi),
        )
        self._in_flight.append(sample)
        return True

    def released(self, now_ns: int) -> list[PoseSample]:
        """Samples that have arrived by now and were not handed out before, oldest first."""
        out = []
        while self._in_flight and self._in_flight[0].arrival_ns <= now_ns:
            out.append(self._in_flight.popleft())
        return out
