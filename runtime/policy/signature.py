"""Which tensors a model has, what its card says of them, and which number each of its axes gets.

A model may leave axes open (a batch of any size, a name, or nothing at all). Fixed buffers need numbers: an axis
takes the card's, or that of the same name in another tensor; one that is still open is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.card.decoders import DiffusionDecoder, FlowDecoder, VqDecoder
from spinal.runtime.errors import PolicyError

Shape = tuple[int, ...]
LARGEST_TENSOR = 1 << 28
"""Elements. A robot's inputs and answers are far smaller; more is a mistake of the model, or malice."""


class Tensor(NamedTuple):
    """A tensor as buffers need it: every axis a number; ``dtype`` as numpy calls it."""

    shape: Shape
    dtype: str


class Declared(NamedTuple):
    """A tensor as the model's file declares it: an axis is a number, a name, or None."""

    shape: tuple[int | str | None, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Signature:
    """What an engine's caller fills and reads.

    An output whose shape is None is one that the card names and does not describe: the model says.
    ``others``: inputs that somebody else fills, as the model has them. ``every_output``: bind also those that are
    not named here. ``whole``: everything is bound as the model has it; the caller sees to what fills it.
    """

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor | None]
    others: frozenset[str] = frozenset()
    every_output: bool = False
    whole: bool = False

    @staticmethod
    def of(card: PolicyCard) -> Signature:
        """As ``card`` says."""
        inputs = {tensor.name: Tensor(tensor.shape, tensor.dtype) for tensor in card.inputs}
        if isinstance(card.decoder, FlowDecoder | DiffusionDecoder):  # the head makes card.output
            return Signature(inputs, {}, others=card.filled_by_head, every_output=True)
        outputs: dict[str, Tensor | None] = {card.output.name: Tensor(card.output.shape, card.output.dtype)}
        for recurrent in card.recurrent:
            outputs.setdefault(recurrent.output, inputs.get(recurrent.input))
        decoder = card.decoder
        if isinstance(decoder, VqDecoder):
            outputs |= dict.fromkeys({decoder.logits, decoder.offsets} - outputs.keys())
        return Signature(inputs, outputs, every_output=decoder.kind == "other")


@dataclass(frozen=True, slots=True)
class Bound:
    """Every tensor with its numbers, and the numbers that named axes got."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    axes: Mapping[str, int]


def bind(
    model: str,
    wanted: Signature,
    inputs: Mapping[str, Declared],
    outputs: Mapping[str, Declared],
) -> Bound:
    """Puts ``wanted`` and what ``model`` declares together.

    Raises PolicyError with every tensor on which the two disagree, and with every axis that stays open.
    """
    differences = _names(wanted, inputs, outputs)
    axes: dict[str, int] = {}
    for name, tensor in [*wanted.inputs.items(), *wanted.outputs.items()]:
        declared = (inputs if name in wanted.inputs else outputs).get(name)
        if declared is None or tensor is None:
            continue
        differences += _differences(name, tensor, declared, axes)
    if differences:
        raise PolicyError(
            f"{model} and its card disagree about tensors: " + "; ".join(differences),
            hint="write the model's own names, types and shapes into the card",
        )
    open_axes: list[str] = []
    bound = Bound(
        {
            name: _fixed(name, declared, wanted.inputs.get(name), axes, open_axes)
            for name, declared in inputs.items()
        },
        {
            name: _fixed(name, declared, wanted.outputs.get(name), axes, open_axes)
            for name, declared in outputs.items()
            if wanted.whole or wanted.every_output or name in wanted.outputs
        },
        axes,
    )
    if open_axes:
        raise PolicyError(
            f"{model} leaves axes open that its card does not bind: {'; '.join(open_axes)}",
            hint="export the model with fixed shapes, or give a tensor with the axis of that name in the card",
        )
    for name, tensor in [*bound.inputs.items(), *bound.outputs.items()]:
        _bounded(model, name, tensor)
    return bound


def _names(wanted: Signature, inputs: Mapping[str, Declared], outputs: Mapping[str, Declared]) -> list[str]:
    missing = [
        f"{name}: card {_shown(tensor)}, model nothing"
        for card, model in ((wanted.inputs, inputs), (wanted.outputs, outputs))
        for name, tensor in card.items()
        if name not in model
    ]
    unfilled = [
        f"{name}: card nothing, model {_shown(declared)}"
        for name, declared in inputs.items()
        if not wanted.whole and name not in wanted.inputs and name not in wanted.others
    ]
    return sorted(missing + unfilled)


def _differences(name: str, tensor: Tensor, declared: Declared, axes: dict[str, int]) -> list[str]:
    if tensor.dtype != declared.dtype:
        return [f"{name}: card {tensor.dtype}, model {declared.dtype}"]
    if len(tensor.shape) != len(declared.shape):
        return [f"{name}: card {tensor.shape}, model {_shown(declared)}"]
    found = []
    for number, axis in zip(tensor.shape, declared.shape, strict=True):
        if isinstance(axis, int) and axis != number:
            return [f"{name}: card {tensor.shape}, model {_shown(declared)}"]
        if isinstance(axis, str) and axes.setdefault(axis, number) != number:
            found.append(f"{name}: axis {axis} is {number} here and {axes[axis]} in another tensor")
    return found


def _fixed(
    name: str, declared: Declared, said: Tensor | None, axes: Mapping[str, int], open_axes: list[str]
) -> Tensor:
    if said is not None:
        return said
    shape = []
    for place, axis in enumerate(declared.shape):
        number = axes.get(axis) if isinstance(axis, str) else axis
        if number is None:
            open_axes.append(f"{name}, axis {place} ({axis or 'without a name'})")
        shape.append(number or 0)
    return Tensor(tuple(shape), declared.dtype)


def _bounded(model: str, name: str, tensor: Tensor) -> None:
    elements = 1
    for number in tensor.shape:
        elements *= number
    if not 0 < elements <= LARGEST_TENSOR:
        raise PolicyError(
            f"{name} of {model} would have {elements} elements", hint=f"1 to {LARGEST_TENSOR} are possible"
        )


def _shown(tensor: Tensor | Declared | None) -> str:
    if tensor is None:
        return "an output"
    axes: Sequence[object] = ["?" if axis is None else axis for axis in tensor.shape]
    return f"({', '.join(map(str, axes))}{',' if len(axes) == 1 else ''})"
