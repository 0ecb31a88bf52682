"""What a card's unit of a joint is in the robot's: one straight line."""

from __future__ import annotations

from math import copysign, pi

from spinal.runtime.config.card.actions import CardJoint
from spinal.runtime.config.joints import GripperJoint, Joint


def unit_line(wanted: CardJoint, present: Joint) -> tuple[float, float] | None:
    """(scale, offset) with ``robot = scale * model + offset``, the robot in rad or m; None when there is none.

    deg goes with arm joints: from the middle of the card's range, or from 0 rad without one. percent and
    signed_percent are shares of the card's range, or of the robot's (``range_of``).
    """
    if wanted.unit == present.unit:
        return 1.0, 0.0
    low, high = wanted.range or range_of(present)
    match wanted.unit:
        case "deg" if present.unit == "rad":
            if wanted.range is None:
                return pi / 180, 0.0
            return copysign(pi / 180, high - low), (low + high) / 2
        case "percent":
            return (high - low) / 100, low
        case "signed_percent":
            return (high - low) / 200, (low + high) / 2
    return None


def range_of(joint: Joint) -> tuple[float, float]:
    """What 0 and 100 percent of ``joint`` are: its limits, or closed and fully open of a gripper; rad or m."""
    if isinstance(joint, GripperJoint):
        return 0.0, joint.linkage.stroke_m
    return joint.limits.position_min, joint.limits.position_max
