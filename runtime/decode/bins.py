"""One token a number: OpenVLA and RT-2 (the last ids of a language model), RT-1, openpi's binning tokenizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.card.decoders import BinsDecoder as BinsSettings
from spinal.runtime.decode.decoder import Answer, Decoded
from spinal.runtime.decode.tokens import check_range, ids_of
from spinal.runtime.errors import InvalidAnswer

Array = NDArray[np.float64]
TOKENS = 256


class BinsDecoder:
    """A table look-up, or ``InvalidAnswer``: a token outside the table is none, and is not clipped to one."""

    def __init__(self, card: PolicyCard, _folder: Path) -> None:
        settings = card.decoder
        if not isinstance(settings, BinsSettings):
            raise ValueError(f"a bins decoder for {settings.kind}")
        self._name, self._vocabulary = card.output.name, settings.from_vocabulary
        self._shape = (card.chunk.steps, card.channels)
        self._values = bin_values(settings)

    def decode(self, answer: Answer) -> Decoded:
        """[step, channel]. Raises InvalidAnswer."""
        ids = ids_of(answer, self._name)
        steps, channels = self._shape
        if len(ids) != steps * channels:
            raise InvalidAnswer(f"{len(ids)} tokens, and {steps} x {channels} make a chunk")
        tokens = ids if self._vocabulary is None else self._vocabulary - ids - 1
        check_range(tokens, TOKENS, "bins")
        return Decoded(self._values[tokens].reshape(self._shape))

    def restart(self) -> None:
        """Nothing is kept."""


def bin_values(settings: BinsSettings) -> Array:
    """[256]: what each token means. OpenVLA's 256 edges have 255 centres; its last token means the last of them."""
    match settings.edges:
        case "openvla":
            edges = np.linspace(-1, 1, TOKENS)
            centres = (edges[:-1] + edges[1:]) / 2
            return np.append(centres, centres[-1])
        case "rt1":
            return np.linspace(settings.low, settings.high, TOKENS)
    return np.arange(TOKENS) / TOKENS * 2 - 1
