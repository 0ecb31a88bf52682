"""Inference while there is nothing to answer: caches, clocks and a GPU's power state stay as they are at work."""

from __future__ import annotations

import contextlib

from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.loaded import LoadedPolicy


class KeepAlive:
    """Runs a model that has not run for ``period_ns``; 0: never. One thread."""

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._last_ns = 0
        self.runs = 0

    def ran(self, now_ns: int) -> None:
        """It answered by itself."""
        self._last_ns = now_ns

    def idle(self, policy: LoadedPolicy, now_ns: int) -> None:
        """Nothing is to be answered at ``now_ns``. An error is told when there is something to answer."""
        if self._period_ns and now_ns - self._last_ns >= self._period_ns:
            self._last_ns = now_ns
            self.runs += 1
            with contextlib.suppress(PolicyError):
                policy.keep_warm()
