"""Whether a model is as fast as its card says."""

from __future__ import annotations

from collections import deque
from statistics import median

from spinal.runtime.config.policy import FAR

WINDOW = 15
ENOUGH = 5
"""Inferences until there is a median to speak of."""


class Pace:
    """The rolling median of inference times against the card's. One thread.

    One slow answer is the machine's; a median is the model's. FAR times the card's figure is a fault, whose answers
    are not to be executed: they are late by as much as they are slow, and the delay's percentile would follow them.
    It is over when the median is below half of that again.
    """

    def __init__(self, promised_ms: float | None) -> None:
        self._promised_ns = promised_ms * 1e6 if promised_ms is not None else None
        self._window: deque[int] = deque(maxlen=WINDOW)
        self._slow = False

    def took(self, inference_ns: int) -> None:
        """One inference."""
        if self._promised_ns is None:
            return
        self._window.append(inference_ns)
        if len(self._window) >= ENOUGH:
            bound = FAR * self._promised_ns
            self._slow = median(self._window) > (bound / 2 if self._slow else bound)

    def restart(self) -> None:
        """Forgets what it saw."""
        self._window.clear()
        self._slow = False

    @property
    def complaint(self) -> str | None:
        """Why its answers are not to be executed; None while all is well."""
        if not self._slow or self._promised_ns is None:
            return None
        now_ms = median(self._window) / 1e6
        return (
            f"an inference takes {now_ms:.3g} ms, and the card says {self._promised_ns / 1e6:.3g}:"
            " its answers are not executed until it is faster"
        )
