"""What runs a model: fixed buffers in, fixed buffers out. ``Session`` is onnxruntime's; see also ``head.py``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.errors import PolicyError


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


def warm_up(engine: Engine, model: str, runs: int) -> None:
    """Runs ``engine`` on zeros. Raises PolicyError when ``model`` never answers a number.

    A good model may answer NaN to zeros (a norm of 0), but not to everything.
    """
    for _ in range(runs):
        engine.run()
    if _finite(engine):
        return
    rng = np.random.default_rng(0)
    for buffer in engine.inputs.values():
        buffer[...] = rng.normal(size=buffer.shape)
    engine.run()
    if not _finite(engine):
        raise PolicyError(
            f"{model} answers numbers that are not finite, whatever it is asked",
            hint="check the weights and the export: a NaN in training stays in the file",
        )


def _finite(engine: Engine) -> bool:
    return all(np.isfinite(array).all() for array in engine.outputs.values())
