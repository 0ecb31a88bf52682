"""Models to measure with: made here, with random weights that are the same every time, each with its card.

What they answer means nothing; what they cost does: layers, tensors and memory of the kind that people bring.
Needs the ``onnx`` package, which is no dependency of the runtime: without it ``write`` raises ModuleNotFoundError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import CardInput, CardJoint, CardOutput, ChunkShape, PolicyCard

SEED = 3
OPSET, IR_VERSION = 17, 10
STEP_MS = 20
IMAGE = "image"
"""The camera's input: no stream of today's cards fills it, so its card is made without being checked."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model file and what it is. ``parameters`` and ``macs`` (multiply-accumulates of one answer) are counted."""

    path: Path
    card: PolicyCard
    parameters: int
    macs: int


class Graph:
    """Builds a network row by row, and counts what it costs. Tensors are [rows, columns] unless said."""

    def __init__(self) -> None:
        from onnx import helper, numpy_helper

        self._helper, self._numpy = helper, numpy_helper
        self._rng = np.random.default_rng(SEED)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self.parameters = 0
        self.macs = 0

    def node(self, kind: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """One operation; its output's name."""
        output = output or f"t{len(self._nodes)}"
        self._nodes.append(self._helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: NDArray[Any]) -> str:
        """A fixed tensor that is no weight: a shape, an axis."""
        name = f"c{len(self._constants)}"
        self._constants.append(self._numpy.from_array(values, name))
        return name

    def weights(self, *shape: int, fan_in: int = 0) -> str:
        """Random weights that keep the size of what passes through them (K. He et al., ICCV 2015)."""
        values = self._rng.standard_normal(shape, np.float32)
        self.parameters += values.size
        return self.constant(values * np.float32(math.sqrt(2 / fan_in) if fan_in else 0.02))

    def linear(self, x: str, rows: int, columns: int, outputs: int, relu: bool = False) -> str:
        """``x`` [rows, columns] to [rows, outputs]."""
        self.macs += rows * columns * outputs
        product = self.node("MatMul", [x, self.weights(columns, outputs, fan_in=columns)])
        summed = self.node("Add", [product, self.weights(outputs)])
        return self.node("Relu", [summed]) if relu else summed

    def reshape(self, x: str, *shape: int, output: str = "") -> str:
        """``x`` in another shape."""
        return self.node("Reshape", [x, self.constant(np.array(shape, np.int64))], output)

    def attention(self, x: str, rows: int, memory: str, memory_rows: int, width: int, heads: int) -> str:
        """Multi-head attention of ``x`` [rows, width] to ``memory`` [memory_rows, width]."""
        size = width // heads

        def split(tensor: str, count: int, order: tuple[int, int, int]) -> str:
            projected = self.reshape(self.linear(tensor, count, width, width), count, heads, size)
            return self.node("Transpose", [projected], perm=order)

        query = split(x, rows, (1, 0, 2))
        key = split(memory, memory_rows, (1, 2, 0))
        value = split(memory, memory_rows, (1, 0, 2))
        scores = self.node("MatMul", [query, key])
        scaled = self.node("Mul", [scores, self.constant(np.array([size**-0.5], np.float32))])
        mixed = self.node("MatMul", [self.node("Softmax", [scaled], axis=-1), value])
        self.macs += 2 * rows * memory_rows * width
        joined = self.reshape(self.node("Transpose", [mixed], perm=(1, 0, 2)), rows, width)
        return self.linear(joined, rows, width, width)

    def add_and_norm(self, x: str, change: str, width: int) -> str:
        """The residual sum, normalised behind it as in the first transformers."""
        scale, shift = self.constant(np.ones(width, np.float32)), self.constant(np.zeros(width, np.float32))
        self.parameters += 2 * width
        return self.node("LayerNormalization", [self.node("Add", [x, change]), scale, shift], axis=-1)

    def feed_forward(self, x: str, rows: int, width: int, inner: int) -> str:
        """The two layers behind an attention, with their residual."""
        hidden = self.linear(x, rows, width, inner, relu=True)
        return self.add_and_norm(x, self.linear(hidden, rows, inner, width), width)

    def convolution(self, x: str, channels: int, outputs: int, kernel: int, stride: int, side: int) -> str:
        """``x`` [1, channels, side * stride, side * stride] to [1, outputs, side, side], with ReLU."""
        self.macs += outputs * channels * kernel * kernel * side * side
        fan_in = channels * kernel * kernel
        kernels = self.weights(outputs, channels, kernel, kernel, fan_in=fan_in)
        pad = (kernel - 1) // 2
        convolved = self.node(
            "Conv",
            [x, kernels, self.weights(outputs)],
            strides=[stride, stride],
            pads=[pad, pad, kernel - 1 - pad, kernel - 1 - pad],
        )
        return self.node("Relu", [convolved])

    def save(self, path: Path, card: PolicyCard) -> Model:
        """The file, for a card whose output some node has made."""
        from onnx import TensorProto

        def tensor(name: str, shape: Sequence[int]) -> Any:
            return self._helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        inputs = [tensor(given.name, given.shape) for given in card.inputs]
        output = tensor(card.output.name, card.output.shape)
        graph = self._helper.make_graph(self._nodes, path.stem, inputs, [output], self._constants)
        opset = [self._helper.make_opsetid("", OPSET)]
        made = self._helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
        path.write_bytes(made.SerializeToString())
        return Model(path, card, self.parameters, self.macs)


def write(name: str, folder: Path) -> Model:
    """The model of that name (a key of ``BUILDERS``) as ``folder/name.onnx``."""
    return BUILDERS[name](folder / f"{name}.onnx")


def state57(path: Path) -> Model:
    """Position, velocity and command of 57 joints through three dense layers to 20 steps."""
    card = make_card("state57", 57, 20, ("joint_position", "joint_velocity", "command"))
    graph = Graph()
    state = graph.node("Concat", [given.name for given in card.inputs], axis=1)
    hidden = graph.linear(state, 1, 3 * 57, 512, relu=True)
    hidden = graph.linear(hidden, 1, 512, 512, relu=True)
    graph.reshape(graph.linear(hidden, 1, 512, 20 * 57), 1, 20, 57, output=card.output.name)
    return graph.save(path, card)


def act14(path: Path) -> Model:
    """ACT's transformer at its published sizes (T. Zhao et al., RSS 2023: width 512, 8 heads, 3200 inside, four
    layers of encoder, and the one of decoder that its code really uses), for 14 joints and 50 steps.

    Without cameras: the encoder sees three tokens of state and not the 300 of an image, so it is the memory of
    ACT that passes through the caches, and the decoder's cost.
    """
    joints, steps, width, heads, inner = 14, 50, 512, 8, 3200
    card = make_card("act14", joints, steps, ("joint_position", "joint_velocity", "command"))
    graph = Graph()
    tokens = [graph.linear(given.name, 1, joints, width) for given in card.inputs]
    memory = graph.node("Add", [graph.node("Concat", tokens, axis=0), graph.weights(3, width)])
    for _ in range(4):
        attended = graph.attention(memory, 3, memory, 3, width, heads)
        memory = graph.feed_forward(graph.add_and_norm(memory, attended, width), 3, width, inner)
    queries = graph.weights(steps, width)
    own = graph.add_and_norm(queries, graph.attention(queries, steps, queries, steps, width, heads), width)
    crossed = graph.add_and_norm(own, graph.attention(own, steps, memory, 3, width, heads), width)
    decoded = graph.feed_forward(crossed, steps, width, inner)
    graph.reshape(graph.linear(decoded, steps, width, joints), 1, steps, joints, output=card.output.name)
    return graph.save(path, card)


def camera(path: Path) -> Model:
    """One image of 3 x 224 x 224 floats through four convolutions, beside six joints, to 20 steps."""
    made = make_card("camera", 6, 20, ("joint_position",))
    image = CardInput.model_construct(name=IMAGE, stream=IMAGE, shape=(1, 3, 224, 224), unit="1")
    card = made.model_copy(update={"inputs": (*made.inputs, image)})
    graph = Graph()
    features, channels, side = IMAGE, 3, 224
    for outputs, kernel in ((32, 7), (64, 3), (128, 3), (256, 3)):
        side //= 2
        features = graph.convolution(features, channels, outputs, kernel, 2, side)
        channels = outputs
    seen = graph.reshape(graph.node("GlobalAveragePool", [features]), 1, channels)
    state = graph.node("Concat", [seen, "joint_position"], axis=1)
    hidden = graph.linear(state, 1, channels + 6, 256, relu=True)
    graph.reshape(graph.linear(hidden, 1, 256, 20 * 6), 1, 20, 6, output=card.output.name)
    return graph.save(path, card)


def make_card(name: str, joints: int, steps: int, streams: Sequence[str]) -> PolicyCard:
    """A card whose inputs, one value per joint each, are called as the streams that fill them."""
    units = {"joint_position": "joint", "joint_velocity": "joint/s", "command": "joint"}
    return PolicyCard(
        schema=1,
        name=name,
        version="1",
        representation="absolute",
        chunk=ChunkShape(steps=steps, step_ms=STEP_MS),
        joints=tuple(CardJoint(name=f"joint_{n}", kind="arm", unit="rad") for n in range(joints)),
        inputs=tuple(
            CardInput.model_validate({"name": one, "stream": one, "shape": (1, joints), "unit": units[one]})
            for one in streams
        ),
        output=CardOutput(name="chunk", shape=(1, steps, joints)),
    )


BUILDERS = {"state57": state57, "act14": act14, "camera": camera}
