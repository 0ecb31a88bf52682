"""What must hold between the output, its decoder, the chunk and the channels of a card."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from spinal.runtime.config.card.actions import MAX_STEPS, MIN_STEPS
from spinal.runtime.config.card.decoders import (
    BeastDecoder,
    BinsDecoder,
    DiffusionDecoder,
    FastDecoder,
    FlowDecoder,
    VqDecoder,
)
from spinal.runtime.config.cross import row_label
from spinal.runtime.errors import Problem

if TYPE_CHECKING:
    from spinal.runtime.config.card.card import PolicyCard

FITTED = ("chunk", "ensemble", "fast", "bins", "vq", "flow", "diffusion", "other")
"""Decoders whose actions a spline is fitted through."""
_FLOATS = ("float32", "float16")
_WHOLE = ("int64", "int32")
Shape = tuple[int | str, ...]


def output_problems(card: PolicyCard, inputs_known: bool = True) -> Iterator[Problem]:
    """Every problem of joints, chunk, output, decoder, prefix and recurrent state.

    ``inputs_known`` False: some inputs could not be read, so that nothing is said to be missing among them.
    """
    yield from _joint_problems(card)
    yield from _pose_problems(card)
    yield from _chunk_problems(card)
    yield from _form_problems(card)
    yield from _normalise_problems(card)
    yield from _loop_problems(card)
    if isinstance(card.decoder, BeastDecoder):
        yield from _beast_problems(card, card.decoder)
    if inputs_known:
        yield from _prefix_problems(card)
        yield from _recurrent_problems(card)


def _joint_problems(card: PolicyCard) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, joint in enumerate(card.joints):
        path = row_label("joints", index, {"name": joint.name})
        if joint.range is not None and joint.unit in ("rad", "m"):
            yield Problem(
                f"{path}.range", f"is not used by {joint.unit}", "leave it out, or correct the unit"
            )
        elif joint.range is not None and joint.range[0] == joint.range[1]:
            yield Problem(f"{path}.range", "is empty", "both ends of what the joint was calibrated on")
        if first.setdefault(joint.name, index) != index:
            yield Problem(
                f"{path}.name", f"is also joints[{first[joint.name]}]", "each joint stands here once"
            )


def _pose_problems(card: PolicyCard) -> Iterator[Problem]:
    if (card.representation == "pose") != (card.pose is not None):
        hint = 'representation = "pose" and the table [pose] belong together'
        yield Problem("pose", "is missing" if card.pose is None else "is not used", hint)
    if card.pose is None:
        return
    if all(joint.kind == "gripper" for joint in card.joints):
        hint = "joints lists all joints of the robot; those that are grippers have a channel behind the pose"
        yield Problem("joints", "has no arm joint that could reach a pose", hint)
    for index, joint in enumerate(card.joints):
        if joint.kind == "arm" and joint.absolute:
            path = row_label("joints", index, {"name": joint.name})
            hint = "an arm joint has no channel of its own behind a pose"
            yield Problem(f"{path}.absolute", "is not used", hint)


def _chunk_problems(card: PolicyCard) -> Iterator[Problem]:
    chunk = card.chunk
    if chunk.first >= chunk.steps:
        hint = "it is the index of an action of the chunk"
        yield Problem("chunk.first", f"must be below chunk.steps ({chunk.steps}), and is {chunk.first}", hint)
    elif card.decoder.kind in FITTED and chunk.waypoints < MIN_STEPS:
        said = f"must leave {MIN_STEPS} actions, and {chunk.steps} less first = {chunk.first} do not"
        hint = f"a spline is fitted through them; a policy of single actions has repeat = {MIN_STEPS} or more"
        yield Problem("chunk.steps", said, hint)
    elif chunk.waypoints > MAX_STEPS:
        said = f"makes {chunk.waypoints} waypoints, and a trajectory carries {MAX_STEPS}"
        yield Problem("chunk.repeat", said, "lower it: an action stands until the next answer anyway")


def _form_problems(card: PolicyCard) -> Iterator[Problem]:
    """Shape, type and name of the output."""
    decoder, output = card.decoder, card.output
    wanted = _forms(card)
    if wanted and not any(_fits(output.shape, shape) for shape in wanted):
        words = " or ".join(f"[{', '.join(map(str, shape))}]" for shape in wanted)
        said = f"must be {words} for {decoder.kind}, and is {list(output.shape)}"
        yield Problem("output.shape", said, _form_hint(card))
    types = _WHOLE if decoder.kind in ("fast", "beast", "bins") else _FLOATS
    if decoder.kind != "other" and output.dtype not in types:
        said = f"must be {' or '.join(types)} for {decoder.kind}, and is {output.dtype}"
        hint = "tokens are whole numbers" if types == _WHOLE else "actions are numbers with a fraction"
        yield Problem("output.dtype", said, hint)
    names = _output_names(card)
    if names and output.name not in names:
        said = f"must be {' or '.join(names)}, which the decoder takes, and is {output.name}"
        yield Problem("output.name", said, "the decoder's table names the same tensor")


def _forms(card: PolicyCard) -> list[Shape]:
    """The shapes that an output may have; a word stands for any size."""
    steps, channels, decoder = card.chunk.steps, card.channels, card.decoder
    if isinstance(decoder, FastDecoder):
        return [(1, "tokens")]
    if isinstance(decoder, BeastDecoder):
        return [(1, decoder.controls * channels), (1, decoder.controls, channels)]
    if isinstance(decoder, BinsDecoder):
        return [(1, steps * channels), (1, steps, channels)]
    if isinstance(decoder, VqDecoder):
        if card.output.name == decoder.offsets:
            return [(1, "layers", "codes", steps * channels)]
        return [(1, "layers", "codes")]
    if decoder.kind == "other":
        return []
    single: list[Shape] = [(1, channels)] if steps == 1 and decoder.kind == "chunk" else []
    return [(1, steps, channels), *single]


def _form_hint(card: PolicyCard) -> str:
    if card.decoder.kind == "beast":
        return "tokens are time-major: all channels of the first control point stand first"
    if card.decoder.kind in ("fast", "vq"):
        return "the tensor's shape in the model: spinal policy show"
    if card.pose is not None:
        grippers = sum(joint.kind == "gripper" for joint in card.joints)
        pose = card.channels - grippers
        return f"a pose with rotation {card.pose.rotation} has {pose} channels, then come {grippers} grippers"
    return "it is [1, chunk.steps, number of joints]"


def _fits(shape: tuple[int, ...], wanted: Shape) -> bool:
    return len(shape) == len(wanted) and all(
        isinstance(want, str) or size == want for size, want in zip(shape, wanted, strict=True)
    )


def _output_names(card: PolicyCard) -> tuple[str, ...]:
    decoder = card.decoder
    if isinstance(decoder, FlowDecoder):
        return (decoder.velocity,)
    if isinstance(decoder, DiffusionDecoder):
        return (decoder.output,)
    return (decoder.logits, decoder.offsets) if isinstance(decoder, VqDecoder) else ()


def _normalise_problems(card: PolicyCard) -> Iterator[Problem]:
    if card.output.normalise is None:
        return
    steps, channels = card.chunk.steps, card.channels
    for word, count in card.output.normalise.sizes().items():
        if count not in (1, channels, steps * channels):
            said = f"has {count} numbers, and there are {channels} channels"
            hint = f"one number a channel, one for all of them, or one for each of {steps} x {channels}"
            yield Problem(f"output.normalise.{word}", said, hint)


def _loop_problems(card: PolicyCard) -> Iterator[Problem]:
    """Of a decoder that loops the model: what it feeds and reads itself."""
    decoder = card.decoder
    if not isinstance(decoder, FlowDecoder | DiffusionDecoder):
        return
    fed = {"x": decoder.x, "time": decoder.time}
    if isinstance(decoder, FlowDecoder):
        if decoder.error is not None:
            fed["error"] = decoder.error
        for word, other in (("error", "vjp"), ("vjp", "error")):
            if getattr(decoder, word) is None and getattr(decoder, other) is not None:
                said = f"is missing, and {other} is there"
                yield Problem(f"decoder.{word}", said, "a vector-Jacobian product has an input and an output")
        if decoder.vjp is not None and decoder.vjp == decoder.velocity:
            yield Problem(
                "decoder.vjp", "is the same tensor as velocity", "each output is a tensor of its own"
            )
    names = {tensor.name: index for index, tensor in enumerate(card.inputs)}
    for word, name in fed.items():
        if [*fed.values()].count(name) > 1 and [*fed.values()].index(name) != [*fed].index(word):
            yield Problem(f"decoder.{word}", f"is {name} again", "each input is a tensor of its own")
        if name in names and (word != "x" or card.inputs[names[name]].stream != "noise"):
            said = f"is inputs[{names[name]}] too, and the loop fills it itself"
            hint = 'leave it out of inputs; x may stand there with stream = "noise"'
            yield Problem(f"decoder.{word}", said, hint)
    if isinstance(decoder, DiffusionDecoder) and decoder.steps > decoder.train_steps:
        said = f"must not be above train_steps ({decoder.train_steps}), and is {decoder.steps}"
        yield Problem("decoder.steps", said, "it visits each step of the schedule once at most")


def _beast_problems(card: PolicyCard, decoder: BeastDecoder) -> Iterator[Problem]:
    if decoder.controls <= decoder.degree:
        said = f"must be above degree ({decoder.degree}), and is {decoder.controls}"
        yield Problem("decoder.controls", said, "a spline of degree p has p + 1 control points at least")
    sizes = (1, card.channels * decoder.controls)
    good = True
    for word in ("low", "high"):
        count = len(getattr(decoder, word))
        if count not in sizes:
            good = False
            said = f"has {count} numbers, and must have 1 or {sizes[1]}"
            yield Problem(f"decoder.{word}", said, "[channel, control point] flattened")
    if good and len(decoder.low) == len(decoder.high):
        for index, (low, high) in enumerate(zip(decoder.low, decoder.high, strict=True)):
            if low > high:
                yield Problem(f"decoder.low[{index}]", f"is above high[{index}]", "swap the two")


def _prefix_problems(card: PolicyCard) -> Iterator[Problem]:
    streams = {part.stream for tensor in card.inputs for part in tensor.filled_by}
    steps = card.prefix.max_steps
    by_time = isinstance(card.decoder, FlowDecoder) and card.decoder.time_per_position
    if steps >= card.chunk.steps:
        said = f"must be below chunk.steps ({card.chunk.steps}), and is {steps}"
        yield Problem("prefix.max_steps", said, "a prefix leaves at least one action to the model")
    elif steps and not by_time and not {"prefix", "mask"} <= streams:
        hint = "name the tensors that take the prefix and its mask, or set max_steps = 0"
        yield Problem("prefix.max_steps", f"is {steps}, but no inputs take prefix and mask", hint)


def _recurrent_problems(card: PolicyCard) -> Iterator[Problem]:
    tensors = {tensor.name: tensor for tensor in card.inputs}
    seen: dict[str, dict[str, int]] = {"output": {}, "input": {}}
    for index, row in enumerate(card.recurrent):
        path = f"recurrent[{index}]"
        for word, name in (("output", row.output), ("input", row.input)):
            if seen[word].setdefault(name, index) != index:
                said = f"is also that of recurrent[{seen[word][name]}]"
                yield Problem(f"{path}.{word}", said, "each state has an output and an input of its own")
        if row.output == card.output.name:
            yield Problem(
                f"{path}.output", "is the output that holds the chunk", "a state has its own output"
            )
        tensor = tensors.get(row.input)
        wanted = f"recurrent:{row.output}"
        if tensor is None:
            hint = f'add it to inputs with stream = "{wanted}"'
            yield Problem(f"{path}.input", f"is not among the inputs: {row.input}", hint)
        elif tensor.stream != wanted:
            said = f'is {row.input}, which is filled by "{tensor.stream}"'
            yield Problem(f"{path}.input", said, f'its stream is "{wanted}"')
