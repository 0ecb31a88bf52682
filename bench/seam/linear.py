"""Straight lines between actions, as most code executes chunks. What differs is which actions are played.

lerobot's asynchronous client keeps a queue of actions: those of a new chunk replace the ones that wait for the same
steps ("latest only"), or are averaged with them, 0.3 old + 0.7 new ("weighted average"). Both are written from its
documentation. Temporal ensembling: ACT, arXiv 2304.13705.
"""

from __future__ import annotations

import numpy as np

from spinal.bench.seam.feed import (
    DELAY,
    EXECUTED,
    HORIZON,
    STEP_S,
    TICKS_PER_CHUNK,
    TICKS_PER_STEP,
    Array,
    Feed,
)
from spinal.bench.seam.played import Played

OLD_SHARE = 0.3
ENSEMBLE_M = 0.01
"""How much less each younger chunk weighs."""


def naive(feed: Feed) -> Played:
    """Each chunk on its own: at the swap the command jumps to where the new chunk is by then."""
    position = np.zeros((feed.ticks, feed.joints))
    before = np.zeros((len(feed.chunks), feed.joints, 3))
    after = np.zeros_like(before)
    for k, chunk in enumerate(feed.chunks):
        swap = feed.swap_tick(k)
        own = chunk[DELAY - 1 : DELAY + EXECUTED]
        position[swap + 1 : swap + 1 + TICKS_PER_CHUNK] = _lines(own)[1:]
        after[k, :, 0], after[k, :, 1] = own[0], (own[1] - own[0]) / STEP_S
        if k + 1 < len(feed.chunks):
            before[k + 1, :, 0], before[k + 1, :, 1] = own[-1], (own[-1] - own[-2]) / STEP_S
    return Played(position, before, after)


def queue(feed: Feed) -> Played:
    """The new chunk's actions take the place of those that wait."""
    return _played(feed, feed.in_force())


def average(feed: Feed) -> Played:
    """Actions that wait are averaged with the new chunk's for the same steps."""
    played = np.empty((len(feed.chunks), EXECUTED, feed.joints))
    waiting = np.empty((0, feed.joints))
    for k, chunk in enumerate(feed.chunks):
        new = chunk[DELAY:].copy()
        both = min(len(waiting), len(new))
        new[:both] = OLD_SHARE * waiting[:both] + (1 - OLD_SHARE) * new[:both]
        played[k], waiting = new[:EXECUTED], new[EXECUTED:]
    return _played(feed, played.reshape(-1, feed.joints))


def ensemble(feed: Feed) -> Played:
    """Every chunk that has something to say about a step is heard, the oldest loudest."""
    played = np.empty((len(feed.chunks), EXECUTED, feed.joints))
    for k in range(len(feed.chunks)):
        for i in range(EXECUTED):
            ages = [age for age in range(k + 1) if age * EXECUTED + DELAY + i < HORIZON]
            heard = [feed.chunks[k - age, age * EXECUTED + DELAY + i] for age in reversed(ages)]
            weights = np.exp(-ENSEMBLE_M * np.arange(len(heard)))
            played[k, i] = weights @ np.array(heard) / weights.sum()
    return _played(feed, played.reshape(-1, feed.joints))


def _played(feed: Feed, actions: Array) -> Played:
    """``actions`` [step, joint] behind the first swap, from rest at 0."""
    along = np.concatenate([np.zeros((DELAY + 1, feed.joints)), actions])
    slopes = np.diff(along, axis=0) / STEP_S
    at = np.arange(len(feed.chunks)) * EXECUTED + DELAY
    still = np.zeros((len(at), feed.joints))
    return Played(
        _lines(along),
        np.stack([along[at], slopes[at - 1], still], axis=2),
        np.stack([along[at], slopes[at], still], axis=2),
    )


def _lines(points: Array) -> Array:
    """[step, joint] to [tick, joint], straight between, both ends included."""
    share = np.arange(TICKS_PER_STEP)[None, :, None] / TICKS_PER_STEP
    between = points[:-1, None] * (1 - share) + points[1:, None] * share
    found: Array = np.concatenate([between.reshape(-1, points.shape[1]), points[-1:]])
    return found
