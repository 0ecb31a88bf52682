"""What a card of any kind says of its model's inputs: all that those need to know who check and fill them."""

from __future__ import annotations

from typing import Literal, Protocol

from spinal.runtime.config.card.actions import CardJoint, ChunkShape, Recurrent
from spinal.runtime.config.card.inputs import CardInput


class FedCard(Protocol):
    """A policy's card, or that of a model beside it."""

    @property
    def inputs(self) -> tuple[CardInput, ...]:
        """The model's input tensors."""
        ...

    @property
    def joints(self) -> tuple[CardJoint, ...]:
        """The joints that its streams are of, in the model's order."""
        ...

    @property
    def chunk(self) -> ChunkShape:
        """Of what it answers; a history's step where an input gives none."""
        ...

    @property
    def channels(self) -> int:
        """Numbers of an action."""
        ...

    @property
    def noise(self) -> Literal["zero", "normal"]:
        """What fills a noise input."""
        ...

    @property
    def recurrent(self) -> tuple[Recurrent, ...]:
        """States that the model hands to itself."""
        ...

    @property
    def filled_by_head(self) -> frozenset[str]:
        """Inputs that no stream fills."""
        ...
