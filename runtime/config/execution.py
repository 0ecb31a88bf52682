"""[execution]: how chunks become trajectories, and how one meets the next."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from spinal.runtime.config.section import Section, refuse
from spinal.runtime.errors import Problem

StrategyName = Literal["auto", "latest", "prefix", "rtc", "velocity_mask", "streaming", "ensemble", "wait"]


class ExecutionSettings(Section):
    """[execution]: how a chunk becomes a trajectory. The defaults suit 50 Hz chunks on a small arm."""

    smoothing: float = Field(
        default=0.02,
        ge=0,
        le=1000,
        description="weight of the penalty on the eighth difference of a chunk's waypoints, without unit; 0 is"
        " none, 0.02 keeps 99 % of a 6 Hz motion and 79 % of a 10 Hz one at 50 Hz",
    )
    seam_smoothing: float = Field(
        default=200.0,
        ge=0,
        le=100_000,
        description="weight of the penalty on the third difference of what a chunk changes where it joins the"
        " motion under way, on top of smoothing; nothing of it is left 12 steps behind",
    )
    blend_min_ms: int = Field(
        default=20, ge=1, le=2000, description="the shortest time in which a seam's mismatch decays, in ms"
    )
    blend_max_ms: int = Field(
        default=160, ge=1, le=2000, description="the longest time in which a seam's mismatch decays, in ms"
    )
    blend_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="the share of acceleration and jerk limits that a blend may use, up to 1",
    )
    interpolation: Literal["smooth", "cubic", "quintic", "ruckig"] = Field(
        default="smooth",
        description="the way from a chunk to a spline: smooth takes its jitter out and smooths the seam, cubic and"
        " quintic go through every action, ruckig follows inside blend_share of acceleration and jerk limits",
    )
    strategy: StrategyName = Field(
        default="auto",
        description="how a chunk meets the one under way: auto, latest, prefix, rtc, velocity_mask, streaming,"
        " ensemble or wait; auto is the best that the policy's card allows",
    )
    wait_steps: int = Field(
        default=10,
        ge=1,
        le=127,
        description='for strategy = "wait": actions of a chunk that are executed before the next one is asked for',
    )
    speed: float = Field(
        default=1.0,
        ge=0.2,
        le=4,
        description="how fast chunks are executed, as a multiple of the speed that they were learned at",
    )
    speed_at_gripper: float | None = Field(
        default=None,
        ge=0.2,
        le=4,
        description="the speed while a chunk opens or closes a gripper, and until it has; without, the same",
    )
    speed_error: float | None = Field(
        default=None,
        gt=0,
        le=3,
        description="an arm that is further than this behind its command, in rad, is not driven faster than it was"
        " taught; without, it is not looked at",
    )
    arm_lag_ms: float = Field(
        default=0.0,
        ge=0,
        le=200,
        description="how far the arm follows behind its command, in ms: at another speed the policy is shown it"
        " where it would be at its own",
    )
    max_age_periods: int = Field(
        default=3,
        ge=1,
        le=100,
        description="policy periods after its observation until a chunk is no longer fresh",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.blend_min_ms > self.blend_max_ms:
            refuse(
                [
                    Problem(
                        "blend_min_ms",
                        f"must not be above blend_max_ms ({self.blend_max_ms}), and is {self.blend_min_ms}",
                        "swap the two, or correct the one that is wrong",
                    )
                ]
            )
        return self
