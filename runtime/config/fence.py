"""[fence]: where the arm may be, and how it is built. In m and rad, in the base's frame."""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from spinal.runtime.config.section import Name, Positive, Section, refuse
from spinal.runtime.errors import Problem

Point = Annotated[tuple[float, float, float], Field(strict=False)]

_MOST_LINKS, _MOST_CAPSULES, _MOST_BOXES = 24, 24, 16
"""As many as the tick carries (``native/core/fence.h``)."""
_FURTHEST_M = 100.0
_LEAST_AXIS = 1e-6


class BoxSettings(Section):
    """A box whose sides are parallel to the axes of the base."""

    min: Point = Field(description="the corner with the smallest x, y and z, in m, e.g. [-0.3, -0.4, 0.0]")
    max: Point = Field(description="the corner with the largest x, y and z, in m, e.g. [0.5, 0.4, 0.6]")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        crossed = [
            f"{axis} from {low:g} to {high:g}"
            for axis, low, high in zip("xyz", self.min, self.max, strict=True)
            if not low < high
        ]
        wrong = [Problem("max", f"must be above min: {', '.join(crossed)}", "swap or correct the two")]
        refuse([*(wrong if crossed else []), *_far("min", self.min), *_far("max", self.max)])
        return self


class KeepOutSettings(BoxSettings):
    """[[fence.keep_out]]: a box that no part of the arm may enter."""

    name: Name = Field(description='what stands there, e.g. "camera_post"')


class CapsuleSettings(Section):
    """All points nearer than ``radius`` to a line: a tube with round ends, in its link's frame."""

    start: Point = Field(
        alias="from", description="where the capsule's line begins in the link's frame, in m"
    )
    end: Point = Field(alias="to", description="where it ends, in m; the same point makes a ball")
    radius: Positive = Field(description="how thick the capsule is around its line, in m")

    @model_validator(mode="after")
    def _near(self) -> Self:
        refuse([*_far("from", self.start), *_far("to", self.end), *_far("radius", (self.radius,))])
        return self


class LinkSettings(Section):
    """[[fence.links]]: one rigid part, placed as in a URDF: moved by xyz, turned by rpy, then by its joint."""

    name: Name = Field(description="the link's name")
    parent: Name | None = Field(default=None, description="the link before it; the base when absent")
    joint: Name | None = Field(
        default=None, description="the joint that turns it against its parent; rigid when absent"
    )
    xyz: Point = Field(default=(0.0, 0.0, 0.0), description="where its frame stands in its parent's, in m")
    rpy: Point = Field(
        default=(0.0, 0.0, 0.0),
        description="how its frame is turned in its parent's: roll, pitch, yaw as in a URDF, in rad",
    )
    axis: Point = Field(
        default=(0.0, 0.0, 1.0), description="the joint's axis in the link's frame, e.g. [0, 1, 0]"
    )
    capsules: Annotated[tuple[CapsuleSettings, ...], Field(strict=False)] = Field(
        default=(), description="capsules that contain the link: { from = [..], to = [..], radius = .. }"
    )

    @model_validator(mode="after")
    def _usable(self) -> Self:
        problems = _far("xyz", self.xyz)
        if math.hypot(*self.axis) < _LEAST_AXIS:
            problems.append(
                Problem("axis", "has no direction: it is zero", "the joint turns about it, e.g. [0, 0, 1]")
            )
        refuse(problems)
        return self


class SelfSettings(Section):
    """[fence.self]: the arm's links among themselves. Neighbours, and what meets at the zero pose, are left out."""

    check: bool = Field(default=True, description="false to let links meet")
    margin: float = Field(default=0.005, ge=0, le=1, description="the distance kept between links, in m")
    ignore: Annotated[tuple[Annotated[tuple[Name, Name], Field(strict=False)], ...], Field(strict=False)] = (
        Field(default=(), description='pairs of links that may meet, e.g. [["upper", "hand"]]')
    )


class FenceSettings(Section):
    """[fence]: the workspace, keep-out boxes and the arm's own links, judged before each step of the arm."""

    margin: float = Field(
        default=0.005, ge=0, le=1, description="the distance kept to workspace and keep-out boxes, in m"
    )
    workspace: BoxSettings | None = Field(
        default=None, description="the box that the arm stays inside: { min = [x, y, z], max = [x, y, z] }"
    )
    keep_out: Annotated[tuple[KeepOutSettings, ...], Field(strict=False)] = Field(
        default=(), max_length=_MOST_BOXES, description="boxes that the arm stays out of"
    )
    itself: SelfSettings = Field(
        default_factory=SelfSettings, alias="self", description="the arm's links among themselves"
    )
    links: Annotated[tuple[LinkSettings, ...], Field(strict=False)] = Field(
        min_length=1, max_length=_MOST_LINKS, description="the arm's links, each after its parent"
    )

    @model_validator(mode="after")
    def _connected(self) -> Self:
        refuse([*self._links(), *self._capsules(), *self._boxes(), *self._pairs()])
        return self

    def _links(self) -> list[Problem]:
        problems, known, turned = [], dict[str, int](), dict[str, str]()
        for index, link in enumerate(self.links):
            path = f"links[{index}] ({link.name})"
            if link.parent is not None and link.parent not in known:
                later = any(link.parent == other.name for other in self.links)
                text = "comes after it" if later else "is not there"
                hint = (
                    "put it before this one"
                    if later
                    else f"the links before it: {', '.join(known) or 'none'}"
                )
                problems.append(Problem(f"{path}.parent", f"names a link that {text}: {link.parent}", hint))
            if known.setdefault(link.name, index) != index:
                problems.append(
                    Problem(f"{path}.name", f"is already that of links[{known[link.name]}]", "rename one")
                )
            if link.joint is not None and turned.setdefault(link.joint, link.name) != link.name:
                hint = "a joint turns one link: hang the other on it without a joint"
                problems.append(
                    Problem(f"{path}.joint", f"already turns {turned[link.joint]}: {link.joint}", hint)
                )
        return problems

    def _capsules(self) -> list[Problem]:
        count = sum(len(link.capsules) for link in self.links)
        if count == 0:
            hint = "give each link at least one: { from = [0, 0, 0], to = [0, 0, 0.1], radius = 0.02 }"
            return [Problem("links", "have no capsules, so there is nothing to keep clear", hint)]
        if count > _MOST_CAPSULES:
            hint = "make some larger and leave others out"
            return [Problem("links", f"have {count} capsules; at most {_MOST_CAPSULES} are judged", hint)]
        return []

    def _boxes(self) -> list[Problem]:
        names = [box.name for box in self.keep_out]
        return [
            Problem(f"keep_out[{index}] ({name}).name", "is already that of another box", "rename one")
            for index, name in enumerate(names)
            if name in names[:index]
        ]

    def _pairs(self) -> list[Problem]:
        names = [link.name for link in self.links]
        return [
            Problem(
                f"self.ignore[{index}]",
                f"names a link that is not there: {name}",
                f"links: {', '.join(names)}",
            )
            for index, pair in enumerate(self.itself.ignore)
            for name in pair
            if name not in names
        ]


def _far(path: str, values: tuple[float, ...]) -> list[Problem]:
    if all(abs(value) <= _FURTHEST_M for value in values):
        return []
    return [Problem(path, f"is further than {_FURTHEST_M:g} m away", "lengths are in m, not mm")]
