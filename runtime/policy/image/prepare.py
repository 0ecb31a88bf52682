"""One camera's pictures into one input of a model, as the card says."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import CardInput, ImageSpec, Normalisation, Part
from spinal.runtime.decode.normalise import scaling
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.image.kernels import Kernels, kernels
from spinal.runtime.policy.image.resample import Plan, plan

MAX_SIDE = 8192
"""Pixels; no camera of a robot has more."""
RANGES = {"0_1": (1 / 255, 0.0), "0_255": (1.0, 0.0), "-1_1": (2 / 255, -1.0)}
LUMA = (0.299, 0.587, 0.114)
"""Grey, of red, green and blue (ITU-R BT.601, as Pillow and OpenCV have it)."""
FIRST_PICTURE = (480, 640)
"""What the kernels are compiled and the buffers made for, before the first picture comes."""


class ImageInput:
    """Puts pictures uint8 [height, width, 3], RGB, into ``buffer`` in place. One thread.

    ``buffer``: [1, channels, rows, columns], [1, rows, columns, channels], or without the 1; float32, float16 or
    uint8. A picture of another size than the one before costs a new plan, some 100 us. Raises PolicyError for a
    shape, a range or a type that do not fit, and ``put`` for what is no picture.
    """

    def __init__(
        self, tensor: CardInput, part: Part, buffer: NDArray[Any], using: Kernels | None = None
    ) -> None:
        spec = part.image or ImageSpec()
        self._spec, self._of = spec, f"input {tensor.name}"
        self._by_channel = spec.layout == "chw"
        self._into = self._three(buffer)
        channels = self._into.shape[0 if self._by_channel else 2]
        self._target = self._into.shape[1:] if self._by_channel else self._into.shape[:2]
        wanted = 1 if spec.colours == "grey" else 3
        if channels != wanted:
            raise PolicyError(
                f"{self._of} has {channels} channels for {spec.colours}, which has {wanted}",
                hint="check the shape, the layout (chw or hwc) and the colours in the card",
            )
        if buffer.dtype not in (np.float32, np.float16, np.uint8):
            raise PolicyError(f"{self._of} is {buffer.dtype}", hint="a picture is float32, float16 or uint8")
        if buffer.dtype == np.uint8 and (spec.range != "0_255" or part.normalise is not None):
            raise PolicyError(
                f"{self._of} is uint8, and its numbers are not 0 to 255",
                hint='with dtype = "uint8", range = "0_255" and no normalise',
            )
        self._out = self._into if buffer.dtype == np.float32 else np.zeros(self._into.shape, np.float32)
        gain, self._shift, self._bounds = _affine(spec, part.normalise, channels, self._of)
        colours = {"rgb": np.eye(3), "bgr": np.eye(3)[::-1], "grey": np.array([LUMA])}[spec.colours]
        self._colour = np.argmax(colours, axis=1)
        self._gains = np.ascontiguousarray(gain[:, None] * colours, np.float32)
        table = gain[:, None] * np.arange(256) + self._shift[:, None].astype(np.float64)
        self._table = np.clip(table, *self._bounds).astype(np.float32)
        self._kernels = using or kernels()
        self._size = (0, 0)
        self._plan: Plan | None = None
        self._line = np.zeros(0, np.float32)
        self._rehearse()

    def put(self, pixels: NDArray[np.uint8]) -> None:
        """One picture."""
        shape = pixels.shape
        if pixels.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or min(shape) == 0:
            raise PolicyError(
                f"a picture for {self._of} is {pixels.dtype} {list(shape)}",
                hint="a picture is uint8 [height, width, 3], RGB",
            )
        if shape[:2] != self._size:
            self._lay_out(shape[0], shape[1])
        pixels = np.ascontiguousarray(pixels)
        plan = self._plan
        assert plan is not None
        if self._copies:
            row, column = int(plan.rows.first[0]), int(plan.columns.first[0])
            self._kernels.look_up(pixels, self._table, self._colour, row, column, self._out, self._by_channel)
        else:
            self._kernels.mix(
                pixels,
                plan.rows.first,
                plan.rows.weights,
                plan.columns.first,
                plan.columns.weights,
                self._gains,
                self._shift,
                self._bounds,
                self._line,
                self._out,
                self._by_channel,
                plan.top,
                plan.left,
            )
        if self._out is not self._into:
            if self._into.dtype == np.uint8:
                np.rint(self._out, out=self._out)
            np.copyto(self._into, self._out, casting="unsafe")

    def _lay_out(self, height: int, width: int) -> None:
        if max(height, width) > MAX_SIDE:
            raise PolicyError(
                f"a picture for {self._of} has {width} x {height} pixels",
                hint=f"at most {MAX_SIDE} a side are taken",
            )
        self._plan = plan(height, width, self._target, self._spec.fit, self._spec.antialias)
        self._line = np.zeros(width * 3, np.float32)
        self._size = (height, width)
        whole = (len(self._plan.rows.first), len(self._plan.columns.first)) == self._target
        same = self._plan.rows.same and self._plan.columns.same
        self._copies = whole and same and self._spec.colours != "grey"

    def _rehearse(self) -> None:
        """Compiles what will run, before anything waits for it."""
        for size in (self._target, FIRST_PICTURE):
            self.put(np.zeros((*size, 3), np.uint8))
        self._into[...] = 0

    def _three(self, buffer: NDArray[Any]) -> NDArray[Any]:
        shape = buffer.shape[1:] if buffer.ndim == 4 and buffer.shape[0] == 1 else buffer.shape
        if len(shape) != 3:
            raise PolicyError(
                f"{self._of} has the shape {list(buffer.shape)}",
                hint="a picture's input is [1, channels, rows, columns], or [1, rows, columns, channels]",
            )
        return buffer.reshape(shape)


def _affine(
    spec: ImageSpec, chosen: Normalisation | None, channels: int, of: str
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
    """Gain and shift of each channel from 0 to 255 into the model's numbers, and their bounds."""
    gain, shift = (np.full(channels, number) for number in RANGES[spec.range])
    bounds = (-np.inf, np.inf)
    if chosen is not None:
        bounds = chosen.clip or bounds
        scale = scaling(chosen.model_copy(update={"clip": None}), channels, of)
        if scale is not None:
            black, white = scale.into(shift), scale.into(255 * gain + shift)
            gain, shift = (white - black) / 255, black
    return gain, shift.astype(np.float32), np.array(bounds, np.float32)
