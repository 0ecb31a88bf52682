"""Least-squares B-splines: joined with a C0 or C2 start, or fitted freely with a mismatch that decays.

C0 as in BEAST (arXiv 2506.06072: degree 4, 12 control points, the first is the current position); C2 gives the
first three control points of a quintic by position, velocity and acceleration at the swap. Few control points are a
low-pass filter: they look smooth and lose the small fast motions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from spinal.bench.seam.feed import (
    DELAY,
    HORIZON,
    STEP_S,
    TICK_S,
    TICKS_PER_CHUNK,
    Array,
    Feed,
)
from spinal.bench.seam.played import Method, Played

QUINTIC = 5
ORDERS = 3
"""Position, velocity, acceleration."""


def knots(degree: int, controls: int) -> Array:
    """Clamped and uniform over 0 to 1."""
    inner = np.linspace(0, 1, controls - degree + 1)
    return np.concatenate([np.zeros(degree), inner, np.ones(degree)])


def basis(u: Array, degree: int, controls: int, order: int = 0) -> Array:
    """[len(u), controls]: the basis, or its ``order``-th derivative, at ``u`` in 0 to 1 (Cox, de Boor)."""
    k = knots(degree, controls)
    lower = degree - order
    values = _cox_de_boor(u, k, lower)
    for p in range(
        lower + 1, degree + 1
    ):  # the derivative of degree p is a difference of two of degree p - 1
        count = len(k) - p - 1
        left, right = k[p : p + count] - k[:count], k[p + 1 : p + 1 + count] - k[1 : count + 1]
        values = p * (_ratio(values[:, :-1], left) - _ratio(values[:, 1:], right))
    return values


def _cox_de_boor(u: Array, k: Array, degree: int) -> Array:
    u = np.asarray(u, np.float64)[:, None]
    values = ((k[:-1] <= u) & (u < k[1:])).astype(np.float64)
    last = int(np.flatnonzero(np.diff(k))[-1])
    values[u[:, 0] == k[-1], last] = 1  # the last span is closed
    for p in range(1, degree + 1):
        count = len(k) - p - 1
        rise = _ratio(values[:, :-1] * (u - k[:count]), k[p : p + count] - k[:count])
        fall = _ratio(values[:, 1:] * (k[p + 1 :] - u), k[p + 1 :] - k[1 : count + 1])
        values = rise + fall
    return values


def _ratio(values: Array, spans: Array) -> Array:
    """A span of no length holds nothing."""
    found: Array = np.divide(values, spans, out=np.zeros_like(values), where=spans > 0)
    return found


def start_controls(motion: Array, duration_s: float, degree: int, controls: int) -> Array:
    """[3, joint]: the control points that begin with ``motion`` [joint, 3]: position, velocity, acceleration."""
    k, p = knots(degree, controls), degree
    q, v, a = motion.T
    first = v * duration_s * (k[p + 1] - k[1]) / p
    bend = a * duration_s**2 * (k[p + 1] - k[2]) / (p * (p - 1))
    second = first + (k[p + 2] - k[2]) * (first / (k[p + 1] - k[1]) + bend)
    return np.stack([q, q + first, q + second])


@lru_cache(maxsize=64)
def _matrices(degree: int, controls: int, first: int, fixed: int) -> tuple[Array, Array, Array]:
    """Of a spline from the step before action ``first`` to the chunk's end.

    (free [controls - fixed, actions], from actions less what the fixed controls give; at [actions, controls];
    motion [TICKS_PER_CHUNK + 1, 3, controls], from the swap on).
    """
    start_s, end_s = first * STEP_S, HORIZON * STEP_S
    span_s = end_s - start_s
    due: Array = np.arange(first + 1, HORIZON + 1, dtype=np.float64) * STEP_S
    at = basis((due - start_s) / span_s, degree, controls)
    free = np.linalg.pinv(at[:, fixed:]).astype(np.float64)
    played: Array = DELAY * STEP_S + np.arange(TICKS_PER_CHUNK + 1, dtype=np.float64) * TICK_S
    u = np.clip((played - start_s) / span_s, 0, 1)
    motion = np.stack([basis(u, degree, controls, order) / span_s**order for order in range(ORDERS)], axis=1)
    return free, at, motion


def joined(degree: int, controls: int, fixed: int) -> Method:
    """Fits what is left of the chunk at the swap; its first ``fixed`` control points go on with the motion.

    1, 2 or 3 of them: C0, C1 or C2.
    """

    def play(feed: Feed) -> Played:
        free, at, sampled = _matrices(degree, controls, DELAY, fixed)
        span_s = (HORIZON - DELAY) * STEP_S

        def motion(chunk: Array, last: Array) -> Array:
            given = start_controls(last, span_s, degree, controls)[:fixed]
            rest = free @ (chunk[DELAY:] - at[:, :fixed] @ given)
            found: Array = np.einsum("tdc,cj->tjd", sampled, np.concatenate([given, rest]))
            return found

        return _played(feed, motion)

    return play


def decay(controls: int, blend_s: float) -> Method:
    """Fits the whole chunk freely; the mismatch at the swap decays as a quintic."""

    def play(feed: Feed) -> Played:
        free, _, sampled = _matrices(QUINTIC, controls, 0, 0)

        def motion(chunk: Array, last: Array) -> Array:
            fitted: Array = np.einsum("tdc,cj->tjd", sampled, free @ chunk)
            return fitted + quintic_decay(last - fitted[0], blend_s)

        return _played(feed, motion)

    return play


def quintic_decay(mismatch: Array, blend_s: float) -> Array:
    """[TICKS_PER_CHUNK + 1, joint, 3] of what is left of ``mismatch`` [joint, 3]; zero from ``blend_s`` on."""
    x = np.minimum(np.arange(TICKS_PER_CHUNK + 1) * TICK_S / blend_s, 1)
    d, v, a = mismatch[:, 0], mismatch[:, 1] * blend_s, mismatch[:, 2] * blend_s**2
    polynomial = np.polynomial.Polynomial
    joints = []
    for d_, v_, a_ in zip(d, v, a, strict=True):
        left = polynomial(
            [
                d_,
                v_,
                a_ / 2,
                -10 * d_ - 6 * v_ - 1.5 * a_,
                15 * d_ + 8 * v_ + 1.5 * a_,
                -6 * d_ - 3 * v_ - 0.5 * a_,
            ]
        )
        joints.append(np.stack([left.deriv(order)(x) / blend_s**order for order in range(ORDERS)], axis=1))
    return np.stack(joints, axis=1)


def _played(feed: Feed, motion: Callable[[Array, Array], Array]) -> Played:
    """``motion(chunk, last [joint, 3])`` is what is commanded from the swap on: [TICKS_PER_CHUNK + 1, joint, 3]."""
    position = np.zeros((feed.ticks, feed.joints))
    last = np.zeros((feed.joints, ORDERS))
    before, after = [], []
    for k, chunk in enumerate(feed.chunks):
        found = motion(chunk, last)
        before.append(last)
        after.append(found[0])
        swap = feed.swap_tick(k)
        position[swap + 1 : swap + 1 + TICKS_PER_CHUNK] = found[1:, :, 0]
        last = found[-1]
    return Played(position, np.array(before), np.array(after))
