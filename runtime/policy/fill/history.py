"""What a stream said before: the last instants of it, each with its stamp."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import DTypeLike, NDArray

from spinal.runtime.errors import PolicyError

MOST_BYTES = 256 << 20
SHORTEST_PERIOD_NS = 5_000_000
"""Between two policy steps (policy.hz is at most 200)."""


class History:
    """``instants`` samples of ``shape``, ``step_ns`` apart, the newest last. One thread.

    A policy step that is late, or a policy that runs more often than its history steps, takes the sample nearest in
    time to each instant. Before there are enough, the first stands for all that would be older (as LeRobot fills
    its queues). Raises PolicyError when it would be larger than 256 MiB.
    """

    def __init__(
        self, instants: int, step_ns: int, shape: tuple[int, ...], dtype: DTypeLike = np.float64
    ) -> None:
        self._steps = [step_ns * k for k in range(instants - 1, -1, -1)]
        kept = instants + self._steps[0] // SHORTEST_PERIOD_NS + 2
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if kept * size > MOST_BYTES:
            raise PolicyError(
                f"a history of {instants} instants of {size} bytes would keep {kept * size >> 20} MiB",
                hint="a shorter history, or a smaller picture",
            )
        self._values: NDArray[np.float64] = np.zeros((kept, *shape), dtype)
        self._stamps: list[int] = []
        self._first = 0

    def forget(self) -> None:
        """Begins anew."""
        self._stamps.clear()

    def take(self, stamp_ns: int, value: NDArray[np.float64], into: NDArray[np.float64]) -> None:
        """Keeps ``value`` of ``stamp_ns``, and puts it behind those before it into ``into`` [instant, ...]."""
        if self._stamps and stamp_ns <= self._stamps[-1]:
            self._stamps.clear()  # time does not run back within a run
        kept = len(self._values)
        if len(self._stamps) == kept:
            self._stamps.pop(0)
            self._first = (self._first + 1) % kept
        self._values[(self._first + len(self._stamps)) % kept] = value
        self._stamps.append(stamp_ns)
        for row, back_ns in enumerate(self._steps):
            into[row] = self._values[(self._first + self._nearest(stamp_ns - back_ns)) % kept]

    def _nearest(self, t_ns: int) -> int:
        after = bisect_left(self._stamps, t_ns)
        if after == 0:
            return 0
        if after == len(self._stamps):
            return after - 1
        return after if self._stamps[after] - t_ns < t_ns - self._stamps[after - 1] else after - 1
