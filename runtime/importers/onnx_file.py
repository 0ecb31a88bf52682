"""An ONNX file that somebody else exported: its tensors and its metadata, read without running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spinal.runtime.config.model_file import inspect_model
from spinal.runtime.config.onnx_graph import ModelTensor
from spinal.runtime.errors import ConfigError, Problem

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """A model with its weights inside; an open first axis is a batch, and counts as 1."""

    path: Path
    data: bytes
    inputs: Shapes
    outputs: Shapes
    types: Mapping[str, str]
    """Element type of each tensor, as a card names it."""
    metadata: Mapping[str, str]


def read_onnx(path: Path) -> OnnxFile:
    """The model in ``path``, which is written again byte by byte. Raises ConfigError with every problem."""
    facts = inspect_model(path)
    problems = list(facts.problems)
    graph = facts.graph
    if graph is None or problems:
        raise ConfigError(problems, str(path))
    inputs, outputs = (_shapes(tensors, problems) for tensors in (graph.inputs, graph.outputs))
    if problems:
        raise ConfigError(problems, str(path))
    types = {tensor.name: tensor.dtype for tensor in (*graph.inputs, *graph.outputs)}
    return OnnxFile(path, path.read_bytes(), inputs, outputs, types, dict(graph.metadata))


def _shapes(tensors: Sequence[ModelTensor], problems: list[Problem]) -> dict[str, tuple[int, ...]]:
    found = {}
    for tensor in tensors:
        shape = tensor.shape or ()
        fixed = tuple(
            1 if place == 0 and not isinstance(axis, int) else axis for place, axis in enumerate(shape)
        )
        if tensor.shape is None or not all(isinstance(axis, int) and axis > 0 for axis in fixed):
            said = f"has the shape {list(shape)}: its axes are not fixed"
            hint = "export it without dynamic_axes: a control loop has buffers of fixed size"
            problems.append(Problem(tensor.name, said, hint))
            continue
        found[tensor.name] = tuple(int(axis) for axis in fixed)
    return found
