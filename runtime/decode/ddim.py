"""Denoising with DDIM, eta 0 (arXiv 2010.02502), on the squared-cosine schedule of diffusion policies.

Numbers only: ``predict`` is whatever runs the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Tensor = NDArray[Any]
Prediction = Literal["epsilon", "sample", "v_prediction"]

LARGEST_BETA = 0.999


def squared_cosine(train_steps: int) -> Array:
    """[train_steps]: the cumulated product of alpha, ``squaredcos_cap_v2`` (arXiv 2102.09672, eq. 17)."""

    def bar(share: float) -> float:
        return math.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [
        min(1 - bar((i + 1) / train_steps) / bar(i / train_steps), LARGEST_BETA) for i in range(train_steps)
    ]
    return np.cumprod(1 - np.array(betas))


def timesteps(steps: int, train_steps: int) -> list[int]:
    """The steps of the schedule that ``steps`` visit, the noisiest first: multiples of train_steps // steps."""
    stride = train_steps // steps
    return [stride * i for i in reversed(range(steps))]


class Ddim:
    """Denoises in buffers that never move; a step makes no array. One thread.

    ``x`` [1, step, channel] and ``time`` [1] are the model's own inputs; ``predict()`` runs it and returns its
    output [1, step, channel]. Put noise into ``state`` and call ``run``; the chunk stands in ``state`` then.
    """

    def __init__(
        self,
        x: Tensor,
        time: Tensor,
        predict: Callable[[], Tensor],
        steps: int,
        train_steps: int,
        prediction: Prediction = "epsilon",
        clip: float | None = 1.0,
    ) -> None:
        if steps > train_steps:
            raise ValueError(f"{steps} steps of a schedule of {train_steps}")
        self.state = np.zeros(x.shape[1:])
        """[step, channel]"""
        self._x, self._time = x, time
        self._predict = predict
        self._prediction, self._clip = prediction, clip
        visited = timesteps(steps, train_steps)
        bars = squared_cosine(train_steps)
        after = [bars[t] for t in visited[1:]] + [1.0]
        self._plan = [
            (t, math.sqrt(bars[t]), math.sqrt(1 - bars[t]), math.sqrt(to), math.sqrt(1 - to))
            for t, to in zip(visited, after, strict=True)
        ]
        self._answer = np.zeros_like(self.state)
        self._clean = np.zeros_like(self.state)

    def run(self) -> None:
        """All steps."""
        state, answer, clean = self.state, self._answer, self._clean
        for number, signal, noise, next_signal, next_noise in self._plan:
            np.copyto(self._x[0], state, casting="same_kind")
            self._time.fill(number)
            np.copyto(answer, self._predict()[0])
            if self._prediction == "epsilon":  # x0 = (x - noise e) / signal
                np.multiply(answer, -noise, out=clean)
                clean += state
                clean /= signal
            elif self._prediction == "sample":  # e = (x - signal x0) / noise
                np.copyto(clean, answer)
                answer *= -signal
                answer += state
                answer /= noise
            else:  # x0 = signal x - noise v; e = signal v + noise x
                np.multiply(answer, -noise, out=clean)
                answer *= signal
                state *= noise
                answer += state
                state *= signal / noise
                clean += state
            if self._clip is not None:
                np.clip(clean, -self._clip, self._clip, out=clean)
            np.multiply(clean, next_signal, out=state)
            answer *= next_noise
            state += answer
