"""What a model answers, and what its numbers mean for the robot."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spinal.runtime.config.card.inputs import Shape
from spinal.runtime.config.card.normalise import Normalisation
from spinal.runtime.config.section import Name, Section

MIN_STEPS, MAX_STEPS = 4, 127
"""What a spline can be fitted through, and what a trajectory carries beside its first waypoint, the pose that
is commanded at the observation (SP_MAX_WAYPOINTS)."""

Representation = Literal["absolute", "relative", "delta", "velocity", "pose"]
JointUnit = Literal["rad", "m", "deg", "percent", "signed_percent"]


class ChunkShape(Section):
    """How long a chunk is: ``steps`` actions, ``step_ms`` apart.

    A policy of single actions, as walkers are, has ``steps = 1`` and ``repeat = 4`` or more: its action stands for
    so many steps, which are what the robot does when the next answer is late; each new answer replaces it.
    """

    steps: int = Field(ge=1, le=MAX_STEPS, description=f"actions of a chunk, 1 to {MAX_STEPS}")
    step_ms: float = Field(ge=1, le=1000, description="time between two actions of a chunk, in ms")
    first: int = Field(
        default=0,
        ge=0,
        le=MAX_STEPS - 1,
        description="index of the first action that is executed; a diffusion policy with n observations: n - 1",
    )

    repeat: int = Field(
        default=1,
        ge=1,
        le=MAX_STEPS,
        description=f"for how many steps the last action stands; a policy of single actions needs {MIN_STEPS}",
    )

    @property
    def step_ns(self) -> int:
        """Nanoseconds between two actions."""
        return round(self.step_ms * 1e6)

    @property
    def waypoints(self) -> int:
        """Actions that are executed: those from ``first`` on, the last of them ``repeat`` times."""
        return self.steps - self.first + self.repeat - 1

    @property
    def duration_ms(self) -> float:
        """Milliseconds from the first action that is executed to the last."""
        return (self.waypoints - 1) * self.step_ms


class CardJoint(Section):
    """One action channel that is a joint, in the model's order."""

    name: Name = Field(description="the joint's name, as the robot file calls it")
    kind: Literal["arm", "gripper"] = Field(description='"arm" or "gripper"')
    unit: JointUnit = Field(
        description="the unit of the model's numbers for it: rad, m, deg, percent (0 to 100 of its range) or"
        " signed_percent (-100 to 100)"
    )
    absolute: bool = Field(
        default=False,
        description='true: this channel is absolute, whatever "representation" says of the others',
    )
    range: Annotated[tuple[float, float], Field(strict=False)] | None = Field(
        default=None,
        description="what its unit was calibrated on, in rad (m for a gripper): 0 to 100 percent of it, degrees"
        " from its middle; the larger first where the model counts against the robot. Without: for percent"
        " the robot file's limits, or a gripper's whole stroke, and for degrees 0 rad",
    )
    default_position: float | None = Field(
        default=None,
        description="the pose that the model starts from, in its unit; what joint_offset is taken from",
    )
    stiffness: float | None = Field(
        default=None, ge=0, description="position gain that it was trained with, N m/rad"
    )
    damping: float | None = Field(
        default=None, ge=0, description="velocity gain that it was trained with, N m s/rad"
    )

    @property
    def robot_unit(self) -> str:
        """The robot file's unit for such a joint: rad, or m for a gripper."""
        if self.unit in ("rad", "m"):
            return self.unit
        return "m" if self.kind == "gripper" else "rad"


class PoseSpec(Section):
    """Actions that are poses of a link: x, y, z, a rotation, and then the joints that are named as grippers."""

    link: Name = Field(description="the link that is moved, as [[fence.links]] of the robot file calls it")
    rotation: Literal[
        "6d", "6d_rows", "quaternion_wxyz", "quaternion_xyzw", "rotation_vector", "euler_xyz", "none"
    ] = Field(
        description="how the rotation is written: 6d is the matrix's first two columns (Zhou et al.), 6d_rows its"
        " first two rows (pytorch3d, UMI); euler_xyz a URDF's roll, pitch, yaw; none: the link's point alone"
    )
    relative: Literal["none", "base", "tool"] = Field(
        default="none",
        description="none: absolute in the robot's base; base or tool: a change of the pose at the observation,"
        " seen from there",
    )
    point: Annotated[tuple[float, float, float], Field(strict=False)] = Field(
        default=(0.0, 0.0, 0.0), description="the point of the link that is meant, in its own frame, m"
    )
    tolerance_mm: float = Field(
        default=5.0,
        gt=0,
        le=1000,
        description="an answer whose point the arm cannot reach to this is refused, in mm",
    )
    tolerance_deg: float | None = Field(
        default=None,
        gt=0,
        le=180,
        description="likewise its rotation, in degrees; without, 5 where six joints or more move the link, and any"
        " where fewer do: they cannot reach every rotation",
    )


class CardOutput(Section):
    """The output tensor that holds the chunk, or what its decoder makes it from."""

    name: str = Field(min_length=1, max_length=200, description="the tensor's name in the model")
    shape: Shape = Field(
        description="the tensor's shape: [1, chunk.steps, number of channels] for a raw chunk"
    )
    dtype: Literal["float32", "float16", "int64", "int32"] = Field(
        default="float32", description="the type of its elements"
    )
    normalise: Normalisation | None = Field(
        default=None,
        description="from the joints' units to the model's numbers; an answer goes back through it",
    )


class PrefixConditioning(Section):
    """How much of the chunk under way the model was trained to continue."""

    max_steps: int = Field(ge=0, le=MAX_STEPS, description="the longest prefix the model was trained with")


class Recurrent(Section):
    """A state that the model hands to itself: an output that is an input again at the next step, zeros at first."""

    output: str = Field(
        min_length=1, max_length=200, description="the output tensor that holds the new state"
    )
    input: str = Field(min_length=1, max_length=200, description="the input tensor that takes it")
