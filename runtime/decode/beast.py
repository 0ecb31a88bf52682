"""BEAST (arXiv 2506.06072): a chunk as the control points of a clamped uniform B-spline, one token each.

Tokens stand control point by control point, every channel of one before the next. Arm joints have the card's
degree, grippers are steps (degree 0) with as many control points. The spline runs from the first action's instant
to the last's; it is handed on as it is, and its values at the steps beside it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.bspline import basis, fit_controls
from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.card.decoders import BeastDecoder as BeastSettings
from spinal.runtime.decode.decoder import Answer, Decoded
from spinal.runtime.decode.tokens import check_range, ids_of
from spinal.runtime.errors import InvalidAnswer, PolicyError
from spinal.runtime.types import Spline

Array = NDArray[np.float64]


class BeastDecoder:
    """Tokens to a spline and its values at the steps, or ``InvalidAnswer``. Also encodes, for tests and tools."""

    def __init__(self, card: PolicyCard, _folder: Path) -> None:
        settings = card.decoder
        if not isinstance(settings, BeastSettings):
            raise ValueError(f"a BEAST decoder for {settings.kind}")
        if settings.controls <= settings.degree:
            raise PolicyError(
                f"{settings.controls} control points of degree {settings.degree}",
                hint="correct decoder.controls and decoder.degree of the card: one more control point than degree",
            )
        self._name, self._settings = card.output.name, settings
        shape = (card.channels, settings.controls)
        self._low = bounds(settings.low, shape, "decoder.low").T
        self._range = bounds(settings.high, shape, "decoder.high").T - self._low
        if (self._range < 0).any():
            raise PolicyError("decoder.high is below decoder.low", hint="correct the card")
        grippers = [joint.kind == "gripper" for joint in card.joints]
        behind_pose = [False] * (card.channels - sum(grippers)) + [True] * sum(grippers)
        self._held = np.flatnonzero(grippers if card.pose is None else behind_pose)
        self._duration_s = card.chunk.duration_ms * 1e-3
        self._smooth, self._steps = (
            basis(p, settings.controls, card.chunk.steps - 1) for p in (settings.degree, 0)
        )

    def decode(self, answer: Answer) -> Decoded:
        """Both forms. Raises InvalidAnswer for another number of tokens, or one outside the levels."""
        return self.spline(ids_of(answer, self._name))

    def spline(self, ids: NDArray[np.int64]) -> Decoded:
        """The same from token ids alone."""
        settings = self._settings
        if len(ids) != self._low.size:
            raise InvalidAnswer(f"{len(ids)} tokens, and {self._low.size} control points make a chunk")
        tokens = ids if settings.from_vocabulary is None else settings.from_vocabulary - 1 - ids
        check_range(tokens, settings.levels, "levels")
        controls: Array = self._low + self._range * (tokens.reshape(self._low.shape) / (settings.levels - 1))
        actions: Array = self._smooth @ controls
        if len(self._held):
            actions[:, self._held] = self._steps @ controls[:, self._held]
        return Decoded(actions, Spline(settings.degree, controls, self._duration_s))

    def encode(self, actions: Array) -> NDArray[np.int64]:
        """Token ids of ``actions`` [step, channel]; what lies outside the bounds is clipped."""
        settings = self._settings
        controls = fit_controls(actions, settings.controls, settings.degree)
        if len(self._held):
            controls[:, self._held] = fit_controls(actions[:, self._held], settings.controls, 0)
        span = np.where(self._range > 0, self._range, 1)
        tokens = np.rint(np.clip((controls - self._low) / span, 0, 1) * (settings.levels - 1)).astype(
            np.int64
        )
        flat: NDArray[np.int64] = tokens.reshape(-1)
        return flat if settings.from_vocabulary is None else settings.from_vocabulary - 1 - flat

    def restart(self) -> None:
        """Nothing is kept."""


def bounds(said: tuple[float, ...], shape: tuple[int, int], path: str) -> Array:
    """[channel, control point] of one number or as many. Raises PolicyError for another number of them."""
    if len(said) not in (1, shape[0] * shape[1]):
        raise PolicyError(
            f"{path} has {len(said)} numbers, and {shape[0]} channels have {shape[1]} control points each",
            hint="write one number, or one for each control point, channel by channel",
        )
    return np.broadcast_to(np.array(said), shape) if len(said) == 1 else np.array(said).reshape(shape)
