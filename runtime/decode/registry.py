"""Finds a decoder by its name among the entry points ``spinal.decoders``: our own the same way as a stranger's."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.card.decoders import OtherDecoder
from spinal.runtime.decode.chunk import ChunkDecoder
from spinal.runtime.decode.decoder import Decoder, DecoderFactory
from spinal.runtime.errors import PolicyError

GROUP = "spinal.decoders"
OWN: dict[str, DecoderFactory] = {"chunk": ChunkDecoder}


def make_decoder(card: PolicyCard, folder: Path) -> Decoder:
    """The decoder that ``card`` names; ``folder`` is the model's. Raises PolicyError."""
    name = card.decoder.name if isinstance(card.decoder, OtherDecoder) else card.decoder.kind
    factory = OWN.get(name)
    if factory is None:
        found = [point for point in entry_points(group=GROUP) if point.name == name]
        if not found:
            raise PolicyError(
                f"no decoder is called {name}",
                hint=f"install the package that registers it under {GROUP}, or name another in the card",
            )
        factory = found[0].load()
    return factory(card, folder)
