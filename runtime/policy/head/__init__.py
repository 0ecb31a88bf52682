"""How often an engine runs for one answer, and what it is told of what is known already.

A graph that answers at once is run once. A head that denoises step by step (flow matching, diffusion) is looped on
the host, and may be guided by what will be executed anyway.
"""

from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.card.decoders import DiffusionDecoder, FlowDecoder
from spinal.runtime.policy.engine import Engine
from spinal.runtime.policy.head.direct import DirectHead
from spinal.runtime.policy.head.head import Guide, GuideKind, Head, Partial, guides_of
from spinal.runtime.policy.head.looped import DiffusionHead, Encodes, FlowHead

__all__ = ["DirectHead", "Encodes", "Guide", "GuideKind", "Head", "Partial", "guides_of", "make_head"]


def make_head(card: PolicyCard, engine: Engine) -> Head:
    """As the card's decoder wants it. Raises PolicyError."""
    match card.decoder:
        case FlowDecoder() as decoder:
            return FlowHead(card, decoder, engine)
        case DiffusionDecoder() as decoder:
            return DiffusionHead(card, decoder, engine)
    return DirectHead(engine)
