"""Normalisation both ways, as the card's table says; see ``config/card/normalise.py``. Values in, values out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import Normalisation
from spinal.runtime.errors import PolicyError

Array = NDArray[np.float64]


class Scaling:
    """Between ``size`` channels' numbers x and the model's z, in the last axis of any array.

    Raises PolicyError for statistics of another length than ``size``, and for a channel that would be divided by 0.
    """

    def __init__(self, chosen: Normalisation, size: int, of: str) -> None:
        for word, count in chosen.sizes().items():
            if count not in (1, size):
                raise PolicyError(
                    f"{of}: {word} has {count} numbers for {size} channels",
                    hint="the card gives one number a channel, or one for all of them",
                )
        self._clip = chosen.clip

        def numbers(word: str, default: float = 0.0) -> Array:
            given = getattr(chosen, word)
            return np.broadcast_to(np.asarray(default if given is None else given, np.float64), size).copy()

        match chosen.mode:
            case "mean_std":
                self._middle, spread, self._back = (
                    numbers("mean"),
                    numbers("std") + chosen.eps,
                    numbers("std"),
                )
                self._shift = np.zeros(size)
            case "min_max" | "quantiles":
                low, high = ("min", "max") if chosen.mode == "min_max" else ("q01", "q99")
                self._middle, self._back = numbers(low), (numbers(high) - numbers(low)) / 2
                spread, self._shift = (numbers(high) - numbers(low) + chosen.eps) / 2, np.full(size, -1.0)
            case "scale":
                self._middle, self._back, self._shift = numbers("offset"), numbers("scale"), np.zeros(size)
                spread = np.ones(size)
            case _:
                self._middle, self._back, self._shift = np.zeros(size), np.ones(size), np.zeros(size)
                spread = np.ones(size)
        used = np.ones(size, bool) if chosen.mask is None else np.broadcast_to(np.asarray(chosen.mask), size)
        empty = np.flatnonzero(used & (spread == 0))
        if len(empty):
            raise PolicyError(
                f"{of}: channel {empty[0]} has no spread, so it would be divided by 0",
                hint="give eps in the card's normalise, or mask the channel",
            )
        with np.errstate(divide="ignore"):
            self._gain = self._back if chosen.mode == "scale" else 1 / spread
        self._used = None if used.all() else used

    def into(self, x: Array) -> Array:
        """The model's numbers."""
        z = (x - self._middle) * self._gain + self._shift
        if self._clip is not None:
            z = np.clip(z, *self._clip)
        return z if self._used is None else np.where(self._used, z, x)

    def out_of(self, z: Array) -> Array:
        """Back from the model's numbers."""
        within = z if self._clip is None else np.clip(z, *self._clip)
        x = (within - self._shift) * self._back + self._middle
        return x if self._used is None else np.where(self._used, x, z)


def scaling(chosen: Normalisation | None, size: int, of: str) -> Scaling | None:
    """None where nothing is to be done. ``of`` names it in an error."""
    if chosen is None or (chosen.mode == "identity" and chosen.clip is None):
        return None
    return Scaling(chosen, size, of)
