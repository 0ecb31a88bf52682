"""VQ-BeT (arXiv 2403.03181): residual codes, each layer's most likely, and an offset for each code.

    chunk = decoder(sum of the layers' vectors) + sum of the layers' offsets

The paper draws the codes; here the most likely are taken, so that an answer depends on its observation alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.card.decoders import VqDecoder as VqSettings
from spinal.runtime.decode.beside import read_beside, safetensors_of
from spinal.runtime.decode.decoder import Answer, Decoded
from spinal.runtime.errors import InvalidAnswer, PolicyError

Array = NDArray[np.float64]


class VqDecoder:
    """Codes to actions. The table's decoder is a perceptron with ReLU between its layers."""

    def __init__(self, card: PolicyCard, folder: Path) -> None:
        settings = card.decoder
        if not isinstance(settings, VqSettings):
            raise ValueError(f"a VQ decoder for {settings.kind}")
        table = safetensors_of(read_beside(folder, settings.table, settings.table_sha256), settings.table)
        self._logits, self._offsets = settings.logits, settings.offsets
        self._shape = (card.chunk.steps, card.channels)
        self._codebooks, self._layers = _network(table, card.chunk.steps * card.channels, settings.table)
        layers, codes, _ = self._codebooks.shape
        self._expected = {
            settings.logits: (1, layers, codes),
            settings.offsets: (1, layers, codes, card.chunk.steps * card.channels),
        }
        self._layer = np.arange(layers)

    def decode(self, answer: Answer) -> Decoded:
        """[step, channel]. Raises InvalidAnswer."""
        for name, shape in self._expected.items():
            if answer[name].shape != shape:
                raise InvalidAnswer(
                    f"{name} is {list(answer[name].shape)}, and the table makes it {list(shape)}"
                )
        logits = np.asarray(answer[self._logits][0], np.float64)
        if not np.isfinite(logits).all():
            raise InvalidAnswer(f"{self._logits} holds numbers that are not finite")
        codes = logits.argmax(axis=1)
        h = self._codebooks[self._layer, codes].sum(axis=0)
        for number, (weight, bias) in enumerate(self._layers):
            h = weight @ (h if number == 0 else np.maximum(h, 0)) + bias
        h += np.asarray(answer[self._offsets][0, self._layer, codes], np.float64).sum(axis=0)
        if not np.isfinite(h).all():
            raise InvalidAnswer(f"{self._offsets} holds numbers that are not finite")
        return Decoded(h.reshape(self._shape))

    def restart(self) -> None:
        """Nothing is kept."""


def _network(table: dict[str, Array], size: int, name: str) -> tuple[Array, list[tuple[Array, Array]]]:
    """(codebooks [layer, code, width], the decoder's (weight, bias) in order)."""
    problem = ""
    codebooks = table.get("codebooks", np.zeros(0))
    layers: list[tuple[Array, Array]] = []
    width = codebooks.shape[-1] if codebooks.ndim == 3 else 0
    if not width or not codebooks.size:
        problem = "has no codebooks [layers, codes, width]"
    while not problem and (weight := table.get(f"weight.{len(layers)}")) is not None:
        bias = table.get(f"bias.{len(layers)}", np.zeros(0))
        if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
            problem = f"weight.{len(layers)} and bias.{len(layers)} do not take {width} numbers"
        width = weight.shape[0]
        layers.append((weight, bias))
    if not problem and (not layers or width != size):
        problem = f"ends in {width} numbers, and a chunk has {size}"
    if not problem and not all(np.isfinite(tensor).all() for tensor in table.values()):
        problem = "holds numbers that are not finite"
    if problem:
        raise PolicyError(f"{name} {problem}", hint="export the codebooks and the decoder again")
    return codebooks, layers
