"""The pass over the pixels, in loops for numba, and the same in numpy where it is missing.

Both write float32 [channel, row, column] or [row, column, channel]. ``colours`` [channel, 3]: how much of red,
green and blue each channel is. A row of the new picture is mixed from the old rows that it needs, and its pixels
from that: each old pixel is read about once, in the order in which it lies in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.cache import compiled

Floats = NDArray[np.float32]


def mix(
    pixels: NDArray[np.uint8],
    row_first: NDArray[np.int64],
    row_weights: Floats,
    column_first: NDArray[np.int64],
    column_weights: Floats,
    colours: Floats,
    shift: Floats,
    bounds: Floats,
    line: Floats,
    out: Floats,
    by_channel: bool,
    top: int,
    left: int,
) -> None:
    """Resizes; ``colours`` holds the gain, ``line`` [width * 3] is scratch."""
    channels = colours.shape[0]
    high, wide = (out.shape[1], out.shape[2]) if by_channel else (out.shape[0], out.shape[1])
    rows, columns = row_first.shape[0], column_first.shape[0]
    flat = pixels.reshape(pixels.shape[0], pixels.shape[1] * 3)
    for y in range(high):
        within = top <= y < top + rows
        if within:
            first = row_first[y - top]
            weight = row_weights[y - top, 0]
            for i in range(line.shape[0]):
                line[i] = weight * flat[first, i]
            for k in range(1, row_weights.shape[1]):
                weight = row_weights[y - top, k]
                if weight != 0:
                    for i in range(line.shape[0]):
                        line[i] += weight * flat[first + k, i]
        for x in range(wide):
            red = green = blue = np.float32(0)
            if within and left <= x < left + columns:
                start = column_first[x - left] * 3
                for k in range(column_weights.shape[1]):
                    weight = column_weights[x - left, k]
                    red += weight * line[start + 3 * k]
                    green += weight * line[start + 3 * k + 1]
                    blue += weight * line[start + 3 * k + 2]
            for c in range(channels):
                value = colours[c, 0] * red + colours[c, 1] * green + colours[c, 2] * blue + shift[c]
                value = min(max(value, bounds[0]), bounds[1])
                if by_channel:
                    out[c, y, x] = value
                else:
                    out[y, x, c] = value


def look_up(
    pixels: NDArray[np.uint8],
    table: Floats,
    colour: NDArray[np.int64],
    row: int,
    column: int,
    out: Floats,
    by_channel: bool,
) -> None:
    """Without resizing: ``table`` [channel, 256] of each value, ``colour`` which of the three each channel is."""
    if by_channel:
        for y in range(out.shape[1]):
            for c in range(out.shape[0]):
                of = colour[c]
                for x in range(out.shape[2]):
                    out[c, y, x] = table[c, pixels[row + y, column + x, of]]
    else:
        for y in range(out.shape[0]):
            for x in range(out.shape[1]):
                for c in range(out.shape[2]):
                    out[y, x, c] = table[c, pixels[row + y, column + x, colour[c]]]


def mix_numpy(
    pixels: NDArray[np.uint8],
    row_first: NDArray[np.int64],
    row_weights: Floats,
    column_first: NDArray[np.int64],
    column_weights: Floats,
    colours: Floats,
    shift: Floats,
    bounds: Floats,
    line: Floats,
    out: Floats,
    by_channel: bool,
    top: int,
    left: int,
) -> None:
    """``mix`` without a compiler: many passes, the same numbers to float32's rounding."""
    mixed: Any = 0
    for k in range(row_weights.shape[1]):
        mixed = mixed + row_weights[:, k, None, None] * pixels[row_first + k]
    narrow: Any = 0
    for k in range(column_weights.shape[1]):
        narrow = narrow + column_weights[:, k, None] * mixed[:, column_first + k]
    black = np.clip(shift, *bounds)
    value = np.clip(narrow @ colours.T + shift, *bounds)
    whole = out.transpose(1, 2, 0) if by_channel else out
    whole[...] = black
    whole[top : top + len(row_first), left : left + len(column_first)] = value


def look_up_numpy(
    pixels: NDArray[np.uint8],
    table: Floats,
    colour: NDArray[np.int64],
    row: int,
    column: int,
    out: Floats,
    by_channel: bool,
) -> None:
    """``look_up`` without a compiler."""
    whole = out.transpose(1, 2, 0) if by_channel else out
    part = pixels[row : row + whole.shape[0], column : column + whole.shape[1]]
    for c, of in enumerate(colour):
        whole[..., c] = table[c][part[..., of]]


class Kernels(NamedTuple):
    """``mix`` and ``look_up``, and whether they are compiled."""

    mix: Callable[..., None]
    look_up: Callable[..., None]
    compiled: bool


_PIXELS, _AXIS = "Array(uint8, 3, 'C', True)", "int64[::1], float32[:, ::1]"
MIX = (
    f"void({_PIXELS}, {_AXIS}, {_AXIS}, float32[:, ::1], float32[::1], float32[::1], float32[::1],"
    " float32[:, :, ::1], boolean, int64, int64)"
)
LOOK_UP = f"void({_PIXELS}, float32[:, ::1], int64[::1], int64, int64, float32[:, :, ::1], boolean)"
PLAIN = Kernels(mix_numpy, look_up_numpy, False)


@cache
def kernels() -> Kernels:
    """Compiled where numba works, numpy's otherwise; see ``cache.compiled``."""
    mixes, looks = compiled(mix, MIX), compiled(look_up, LOOK_UP)
    return PLAIN if mixes is None or looks is None else Kernels(mixes, looks, True)
