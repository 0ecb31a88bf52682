"""From [reflexes] to the thresholds of each joint's native reflexes, in its own unit."""

from __future__ import annotations

from math import tau

from spinal.native.feetech_bus import PROTECTS, PUSHES
from spinal.native.loop import ReflexLimits
from spinal.runtime.config.joints import GripperJoint, Joint
from spinal.runtime.config.reflexes import GRIPPER_OFF, ReflexSettings

MS = 1_000_000


def reflex_limits(settings: ReflexSettings, joint: Joint) -> ReflexLimits:
    """The thresholds of ``joint``: rad for an arm, m for a gripper; see ``native/core/reflex.h``.

    ``contact_hold`` is a share of what the joint may use: one whose torque is bounded could not reach it otherwise.
    """
    turn = abs(joint.counts_per_unit) * tau / joint.counts_per_turn  # rad of the shaft per rad or m
    own = settings.joints.get(joint.name)
    said = own.model_dump(exclude_none=True) if own else {}
    common = settings.model_dump(exclude={"joints"})
    if isinstance(joint, GripperJoint):
        common.update(dict.fromkeys(GRIPPER_OFF, 0.0))
    common["contact_drag"] *= turn
    common["contact_inertia"] *= turn
    common["frozen_travel"] /= turn
    both = {**common, **said}
    return ReflexLimits(
        following_hold=both["following_hold"],
        following_stop=both["following_stop"],
        contact_hold=both["contact_hold"] * joint.limits.torque_fraction,
        contact_stop=both["contact_stop"],
        contact_drag=both["contact_drag"],
        contact_inertia=both["contact_inertia"],
        temperature_hold=both["temperature_hold"],
        temperature_stop=both["temperature_stop"],
        voltage_hold=both["voltage_hold"],
        voltage_stop=both["voltage_stop"],
        lag_s=both["lag_ms"] * 1e-3,
        load_limit=joint.limits.torque_fraction,
        frozen_travel=both["frozen_travel"],
        frozen_ns=settings.frozen_ms * MS,
        following_ns=settings.following_ms * MS,
        contact_ns=settings.contact_ms * MS,
        contact_long_ns=settings.contact_long_ms * MS,
        device_bits=_device_bits(joint) if settings.device_error_ms else 0,
        device_ns=settings.device_error_ms * MS,
        clear_ns=settings.clear_ms * MS,
    )


def _device_bits(joint: Joint) -> int:
    """Error bits that stop the arm. The supply's is not among them: its voltage is measured, and judged as that."""
    return PROTECTS & ~PUSHES if isinstance(joint, GripperJoint) else PROTECTS
