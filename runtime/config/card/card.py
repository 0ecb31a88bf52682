"""The policy card as a whole. How it is read stands in ``load.py``, what must hold inside it in ``*_checks.py``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, model_validator

from spinal.runtime.config.card.actions import (
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
from spinal.runtime.config.card.input_checks import input_problems
from spinal.runtime.config.card.inputs import CardInput
from spinal.runtime.config.card.output_checks import output_problems
from spinal.runtime.config.section import SHA256_PATTERN, Name, Section, refuse
from spinal.runtime.errors import Problem

START_TOLERANCE_RAD = 0.2
"""How far a joint may stand from the pose that a policy of offsets starts from, where its card does not say."""


class PolicyCard(Section):
    """What a policy promises. Raises ``ConfigError`` from ``load_card``, with every problem."""

    schema_version: Literal[1] = Field(alias="schema", description="the version of this file format: 1")
    name: Name = Field(description="the policy's name")
    version: str = Field(min_length=1, max_length=48, description='the policy\'s version, e.g. "0.1.0"')
    sha256: Annotated[str, Field(pattern=SHA256_PATTERN)] | None = Field(
        default=None,
        description="the SHA-256 of the model file without a card in its metadata: what sha256sum prints for a"
        " model that carries none",
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
    start_tolerance_rad: float | None = Field(
        default=None,
        gt=0,
        le=10,
        description="how far an arm joint may stand from its default_position when the policy begins, in rad;"
        f" without, {START_TOLERANCE_RAD} where an input is joint_offset, and any distance elsewhere",
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
        default=(),
        description="outputs that are inputs of the next step; without, as the streams recurrent:OUTPUT say",
    )
    output: CardOutput = Field(description="the tensor that holds the chunk")

    @model_validator(mode="before")
    @classmethod
    def _kept_states(cls, raw: object) -> object:
        """Without a table of its own, recurrent state is what the inputs' streams say."""
        if (
            not isinstance(raw, Mapping)
            or "recurrent" in raw
            or not isinstance(raw.get("inputs"), list | tuple)
        ):
            return raw
        streams = [(row.get("stream"), row.get("name")) for row in raw["inputs"] if isinstance(row, Mapping)]
        kept = [
            {"output": stream.removeprefix("recurrent:"), "input": name}
            for stream, name in streams
            if isinstance(stream, str) and stream.startswith("recurrent:") and isinstance(name, str) and name
        ]
        return {**raw, "recurrent": kept} if kept else raw

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Self:
        if info.context is not _ALONE:
            refuse([*input_problems(self), *output_problems(self)])
        return self

    @property
    def channels(self) -> int:
        """Numbers of an action."""
        if self.pose is None:
            return len(self.joints)
        sizes = {"6d": 6, "6d_rows": 6, "rotation_vector": 3, "euler_xyz": 3, "none": 0}
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

    @property
    def starts_within_rad(self) -> float | None:
        """How far from its default pose it may begin; None where any pose will do."""
        if self.start_tolerance_rad is not None:
            return self.start_tolerance_rad
        offsets = any(part.stream == "joint_offset" for tensor in self.inputs for part in tensor.filled_by)
        return START_TOLERANCE_RAD if offsets else None


_FILLED = {"schema": 1, "name": "x", "version": "0"}
"""Stand-ins for required fields that no other depends on as long as they are wrong."""
_DEPENDED = ("representation", "chunk", "decoder", "pose", "joints", "output")
"""While one of these is wrong, nothing can be said of how the rest belongs together."""
_ALONE = {"alone": True}


def problems_between(raw: Mapping[str, Any], error: ValidationError) -> list[Problem]:
    """What does not belong together among those fields of ``raw`` in which ``error`` found nothing wrong.

    The card's own checks wait until every field is right; a person sees all that is wrong at once. Inputs that are
    wrong are left out, and then nothing is said to be missing among them.
    """
    pruned = dict(raw)
    bad_rows: set[int] = set()
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        where = detail["loc"]
        if not where or where[0] in _DEPENDED:
            return []
        if where[0] == "inputs" and len(where) > 1 and isinstance(where[1], int):
            bad_rows.add(where[1])
        elif where[0] in _FILLED:
            pruned[str(where[0])] = _FILLED[str(where[0])]
        else:
            pruned.pop(str(where[0]), None)
    rows = raw.get("inputs")
    kept = [k for k in range(len(rows)) if k not in bad_rows] if isinstance(rows, list | tuple) else []
    known = not bad_rows and bool(kept)
    pruned["inputs"] = [rows[k] for k in kept] if isinstance(rows, list | tuple) and kept else [_ANY_INPUT]
    try:
        card = PolicyCard.model_validate(pruned, context=_ALONE)
    except ValidationError:
        return []
    found = [*input_problems(card, zip(kept, card.inputs, strict=True))] if kept else []
    return [*found, *output_problems(card, inputs_known=known)]


_ANY_INPUT = {"name": "x", "stream": "goal:latent", "shape": [1, 1]}
