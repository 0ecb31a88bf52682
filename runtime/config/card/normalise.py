"""Normalisation of an input or of an action: from a stream's numbers to the model's, and back."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spinal.runtime.config.section import Section, refuse
from spinal.runtime.errors import Problem

Numbers = Annotated[tuple[float, ...], Field(strict=False)]
MAX_NUMBERS = 4096
"""Of one statistic: an embedding may be so long."""

REQUIRED = {
    "identity": (),
    "mean_std": ("mean", "std"),
    "min_max": ("min", "max"),
    "quantiles": ("q01", "q99"),
    "scale": ("scale",),
}
"""Mode: the statistics that it needs. ``scale`` may have an ``offset`` as well."""
STATISTICS = ("mean", "std", "min", "max", "q01", "q99", "scale", "offset")


class Normalisation(Section):
    """What stands between a stream's numbers x, in the card's unit, and the model's z; one number a channel.

    ========== =================================== ==============================
    mode       into the model                      out of it
    ========== =================================== ==============================
    identity   z = x                               x = z
    mean_std   z = (x - mean) / (std + eps)        x = z * std + mean
    min_max    z = 2 (x - min) / (max - min) - 1   x = (z + 1) (max - min) / 2 + min
    quantiles  the same with q01 and q99 for min and max
    scale      z = (x - offset) * scale            x = z * scale + offset
    ========== =================================== ==============================

    ``mean_std`` is LeRobot's (its inverse leaves eps out), ``scale`` the legged exporters': both directions
    multiply, as their observation scale and action scale do. ``mask``: false leaves a channel as it is (OpenVLA's
    gripper). One number stands for every channel. ``clip`` bounds z on its way in, and z again on its way out.
    """

    mode: Literal["identity", "mean_std", "min_max", "quantiles", "scale"] = Field(
        description="identity, mean_std, min_max, quantiles or scale"
    )
    eps: float = Field(default=0.0, ge=0, le=1, description="added to what is divided by, e.g. 1e-8")
    mean: Numbers | None = Field(default=None, max_length=MAX_NUMBERS, description="for mean_std")
    std: Numbers | None = Field(default=None, max_length=MAX_NUMBERS, description="for mean_std")
    min: Numbers | None = Field(default=None, max_length=MAX_NUMBERS, description="for min_max")
    max: Numbers | None = Field(default=None, max_length=MAX_NUMBERS, description="for min_max")
    q01: Numbers | None = Field(default=None, max_length=MAX_NUMBERS, description="for quantiles")
    q99: Numbers | None = Field(default=None, max_length=MAX_NUMBERS, description="for quantiles")
    scale: Numbers | None = Field(default=None, max_length=MAX_NUMBERS, description="for scale")
    offset: Numbers | None = Field(default=None, max_length=MAX_NUMBERS, description="for scale, 0 without")
    mask: Annotated[tuple[bool, ...], Field(strict=False)] | None = Field(
        default=None, max_length=MAX_NUMBERS, description="false: this channel is left as it is"
    )
    clip: Annotated[tuple[float, float], Field(strict=False)] | None = Field(
        default=None, description="the model's numbers are kept within these two"
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        problems = [
            Problem(word, "is missing", f'mode "{self.mode}" needs {" and ".join(REQUIRED[self.mode])}')
            for word in REQUIRED[self.mode]
            if getattr(self, word) is None
        ]
        allowed = {*REQUIRED[self.mode], *(("offset",) if self.mode == "scale" else ())}
        problems += [
            Problem(word, f'is not used by mode "{self.mode}"', "leave it out, or choose another mode")
            for word in STATISTICS
            if getattr(self, word) is not None and word not in allowed
        ]
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            problems.append(Problem("clip", f"is {list(self.clip)}", "the smaller of the two stands first"))
        refuse(problems)
        return self

    def sizes(self) -> dict[str, int]:
        """How many numbers each given statistic has; a single one fits any number of channels."""
        given = {word: getattr(self, word) for word in (*STATISTICS, "mask")}
        return {word: len(values) for word, values in given.items() if values is not None}
