"""Normalisation of an input or of an action: from a stream's numbers to the model's, and back."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spinal.runtime.config.section import FILE_NAME_PATTERN, SHA256_PATTERN, Section, refuse
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
    multiply, as their observation scale and action scale do. In place of numbers, ``file``, ``sha256`` and ``key``
    name a file of statistics beside the model; who loads the card reads them (see ``statistics.py``). ``mask``:
    false leaves a channel as it is (OpenVLA's gripper). One number stands for every channel. ``clip`` bounds z on
    its way in, and z again on its way out.
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
    file: str | None = Field(
        default=None,
        pattern=FILE_NAME_PATTERN,
        description="a file of statistics in the model's folder, in place of numbers: .safetensors or .json",
    )
    sha256: Annotated[str, Field(pattern=SHA256_PATTERN)] | None = Field(
        default=None, description="the SHA-256 of that file"
    )
    key: str = Field(
        default="",
        max_length=200,
        description='what its statistics stand under there, e.g. "action" for action.mean and action.std',
    )
    mask: Annotated[tuple[bool, ...], Field(strict=False)] | None = Field(
        default=None, max_length=MAX_NUMBERS, description="false: this channel is left as it is"
    )
    clip: Annotated[tuple[float, float], Field(strict=False)] | None = Field(
        default=None, description="the model's numbers are kept within these two"
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needs = f'mode "{self.mode}" needs {" and ".join(REQUIRED[self.mode])}, here or in a file'
        problems = [
            Problem(word, "is missing", needs)
            for word in REQUIRED[self.mode]
            if getattr(self, word) is None and self.file is None
        ]
        problems += self._file_problems()
        allowed = {*REQUIRED[self.mode], *(("offset",) if self.mode == "scale" else ())}
        problems += [
            Problem(word, f'is not used by mode "{self.mode}"', "leave it out, or choose another mode")
            for word in STATISTICS
            if getattr(self, word) is not None and word not in allowed
        ]
        problems += self._divisions()
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            problems.append(Problem("clip", f"is {list(self.clip)}", "the smaller of the two stands first"))
        refuse(problems)
        return self

    def _file_problems(self) -> list[Problem]:
        if self.file is None:
            return [
                Problem(word, "is not used", "it belongs to file, which is not named")
                for word in ("sha256", "key")
                if getattr(self, word)
            ]
        problems = [
            Problem(word, "stands here and in the file", "leave one of the two out")
            for word in STATISTICS
            if getattr(self, word) is not None
        ]
        if self.sha256 is None:
            problems.append(Problem("sha256", "is missing", "what sha256sum prints for that file"))
        return problems

    def _divisions(self) -> list[Problem]:
        """Channels whose numbers would be divided by nothing, or by less."""
        spans: list[tuple[str, tuple[float, ...], str]] = []
        if self.std is not None:
            spans.append(("std", self.std, "a standard deviation"))
        for low, high in (("min", "max"), ("q01", "q99")):
            lows, highs = getattr(self, low), getattr(self, high)
            if lows is not None and highs is not None and len(lows) == len(highs):
                widths = tuple(b - a for a, b in zip(lows, highs, strict=True))
                spans.append((low, widths, f"{high} less {low}"))
        problems = []
        for word, widths, called in spans:
            kept = self.mask if self.mask and len(self.mask) == len(widths) else (True,) * len(widths)
            for index, width in enumerate(widths):
                if kept[index] and (width < 0 or width + self.eps == 0):
                    said = f"makes {called} {width:g}"
                    hint = "swap the two" if width < 0 else "a channel that never moved needs eps, e.g. 1e-8"
                    problems.append(Problem(f"{word}[{index}]", said, hint))
        return problems

    def sizes(self) -> dict[str, int]:
        """How many numbers each given statistic has; a single one fits any number of channels."""
        given = {word: getattr(self, word) for word in (*STATISTICS, "mask")}
        return {word: len(values) for word, values in given.items() if values is not None}
