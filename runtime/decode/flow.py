"""Flow matching: from noise to a chunk in Euler steps, free or held to what is known already.

Time here is tau, from 0 (noise) to 1 (clean). A model whose time runs the other way (openpi, lerobot: noise at 1,
v = noise - action) is asked at 1 - tau and its velocity turned round.

Numbers only: ``velocity`` and ``vjp`` are whatever runs the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Tensor = NDArray[Any]

STREAMED = 0.01
"""A position with less than this left goes the whole way at once, and is finished (FASTER)."""
STREAM_EXPONENT, STREAM_LEAD = 0.6, 0.9
"""How much earlier a position is finished than the last one, by how far it is from the first (FASTER)."""
RAMP_RATE = 6.0
"""GR00T N1.7's."""


def guidance_weights(steps: int, frozen: int, end: int) -> Array:
    """[step]: 1 for the first ``frozen``, then falling to 0 at ``end`` (RTC, arXiv 2506.07339, eq. 5).

    ``end``: as many of the leading steps as the chunk under way covers: its length less the steps executed of it.
    """
    fading = _fading(steps, frozen, end)
    weights: Array = fading * np.expm1(fading) / np.expm1(1.0)
    return weights


def mask_weights(steps: int, frozen: int, end: int, rate: float = RAMP_RATE) -> Array:
    """[step]: 1 less the share of the velocity that a position keeps (GR00T N1.7): none for the first ``frozen``,
    then (1 - exp(-rate t)) / (1 - exp(-rate)) while t goes from 0 to 1 up to ``end``, then all of it.
    """
    along = 1 - _fading(steps, frozen, end)
    weights: Array = 1 - np.expm1(-rate * along) / math.expm1(-rate)
    return weights


def _fading(steps: int, frozen: int, end: int) -> Array:
    """From 1 at ``frozen`` - 1 to 0 at ``end`` in a straight line; 1 before, 0 from ``end`` on."""
    index = np.arange(steps)
    fading: Array = np.clip((frozen - 1 - index) / max(1, end - frozen + 1) + 1, 0, 1)
    fading[max(0, end) :] = 0
    return fading


def guidance_gain(tau: float, beta: float) -> float:
    """How strongly an error counts at ``tau``, at most ``beta`` (RTC, eq. 4)."""
    if tau <= 0:
        return beta
    left = 1 - tau
    return min(beta, left / tau * (tau * tau + left * left) / (left * left)) if left > 0 else beta


def streaming_times(steps: int, frozen: int, rho: float) -> Array:
    """[step]: what is left of each position's way, 1 to 0, when ``rho`` of the whole is left (FASTER)."""
    along = np.maximum(0, np.arange(steps) - frozen) / max(1, steps - 1 - frozen)
    ahead = (1 - along**STREAM_EXPONENT) * STREAM_LEAD
    left: Array = np.clip((rho - ahead) / (1 - ahead), 0, 1)
    return left


@lru_cache(maxsize=256)
def streaming_schedule(steps: int, frozen: int, euler_steps: int) -> Array:
    """[Euler step + 1, step]: ``streaming_times`` before each Euler step and at the end; nothing for ``frozen``."""
    left = np.stack([streaming_times(steps, frozen, 1 - k / euler_steps) for k in range(euler_steps + 1)])
    left[left < STREAMED] = 0  # what is given out is final
    left[:, :frozen] = 0
    left.setflags(write=False)
    return left


class Flow:
    """Integrates one flow in buffers that never move; a step makes no array of a chunk's size. One thread.

    ``x`` [1, step, channel] and ``time`` [1] or [1, step] are the model's own inputs. ``velocity()`` runs it and
    returns its output [1, step, channel]; ``vjp(error)`` returns ``error`` times the Jacobian of the predicted
    clean chunk with respect to x, at the same x and time. Without it the Jacobian counts as the identity: guidance
    without the backward pass. Put noise into ``state`` and call ``free``, ``guided``, ``prefixed``, ``masked`` or
    ``streamed``; the chunk stands in ``state`` then.
    """

    def __init__(
        self,
        x: Tensor,
        time: Tensor,
        velocity: Callable[[], Tensor],
        steps: int,
        noise_at: Literal[0, 1],
        vjp: Callable[[Array], Tensor] | None = None,
    ) -> None:
        self.state = np.zeros(x.shape[1:])
        """[step, channel]"""
        self.steps = steps
        self.done = 0.0
        """Share of the steps of ``streamed`` that are through."""
        self._x, self._time = x, time
        self._noise_at = noise_at
        self._model_velocity = velocity
        self._vjp = vjp
        self._v = np.zeros_like(self.state)
        self._error = np.zeros_like(self.state)

    @property
    def per_position(self) -> bool:
        """Whether each position may stand at a time of its own."""
        return self._time.ndim == 2

    def free(self) -> None:
        """Nothing is known."""
        for k in range(self.steps):
            self._euler(self._velocity(k / self.steps))

    def guided(self, target: Array, weights: Array, beta: float) -> None:
        """Towards ``target`` [step, channel] by ``weights`` [step] (RTC, arXiv 2506.07339, algorithm 1)."""
        error = self._error
        share = weights[:, None]
        for k in range(self.steps):
            tau = k / self.steps
            v = self._velocity(tau)
            np.multiply(v, 1 - tau, out=error)
            error += self.state
            np.subtract(target, error, out=error)
            error *= share
            if self._vjp is not None:
                np.copyto(error, self._vjp(error)[0])
            error *= guidance_gain(tau, beta)
            v += error
            self._euler(v)

    def prefixed(self, target: Array, frozen: int) -> None:
        """Continues the first ``frozen`` rows of ``target`` (training-time RTC, arXiv 2512.05964, algorithm 1).

        They are shown to the model as clean, which needs a time per position.
        """
        for k in range(self.steps):
            self.state[:frozen] = target[:frozen]
            self._euler(self._velocity(k / self.steps, frozen))
        self.state[:frozen] = target[:frozen]

    def masked(self, target: Array, weights: Array) -> None:
        """Begins from ``target`` where ``weights`` [step] are above 0; 1 - weights of the velocity come through."""
        known = (weights > 0)[:, None]
        np.copyto(self.state, target, where=known)
        share = (1 - weights)[:, None]
        for k in range(self.steps):
            v = self._velocity(k / self.steps)
            v *= share
            self._euler(v)

    def streamed(self, target: Array, frozen: int) -> Iterator[int]:
        """Early positions first (FASTER): yields how many leading rows of ``state`` are final, whenever it grows.

        The first ``frozen`` rows are those of ``target``. Needs a time per position.
        """
        ready = 0
        self.state[:frozen] = target[:frozen]
        schedule = streaming_schedule(len(self.state), frozen, self.steps)
        for k, (left, after) in enumerate(pairwise(schedule)):
            np.copyto(self._time[0], left if self._noise_at == 1 else 1 - left, casting="same_kind")
            v = self._run()
            v *= (left - after)[:, None]
            self.state += v
            self.done = (k + 1) / self.steps
            now = len(after) - int(np.count_nonzero(after))  # early positions are finished first
            if now > ready:
                ready = now
                yield ready

    def _velocity(self, tau: float, clean: int = 0) -> Array:
        self._time.fill(tau if self._noise_at == 0 else 1 - tau)
        if clean:
            self._time[0, :clean] = 1 - self._noise_at
        return self._run()

    def _run(self) -> Array:
        np.copyto(self._x[0], self.state, casting="same_kind")
        np.copyto(self._v, self._model_velocity()[0])
        if self._noise_at == 1:
            np.negative(self._v, out=self._v)
        return self._v

    def _euler(self, v: Array) -> None:
        v /= self.steps
        self.state += v
