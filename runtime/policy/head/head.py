"""What a head is, and what it may be told of what is known already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.card.decoders import FlowDecoder
from spinal.runtime.decode.decoder import Answer

Array = NDArray[np.float64]
GuideKind = Literal["rtc", "prefix", "velocity_mask", "streaming"]


@dataclass(frozen=True, slots=True)
class Guide:
    """What an answer is to agree with, in the model's own numbers.

    ============= ==================================================================== =======================
    kind          what is done                                                         what it needs
    ============= ==================================================================== =======================
    rtc           each step is pulled to ``target`` by ``weights``; arXiv 2506.07339   a flow
    prefix        the first ``frozen`` rows are clean in every step; arXiv 2512.05964  a flow, time per position,
                                                                                       trained for it
    velocity_mask begins from ``target``; 1 - ``weights`` of the velocity; GR00T N1.7  a flow
    streaming     the same as prefix, and early rows are finished first; FASTER        a flow, time per position
    ============= ==================================================================== =======================
    """

    target: Array
    """[step, channel], as many rows as ``chunk.steps``: the chunk under way, at this answer's instants; any finite
    number where it has ended."""
    weights: Array
    """[step], 0 to 1: how much each instant counts; 1 is what will be executed anyway. For ``rtc`` from
    ``decode.flow.guidance_weights``, for ``velocity_mask`` from ``decode.flow.mask_weights``."""
    frozen: int
    """Leading steps that will be executed anyway: the measured delay's."""
    kind: GuideKind = "rtc"
    beta: float = 5.0
    """Of ``rtc``: the largest gain; stays below twice the card's Euler steps, or the error grows."""


@dataclass(frozen=True, slots=True)
class Partial:
    """An answer under way: its first ``ready`` rows are final, ``done`` of its steps are through, 0 to 1."""

    answer: Answer
    ready: int
    done: float = 1.0


class Head(Protocol):
    """One thread. An answer is valid until the next is asked for."""

    def answer(self, guide: Guide | None, noise: Array | None = None) -> Answer:
        """Runs the engine, whose inputs are filled.

        ``noise`` [step, channel], normal with variance 1, is what it begins from in place of its own draw; a graph
        that takes noise finds it among its inputs. Raises PolicyError for a guide that is not in ``guides_of``.
        """
        ...

    def stream(self, guide: Guide | None, noise: Array | None = None) -> Iterator[Partial]:
        """The same, with each stretch of final rows as soon as it is there; the last is the whole answer. Without a
        ``streaming`` guide that is the only one."""
        ...

    def restart(self, seed: int) -> None:
        """A run begins anew; its noise depends on ``seed`` alone."""
        ...


def guides_of(card: PolicyCard) -> frozenset[GuideKind]:
    """What the head of ``card`` can be told. A graph that takes a prefix among its inputs needs no guide."""
    if not isinstance(card.decoder, FlowDecoder):
        return frozenset()
    kinds: set[GuideKind] = {"rtc", "velocity_mask"}
    if card.decoder.time_per_position:
        kinds.add("streaming")
        if card.prefix.max_steps:
            kinds.add("prefix")
    return frozenset(kinds)
