"""A robot file's limits as the five numbers of the native limiter."""

from __future__ import annotations

from spinal.runtime.config.joints import ArmJoint, Joint

JointLimits = tuple[float, float, float, float, float]
"""position_min, position_max, velocity, acceleration, jerk; rad or m, and seconds."""

GRIPPER_UNBOUNDED = 1e9
"""A gripper's command is a step: neither acceleration nor jerk is bounded, its speed and torque are."""


def command_limits(joint: Joint) -> JointLimits:
    """Bounds of every command while the robot runs or holds."""
    bounds = joint.limits
    if isinstance(joint, ArmJoint):
        return (*_range(joint), bounds.velocity, joint.limits.acceleration, joint.limits.jerk)
    return (*_range(joint), bounds.velocity, GRIPPER_UNBOUNDED, GRIPPER_UNBOUNDED)


def emergency_limits(joint: Joint) -> JointLimits:
    """Bounds of a brake after a stop was ordered."""
    if isinstance(joint, ArmJoint):
        return (*_range(joint), joint.limits.velocity, joint.emergency.acceleration, joint.emergency.jerk)
    return command_limits(joint)


def _range(joint: Joint) -> tuple[float, float]:
    return joint.limits.position_min, joint.limits.position_max
