"""The joints of a robot file: what they are, where their encoders read zero, and their limits.

An arm joint counts in rad, a gripper in metres of jaw travel. Both map a position to an encoder count by
one straight line (``count_at_zero``, ``counts_per_unit``), so that a driver needs no second formula.
No limit has a default: a limit nobody chose protects nobody.
"""

from __future__ import annotations

from math import tau
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spinal.runtime.config.section import Name, Positive, Section, refuse
from spinal.runtime.errors import Problem

MAX_COUNT = 1 << 24
"""No encoder of a robot joint counts further."""


class ArmLimits(Section):
    """Bounds of every command to an arm joint while it runs, and of its motor; rad, rad/s, rad/s^2, rad/s^3."""

    position_min: float = Field(description="the smallest position that may be commanded, in rad")
    position_max: float = Field(description="the largest position that may be commanded, in rad")
    velocity: Positive = Field(description="the largest speed of a command, in rad/s")
    acceleration: Positive = Field(description="the largest acceleration of a command, in rad/s^2")
    jerk: Positive = Field(description="the largest jerk of a command, in rad/s^3")
    torque_fraction: float = Field(
        gt=0, le=1, description="the share of the motor's greatest torque that the joint may use, up to 1"
    )

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        refuse(_crossed(self.position_min, self.position_max))
        return self

    @property
    def time_to_rest_s(self) -> float:
        """Seconds from full speed and full acceleration to rest: v/A + 2 A/J."""
        return _time_to_rest_s(self.velocity, self.acceleration, self.jerk)


class EmergencyLimits(Section):
    """What braking may use when something has failed; never less than the limits of normal running."""

    acceleration: Positive = Field(description="the largest deceleration of an emergency brake, in rad/s^2")
    jerk: Positive = Field(description="the largest jerk of an emergency brake, in rad/s^3")


class GripperLimits(Section):
    """Bounds of every command to a gripper: a step, limited in travel, speed and torque; m, m/s."""

    position_min: float = Field(description="the smallest jaw travel that may be commanded, in m")
    position_max: float = Field(description="the largest jaw travel that may be commanded, in m")
    velocity: Positive = Field(description="the largest speed of the jaws, in m/s")
    torque_fraction: float = Field(
        gt=0, le=1, description="the share of the motor's greatest torque that a grasp may use, up to 1"
    )

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        refuse(_crossed(self.position_min, self.position_max))
        return self


class GripperLinkage(Section):
    """How the gripper's motor moves the jaws, taken as a straight line from closed to open."""

    closed_count: int = Field(
        ge=0, le=MAX_COUNT, description="the encoder count at which the jaws are closed (0 m)"
    )
    open_count: int = Field(
        ge=0, le=MAX_COUNT, description="the encoder count at which the jaws are fully open"
    )
    stroke_m: Positive = Field(description="the jaw travel from closed to fully open, in m")

    @model_validator(mode="after")
    def _moves(self) -> Self:
        if self.closed_count == self.open_count:
            refuse(
                [
                    Problem(
                        "open_count",
                        f"equals closed_count ({self.open_count}), so the jaws would never move",
                        "read both counts off the motor, with the jaws closed and fully open",
                    )
                ]
            )
        return self


class _Wired(Section):
    """What an arm joint and a gripper share: a name and a place on a bus."""

    name: Name = Field(description="the joint's name, as the policy card calls it")
    bus: Name = Field(description="the one bus that the motor stands on, a name under [buses]")
    id: int = Field(ge=0, le=253, description="the motor's id on its bus")
    counts_per_turn: int = Field(ge=2, le=MAX_COUNT, description="encoder counts of one turn, e.g. 4096")


class ArmJoint(_Wired):
    """A revolute joint; positions in rad."""

    kind: Literal["arm"] = Field(description='"arm" for a revolute joint')
    zero_count: int = Field(ge=0, le=MAX_COUNT, description="the encoder count at 0 rad")
    direction: Literal[-1, 1] = Field(description="1 when the count rises with the angle, -1 when it falls")
    limits: ArmLimits = Field(description="the bounds of normal running")
    emergency: EmergencyLimits = Field(description="what an emergency brake may use")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        refuse([*_slower_emergency(self), *_outside_encoder(self)])
        return self

    @property
    def unit(self) -> Literal["rad", "m"]:
        """The unit of positions: rad."""
        return "rad"

    @property
    def count_at_zero(self) -> int:
        """Encoder count at position 0."""
        return self.zero_count

    @property
    def counts_per_unit(self) -> float:
        """Encoder counts per rad, negative when the count falls with the angle."""
        return self.direction * self.counts_per_turn / tau

    @property
    def time_to_rest_s(self) -> float:
        """Seconds to rest inside the limits of normal running."""
        return self.limits.time_to_rest_s

    @property
    def emergency_time_to_rest_s(self) -> float:
        """Seconds to rest when braking with the emergency limits."""
        return _time_to_rest_s(self.limits.velocity, self.emergency.acceleration, self.emergency.jerk)


class GripperJoint(_Wired):
    """Jaws that open and close in steps; positions in m of jaw travel."""

    kind: Literal["gripper"] = Field(description='"gripper" for jaws')
    linkage: GripperLinkage = Field(description="how the motor moves the jaws")
    limits: GripperLimits = Field(description="the bounds of every command")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        refuse([*_outside_stroke(self), *_outside_encoder(self)])
        return self

    @property
    def unit(self) -> Literal["rad", "m"]:
        """The unit of positions: m."""
        return "m"

    @property
    def count_at_zero(self) -> int:
        """Encoder count with the jaws closed."""
        return self.linkage.closed_count

    @property
    def counts_per_unit(self) -> float:
        """Encoder counts per metre of jaw travel, negative when the count falls as they open."""
        return (self.linkage.open_count - self.linkage.closed_count) / self.linkage.stroke_m

    @property
    def time_to_rest_s(self) -> float:
        """0: a gripper's command is limited in speed only, so it can stop within one tick."""
        return 0.0

    @property
    def emergency_time_to_rest_s(self) -> float:
        """0, as ``time_to_rest_s``."""
        return 0.0


Joint = Annotated[ArmJoint | GripperJoint, Field(discriminator="kind")]
"""Either kind of joint, told apart by ``kind``."""


def _time_to_rest_s(velocity: float, acceleration: float, jerk: float) -> float:
    return velocity / acceleration + 2 * acceleration / jerk


def _crossed(position_min: float, position_max: float) -> list[Problem]:
    if position_min < position_max:
        return []
    return [
        Problem(
            "position_min",
            f"must be below position_max ({position_max:g}), and is {position_min:g}",
            "swap the two, or correct the one that is wrong",
        )
    ]


def _slower_emergency(joint: ArmJoint) -> list[Problem]:
    return [
        Problem(
            f"emergency.{word}",
            f"must be at least limits.{word} ({nominal:g}), and is {emergency:g}",
            "an emergency brake may not be weaker than a normal one",
        )
        for word, nominal, emergency in (
            ("acceleration", joint.limits.acceleration, joint.emergency.acceleration),
            ("jerk", joint.limits.jerk, joint.emergency.jerk),
        )
        if emergency < nominal
    ]


def _outside_stroke(joint: GripperJoint) -> list[Problem]:
    stroke_m = joint.linkage.stroke_m
    return [
        Problem(
            f"limits.{word}",
            f"must lie between 0 and linkage.stroke_m ({stroke_m:g} m), and is {position:g}",
            "the jaws travel from 0 (closed) to stroke_m (fully open)",
        )
        for word, position in (
            ("position_min", joint.limits.position_min),
            ("position_max", joint.limits.position_max),
        )
        if not 0 <= position <= stroke_m
    ]


def _outside_encoder(joint: ArmJoint | GripperJoint) -> list[Problem]:
    last = joint.counts_per_turn - 1
    zero = "zero_count" if isinstance(joint, ArmJoint) else "linkage"
    return [
        Problem(
            f"limits.{word}",
            f"is encoder count {count:.0f}, outside 0 to {last}",
            f"narrow the limit, or turn the motor's horn and set {zero} so that the whole range fits",
        )
        for word, count in (
            (word, joint.count_at_zero + joint.counts_per_unit * position)
            for word, position in (
                ("position_min", joint.limits.position_min),
                ("position_max", joint.limits.position_max),
            )
        )
        if not 0 <= count <= last
    ]
