"""Temporal ensembling (ACT, arXiv 2304.13705): the weighted mean of all chunks that speak about an instant.

An instant's predictions are weighted exp(-m i), i = 0 the oldest: m above 0 trusts the older ones, below 0 the
newest. The paper's chunks begin one step apart and a prediction of zeros counts as missing. Here chunks carry
instants: one that came late, or was skipped, or has another step, stands where it belongs, and only what a chunk
does not cover is missing. Between two of its instants a chunk is a straight line.
"""

from __future__ import annotations

from bisect import insort

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.cache import compiled

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

MOST_CHUNKS = 128
"""That are remembered: the oldest is forgotten."""
SIGNATURE = (
    "void(float64[:,:,::1], int64[::1], int64[::1], int64[::1], int64[::1], int64, int64, float64[::1],"
    " float64[:,::1])"
)


class Ensemble:
    """The chunks that overlap. One thread.

    ``numba`` false: numpy alone. With 100 overlapping chunks of 100x14 that takes 0.4 to 0.6 ms an answer in place
    of 0.1, and saves numba's import: half a second at a start, and 120 MiB.
    """

    def __init__(self, coefficient: float = 0.01, *, numba: bool = True) -> None:
        self._favours_oldest = coefficient >= 0
        self._weights: Array = np.exp(-abs(coefficient) * np.arange(MOST_CHUNKS))
        """By rank from the favoured end: the same ratios as the paper's, and none overflows."""
        self._mean = (compiled(mean_in_loops, SIGNATURE) if numba else None) or mean_in_numpy
        self._rows: Array = np.zeros((MOST_CHUNKS, 0, 0))
        self._first_ns, self._step_ns, self._steps = (np.zeros(MOST_CHUNKS, np.int64) for _ in range(3))
        self.restart()

    def restart(self) -> None:
        """Forgets every chunk."""
        self._order: list[tuple[int, int]] = []
        self._next = 0

    def add(self, first_ns: int, step_ns: int, actions: Array) -> Array:
        """The mean [step, joint] at the instants of ``actions`` [step, joint], the first of which is ``first_ns``.

        Rows of ``actions`` are joint targets; the answer is a new array. Raises ValueError for another number of
        joints than before: ``restart`` first.
        """
        if self._order and actions.shape[1] != self._rows.shape[2]:
            raise ValueError(f"{actions.shape[1]} joints, and {self._rows.shape[2]} before")
        if len(actions) > self._rows.shape[1] or actions.shape[1] != self._rows.shape[2]:
            self._grow(*actions.shape)
        self._forget(first_ns)
        slot = self._free_slot()
        self._rows[slot, : len(actions)] = actions
        self._first_ns[slot], self._step_ns[slot], self._steps[slot] = first_ns, step_ns, len(actions)
        insort(self._order, (first_ns, slot))
        by_age = [slot for _, slot in (self._order if self._favours_oldest else reversed(self._order))]
        mean = np.empty_like(actions, np.float64, order="C")
        self._mean(
            self._rows,
            self._first_ns,
            self._step_ns,
            self._steps,
            np.array(by_age, np.int64),
            first_ns,
            step_ns,
            self._weights,
            mean,
        )
        return mean

    def _forget(self, now_ns: int) -> None:
        """Chunks that have ended, and the oldest of too many."""
        ends = self._first_ns + (self._steps - 1) * self._step_ns
        self._order = [(first, slot) for first, slot in self._order if ends[slot] >= now_ns]
        del self._order[: max(0, len(self._order) - MOST_CHUNKS + 1)]

    def _free_slot(self) -> int:
        taken = {slot for _, slot in self._order}
        return next(slot for slot in range(MOST_CHUNKS) if slot not in taken)

    def _grow(self, steps: int, joints: int) -> None:
        rows: Array = np.zeros((MOST_CHUNKS, steps, joints))
        if self._order:
            rows[:, : self._rows.shape[1]] = self._rows
        self._rows = rows


def mean_in_loops(
    rows: Array,
    first_ns: Integers,
    step_ns: Integers,
    steps: Integers,
    order: Integers,
    at_ns: int,
    every_ns: int,
    weights: Array,
    mean: Array,
) -> None:
    """The mean at ``at_ns`` + k ``every_ns`` into row k of ``mean``, over the chunks ``order`` of ``rows``, the
    favoured first. Chunk c has ``steps[c]`` rows from ``first_ns[c]`` on, ``step_ns[c]`` apart. For numba.
    """
    mean[:] = 0.0
    total = np.zeros(mean.shape[0])
    rank = np.zeros(mean.shape[0], np.int64)
    for c in order:
        since = at_ns - first_ns[c]
        index = since // step_ns[c]
        rest = since - index * step_ns[c]
        for k in range(mean.shape[0]):
            if index >= steps[c] or (index == steps[c] - 1 and rest > 0):
                break
            if index >= 0:
                weight = weights[rank[k]]
                rank[k] += 1
                total[k] += weight
                after = weight * rest / step_ns[c]
                following = index + 1 if rest > 0 else index
                for joint in range(mean.shape[1]):
                    mean[k, joint] += (weight - after) * rows[c, index, joint] + after * rows[
                        c, following, joint
                    ]
            rest += every_ns
            while rest >= step_ns[c]:
                rest -= step_ns[c]
                index += 1
    for k in range(mean.shape[0]):
        for joint in range(mean.shape[1]):
            mean[k, joint] /= total[k]


def mean_in_numpy(
    rows: Array,
    first_ns: Integers,
    step_ns: Integers,
    steps: Integers,
    order: Integers,
    at_ns: int,
    every_ns: int,
    weights: Array,
    mean: Array,
) -> None:
    """``mean_in_loops`` without numba: every chunk at every instant at once."""
    step, last = step_ns[order][:, None], steps[order][:, None] - 1
    instants = at_ns + every_ns * np.arange(len(mean))
    index, rest = np.divmod(instants - first_ns[order][:, None], step)
    covered = (index >= 0) & ((index < last) | ((index == last) & (rest == 0)))
    weight = np.where(covered, weights[np.cumsum(covered, axis=0) - 1], 0.0)
    weight /= weight.sum(axis=0)
    after = weight * rest / step
    chunk, index = order[:, None], np.clip(index, 0, last)
    np.einsum("ck,ckj->kj", weight - after, rows[chunk, index], out=mean)
    if after.any():
        mean += np.einsum("ck,ckj->kj", after, rows[chunk, np.minimum(index + 1, last)])
