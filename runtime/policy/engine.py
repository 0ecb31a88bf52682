"""What runs a model: fixed buffers in, fixed buffers out. ``Session`` is onnxruntime's; see also ``head.py``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray


class Engine(Protocol):
    """A model, loaded and warm. One thread. Its arrays never move."""

    @property
    def inputs(self) -> Mapping[str, NDArray[Any]]:
        """By tensor name, C-contiguous, in the card's shapes and types: to be filled."""
        ...

    @property
    def outputs(self) -> Mapping[str, NDArray[Any]]:
        """By tensor name: what the last run answered."""
        ...

    @property
    def providers(self) -> list[str]:
        """Where it runs, proven: onnxruntime's providers, or the engine's own name."""
        ...

    def run(self) -> None:
        """One inference. Raises PolicyError when it does not end or fails."""
        ...
