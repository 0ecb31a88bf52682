"""Where each pixel of a resized picture comes from, and with which weights. Values in, values out.

Bilinear here means half-pixel centres: pixel i covers i to i + 1 and stands at i + 0.5, in both pictures (OpenCV's
INTER_LINEAR, torch's align_corners=False). Without ``antialias`` each pixel is a mean of its two neighbours a side,
however much smaller the picture becomes. With it, the triangle is as wide as what one new pixel covers, as Pillow
(reducing_gap aside) and torchvision's antialias=True do it. Beyond the border the last pixel counts on; with
``antialias`` what is left of the triangle is scaled up.

``crop`` cuts the middle of the target's aspect out of the picture and resizes that; ``letterbox`` resizes the whole
to fit and leaves bars of black on both sides, the odd pixel right or below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction: new pixel i is the sum over k of ``weights[i, k]`` times old pixel ``first[i] + k``."""

    first: NDArray[np.int64]
    weights: Weights

    @property
    def same(self) -> bool:
        """Whether each pixel is an old one, as it is, and none is left out between them."""
        return self.weights.shape[1] == 1 and bool((np.diff(self.first) == 1).all())


@dataclass(frozen=True, slots=True)
class Plan:
    """From [height, width] into a part of the target that begins at ``top``, ``left``; the rest is black."""

    rows: Axis
    columns: Axis
    top: int
    left: int


def axis(size: int, target: int, start: float, stop: float, antialias: bool) -> Axis:
    """``target`` pixels out of ``start`` to ``stop`` of ``size``."""
    scale = (stop - start) / target
    centre = start + (np.arange(target) + 0.5) * scale
    if scale == 1.0 and start == int(start):
        return Axis(np.arange(target) + int(start), np.ones((target, 1), np.float32))
    if antialias and scale > 1:
        first = np.maximum(0, np.floor(centre - scale + 0.5)).astype(np.int64)
        last = np.minimum(size, np.floor(centre + scale + 0.5)).astype(np.int64)
        count = int((last - first).max())
        place = first[:, None] + np.arange(count)
        weights = np.maximum(0.0, 1 - np.abs(place + 0.5 - centre[:, None]) / scale)
        weights[place >= last[:, None]] = 0.0
        weights /= weights.sum(axis=1, keepdims=True)
        shifted = np.minimum(first, max(0, size - count))  # no weight beyond the border
        for row in np.flatnonzero(shifted < first):
            weights[row] = np.roll(weights[row], first[row] - shifted[row])
        return Axis(shifted, weights.astype(np.float32))
    if size == 1:
        return Axis(np.zeros(target, np.int64), np.ones((target, 1), np.float32))
    place = np.clip(centre - 0.5, 0, size - 1)
    first = np.minimum(np.floor(place), size - 2).astype(np.int64)
    share = place - first
    return Axis(first, np.stack([1 - share, share], axis=1).astype(np.float32))


def plan(height: int, width: int, target: tuple[int, int], fit: str, antialias: bool) -> Plan:
    """For a picture [height, width] into ``target`` (height, width) by ``fit``, as the card calls it."""
    high, wide = target
    if fit == "letterbox":
        scale = min(high / height, wide / width)
        inner_high = min(high, max(1, math.floor(height * scale + 0.5)))
        inner_wide = min(wide, max(1, math.floor(width * scale + 0.5)))
        return Plan(
            axis(height, inner_high, 0, height, antialias),
            axis(width, inner_wide, 0, width, antialias),
            (high - inner_high) // 2,
            (wide - inner_wide) // 2,
        )
    used_high, used_wide = float(height), float(width)
    if fit == "crop":
        scale = max(high / height, wide / width)
        used_high, used_wide = high / scale, wide / scale
    top, left = (height - used_high) / 2, (width - used_wide) / 2
    return Plan(
        axis(height, high, top, top + used_high, antialias),
        axis(width, wide, left, left + used_wide, antialias),
        0,
        0,
    )
