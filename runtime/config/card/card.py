"""The policy card as a whole, and where it is read from.

The card is a TOML beside the model (``cartpick.onnx`` has ``cartpick.card.toml``), or JSON in the model's
metadata under ``CARD_KEY``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from spinal.runtime.config.card.actions import (
    MIN_STEPS,
    CardJoint,
    CardOutput,
    ChunkShape,
    PoseSpec,
    PrefixConditioning,
    Recurrent,
    Representation,
)
from spinal.runtime.config.card.decoders import (
    ChunkDecoder,
    DecoderSettings,
    DiffusionDecoder,
    FlowDecoder,
    GraphFile,
)
from spinal.runtime.config.card.inputs import FIELD_SIZES, FIELD_UNITS, JOINT_STREAMS, CardInput
from spinal.runtime.config.cross import row_label
from spinal.runtime.config.load import read_toml
from spinal.runtime.config.model_file import inspect_model
from spinal.runtime.config.section import SHA256_PATTERN, Name, Section, refuse
from spinal.runtime.config.words import problems_of
from spinal.runtime.errors import ConfigError, Problem

CARD_KEY = "spinal.card"
"""Key of the card in an ONNX file's metadata."""
FITTED = ("chunk", "ensemble", "fast", "bins", "vq", "flow", "diffusion", "other")
"""Decoders whose actions a spline is fitted through."""


class PolicyCard(Section):
    """What a policy promises. Raises ``ConfigError`` from ``load_card``, with every problem."""

    schema_version: Literal[1] = Field(alias="schema", description="the version of this file format: 1")
    name: Name = Field(description="the policy's name")
    version: str = Field(min_length=1, max_length=48, description='the policy\'s version, e.g. "0.1.0"')
    sha256: Annotated[str, Field(pattern=SHA256_PATTERN)] | None = Field(
        default=None, description="the SHA-256 of the model file, as sha256sum prints it"
    )
    robot: Name | None = Field(default=None, description="the embodiment that the policy was trained for")
    engine: Name = Field(
        default="onnxruntime",
        description="what runs the model: onnxruntime, or a process that [policy.engines] of the robot file names",
    )
    inference_ms: float | None = Field(
        default=None,
        gt=0,
        le=60_000,
        description="what an inference takes where it was measured; ten times is a fault",
    )
    representation: Representation = Field(
        description='what an action is: "absolute" targets, "relative" to the state at the observation,'
        ' "delta" from action to action, "velocity", or "pose" of a link'
    )
    relative_to: Literal["measured", "command"] = Field(
        default="measured", description="what relative actions are added to: measured or command"
    )
    noise: Literal["zero", "normal"] = Field(
        default="zero", description='what fills a noise input: "zero", or "normal" draws'
    )
    chunk: ChunkShape = Field(description="how long a chunk is")
    decoder: DecoderSettings = Field(default=ChunkDecoder(), description="how an answer becomes actions")
    prefix: PrefixConditioning = Field(
        default=PrefixConditioning(max_steps=0), description="which prefixes the model was trained with"
    )
    pose: PoseSpec | None = Field(default=None, description='for representation = "pose"')
    joints: Annotated[tuple[CardJoint, ...], Field(strict=False)] = Field(
        min_length=1, description="the action channels that are joints, in the model's order"
    )
    inputs: Annotated[tuple[CardInput, ...], Field(strict=False)] = Field(
        min_length=1, description="the model's input tensors"
    )
    recurrent: Annotated[tuple[Recurrent, ...], Field(strict=False)] = Field(
        default=(), description="outputs that are inputs of the next step"
    )
    output: CardOutput = Field(description="the tensor that holds the chunk")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse([*_input_problems(self), *_output_problems(self), *_prefix_problems(self)])
        return self

    @property
    def channels(self) -> int:
        """Numbers of an action."""
        if self.pose is None:
            return len(self.joints)
        sizes = {"6d": 6, "rotation_vector": 3, "euler_xyz": 3, "none": 0}
        return 3 + sizes.get(self.pose.rotation, 4) + sum(joint.kind == "gripper" for joint in self.joints)

    @property
    def filled_by_head(self) -> frozenset[str]:
        """Inputs of the model that a looped head fills itself; no stream does, whatever ``inputs`` says of them."""
        match self.decoder:
            case FlowDecoder(x=x, time=time, error=error):
                return frozenset((x, time) if error is None else (x, time, error))
            case DiffusionDecoder(x=x, time=time):
                return frozenset((x, time))
        return frozenset()

    @property
    def encoder(self) -> GraphFile | None:
        """The graph that runs once an observation, before the steps of a looped head."""
        return self.decoder.encoder if isinstance(self.decoder, FlowDecoder | DiffusionDecoder) else None


def card_path(model: str | Path) -> Path:
    """Where the card of ``model`` stands: beside it, with the same stem."""
    return Path(model).with_suffix(".card.toml")


def load_card(model: str | Path) -> PolicyCard:
    """The card beside ``model``, after the model file's own checks and its SHA-256.

    Raises ``ConfigError`` with every problem of both files.
    """
    path = card_path(model)
    facts = inspect_model(model)
    problems = list(facts.problems)
    card: PolicyCard | None = None
    try:
        card = parse_card(read_toml(path), str(path))
    except ConfigError as error:
        if path.exists():
            problems += [Problem(_within(path.name, p.path), p.message, p.hint) for p in error.problems]
        else:
            hint = "write its card there: inputs, output, joints and chunk of the model"
            problems.append(Problem(path.name, "is missing beside the model", hint))
    if card and facts.sha256 and card.sha256 != facts.sha256:
        said = f"is {card.sha256}" if card.sha256 else "is missing"
        hint = f'if the model is the one you mean, write: sha256 = "{facts.sha256}"'
        problems.append(Problem(f"{path.name}: sha256", f"{said}, and the model's is {facts.sha256}", hint))
    if problems or card is None:
        raise ConfigError(problems, str(model))
    return card


def parse_card(raw: dict[str, Any], source: str) -> PolicyCard:
    """The card in ``raw`` tables; ``source`` names them in a ``ConfigError``."""
    try:
        return PolicyCard.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(problems_of(error, raw, PolicyCard), source) from None


def parse_card_json(text: str, source: str) -> PolicyCard:
    """The card that a model's metadata carries under ``CARD_KEY``; raises ``ConfigError``."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = "export the model again with its card"
        raise ConfigError([Problem("", f"the embedded card is not JSON: {error}", hint)], source) from None
    return parse_card(raw, source)


def _input_problems(card: PolicyCard) -> list[Problem]:
    problems = []
    first: dict[str, int] = {}
    for index, tensor in enumerate(card.inputs):
        path = row_label("inputs", index, {"name": tensor.name})
        if first.setdefault(tensor.name, index) != index:
            hint = "a tensor stands here once"
            problems.append(Problem(f"{path}.name", f"is also inputs[{first[tensor.name]}]", hint))
        if tensor.parts:
            continue
        shape, unit = _expected(tensor, card)
        if shape is not None and tensor.shape != shape:
            said = f"must be {list(shape)} for {tensor.stream}, and is {list(tensor.shape)}"
            problems.append(Problem(f"{path}.shape", said, "joints, chunk.steps and stream give the shape"))
        if unit is not None and tensor.unit != unit:
            said = f'must be "{unit}" for {tensor.stream}, and is "{tensor.unit}"'
            problems.append(Problem(f"{path}.unit", said, "streams have one unit each"))
    return problems


def _expected(tensor: CardInput, card: PolicyCard) -> tuple[tuple[int, ...] | None, str | None]:
    """Shape and unit of what its stream fills; None where any will do."""
    steps, joints = card.chunk.steps, len(tensor.joints or card.joints)
    past = (1,) if tensor.history == 1 else (1, tensor.history)
    if tensor.sensor:
        field = tensor.sensor[1]
        return (*past, FIELD_SIZES[field]), FIELD_UNITS[field]
    if tensor.stream in ("prefix", "noise"):
        return (1, steps, card.channels), "joint" if tensor.stream == "prefix" else "1"
    if tensor.stream == "mask":
        return (1, steps), "1"
    if tensor.stream in JOINT_STREAMS:
        return (*past, joints), JOINT_STREAMS[tensor.stream]
    return None, None


def _output_problems(card: PolicyCard) -> list[Problem]:
    problems = []
    if (card.representation == "pose") != (card.pose is not None):
        hint = 'representation = "pose" and the table [pose] belong together'
        problems.append(Problem("pose", "is missing" if card.pose is None else "is not used", hint))
    if card.decoder.kind in FITTED and card.chunk.steps - card.chunk.first < MIN_STEPS:
        said = (
            f"must leave {MIN_STEPS} actions, and {card.chunk.steps} less first = {card.chunk.first} do not"
        )
        problems.append(
            Problem(
                "chunk.steps",
                said,
                "a spline is fitted through them; a policy of single actions repeats its action",
            )
        )
    shape = (1, card.chunk.steps, card.channels)
    if card.decoder.kind in ("chunk", "ensemble") and card.output.shape != shape:
        said = f"must be {list(shape)}, and is {list(card.output.shape)}"
        problems.append(Problem("output.shape", said, "it is [1, chunk.steps, number of joints]"))
    return problems


def _prefix_problems(card: PolicyCard) -> list[Problem]:
    streams = {tensor.stream for tensor in card.inputs}
    steps = card.prefix.max_steps
    if steps >= card.chunk.steps:
        said = f"must be below chunk.steps ({card.chunk.steps}), and is {steps}"
        return [Problem("prefix.max_steps", said, "a prefix leaves at least one action to the model")]
    if steps and not {"prefix", "mask"} <= streams:
        hint = "name the tensors that take the prefix and its mask, or set max_steps = 0"
        return [Problem("prefix.max_steps", f"is {steps}, but no inputs take prefix and mask", hint)]
    return []


def _within(file: str, path: str) -> str:
    return f"{file}: {path}"
