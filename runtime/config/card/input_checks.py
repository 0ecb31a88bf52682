"""What must hold between an input tensor, the streams that fill it, and the rest of the card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from typing import TYPE_CHECKING

from spinal.runtime.config.card.inputs import (
    CHUNK_STREAMS,
    FIELD_SIZES,
    FIELD_UNITS,
    JOINT_STREAMS,
    CardInput,
    ImageSpec,
    Part,
)
from spinal.runtime.config.cross import did_you_mean, row_label
from spinal.runtime.errors import Problem

if TYPE_CHECKING:
    from spinal.runtime.config.card.fed import FedCard

_FLOATS = ("float32", "float16")
_WITH_HISTORY = ("joints", "stream", "camera")
_OF_A_PART = ("unit", "joints", "size", "history", "history_step_ms", "image", "max_age_ms", "optional")
"""Fields that say something of a stream, and nothing of a tensor that several fill."""


def input_problems(card: FedCard, rows: Iterable[tuple[int, CardInput]] | None = None) -> Iterator[Problem]:
    """Every problem of the card's inputs, tensor by tensor; ``rows``: those of the file, by their place there."""
    first: dict[str, int] = {}
    for index, tensor in enumerate(card.inputs) if rows is None else rows:
        path = row_label("inputs", index, {"name": tensor.name})
        if first.setdefault(tensor.name, index) != index:
            hint = "a tensor stands here once"
            yield Problem(f"{path}.name", f"is also inputs[{first[tensor.name]}]", hint)
        if tensor.shape[0] != 1:
            hint = "a policy answers one observation at a time"
            yield Problem(f"{path}.shape", f"must begin with a batch of 1, and is {list(tensor.shape)}", hint)
        if tensor.parts:
            yield from _parts_problems(card, tensor, path)
        else:
            yield from _part_problems(card, tensor, path)
            yield from _shape_problems(card, tensor, path)
        yield from _type_problems(tensor, path)


def part_size(card: FedCard, part: Part) -> int | None:
    """Numbers of one instant of ``part``; None where the card does not say (a camera, a goal without a size).

    ``last_action`` is the newest action, or with ``size`` the whole chunk that it stood in.
    """
    kind, name = part.source
    if kind == "joints":
        return len(part.joints or card.joints)
    if kind == "stream":
        return FIELD_SIZES[name.rpartition(".")[2]]
    if kind == "chunk":
        steps, channels = card.chunk.steps, card.channels
        if name == "last_action":
            return part.size if part.size in (channels, steps * channels) else channels
        if name == "base_action":
            return steps * len(card.joints)
        return {"mask": steps, "chunk_index": 1}.get(name, steps * channels)
    return None if kind == "camera" else part.size


def _shape_problems(card: FedCard, tensor: CardInput, path: str) -> Iterator[Problem]:
    wanted = _shapes(card, tensor)
    if wanted and tensor.shape not in wanted:
        words = " or ".join(str(list(shape)) for shape in wanted)
        said = f"must be {words} for {tensor.stream}, and is {list(tensor.shape)}"
        yield Problem(f"{path}.shape", said, "joints, chunk.steps and stream give the shape")
    if tensor.source[0] == "camera":
        yield from _picture_problems(tensor, path)


def _shapes(card: FedCard, tensor: CardInput) -> list[tuple[int, ...]]:
    """The shapes that its stream can fill; none where any will do."""
    kind, name = tensor.source
    steps, size = card.chunk.steps, part_size(card, tensor)
    if kind == "camera" or size is None:
        return []
    if kind == "chunk" and name in ("prefix", "noise"):
        return [(1, steps, card.channels)]
    if name == "last_action" and tensor.history == 1:
        return [(1, card.channels), (1, steps * card.channels), (1, steps, card.channels)]
    if kind == "chunk" and name == "chunk_index":
        return [(1, 1), (1,)]
    if name == "base_action":
        return [(1, size), (1, steps, len(card.joints))]
    if tensor.history > 1:
        return [(1, tensor.history, size)]
    return [(1, size), (1, 1, size)]


def _picture_problems(tensor: CardInput, path: str) -> Iterator[Problem]:
    image = tensor.image or ImageSpec()
    colours = _colours(image)
    frames = (1,) if tensor.history == 1 else (1, tensor.history)
    words = [
        *map(str, frames),
        *((str(colours), "height", "width"), ("height", "width", str(colours)))[image.layout == "hwc"],
    ]
    at = len(frames) if image.layout == "chw" else len(frames) + 2
    if (
        len(tensor.shape) != len(frames) + 3
        or tensor.shape[: len(frames)] != frames
        or tensor.shape[at] != colours
    ):
        said = (
            f"must be [{', '.join(words)}] for {image.layout} in {image.colours}, and is {list(tensor.shape)}"
        )
        yield Problem(f"{path}.shape", said, "image.layout, image.colours and history give the shape")


def _colours(image: ImageSpec) -> int:
    return 1 if image.colours == "grey" else 3


def _parts_problems(card: FedCard, tensor: CardInput, path: str) -> Iterator[Problem]:
    for word in _OF_A_PART:
        if getattr(tensor, word) != CardInput.model_fields[word].default:
            yield Problem(
                f"{path}.{word}", "belongs to a part", "the tensor has parts: say it of each of them"
            )
    total: int | None = 0
    for index, part in enumerate(tensor.parts):
        place = f"{path}.parts[{index}] ({part.stream})"
        yield from _part_problems(card, part, place)
        size = part_size(card, part)
        if part.source[0] in ("camera", "recurrent"):
            hint = "it fills a tensor of its own: stream in place of parts"
            yield Problem(f"{place}.stream", "is no stretch of a vector", hint)
            total = None
        elif size is None:
            yield Problem(f"{place}.size", "is missing", "how many numbers of the tensor it fills")
            total = None
        if total is not None and size is not None:
            total += size * part.history
    if total is None:
        return
    if prod(tensor.shape) != total or tensor.shape[-1] != total:
        said = f"must be [1, {total}], what its parts fill together, and is {list(tensor.shape)}"
        sizes = ", ".join(
            f"{part.stream} {(part_size(card, part) or 0) * part.history}" for part in tensor.parts
        )
        yield Problem(f"{path}.shape", said, f"its parts: {sizes}")
    if tensor.normalise is not None:
        yield from _size_problems(tensor, (total,), f"{path}.normalise")


def _part_problems(card: FedCard, part: Part, path: str) -> Iterator[Problem]:
    """Of what fills a tensor or a stretch of one: all but the shape."""
    kind, name = part.source
    yield from _unit_problems(part, path)
    names = [joint.name for joint in card.joints]
    for index, joint in enumerate(part.joints or ()):
        if kind != "joints":
            yield Problem(f"{path}.joints", "is not used", f"{part.stream} is no stream of joints")
            break
        if joint not in names:
            hint = did_you_mean(joint, names, "the joints of this card")
            yield Problem(f"{path}.joints[{index}]", f"names a joint that is not there: {joint}", hint)
        elif joint in (part.joints or ())[:index]:
            yield Problem(f"{path}.joints[{index}]", f"names {joint} again", "each joint once")
    if name == "joint_offset":
        wanted = part.joints or tuple(names)
        bare = [j.name for j in card.joints if j.name in wanted and j.default_position is None]
        if bare:
            said = f"needs the default_position of {', '.join(bare)}"
            yield Problem(
                f"{path}.stream", said, "an offset is the position less the pose that it was trained from"
            )
    if part.size is not None and kind in ("joints", "stream", "chunk", "camera"):
        size = part_size(card, part)
        if part.size != size:
            said = f"is {part.size}, and {part.stream} has {size or 'the size of its picture'}"
            yield Problem(f"{path}.size", said, "leave it out: the stream has a size of its own")
    remembered = kind in _WITH_HISTORY or name == "last_action" or (kind == "goal" and name != "text")
    if part.history > 1 and not remembered:
        yield Problem(f"{path}.history", f"is {part.history}, and {part.stream} has none", "leave it out")
    if part.history == 1 and part.history_step_ms is not None:
        yield Problem(f"{path}.history_step_ms", "is not used", "it belongs to a history of 2 or more")
    if part.optional and kind != "goal":
        yield Problem(f"{path}.optional", "is not used", f"{part.stream} is no goal")
    if part.max_age_ms is not None and kind not in ("goal", "camera"):
        yield Problem(f"{path}.max_age_ms", "is not used", f"{part.stream} is neither a goal nor a camera")
    if part.image is not None and kind != "camera":
        yield Problem(f"{path}.image", "is not used", f"{part.stream} is no camera")
    if kind == "recurrent" and name not in [row.output for row in card.recurrent]:
        hint = f'add [[recurrent]] with output = "{name}" and input = the tensor that it fills'
        yield Problem(f"{path}.stream", f"names an output that is not kept: {name}", hint)
    if part.normalise is not None and (name == "prefix" or kind == "recurrent"):
        why = (
            "the prefix goes through output.normalise" if name == "prefix" else "a state comes back as it was"
        )
        yield Problem(f"{path}.normalise", "is not used", f"leave it out: {why}")
    elif part.normalise is not None:
        yield from _size_problems(part, _channels(card, part), f"{path}.normalise")


def _unit_problems(part: Part, path: str) -> Iterator[Problem]:
    kind, name = part.source
    if kind == "joints":
        unit = JOINT_STREAMS[name]
    elif kind == "chunk":
        unit = CHUNK_STREAMS[name]
    elif kind == "stream":
        unit = FIELD_UNITS[name.rpartition(".")[2]]
    elif kind in ("camera", "recurrent"):
        unit = "1"
    else:
        return
    if part.unit != unit:
        said = f'must be "{unit}" for {part.stream}, and is "{part.unit}"'
        yield Problem(f"{path}.unit", said, "streams have one unit each")


def _channels(card: FedCard, part: Part) -> tuple[int, ...]:
    """How many numbers a statistic of ``part`` may have beside one; none where any number will do."""
    kind, name = part.source
    if kind == "camera":
        return (_colours(part.image or ImageSpec()),)
    if kind == "chunk" and name in ("noise", "last_action"):
        return card.channels, card.chunk.steps * card.channels
    size = part_size(card, part)
    if size is None and isinstance(part, CardInput):
        size = part.shape[-1]
    return () if size is None else (size,)


def _size_problems(part: Part, sizes: tuple[int, ...], path: str) -> Iterator[Problem]:
    if part.normalise is None or not sizes:
        return
    for word, count in part.normalise.sizes().items():
        if count not in (1, *sizes):
            words = " or ".join(map(str, dict.fromkeys(sizes)))
            said = f"has {count} numbers, and there are {words} channels"
            yield Problem(f"{path}.{word}", said, "one number a channel, or one for all of them")


def _type_problems(tensor: CardInput, path: str) -> Iterator[Problem]:
    allowed = _types(tensor)
    if tensor.dtype not in allowed:
        said = f"must be {' or '.join(allowed)} for {tensor.stream or 'parts'}, and is {tensor.dtype}"
        yield Problem(f"{path}.dtype", said, "the model's own type for this tensor: spinal policy show")
    if tensor.dtype not in _FLOATS and any(part.normalise for part in (tensor, *tensor.parts)):
        said = f"is not used for whole numbers ({tensor.dtype})"
        yield Problem(f"{path}.normalise", said, "leave it out, or take float32")
    if tensor.dtype == "uint8" and tensor.source[0] == "camera":
        spread = (tensor.image or ImageSpec()).range
        if spread != "0_255":
            said = f'must be "0_255" for bytes, and is "{spread}"'
            yield Problem(f"{path}.image.range", said, "or take float32")


def _types(tensor: CardInput) -> tuple[str, ...]:
    kind, name = tensor.source
    if not tensor.parts:
        if kind == "recurrent":
            return (*_FLOATS, "int64", "int32", "uint8", "bool")
        if kind == "camera":
            return (*_FLOATS, "uint8")
        if (kind, name) == ("goal", "text"):
            return ("int64", "int32", "uint8")
        if name == "mask":
            return (*_FLOATS, "bool", "int64", "int32")
        if name == "chunk_index":
            return (*_FLOATS, "int64", "int32")
    return _FLOATS
