"""Heads that are looped on the host: one graph is a single step, an encoder runs once an observation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.card.decoders import DiffusionDecoder, FlowDecoder
from spinal.runtime.decode.ddim import Ddim
from spinal.runtime.decode.decoder import Answer
from spinal.runtime.decode.flow import Flow
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.engine import Engine
from spinal.runtime.policy.head.head import Array, Guide, GuideKind, Partial, guides_of


@runtime_checkable
class Encodes(Protocol):
    """An engine with a second graph, whose outputs are inputs of the one that ``run`` runs."""

    def encode(self) -> None:
        """Runs it, once an observation. Raises PolicyError."""
        ...


class FlowHead:
    """Flow matching; it can be told whatever a ``Guide`` says."""

    def __init__(self, card: PolicyCard, decoder: FlowDecoder, engine: Engine) -> None:
        self._encode, self._engine = _encoding(card, engine), engine
        time_shape = (1, card.chunk.steps) if decoder.time_per_position else (1,)
        inputs, outputs = [decoder.x, decoder.error], [decoder.velocity, decoder.vjp]
        _check_tensors(card, engine, inputs, outputs, {decoder.time: time_shape})
        self._guides = guides_of(card)
        self._velocity = engine.outputs[decoder.velocity]
        vjp = None
        if decoder.error is not None and decoder.vjp is not None:
            self._error, self._vjp = engine.inputs[decoder.error], engine.outputs[decoder.vjp]
            self._error.fill(0)
            vjp = self._backward
        x, time = engine.inputs[decoder.x], engine.inputs[decoder.time]
        self._flow = Flow(x, time, self._forward, decoder.steps, decoder.noise_at, vjp)
        self._noise = _Noise(self._flow.state, card.noise == "normal", decoder.noise_scale)
        self._answer: Answer = {card.output.name: self._flow.state[None]}

    def answer(self, guide: Guide | None, noise: Array | None = None) -> Answer:
        """All steps."""
        for _ in self.stream(guide, noise):
            pass
        return self._answer

    def stream(self, guide: Guide | None, noise: Array | None = None) -> Iterator[Partial]:
        """Early positions first, for a ``streaming`` guide."""
        if guide is not None:
            _check(guide, self._flow.state, self._guides)
        self._encode()
        self._noise.begin(noise)
        match guide:
            case None:
                self._flow.free()
            case Guide(kind="rtc"):
                self._flow.guided(guide.target, guide.weights, guide.beta)
            case Guide(kind="prefix"):
                self._flow.prefixed(guide.target, guide.frozen)
            case Guide(kind="velocity_mask"):
                self._flow.masked(guide.target, guide.weights)
            case Guide(kind="streaming"):
                for ready in self._flow.streamed(guide.target, guide.frozen):
                    yield Partial(self._answer, ready, self._flow.done)
                return
        yield Partial(self._answer, len(self._flow.state))

    def restart(self, seed: int) -> None:
        """The noise begins anew."""
        self._noise.restart(seed)

    def _forward(self) -> NDArray[Any]:
        self._engine.run()
        return self._velocity

    def _backward(self, error: Array) -> NDArray[Any]:
        np.copyto(self._error[0], error, casting="same_kind")
        self._engine.run()
        return self._vjp


class DiffusionHead:
    """Diffusion with DDIM."""

    def __init__(self, card: PolicyCard, decoder: DiffusionDecoder, engine: Engine) -> None:
        self._encode, self._engine = _encoding(card, engine), engine
        _check_tensors(card, engine, [decoder.x], [decoder.output], {decoder.time: (1,)})
        self._output = engine.outputs[decoder.output]
        if decoder.steps > decoder.train_steps:
            raise PolicyError(
                f"{decoder.steps} denoising steps of a schedule of {decoder.train_steps}",
                hint="correct decoder.steps or decoder.train_steps of the card",
            )
        x, time = engine.inputs[decoder.x], engine.inputs[decoder.time]
        schedule = (decoder.steps, decoder.train_steps, decoder.prediction, decoder.clip)
        self._ddim = Ddim(x, time, self._forward, *schedule)
        self._noise = _Noise(self._ddim.state, card.noise == "normal", 1.0)
        self._answer: Answer = {card.output.name: self._ddim.state[None]}

    def answer(self, guide: Guide | None, noise: Array | None = None) -> Answer:
        """All steps."""
        if guide is not None:
            _check(guide, self._ddim.state, frozenset())
        self._encode()
        self._noise.begin(noise)
        self._ddim.run()
        return self._answer

    def stream(self, guide: Guide | None, noise: Array | None = None) -> Iterator[Partial]:
        """All at once."""
        yield Partial(self.answer(guide, noise), len(self._ddim.state))

    def restart(self, seed: int) -> None:
        """The noise begins anew."""
        self._noise.restart(seed)

    def _forward(self) -> NDArray[Any]:
        self._engine.run()
        return self._output


class _Noise:
    """What a loop begins from: zeros, or normal draws that depend on the seed alone."""

    def __init__(self, state: Array, drawn: bool, scale: float) -> None:
        self._state, self._drawn, self._scale = state, drawn, scale
        self.restart(0)

    def restart(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def begin(self, given: Array | None) -> None:
        if given is not None:
            np.copyto(self._state, given)
        elif self._drawn:
            self._rng.standard_normal(out=self._state)
        else:
            self._state.fill(0.0)
        self._state *= self._scale


def _check_tensors(
    card: PolicyCard,
    engine: Engine,
    inputs: Sequence[str | None],
    outputs: Sequence[str | None],
    times: Mapping[str, tuple[int, ...]],
) -> None:
    """``inputs`` and ``outputs`` are as large as a chunk."""
    chunk = (1, card.chunk.steps, card.channels)
    wanted = dict.fromkeys((name for name in inputs if name is not None), chunk) | dict(times)
    wanted_out = dict.fromkeys((name for name in outputs if name is not None), chunk)
    differences = [
        f"{name}: {list(array.shape) if array is not None else 'missing'}, not {list(shape)}"
        for have, want in ((engine.inputs, wanted), (engine.outputs, wanted_out))
        for name, shape in want.items()
        if (array := have.get(name)) is None or array.shape != shape
    ]
    if differences:
        raise PolicyError(
            f"the model of {card.name} is not one step of its {card.decoder.kind}: {'; '.join(differences)}",
            hint="write the tensors' own names into the card's decoder, or export the model with these shapes",
        )


def _check(guide: Guide, state: Array, allowed: frozenset[GuideKind]) -> None:
    if guide.kind not in allowed:
        raise PolicyError(
            f"this policy takes no guide of the kind {guide.kind}",
            hint=f"it takes {', '.join(sorted(allowed)) or 'none'}: see decoder and prefix of its card",
        )
    if guide.target.shape != state.shape or len(guide.weights) != len(state):
        raise ValueError(f"a guide of {guide.target.shape} for an answer of {state.shape}")
    if not 0 <= guide.frozen <= len(state) or not np.isfinite(guide.target).all():
        raise ValueError(f"a guide with {guide.frozen} frozen steps, or with numbers that are not finite")


def _encoding(card: PolicyCard, engine: Engine) -> Callable[[], None]:
    if card.encoder is None:
        return _nothing
    if not isinstance(engine, Encodes):
        raise PolicyError(
            f"{card.name} has an encoder, and its engine runs a single graph",
            hint="leave decoder.encoder out of the card, or run the model with engine = onnxruntime",
        )
    return engine.encode


def _nothing() -> None:
    pass
