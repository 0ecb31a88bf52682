"""What a card's unit of a joint is in the robot's: one straight line."""

from __future__ import annotations

from math import pi

from spinal.runtime.config.card.actions import CardJoint
from spinal.runtime.config.joints import GripperJoint, Joint


def unit_line(wanted: CardJoint, present: Joint) -> tuple[float, float] | None:
    """(scale, offset) with ``robot = scale * model + offset``, the robot in rad or m; None when there is none.

    deg goes with arm joints. percent and signed_percent are shares of the joint's range: position_min to
    position_max of an arm joint, and closed to fully open of a gripper.
    """
    if wanted.unit == present.unit:
        return 1.0, 0.0
    low, high = range_of(present)
    match wanted.unit:
        case "deg" if present.unit == "rad":
            return pi / 180, 0.0
        case "percent":
            return (high - low) / 100, low
        case "signed_percent":
            return (high - low) / 200, (low + high) / 2
    return None


def range_of(joint: Joint) -> tuple[float, float]:
    """What 0 and 100 percent of ``joint`` are, in rad or m."""
    if isinstance(joint, GripperJoint):
        return 0.0, joint.linkage.stroke_m
    return joint.limits.position_min, joint.limits.position_max
