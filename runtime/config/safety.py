"""[safety]: what the loop does when something is missing or late, and how it begins. Defaults are careful ones."""

from __future__ import annotations

from pydantic import Field

from spinal.runtime.config.section import Section


class SafetySettings(Section):
    """[safety]: the ladder's ages, how a start is eased in, and when the guard takes over."""

    tail_max_ms: int = Field(
        default=1500,
        ge=20,
        le=10_000,
        description="the rest of a chunk is not followed beyond this age of what it answers, in ms; the arm"
        " comes to rest then",
    )
    let_go_after_s: float = Field(
        default=0.0,
        ge=0,
        le=86_400,
        description="an arm that has stood in hold or stopped for so long lets go of its torque, in s; 0 is"
        " never: an arm under load would sink",
    )
    fade_s: float = Field(
        default=2.0, ge=0.1, le=60, description="how long torque takes to fade when the arm lets go, in s"
    )
    self_test_s: float = Field(
        default=0.2,
        ge=0,
        le=10,
        description="how long the loop must read every joint in time, without torque of its own, before the"
        " arm is armed, in s",
    )
    arming_speed: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="a joint that moves faster than this share of its velocity limit is not armed",
    )
    ease_travel: float = Field(
        default=0.2,
        gt=0,
        le=10,
        description="a trajectory that begins further than this from the arm's command is eased into, in rad",
    )
    ease_speed: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="the share of the velocity limits at which it is eased in, up to 1",
    )
    guard_stopped_ms: int = Field(
        default=6,
        ge=2,
        le=1000,
        description="the guard takes over when the controller has been stopped by a signal for so long, in ms",
    )
    guard_silent_ms: int = Field(
        default=100,
        ge=10,
        le=5000,
        description="the guard takes over when a controller that runs has not ticked for so long, in ms",
    )
