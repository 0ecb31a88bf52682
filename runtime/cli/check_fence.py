"""What ``spinal check`` says about a fence: its boxes, what is checked against what, and whether 0 is clear."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from spinal.runtime.config.fence_build import describe, fence_of, left_out, rest_pose
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import Problem

_BARRIERS = ("the workspace", "keep-out boxes", "itself")


@dataclass(frozen=True, slots=True)
class FenceFacts:
    """A robot's fence in numbers; ``clearance``: beyond the margins with every joint at 0 or nearest to it, m."""

    workspace: tuple[tuple[float, float, float], tuple[float, float, float]] | None
    keep_out: tuple[str, ...]
    margin_m: float
    capsules: int
    pairs: int
    left_out: tuple[tuple[str, str], ...]
    """Links that meet at that pose already and are not checked against each other."""
    clearance: tuple[float, float, float]

    def as_json(self) -> dict[str, Any]:
        """For machines; a clearance is null where there is nothing to touch."""
        names = ("workspace", "keep_out", "self")
        free = [value if math.isfinite(value) else None for value in self.clearance]
        return {
            "workspace": self.workspace and {"min": self.workspace[0], "max": self.workspace[1]},
            "keep_out": list(self.keep_out),
            "margin_m": self.margin_m,
            "capsules": self.capsules,
            "pairs": self.pairs,
            "left_out": [list(pair) for pair in self.left_out],
            "clearance_at_zero_m": dict(zip(names, free, strict=True)),
        }

    def lines(self) -> list[str]:
        """For people."""
        box = "no workspace"
        if self.workspace:
            sides = zip("xyz", *self.workspace, strict=True)
            box = "workspace " + ", ".join(f"{axis} {low:g}..{high:g}" for axis, low, high in sides) + " m"
        boxes = f"{len(self.keep_out)} keep-out" + (f" ({', '.join(self.keep_out)})" if self.keep_out else "")
        head = f"fence: {box}; {boxes}; {self.capsules} capsules, {self.pairs} pairs of them kept apart"
        finite = [
            f"{1000 * free:.0f} mm to {name}"
            for free, name in zip(self.clearance, _BARRIERS, strict=True)
            if math.isfinite(free)
        ]
        said = f"clear beyond the margin of {1000 * self.margin_m:g} mm with every joint at 0: "
        lines = [head, "       " + said + (", ".join(finite) or "there is nothing to touch")]
        if self.left_out:
            pairs = ", ".join(f"{a} and {b}" for a, b in self.left_out)
            lines.append(f"       not kept apart, as they meet there: {pairs}")
        return lines

    def warnings(self) -> list[Problem]:
        """An arm that stands in touch at 0 is no mistake, and worth a look."""
        return [
            Problem(
                "fence",
                f"with every joint at 0 the arm is {-1000 * free:.0f} mm inside the margin of {name}",
                "is every length in m, and seen from the base? an arm in touch may only leave",
            )
            for free, name in zip(self.clearance, _BARRIERS, strict=True)
            if free < 0
        ]


def fence_facts(robot: RobotConfig) -> FenceFacts | None:
    """None for a robot without a fence."""
    settings, fence = robot.fence, fence_of(robot)
    if settings is None or fence is None:
        return None
    description = describe(settings, robot.joints)
    box = settings.workspace
    return FenceFacts(
        workspace=None if box is None else (box.min, box.max),
        keep_out=tuple(box.name for box in settings.keep_out),
        margin_m=settings.margin,
        capsules=len(description.capsules),
        pairs=len(description.pairs),
        left_out=left_out(settings, robot.joints),
        clearance=fence.clearance(rest_pose(robot.joints)),
    )
