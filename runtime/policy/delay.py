"""How long it takes from an observation until its trajectory is in force, measured by itself."""

from __future__ import annotations

from collections import deque

import numpy as np

COLD_RUNS = 5
"""The first answers of a process are slow; they must not inflate what is frozen ever after."""
WINDOW = 100
FRACTION = 0.9


class DelayMeter:
    """A rolling high percentile of measured delays, cold start excluded. One thread.

    The percentile is that of the last 100: an all-time maximum would let one slow answer freeze too much for
    ever.
    """

    def __init__(self, initial_ns: int) -> None:
        self._initial_ns = initial_ns
        self._cold = COLD_RUNS
        self._window: deque[int] = deque(maxlen=WINDOW)
        self._last_stamp_ns = 0

    def saw(self, observation_stamp_ns: int, in_force_ns: int) -> None:
        """The trajectory that answers ``observation_stamp_ns`` came into force. Repeats are ignored."""
        if observation_stamp_ns <= self._last_stamp_ns:
            return
        self._last_stamp_ns = observation_stamp_ns
        if self._cold > 0:
            self._cold -= 1
            return
        self._window.append(max(0, in_force_ns - observation_stamp_ns))

    @property
    def delay_ns(self) -> int:
        """What to expect of the next answer."""
        if not self._window:
            return self._initial_ns
        return int(np.quantile(np.fromiter(self._window, np.int64), FRACTION, method="higher"))
