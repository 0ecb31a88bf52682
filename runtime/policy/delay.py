"""How long it takes from an observation until its trajectory is in force, measured by itself."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque

COLD_RUNS = 5
"""The first answers of a process are slow; they must not inflate what is frozen ever after."""
WINDOW = 100
FRACTION = 0.9
FINEST_NS = 1000
"""By which the first part of an answer is stamped before its observation, each further one a ns later; what is
corrected afterwards is stamped behind it likewise. No answer comes in so many parts, and no clock is so fine."""


class DelayMeter:
    """A rolling high percentile of measured delays, cold start excluded. One thread.

    The percentile is that of the last 100: an all-time maximum would let one slow answer freeze too much for
    ever.
    """

    def __init__(self, initial_ns: int) -> None:
        self.delay_ns = initial_ns
        """What to expect of the next answer."""
        self._cold = COLD_RUNS
        self._window: deque[int] = deque()
        self._ordered: list[int] = []
        self._last_stamp_ns = 0

    def saw(self, observation_stamp_ns: int, in_force_ns: int) -> None:
        """The trajectory that answers ``observation_stamp_ns`` came into force. Repeats are ignored."""
        if observation_stamp_ns <= self._last_stamp_ns + FINEST_NS:
            return  # a repeat, or a later part of the same answer
        self._last_stamp_ns = observation_stamp_ns
        if self._cold > 0:
            self._cold -= 1
            return
        if len(self._window) == WINDOW:
            del self._ordered[bisect_left(self._ordered, self._window.popleft())]
        delay_ns = max(0, in_force_ns - observation_stamp_ns)
        self._window.append(delay_ns)
        insort(self._ordered, delay_ns)
        # numpy's quantile, method "higher", at a hundredth of its time.
        self.delay_ns = self._ordered[math.ceil(FRACTION * (len(self._ordered) - 1))]
