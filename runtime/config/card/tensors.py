"""Whether a card and its model say the same of every tensor: names, types and shapes, without running anything.

The engine compares again with what onnxruntime says, when it loads the model; here a person reads it beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spinal.runtime.config.card.beside import BesideCard
from spinal.runtime.config.card.card import PolicyCard
from spinal.runtime.config.card.decoders import DiffusionDecoder, FlowDecoder, VqDecoder
from spinal.runtime.config.cross import did_you_mean
from spinal.runtime.config.model_file import printable
from spinal.runtime.config.onnx_graph import ModelGraph, ModelTensor
from spinal.runtime.errors import Problem

_WHY = "the model's own names, types and shapes belong into the card: spinal policy show lists them"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A tensor as the card has it: ``shape`` None for one that it only names, ``dtype`` empty for any."""

    path: str
    shape: tuple[int, ...] | None
    dtype: str


def tensor_problems(card: PolicyCard, model: ModelGraph, encoder: ModelGraph | None = None) -> list[Problem]:
    """Every difference between the card and the graphs; ``encoder``: the one that the decoder's table names.

    An axis that the model leaves open takes the card's number, one number for each name; one that no tensor of the
    card binds is refused.
    """
    return _graph_problems(_inputs(card), _outputs(card), model, encoder)


def beside_tensor_problems(card: BesideCard, model: ModelGraph) -> list[Problem]:
    """The same for a model that runs beside a policy."""
    inputs = {
        tensor.name: _Wanted(f"inputs[{index}] ({tensor.name})", tensor.shape, tensor.dtype)
        for index, tensor in enumerate(card.inputs)
    }
    name, shape, dtype = card.output_tensor
    return _graph_problems(inputs, {name: _Wanted("output", shape, dtype)}, model, None)


def _graph_problems(
    inputs: Mapping[str, _Wanted],
    outputs: Mapping[str, _Wanted],
    model: ModelGraph,
    encoder: ModelGraph | None,
) -> list[Problem]:
    have = {tensor.name: tensor for tensor in model.inputs}
    before = {tensor.name: tensor for tensor in encoder.inputs} if encoder else {}
    between = {tensor.name: tensor for tensor in encoder.outputs} if encoder else {}
    axes: dict[str, int] = {}
    problems = []
    for name, wanted in inputs.items():
        found = [each[name] for each in (have, before) if name in each]
        if not found:
            hint = did_you_mean(name, [*have, *before], "the model's inputs are")
            problems.append(Problem(wanted.path, f"is not an input of the model: {name}", hint))
        for tensor in found:
            problems += _differences(wanted, tensor, axes)
    given = {tensor.name: tensor for tensor in model.outputs}
    for name, wanted in outputs.items():
        if name in given:
            problems += _differences(wanted, given[name], axes)
        else:
            hint = did_you_mean(name, given, "the model's outputs are")
            problems.append(Problem(wanted.path, f"is not an output of the model: {name}", hint))
    known = {*inputs, *between}
    for tensor in [
        *(have[name] for name in have if name not in known),
        *(before[n] for n in before if n not in inputs),
    ]:
        said = f"lack {printable(tensor.name)}, which the model wants: {shown(tensor)}"
        problems.append(Problem("inputs", said, "every input of the model is filled by something"))
    for name in (name for name in have if name in between and name not in inputs):
        if not _agree(have[name], between[name]):
            said = f"is {shown(between[name])} from the encoder, and the model takes {shown(have[name])}"
            problems.append(Problem(f"decoder.encoder: {printable(name)}", said, "export the two together"))
    return problems


def shown(tensor: ModelTensor) -> str:
    """``float32 [1, 6]``; an axis that is not bound by its name."""
    if not tensor.dtype:
        return "not a tensor"
    axes = "?" if tensor.shape is None else ", ".join(printable(str(axis), 32) for axis in tensor.shape)
    return f"{tensor.dtype} [{axes}]"


def _inputs(card: PolicyCard) -> dict[str, _Wanted]:
    wanted = {
        tensor.name: _Wanted(f"inputs[{index}] ({tensor.name})", tensor.shape, tensor.dtype)
        for index, tensor in enumerate(card.inputs)
    }
    decoder, steps = card.decoder, card.chunk.steps
    if isinstance(decoder, FlowDecoder | DiffusionDecoder):
        whole = (1, steps, card.channels)
        by_position = isinstance(decoder, FlowDecoder) and decoder.time_per_position
        wanted[decoder.x] = _Wanted("decoder.x", whole, "")
        wanted[decoder.time] = _Wanted("decoder.time", (1, steps) if by_position else (1,), "")
        if isinstance(decoder, FlowDecoder) and decoder.error is not None:
            wanted[decoder.error] = _Wanted("decoder.error", whole, "")
    return wanted


def _outputs(card: PolicyCard) -> dict[str, _Wanted]:
    wanted = {card.output.name: _Wanted("output", card.output.shape, card.output.dtype)}
    decoder = card.decoder
    if isinstance(decoder, FlowDecoder) and decoder.vjp is not None:
        wanted[decoder.vjp] = _Wanted("decoder.vjp", (1, card.chunk.steps, card.channels), "")
    if isinstance(decoder, VqDecoder):
        for word, name in (("logits", decoder.logits), ("offsets", decoder.offsets)):
            wanted.setdefault(name, _Wanted(f"decoder.{word}", None, ""))
    tensors = {tensor.name: tensor for tensor in card.inputs}
    for index, row in enumerate(card.recurrent):
        kept = tensors.get(row.input)
        shape, dtype = (kept.shape, kept.dtype) if kept else (None, "")
        wanted.setdefault(row.output, _Wanted(f"recurrent[{index}].output", shape, dtype))
    return wanted


def _differences(wanted: _Wanted, tensor: ModelTensor, axes: dict[str, int]) -> list[Problem]:
    problems = []
    if not tensor.dtype:
        return [Problem(wanted.path, "is no tensor in the model", "export it with tensors only")]
    if wanted.dtype and wanted.dtype != tensor.dtype:
        said = f"is {wanted.dtype}, and the model has {tensor.dtype}"
        problems.append(
            Problem(f"{wanted.path}.dtype" if "decoder" not in wanted.path else wanted.path, said, _WHY)
        )
    if tensor.shape is None:
        return problems
    if wanted.shape is None:
        if not tensor.bound:
            said = f"is {shown(tensor)} in the model, and nothing says how large"
            problems.append(Problem(wanted.path, said, "export it with a fixed shape"))
        return problems
    fits = len(tensor.shape) == len(wanted.shape) and all(
        not isinstance(axis, int) or axis == size
        for axis, size in zip(tensor.shape, wanted.shape, strict=True)
    )
    if not fits:
        said = f"is {list(wanted.shape)}, and the model has {shown(tensor)}"
        path = wanted.path if wanted.path.startswith(("decoder", "recurrent")) else f"{wanted.path}.shape"
        return [*problems, Problem(path, said, _WHY)]
    for axis, size in zip(tensor.shape, wanted.shape, strict=True):
        if isinstance(axis, str) and axis != "?" and axes.setdefault(axis, size) != size:
            said = f"makes the axis {printable(axis)} {size}, and another tensor makes it {axes[axis]}"
            problems.append(Problem(wanted.path, said, _WHY))
    return problems


def _agree(one: ModelTensor, other: ModelTensor) -> bool:
    if one.dtype != other.dtype or one.shape is None or other.shape is None:
        return False
    return len(one.shape) == len(other.shape) and all(
        a == b and isinstance(a, int) for a, b in zip(one.shape, other.shape, strict=True)
    )
