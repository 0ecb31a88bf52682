"""How often an engine runs for one answer, and what it is told of what is known already.

A graph that answers at once is run once. A head that denoises step by step (flow matching, diffusion) is looped on
the host, and may be guided by what will be executed anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import PolicyCard
from spinal.runtime.decode.decoder import Answer
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.engine import Engine

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Guide:
    """What an answer is to agree with, in the model's own numbers."""

    target: Array
    """[step, channel]: the chunk under way, at this answer's instants; zeros where it has ended."""
    weights: Array
    """[step], 0 to 1: how much each instant counts; 1 is what will be executed anyway."""
    frozen: int
    """Leading steps that will be executed anyway: the measured delay's."""


class Head(Protocol):
    """One thread."""

    def answer(self, guide: Guide | None) -> Answer:
        """Runs the engine, whose inputs are filled. Raises PolicyError."""
        ...

    def restart(self, seed: int) -> None:
        """A run begins anew; its noise depends on ``seed`` alone."""
        ...


class DirectHead:
    """One run of one graph."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def answer(self, guide: Guide | None) -> Answer:
        """A graph that takes a prefix finds it among its inputs."""
        self._engine.run()
        return self._engine.outputs

    def restart(self, seed: int) -> None:
        """Nothing is kept."""


def make_head(card: PolicyCard, engine: Engine) -> Head:
    """As the card's decoder wants it. Raises PolicyError."""
    if card.decoder.kind in ("flow", "diffusion"):
        raise PolicyError(f"{card.decoder.kind} is not looped here yet", hint="unroll the steps in the graph")
    return DirectHead(engine)
