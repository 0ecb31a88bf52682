"""The records that cross process borders, as numpy types. ``tests/test_layout.py`` holds them to the C structs.

Every instant is CLOCK_MONOTONIC in ns. Arrays over joints come in the robot file's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntFlag

import numpy as np

MODE_OFF, MODE_READY, MODE_RUNNING, MODE_HOLDING, MODE_STOPPED = range(5)

BEGINS_ANEW = 8192
"""Bit of a joint's ``limited``: it begins anew at its measured pose (SP_BEGINS_ANEW in core/limiter.h)."""

RUNG_FRESH, RUNG_TAIL, RUNG_TO_REST, RUNG_HOLD, RUNG_DAMP, RUNG_OFF = range(6)


class Condition(IntFlag):
    """What is missing or wrong (SP_CONDITION_* in core/modes.h)."""

    NO_TRAJECTORY = 1 << 0
    ORDER_HOLD = 1 << 1
    ORDER_STALE = 1 << 2
    JOINT_SILENT = 1 << 3
    LATE = 1 << 4
    ORDER_STOP = 1 << 5
    NOT_ARMED = 1 << 6
    NOT_TESTED = 1 << 7
    CHUNK_OLD = 1 << 8
    LINE_LOST = 1 << 9
    MOTOR_OFF = 1 << 10
    FROZEN = 1 << 11
    FOLLOWING = 1 << 12
    FOLLOWING_LOST = 1 << 13
    CONTACT = 1 << 14
    COLLISION = 1 << 15
    HOT = 1 << 16
    OVERHEATED = 1 << 17
    VOLTAGE_LOW = 1 << 18
    VOLTAGE_FAILED = 1 << 19
    ESTOP = 1 << 20
    ORDER_OFF = 1 << 21
    HELD_LONG = 1 << 22
    REFUSED = 1 << 23
    RELEASED = 1 << 24
    NOT_ENERGISED = 1 << 25
    DEVICE_ERROR = 1 << 26


CONDITIONS: Mapping[Condition, str] = {
    Condition.NO_TRAJECTORY: "no trajectory",
    Condition.ORDER_HOLD: "ordered to hold",
    Condition.ORDER_STALE: "an order has expired",
    Condition.JOINT_SILENT: "a joint is silent",
    Condition.LATE: "too many missed periods",
    Condition.ORDER_STOP: "ordered to stop",
    Condition.NOT_ARMED: "not armed: a joint is unseen, outside its range, or moves",
    Condition.NOT_TESTED: "the loop tests itself: replies are missing or ticks are late",
    Condition.CHUNK_OLD: "the policy's last chunk is too old",
    Condition.LINE_LOST: "the bus is gone: its line fails",
    Condition.MOTOR_OFF: "a motor is off: it has lost its power or its settings",
    Condition.FROZEN: "a joint's sensor is frozen: the same bytes while its command moves",
    Condition.FOLLOWING: "a joint is away from its command",
    Condition.FOLLOWING_LOST: "a joint is far away from its command",
    Condition.CONTACT: "a joint pushes against something",
    Condition.COLLISION: "a joint pushes hard against something",
    Condition.HOT: "a motor is hot",
    Condition.OVERHEATED: "a motor is overheated",
    Condition.VOLTAGE_LOW: "the motors' supply sags",
    Condition.VOLTAGE_FAILED: "the motors' supply has failed",
    Condition.ESTOP: "emergency stop",
    Condition.ORDER_OFF: "ordered to let go",
    Condition.HELD_LONG: "held for longer than the robot file allows",
    Condition.REFUSED: "the bus refused a command: a defect of this program",
    Condition.RELEASED: "torque is off",
    Condition.NOT_ENERGISED: "the motors have not taken torque yet",
    Condition.DEVICE_ERROR: "a motor protects itself: overload, current, heat or its encoder",
}
"""The same in words, for people."""

ORDER_RUN, ORDER_HOLD, ORDER_STOP, ORDER_OFF = range(4)

ORDER = np.dtype(
    [
        ("stamp_ns", "<i8"),
        ("valid_until_ns", "<i8"),
        ("kind", "<i8"),
        ("goal", "<i8"),
        ("speed", "<f8"),
        ("arming", "<i8"),
    ]
)
"""What somebody orders of the loop (sp_order)."""

TRANSITION = np.dtype(
    [
        ("tick", "<u8"),
        ("tick_ns", "<i8"),
        ("edge", "<i8"),
        ("from", "<i8"),
        ("to", "<i8"),
        ("conditions", "<u8"),
        ("risen", "<u8"),
        ("joint", "<i8"),
    ]
)
"""A change of mode and its cause (sp_transition)."""

SETTINGS = np.dtype([("added_delay_ns", "<i8")])
"""What a person may change while the robot runs."""

JOINT_STATE = np.dtype(
    [
        ("position", "<f8"),
        ("velocity", "<f8"),
        ("load", "<f8"),
        ("stamp_ns", "<i8"),
        ("error", "<u4"),
        ("fresh", "<u4"),
        ("commanded_position", "<f8"),
        ("commanded_velocity", "<f8"),
        ("commanded_acceleration", "<f8"),
    ]
)
"""One joint: the newest sample, and what was commanded for ``command_ns`` (sp_joint_state)."""

JOINT_RECORD = np.dtype([("measured", "<f8"), ("requested", "<f8"), ("applied", "<f8"), ("limited", "<u8")])
"""One joint in one tick's record (sp_joint_record)."""

_STATE_HEAD = [
    ("tick", "<u8"),
    ("tick_ns", "<i8"),
    ("command_ns", "<i8"),
    ("mode", "<i8"),
    ("conditions", "<u8"),
    ("trajectory_id", "<u8"),
    ("observation_stamp_ns", "<i8"),
    ("in_force_ns", "<i8"),
    ("blend_end_ns", "<i8"),
    ("at_rest", "<i8"),
    ("rung", "<i8"),
    ("rung_ns", "<i8"),
    ("latched", "<u8"),
    ("energised", "<i8"),
    ("speed_scale", "<f8"),
    ("joint_count", "<i8"),
]

LIMITER = np.dtype(
    [
        ("position", "<f8"),
        ("velocity", "<f8"),
        ("acceleration", "<f8"),
        ("setpoint", "<f8", (3,)),
    ]
)
"""A joint's limiter: what was emitted last (sp_limiter)."""

JOINT_HEALTH = np.dtype(
    [
        ("stamp_ns", "<i8"),
        ("voltage", "<f8"),
        ("temperature", "<f8"),
        ("current", "<f8"),
        ("error", "<u4"),
        ("torque", "<u4"),
    ]
)
"""What a motor says about itself: V, degree Celsius, A (sp_joint_health)."""

_COMMAND_HEAD = [
    ("tick", "<u8"),
    ("tick_ns", "<i8"),
    ("mode", "<i8"),
    ("energised", "<i8"),
    ("joint_count", "<i8"),
]

_RECORD_HEAD = [
    ("tick", "<u8"),
    ("tick_ns", "<i8"),
    ("woke_ns", "<i8"),
    ("read_ns", "<i8"),
    ("planned_ns", "<i8"),
    ("computed_ns", "<i8"),
    ("written_ns", "<i8"),
    ("mode", "<i8"),
    ("conditions", "<u8"),
    ("trajectory_id", "<u8"),
    ("observation_stamp_ns", "<i8"),
    ("sensor_stamp_ns", "<i8"),
    ("switched", "<i8"),
    ("joint_count", "<i8"),
]

SERVO_FAULTS = np.dtype(
    [
        ("drop_replies", "<i8"),
        ("corrupt_replies", "<i8"),
        ("power_cycles", "<i8"),
        ("extra_delay_ns", "<i8"),
        ("push", "<f8"),
        ("jam", "<i4"),
        ("frozen", "<i4"),
        ("silent", "<i4"),
        ("unplugged", "<i4"),
        ("error_bits", "<i4"),
        ("decivolts", "<i4"),
        ("celsius", "<i4"),
        ("spare", "<i4"),
    ]
)
"""What is wrong with one simulated servo; all zero: nothing.

The first three only ever rise: so many replies more are lost or garbled, so many times more its power goes and
comes back. ``push``: torque on its joint from outside, N m (N for jaws). ``jam``: the joint cannot move.
``frozen``: it measures nothing any more, registers 56 to 70 keep their bytes. ``silent`` obeys but does not
reply, ``unplugged`` hears nothing. ``decivolts`` and ``celsius``: what it measures in place of the physics; 0:
the physics.
"""

RISING_FAULTS = ("drop_replies", "corrupt_replies", "power_cycles")

POSE_AS_IT_IS, POSE_OFF, POSE_STUCK, POSE_NAN, POSE_FAR = range(5)

SIM_SERVOS = 32
SIM_FAULTS = np.dtype(
    [
        ("servos", SERVO_FAULTS, (SIM_SERVOS,)),
        ("pose_kind", "<i8"),
        ("pose_delay_ns", "<i8"),
        ("pose_every", "<i8"),
    ]
)
"""What is wrong with the simulated robot: its servos in the robot file's order, and its pose stream.

``pose_kind``: POSE_OFF nothing comes, POSE_STUCK the same pose again and again with fresh stamps, POSE_NAN no
numbers, POSE_FAR 1 km away. ``pose_delay_ns``: later than it would come by itself. ``pose_every``: only each so
many-th; 0 and 1: all.
"""

WIRE_SERVO = np.dtype([("goal", "<i2"), ("shaft", "<i2"), ("torque_limit", "<u2"), ("torque", "<u2")])
"""One simulated servo behind a request: counts of its goal register and its shaft, permille, 1: torque is on."""

POSE_SAMPLE = np.dtype(
    [("capture_ns", "<i8"), ("arrival_ns", "<i8"), ("x", "<f8"), ("y", "<f8"), ("z", "<f8"), ("yaw", "<f8")]
)
"""One sample of a pose stream: m and rad."""


def state_dtype(joints: int) -> np.dtype[np.void]:
    """The state of a loop with ``joints`` joints (sp_state, cut to size)."""
    return np.dtype([*_STATE_HEAD, ("joints", JOINT_STATE, (joints,))])


def command_dtype(joints: int) -> np.dtype[np.void]:
    """What was commanded last to ``joints`` joints (sp_command, cut to size)."""
    return np.dtype([*_COMMAND_HEAD, ("joints", LIMITER, (joints,))])


def health_dtype(joints: int) -> np.dtype[np.void]:
    """What ``joints`` motors say about themselves (sp_health, cut to size)."""
    head = [("tick", "<u8"), ("tick_ns", "<i8"), ("joint_count", "<i8")]
    return np.dtype([*head, ("joints", JOINT_HEALTH, (joints,))])


def record_dtype(joints: int) -> np.dtype[np.void]:
    """The record of one tick with ``joints`` joints (sp_tick_record, cut to size)."""
    return np.dtype([*_RECORD_HEAD, ("joints", JOINT_RECORD, (joints,))])


def wire_dtype(servos: int) -> np.dtype[np.void]:
    """What arrived at ``servos`` simulated servos with one request (sp_wire_record, cut to size).

    Bit i of ``written``: the request wrote to servo i.
    """
    head = [("arrived_ns", "<i8"), ("address", "<i4"), ("written", "<u4")]
    return np.dtype([*head, ("servos", WIRE_SERVO, (servos,))])
