"""What every decoder is: the tensors of an answer in, actions in the model's own numbers out.

A package registers its own under the entry point ``spinal.decoders``, as ours are registered: a callable that takes
the card and the model's folder, and returns a ``Decoder``. The card names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import PolicyCard
from spinal.runtime.types import Spline

__all__ = ["Answer", "Decoded", "Decoder", "DecoderFactory", "Spline"]

Array = NDArray[np.float64]
Answer = Mapping[str, NDArray[Any]]
"""The model's output tensors by name. They are the engine's own buffers: valid until it runs again."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """An answer's actions [step, channel], in the model's own numbers; its spline where it answered with one."""

    actions: Array
    spline: Spline | None = None


class Decoder(Protocol):
    """One thread; may keep what an earlier answer said (``restart`` forgets it)."""

    def decode(self, answer: Answer) -> Decoded:
        """The actions. Raises PolicyError for an answer that is none: the chunk before stays in force."""
        ...

    def restart(self) -> None:
        """A run begins anew."""
        ...


DecoderFactory = Callable[[PolicyCard, Path], Decoder]
"""Makes a decoder from a card and the folder of its model. Raises PolicyError."""
