"""Input tensors of a model, and what fills them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spinal.runtime.config.card.normalise import Normalisation
from spinal.runtime.config.section import STREAM_PATTERN, Name, Section, refuse
from spinal.runtime.errors import Problem

Shape = Annotated[tuple[Annotated[int, Field(ge=1, le=65536)], ...], Field(strict=False, min_length=1)]
Unit = Literal["joint", "joint/s", "m", "m/s", "rad", "rad/s", "m/s^2", "1"]
ElementType = Literal["float32", "float16", "int64", "int32", "uint8", "bool"]

JOINT_STREAMS = {
    "joint_position": "joint",
    "joint_velocity": "joint/s",
    "joint_offset": "joint",
    "joint_load": "1",
    "command": "joint",
}
"""One number a joint, and its unit: "joint" is what the card says of each. ``joint_offset`` is the position less
the card's default pose."""
CHUNK_STREAMS = {
    "prefix": "joint",
    "mask": "1",
    "noise": "1",
    "last_action": "1",
    "chunk_index": "1",
    "base_action": "joint",
}
"""Of the chunk: what will be executed before an answer is in force, how much of it, what a flow begins from, the
model's own last numbers; for residual models the policy's actions at the coming waypoints, and where in its chunk
they stand."""
FIELD_UNITS = {
    "position": "m",
    "yaw": "rad",
    "velocity": "m/s",
    "orientation": "1",
    "angular_velocity": "rad/s",
    "acceleration": "m/s^2",
    "gravity": "1",
}
FIELD_SIZES = {
    "position": 3,
    "yaw": 1,
    "velocity": 3,
    "orientation": 4,
    "angular_velocity": 3,
    "acceleration": 3,
    "gravity": 3,
}
"""Fields of ``stream:NAME.FIELD``; orientation is a quaternion wxyz, gravity the unit vector seen from the body."""


class ImageSpec(Section):
    """How a camera's picture (RGB, 8 bit) becomes a tensor: resized, laid out, scaled; then it is normalised."""

    layout: Literal["chw", "hwc"] = Field(default="chw", description='"chw" or "hwc", the batch aside')
    fit: Literal["stretch", "letterbox", "crop"] = Field(
        default="stretch",
        description="how another aspect is met: stretch, letterbox (black bars) or crop (the middle)",
    )
    colours: Literal["rgb", "bgr", "grey"] = Field(default="rgb", description="rgb, bgr or grey")
    antialias: bool = Field(
        default=False,
        description="true: what becomes smaller is averaged, as Pillow and torchvision do it; false: bilinear"
        " between the four nearest, as OpenCV and torch.nn.functional.interpolate do it",
    )
    range: Literal["0_1", "0_255", "-1_1"] = Field(
        default="0_1", description='what 0 to 255 becomes: "0_1", "0_255" or "-1_1"'
    )


class Part(Section):
    """Numbers from one stream: a tensor of their own, or a stretch of one that several fill (``parts``)."""

    stream: str = Field(
        pattern=STREAM_PATTERN,
        description="what fills it: joint_position, joint_velocity, joint_offset, joint_load, command, prefix,"
        " mask, noise, last_action, chunk_index, base_action, stream:NAME.FIELD, camera:NAME, goal:text,"
        " goal:embedding, goal:latent, goal:waypoint, goal:twist, recurrent:OUTPUT",
    )
    unit: Unit = Field(
        default="1", description='the unit of its numbers: "joint" is each joint\'s own, "1" is none'
    )
    joints: Annotated[tuple[Name, ...], Field(strict=False)] | None = Field(
        default=None,
        description="for a stream of joints: which, in the model's order; without, the card's own",
    )
    size: int | None = Field(
        default=None, ge=1, le=65536, description="for a stream without a size of its own: how many numbers"
    )
    history: int = Field(default=1, ge=1, le=64, description="how many instants, the newest last")
    history_step_ms: float | None = Field(
        default=None, gt=0, le=1000, description="time between two of them; without, the chunk's step"
    )
    normalise: Normalisation | None = Field(default=None, description="from the unit to the model's numbers")
    image: ImageSpec | None = Field(default=None, description="for camera:NAME")
    max_age_ms: float | None = Field(
        default=None,
        gt=0,
        le=600_000,
        description="for goal:KIND and camera:NAME: older is a fault; without, a goal's own deadline holds",
    )
    optional: bool = Field(
        default=False,
        description="for goal:KIND: true: zeros where the planner gives none, in place of a fault",
    )

    @property
    def sensor(self) -> tuple[str, str] | None:
        """(stream, field) when a sensor fills it, e.g. ("block", "yaw"); None otherwise."""
        if not self.stream.startswith("stream:"):
            return None
        name, _, field = self.stream.removeprefix("stream:").partition(".")
        return name, field

    @property
    def source(self) -> tuple[str, str]:
        """(kind, name): ("joints", "joint_position"), ("chunk", "noise"), ("stream", "block.yaw"),
        ("camera", "wrist"), ("goal", "text"), ("recurrent", "h_out")."""
        if self.stream in JOINT_STREAMS:
            return "joints", self.stream
        if self.stream in CHUNK_STREAMS:
            return "chunk", self.stream
        kind, _, name = self.stream.partition(":")
        return kind, name


class CardInput(Part):
    """One input tensor of the model: filled by ``stream``, or by ``parts`` one behind the other."""

    name: str = Field(min_length=1, max_length=200, description="the tensor's name in the model")
    shape: Shape = Field(description="the tensor's shape with its batch of 1, e.g. [1, 6]")
    dtype: ElementType = Field(default="float32", description="the type of its elements")
    stream: str = Field(
        default="",
        pattern=STREAM_PATTERN.replace("^(", "^(|", 1),
        description=Part.model_fields["stream"].description,
    )
    parts: Annotated[tuple[Part, ...], Field(strict=False)] = Field(
        default=(), max_length=64, description="in place of stream: what fills the tensor, in order"
    )

    @model_validator(mode="after")
    def _filled(self) -> Self:
        if bool(self.stream) == bool(self.parts):
            hint = "name the stream that fills the tensor, or its parts in order"
            refuse([Problem("stream", "and parts: one of the two is needed, and not both", hint)])
        return self

    @property
    def filled_by(self) -> tuple[Part, ...]:
        """Its parts, or itself."""
        return self.parts or (self,)
