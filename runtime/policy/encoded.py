"""Two graphs as one engine: an encoder that runs once an observation, and the step that a head loops behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.card.decoders import GraphFile
from spinal.runtime.config.model_file import inspect_model
from spinal.runtime.config.policy import EngineOptions
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.session import DEFAULTS, Session
from spinal.runtime.policy.signature import Signature


class EncodedSession:
    """Fill ``inputs``, call ``encode``, then ``run`` as often as there are steps. One thread; arrays never move.

    ``inputs`` are the encoder's and those of the step; where both have one, it is filled once. What the encoder
    answers is an input of the step by name, and is copied there. Raises PolicyError as ``Session`` does, and when
    the encoder's file is another than the card's, or leaves an input of the step unfilled.
    """

    def __init__(
        self,
        model: Path,
        card: PolicyCard,
        encoder: GraphFile,
        providers: Sequence[str],
        allow_provider_fallback: bool = False,
        options: EngineOptions = DEFAULTS,
    ) -> None:
        names = _checked(model.parent, encoder)
        wanted = Signature.of(card)
        first = {name: tensor for name, tensor in wanted.inputs.items() if name in names}
        second = {name: tensor for name, tensor in wanted.inputs.items() if name not in names}
        path = model.parent / encoder.file
        open_as = (providers, allow_provider_fallback, options)
        self._encoder = Session(path, Signature(first, {}, whole=True), *open_as)
        self._step = Session(model, Signature(second, wanted.outputs, whole=True), *open_as)
        self.inputs: Mapping[str, NDArray[Any]] = {**self._step.inputs, **self._encoder.inputs}
        self.outputs: Mapping[str, NDArray[Any]] = self._step.outputs
        self.providers: list[str] = self._step.providers
        self._handed_on = self._hand_on(card, model.name, encoder.file)

    def encode(self) -> None:
        """Runs the encoder; the steps see what it answered. Raises PolicyError."""
        self._encoder.run()
        for source, into in self._handed_on:
            np.copyto(into, source)

    def run(self) -> None:
        """One step. Raises PolicyError."""
        self._step.run()

    def _hand_on(self, card: PolicyCard, model: str, encoder: str) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        """(source, input of the step) of what the encoder answers, and of inputs that both take."""
        sources = {**self._encoder.inputs, **self._encoder.outputs}
        filled = {tensor.name for tensor in card.inputs} | card.filled_by_head
        pairs, problems = [], []
        for name, into in self._step.inputs.items():
            source = sources.get(name)
            if source is None:
                problems += [] if name in filled else [f"nothing fills {name}"]
            elif source.shape != into.shape or source.dtype != into.dtype:
                problems.append(
                    f"{name} is {source.dtype} {list(source.shape)} from the one and {into.dtype}"
                    f" {list(into.shape)} in the other"
                )
            else:
                pairs.append((source, into))
        if problems:
            raise PolicyError(
                f"{encoder} and {model} do not fit: {'; '.join(problems)}", hint="export the two together"
            )
        return pairs


def _checked(folder: Path, encoder: GraphFile) -> set[str]:
    """The names of its inputs. Raises PolicyError for a file that is none, or another."""
    facts = inspect_model(folder / encoder.file)
    if facts.problems:
        problem = facts.problems[0]
        raise PolicyError(f"{problem.path} {problem.message}", hint=problem.hint)
    if encoder.sha256 not in (facts.sha256, facts.content_sha256):
        raise PolicyError(
            f"the SHA-256 of {encoder.file} is {facts.sha256}, and the card says {encoder.sha256}",
            hint="copy the file again, or correct decoder.encoder.sha256 if this is the one you mean",
        )
    return {tensor.name for tensor in facts.graph.inputs} if facts.graph is not None else set()
