"""What an ONNX model says of itself, read without running it: its tensors, operators, metadata, and where its
weights are.

Field numbers are those of onnx.proto (onnx 1.17; the format only ever adds some). A field of a type that onnx.proto
does not give it is skipped, as protobuf's own readers do; where they would merge or overwrite, each is looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from spinal.runtime.config.protobuf import LENGTH, VARINT, Field, MalformedError, Wire

MAX_DEPTH = 16
"""Graphs inside graphs (If, Loop, Scan)."""
MAX_METADATA_BYTES = 8 << 20
"""Of all keys and values together."""
MAX_TENSORS = 4096
"""Inputs and outputs."""
MAX_AXES = 16
MAX_NAME = 512
CARD_KEY = "spinal.card"
"""Key of the card in an ONNX file's metadata."""

OWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Operators that onnxruntime has without a library of somebody's."""
LOADERS = ("EPContext",)
"""Operators of those domains that load other files: compiled engines, code."""

_TYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
}


@dataclass(frozen=True, slots=True)
class ModelTensor:
    """An input or output as the model declares it.

    ``dtype`` is empty for what is no tensor. An axis is a size, or the name of one that is not bound ("?" without a
    name); ``shape`` is None when none is declared.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None

    @property
    def bound(self) -> bool:
        """Whether every axis has a size."""
        return self.shape is not None and all(isinstance(axis, int) for axis in self.shape)


@dataclass(frozen=True, slots=True)
class ModelGraph:
    """A model. ``inputs`` are those that must be filled: initialisers that are listed among them are left out."""

    ir_version: int
    producer: str
    opsets: dict[str, int]
    """Imported domain: version; the standard domain is ai.onnx."""
    inputs: tuple[ModelTensor, ...]
    outputs: tuple[ModelTensor, ...]
    metadata: dict[str, str]
    operators: dict[str, int]
    """Domain: how many nodes use it; what the file's own functions define is not counted."""
    foreign: tuple[str, ...]
    """domain::operator of what onnxruntime does not have by itself."""
    external: tuple[str, ...]
    """Tensors whose data is said to be in another file."""
    cards: tuple[tuple[int, int], ...]
    """Where in the file metadata under ``CARD_KEY`` stands: [begin, end)."""


def read_graph(data: bytes) -> ModelGraph:
    """The model in ``data``. Raises MalformedError for what is none, or is built to keep a reader busy."""
    return _Reader(data).model()


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._wire = Wire(data)
        self._data = data
        self._nodes: Counter[tuple[str, str]] = Counter()
        self._functions: set[tuple[str, str]] = set()
        self._external: dict[str, None] = {}
        self._metadata_left = MAX_METADATA_BYTES

    def model(self) -> ModelGraph:
        version, producer = 0, ["", ""]
        opsets: dict[str, int] = {}
        metadata: dict[str, str] = {}
        inputs: list[ModelTensor] = []
        outputs: list[ModelTensor] = []
        weights: set[str] = set()
        cards = []
        for field in self._wire.fields(0, len(self._data)):
            number, wire, begin, value, end = field
            if wire == VARINT and number == 1:
                version = value
            if wire != LENGTH:
                continue
            if number in (2, 3):
                producer[number - 2] = self._text(field)
            elif number == 7:
                self._graph(field, 0, inputs, outputs, weights)
            elif number == 8:
                domain, opset = self._opset(field)
                opsets[domain or "ai.onnx"] = opset
            elif number == 14:
                key, text = self._entry(field)
                if key == CARD_KEY:
                    cards.append((begin, end))
                metadata[key] = text
            elif number == 20:
                self._training(field)
            elif number == 25:
                self._function(field)
        used: Counter[str] = Counter()
        foreign = set()
        for (domain, operator), count in self._nodes.items():
            if (domain, operator) in self._functions and operator not in LOADERS:
                continue
            used[domain or "ai.onnx"] += count
            if domain not in OWN_DOMAINS or operator in LOADERS:
                foreign.add(f"{domain or 'ai.onnx'}::{operator}")
        return ModelGraph(
            ir_version=version,
            producer=" ".join(part for part in producer if part),
            opsets=opsets,
            inputs=tuple(tensor for tensor in inputs if tensor.name not in weights),
            outputs=tuple(outputs),
            metadata=metadata,
            operators=dict(used),
            foreign=tuple(sorted(foreign)),
            external=tuple(self._external),
            cards=tuple(cards),
        )

    def _graph(
        self,
        graph: Field,
        depth: int,
        inputs: list[ModelTensor] | None = None,
        outputs: list[ModelTensor] | None = None,
        weights: set[str] | None = None,
    ) -> None:
        if depth > MAX_DEPTH:
            raise MalformedError(f"has graphs inside graphs, more than {MAX_DEPTH} deep")
        for field in self._messages(graph):
            number = field[0]
            if number == 1:
                self._node(field, depth)
            elif number == 5:
                name = self._tensor(field)
                if weights is not None:
                    weights.add(name)
            elif number == 15:
                name = self._sparse(field)
                if weights is not None:
                    weights.add(name)
            elif number == 11 and inputs is not None:
                self._declare(field, inputs)
            elif number == 12 and outputs is not None:
                self._declare(field, outputs)

    def _node(self, node: Field, depth: int) -> None:
        domain = operator = ""
        for field in self._messages(node):
            number = field[0]
            if number == 4:
                operator = self._text(field)
            elif number == 7:
                domain = self._text(field)
            elif number == 5:
                self._attribute(field, depth)
        self._nodes["" if domain == "ai.onnx" else domain, operator] += 1

    def _attribute(self, attribute: Field, depth: int) -> None:
        for field in self._messages(attribute):
            number = field[0]
            if number in (5, 10):
                self._tensor(field)
            elif number in (6, 11):
                self._graph(field, depth + 1)
            elif number in (22, 23):
                self._sparse(field)

    def _function(self, function: Field) -> None:
        name = domain = ""
        for field in self._messages(function):
            number = field[0]
            if number == 1:
                name = self._text(field)
            elif number == 10:
                domain = self._text(field)
            elif number == 7:
                self._node(field, 1)
            elif number == 11:
                self._attribute(field, 1)
        self._functions.add(("" if domain == "ai.onnx" else domain, name))

    def _training(self, training: Field) -> None:
        for field in self._messages(training):
            if field[0] in (1, 2):
                self._graph(field, 1)

    def _tensor(self, tensor: Field) -> str:
        """Its name; remembers it when its data is elsewhere."""
        name, elsewhere = "", False
        for number, wire, begin, value, end in self._wire.fields(tensor[3], tensor[4]):
            if number == 8 and wire == LENGTH:
                name = self._text((number, wire, begin, value, end))
            elsewhere |= number == 13 or (number == 14 and wire == VARINT and value != 0)
        if elsewhere:
            self._external[name] = None
        return name

    def _sparse(self, tensor: Field) -> str:
        name = ""
        for field in self._messages(tensor):
            if field[0] in (1, 2):
                part = self._tensor(field)
                name = part if field[0] == 1 else name
        return name

    def _declare(self, declared: Field, into: list[ModelTensor]) -> None:
        if len(into) >= MAX_TENSORS:
            raise MalformedError(f"has more than {MAX_TENSORS} inputs or outputs")
        name, dtype, shape = "", "", None
        for field in self._messages(declared):
            if field[0] == 1:
                name = self._text(field)
            elif field[0] == 2:
                for kind in self._messages(field):
                    if kind[0] == 1:
                        dtype, shape = self._tensor_type(kind)
        into.append(ModelTensor(name, dtype, shape))

    def _tensor_type(self, kind: Field) -> tuple[str, tuple[int | str, ...] | None]:
        dtype, shape = "undefined", None
        for number, wire, begin, value, end in self._wire.fields(kind[3], kind[4]):
            if number == 1 and wire == VARINT:
                dtype = _TYPES.get(value, f"type {value}")
            elif number == 2 and wire == LENGTH:
                axes = [
                    self._axis(axis)
                    for axis in self._messages((number, wire, begin, value, end))
                    if axis[0] == 1
                ]
                if len(axes) > MAX_AXES:
                    raise MalformedError(f"has a tensor of {len(axes)} axes")
                shape = tuple(axes)
        return dtype, shape

    def _axis(self, axis: Field) -> int | str:
        size: int | str = "?"
        for number, wire, begin, value, end in self._wire.fields(axis[3], axis[4]):
            if number == 1 and wire == VARINT:
                size = value if value < 1 << 63 else value - (1 << 64)
            elif number == 2 and wire == LENGTH:
                size = self._text((number, wire, begin, value, end)) or "?"
        return size

    def _opset(self, opset: Field) -> tuple[str, int]:
        domain, version = "", 0
        for number, wire, begin, value, end in self._wire.fields(opset[3], opset[4]):
            if number == 1 and wire == LENGTH:
                domain = self._text((number, wire, begin, value, end))
            elif number == 2 and wire == VARINT:
                version = value
        return domain, version

    def _entry(self, entry: Field) -> tuple[str, str]:
        self._metadata_left -= entry[4] - entry[3]
        if self._metadata_left < 0:
            raise MalformedError(f"has more than {MAX_METADATA_BYTES >> 20} MiB of metadata")
        texts = ["", ""]
        for number, _, _, value, end in self._messages(entry):
            if number in (1, 2):
                texts[number - 1] = self._data[value:end].decode(errors="replace")
        return texts[0], texts[1]

    def _messages(self, parent: Field) -> Iterator[Field]:
        """The fields of ``parent`` that have a length: messages, strings, packed numbers."""
        return (field for field in self._wire.fields(parent[3], parent[4]) if field[1] == LENGTH)

    def _text(self, field: Field) -> str:
        value, end = field[3], field[4]
        if end - value > MAX_NAME:
            raise MalformedError(f"has a name of {end - value} bytes at byte {value}")
        return self._data[value:end].decode(errors="replace")
