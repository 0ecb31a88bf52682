"""Normalisation both ways, as the card's table says; see ``config/card/normalise.py``. Values in, values out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import Normalisation
from spinal.runtime.errors import PolicyError

Array = NDArray[np.float64]


class Scaling:
    """Between ``size`` channels' numbers x and the model's z, in the last axis of any array.

    ``rows``: of a chunk, where the card gives numbers for each of its steps; an array's last axis but one is its
    leading steps then. Raises PolicyError for statistics of another length, and for a channel that would be divided
    by 0.
    """

    def __init__(self, chosen: Normalisation, size: int, of: str, rows: int = 1) -> None:
        stepwise = rows > 1 and any(count == rows * size for count in chosen.sizes().values())
        shape: tuple[int, ...] = (rows, size) if stepwise else (size,)
        for word, count in chosen.sizes().items():
            if count not in (1, size, rows * size):
                raise PolicyError(
                    f"{of}: {word} has {count} numbers for {size} channels",
                    hint="the card gives one number a channel, or one for all of them",
                )
        self._clip = chosen.clip

        def numbers(word: str, default: float = 0.0) -> Array:
            given = np.asarray(
                default if getattr(chosen, word) is None else getattr(chosen, word), np.float64
            )
            each = given.reshape(shape) if stepwise and given.size == rows * size else given
            return np.broadcast_to(each, shape).copy()

        match chosen.mode:
            case "mean_std":
                self._middle, spread, self._back = (
                    numbers("mean"),
                    numbers("std") + chosen.eps,
                    numbers("std"),
                )
                self._shift = np.zeros(shape)
            case "min_max" | "quantiles":
                low, high = ("min", "max") if chosen.mode == "min_max" else ("q01", "q99")
                self._middle, self._back = numbers(low), (numbers(high) - numbers(low)) / 2
                spread, self._shift = (numbers(high) - numbers(low) + chosen.eps) / 2, np.full(shape, -1.0)
            case "scale":
                self._middle, self._back, self._shift = numbers("offset"), numbers("scale"), np.zeros(shape)
                spread = np.ones(shape)
            case _:
                self._middle, self._back, self._shift = np.zeros(shape), np.ones(shape), np.zeros(shape)
                spread = np.ones(shape)
        used = np.ones(size, bool) if chosen.mask is None else np.broadcast_to(np.asarray(chosen.mask), size)
        empty = np.argwhere(used & (spread == 0))
        if len(empty):
            raise PolicyError(
                f"{of}: channel {empty[0][-1]} has no spread, so it would be divided by 0",
                hint="give eps in the card's normalise, or mask the channel",
            )
        with np.errstate(divide="ignore"):
            self._gain = self._back if chosen.mode == "scale" else 1 / spread
            # what undoes ``out_of``: LeRobot leaves eps out on the way back; what it makes nothing of stays 0
            self._answered = np.where(self._back == 0, 0.0, 1 / self._back)
        self._used = None if used.all() else used

    def into(self, x: Array) -> Array:
        """The model's numbers of an input."""
        return self._from(x, self._gain)

    def out_of(self, z: Array) -> Array:
        """Back from the model's numbers of an answer."""
        within = z if self._clip is None else np.clip(z, *self._clip)
        shift, back, middle = (self._rows(number, z) for number in (self._shift, self._back, self._middle))
        x = (within - shift) * back + middle
        return x if self._used is None else np.where(self._used, x, z)

    def answer_of(self, x: Array) -> Array:
        """The model's numbers of an answer that means x: ``out_of`` undone."""
        return self._from(x, self._answered)

    def _from(self, x: Array, gain: Array) -> Array:
        middle, gain, shift = (self._rows(number, x) for number in (self._middle, gain, self._shift))
        z = (x - middle) * gain + shift
        if self._clip is not None:
            z = np.clip(z, *self._clip)
        return z if self._used is None else np.where(self._used, z, x)

    @staticmethod
    def _rows(number: Array, like: Array) -> Array:
        """As many steps as there are."""
        return number[: like.shape[-2]] if number.ndim == 2 else number


def scaling(chosen: Normalisation | None, size: int, of: str, rows: int = 1) -> Scaling | None:
    """None where nothing is to be done. ``of`` names it in an error."""
    if chosen is None or (chosen.mode == "identity" and chosen.clip is None):
        return None
    return Scaling(chosen, size, of, rows)
