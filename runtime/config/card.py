"""The policy card: what a model eats, what it answers, and for which joints.

The card is a TOML beside the model (``cartpick.onnx`` has ``cartpick.card.toml``), or JSON in the model's
metadata under ``CARD_KEY``, which only the policy process reads. Nothing here needs onnxruntime.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from spinal.runtime.config.cross import row_label
from spinal.runtime.config.load import read_toml
from spinal.runtime.config.model_file import inspect_model
from spinal.runtime.config.section import SHA256_PATTERN, STREAM_PATTERN, Name, Section, refuse
from spinal.runtime.config.words import problems_of
from spinal.runtime.errors import ConfigError, Problem

CARD_KEY = "spinal.card"
"""Key of the card in an ONNX file's metadata."""

MIN_STEPS, MAX_STEPS = 4, 127
"""What a spline can be fitted through, and what a trajectory carries beside its first waypoint, the pose that
is commanded at the observation (SP_MAX_WAYPOINTS)."""

Shape = Annotated[tuple[Annotated[int, Field(ge=1, le=65536)], ...], Field(strict=False, min_length=1)]

# stream -> unit. "joint" is each joint's own unit (rad or m), "1" is a number without unit.
_JOINT_UNITS = {
    "joint_position": "joint",
    "joint_velocity": "joint/s",
    "command": "joint",
    "prefix": "joint",
    "mask": "1",
    "noise": "1",
}
_FIELD_UNITS = {"position": "m", "yaw": "rad", "velocity": "m/s"}
_FIELD_SIZES = {"position": 3, "yaw": 1, "velocity": 3}


class ChunkShape(Section):
    """How long a chunk is: ``steps`` actions, ``step_ms`` apart."""

    steps: int = Field(
        ge=MIN_STEPS, le=MAX_STEPS, description=f"actions of a chunk, {MIN_STEPS} to {MAX_STEPS}"
    )
    step_ms: int = Field(ge=1, le=1000, description="time between two actions of a chunk, in ms")

    @property
    def duration_ms(self) -> int:
        """Milliseconds from the first action to the last."""
        return (self.steps - 1) * self.step_ms


class CardJoint(Section):
    """One action channel, in the model's order."""

    name: Name = Field(description="the joint's name, as the robot file calls it")
    kind: Literal["arm", "gripper"] = Field(description='"arm" or "gripper"')
    unit: Literal["rad", "m"] = Field(description="the unit of the model's numbers for it: rad or m")


class CardInput(Section):
    """One input tensor of the model (float32) and the stream that fills it."""

    name: str = Field(min_length=1, max_length=200, description="the tensor's name in the model")
    stream: str = Field(
        pattern=STREAM_PATTERN,
        description="what fills it: joint_position, joint_velocity, command, prefix, mask, noise, or"
        " stream:NAME.position, stream:NAME.yaw, stream:NAME.velocity",
    )
    shape: Shape = Field(description="the tensor's shape with its batch of 1, e.g. [1, 6]")
    unit: Literal["joint", "joint/s", "m", "m/s", "rad", "1"] = Field(
        description='the unit of its numbers: "joint" is each joint\'s own, "1" is none'
    )

    @property
    def sensor(self) -> tuple[str, str] | None:
        """(stream, field) when a sensor fills the tensor, e.g. ("block", "yaw"); None otherwise."""
        if not self.stream.startswith("stream:"):
            return None
        name, _, field = self.stream.removeprefix("stream:").partition(".")
        return name, field


class CardOutput(Section):
    """The output tensor that holds the chunk."""

    name: str = Field(min_length=1, max_length=200, description="the tensor's name in the model")
    shape: Shape = Field(description="the tensor's shape: [1, chunk.steps, number of joints]")


class PrefixConditioning(Section):
    """How much of the chunk under way the model was trained to continue."""

    max_steps: int = Field(ge=0, le=MAX_STEPS, description="the longest prefix the model was trained with")


class PolicyCard(Section):
    """What a policy promises. Raises ``ConfigError`` from ``load_card``, with every problem."""

    schema_version: Literal[1] = Field(alias="schema", description="the version of this file format: 1")
    name: Name = Field(description="the policy's name")
    version: str = Field(min_length=1, max_length=48, description='the policy\'s version, e.g. "0.1.0"')
    sha256: Annotated[str, Field(pattern=SHA256_PATTERN)] | None = Field(
        default=None, description="the SHA-256 of the model file, as sha256sum prints it"
    )
    robot: Name | None = Field(default=None, description="the embodiment that the policy was trained for")
    representation: Literal["absolute"] = Field(description='what an action is: "absolute" joint targets')
    noise: Literal["zero", "normal"] = Field(
        default="zero", description='what fills a noise input: "zero", or "normal" draws'
    )
    chunk: ChunkShape = Field(description="how long a chunk is")
    prefix: PrefixConditioning = Field(
        default=PrefixConditioning(max_steps=0), description="which prefixes the model was trained with"
    )
    joints: Annotated[tuple[CardJoint, ...], Field(strict=False)] = Field(
        min_length=1, description="the action channels, in the model's order"
    )
    inputs: Annotated[tuple[CardInput, ...], Field(strict=False)] = Field(
        min_length=1, description="the model's input tensors"
    )
    output: CardOutput = Field(description="the tensor that holds the chunk")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse([*_input_problems(self), *_output_problems(self), *_prefix_problems(self)])
        return self


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
        shape, unit = _expected(tensor, card)
        if tensor.shape != shape:
            said = f"must be {list(shape)} for {tensor.stream}, and is {list(tensor.shape)}"
            problems.append(Problem(f"{path}.shape", said, "joints, chunk.steps and stream give the shape"))
        if tensor.unit != unit:
            said = f'must be "{unit}" for {tensor.stream}, and is "{tensor.unit}"'
            problems.append(
                Problem(f"{path}.unit", said, "scale inside the model: streams have one unit each")
            )
    return problems


def _expected(tensor: CardInput, card: PolicyCard) -> tuple[tuple[int, ...], str]:
    steps, joints = card.chunk.steps, len(card.joints)
    if tensor.sensor:
        field = tensor.sensor[1]
        return (1, _FIELD_SIZES[field]), _FIELD_UNITS[field]
    shape: tuple[int, ...] = (1, joints)
    if tensor.stream in ("prefix", "noise"):
        shape = (1, steps, joints)
    elif tensor.stream == "mask":
        shape = (1, steps)
    return shape, _JOINT_UNITS[tensor.stream]


def _output_problems(card: PolicyCard) -> list[Problem]:
    shape = (1, card.chunk.steps, len(card.joints))
    if card.output.shape == shape:
        return []
    said = f"must be {list(shape)}, and is {list(card.output.shape)}"
    return [Problem("output.shape", said, "it is [1, chunk.steps, number of joints]")]


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
