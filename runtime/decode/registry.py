"""Finds a decoder by its name among the entry points ``spinal.decoders``: our own the same way as a stranger's."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.card.decoders import OtherDecoder
from spinal.runtime.decode.decoder import Decoder, DecoderFactory
from spinal.runtime.errors import PolicyError

GROUP = "spinal.decoders"
OWN = {
    "chunk": "spinal.runtime.decode.chunk:ChunkDecoder",
    "ensemble": "spinal.runtime.decode.chunk:ChunkDecoder",
    "fast": "spinal.runtime.decode.fast:FastDecoder",
    "beast": "spinal.runtime.decode.beast:BeastDecoder",
    "bins": "spinal.runtime.decode.bins:BinsDecoder",
    "vq": "spinal.runtime.decode.vq:VqDecoder",
    "flow": "spinal.runtime.decode.chunk:ChunkDecoder",
    "diffusion": "spinal.runtime.decode.chunk:ChunkDecoder",
}
"""What pyproject.toml registers, known without reading every installed package's metadata at each start; it also
holds where those of an editable install are older than the sources. A name of ours is ours."""


def make_decoder(card: PolicyCard, folder: Path) -> Decoder:
    """The decoder that ``card`` names; ``folder`` is the model's. Raises PolicyError."""
    name = card.decoder.name if isinstance(card.decoder, OtherDecoder) else card.decoder.kind
    return find_decoder(name)(card, folder)


def find_decoder(name: str) -> DecoderFactory:
    """What is registered as ``name``. Raises PolicyError when nothing is, or two packages want the name."""
    if name in OWN:
        found = [EntryPoint(name, OWN[name], GROUP)]
    else:
        found = list({point.value: point for point in entry_points(group=GROUP, name=name)}.values())
    if not found:
        raise PolicyError(
            f"no decoder is called {name}",
            hint=f"install the package that registers it under {GROUP}, or name another in the card",
        )
    if len(found) > 1:
        raise PolicyError(
            f"{len(found)} decoders are called {name}: {', '.join(point.value for point in found)}",
            hint="uninstall the packages whose decoder you do not mean",
        )
    try:
        factory: DecoderFactory = found[0].load()
    except (ImportError, AttributeError) as error:
        raise PolicyError(
            f"the decoder {name} does not load from {found[0].value}: {error}",
            hint="install its package again, with what it needs",
        ) from None
    return factory
