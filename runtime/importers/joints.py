"""Names and units of action channels: taken from the files where they say them, inferred and asked where not."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from spinal.runtime.config.section import NAME_PATTERN
from spinal.runtime.errors import Problem

ArmUnit = Literal["deg", "signed_percent", "rad"]
GripperUnit = Literal["percent", "signed_percent", "deg", "rad", "m"]
ARM_UNITS: tuple[ArmUnit, ...] = ("deg", "signed_percent", "rad")
GRIPPER_UNITS: tuple[GripperUnit, ...] = ("percent", "signed_percent", "deg", "rad", "m")

RADIANS = 2 * math.pi * 1.05
"""Beyond a turn nothing but a wheel is in radians."""
PERCENT = 100.5
"""A clamp at 100 leaves nothing beyond it, the recording's rounding aside."""
TOUCHES = 99.5


@dataclass(frozen=True, slots=True)
class Inferred:
    """What the statistics say of the unit: the likely one, why, and what it cannot be."""

    unit: ArmUnit
    reason: str
    impossible: tuple[ArmUnit, ...]


def infer_unit(names: Sequence[str], low: Sequence[float], high: Sequence[float]) -> Inferred:
    """The unit of arm joints whose recorded values lie between ``low`` and ``high``, one number a joint.

    LeRobot stores none: degrees, -100 to 100 of the calibrated range, and radians are told apart by their spread.
    """
    spread = [max(abs(a), abs(b)) for a, b in zip(low, high, strict=True)]
    widest = max(range(len(spread)), key=spread.__getitem__)
    largest, name = spread[widest], names[widest]
    if largest > PERCENT:
        reason = f"{name} reaches {largest:.4g}: beyond 100, so no percent, and no radians"
        return Inferred("deg", reason, ("signed_percent", "rad"))
    if largest > RADIANS:
        touching = [name for name, reach in zip(names, spread, strict=True) if reach >= TOUCHES]
        if touching:
            reason = (
                f"nothing passes 100 and {', '.join(touching)} reaches it: -100 to 100 of the range, clamped"
            )
            return Inferred("signed_percent", reason, ("rad",))
        reason = (
            f"{name} reaches {largest:.4g}: no radians, and nothing touches 100, where percent is clamped"
        )
        return Inferred("deg", reason, ("rad",))
    return Inferred("rad", f"no joint passes {largest:.4g}: within one turn in radians", ())


def renamed(names: Sequence[str], given: Mapping[str, str]) -> tuple[list[str], list[Problem]]:
    """The robot's names of the channels ``names``: as ``given`` says, else without the suffix that LeRobot adds.

    What cannot be a joint's name, what stands twice, and what is given and not there are problems.
    """
    hint = "say what the robot file calls it: --joints NAME=ROBOT_JOINT,..."
    problems = [
        Problem(f"--joints {name}", f"is no channel; there are {', '.join(names)}", "take one of them")
        for name in given
        if name not in names
    ]
    result: list[str] = []
    for name in names:
        own = given.get(name, re.sub(r"\.(pos|vel)$", "", name))
        if not re.match(NAME_PATTERN, own):
            problems.append(Problem(name, f'cannot be called "{own}" in a card', hint))
        if own in result:
            problems.append(Problem(name, f'is called "{own}", as another channel is', hint))
        result.append(own)
    return result, problems


def is_gripper(name: str, grippers: Sequence[str] | None) -> bool:
    """Whether a channel is a gripper: it is named so, or ``--grippers`` says it."""
    return name in grippers if grippers is not None else "gripper" in name


def pairs(text: str) -> dict[str, str]:
    """``a=b,c=d`` as a mapping. Raises ValueError, for argparse."""
    result: dict[str, str] = {}
    for word in filter(None, text.split(",")):
        left, equals, right = word.partition("=")
        if not equals or not left or not right or left in result:
            raise ValueError(text)
        result[left] = right
    return result
