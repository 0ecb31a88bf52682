"""The records that cross process borders, as numpy types. ``tests/test_layout.py`` holds them to the C structs.

Every instant is CLOCK_MONOTONIC in ns. Arrays over joints come in the robot file's order.
"""

from __future__ import annotations

import numpy as np

MODE_OFF, MODE_READY, MODE_RUNNING, MODE_HOLDING, MODE_STOPPED = range(5)

CONDITIONS = {
    1: "no trajectory",
    2: "ordered to hold",
    4: "an order has expired",
    8: "a joint is silent",
    16: "too many missed periods",
    32: "ordered to stop",
    64: "not armed: a joint is unseen or outside its range",
}
"""The bits of ``conditions`` in words (SP_CONDITION_* in core/modes.h)."""

ORDER_RUN, ORDER_HOLD, ORDER_STOP = range(3)

ORDER = np.dtype([("stamp_ns", "<i8"), ("valid_until_ns", "<i8"), ("kind", "<i8"), ("goal", "<i8")])
"""What somebody orders of the loop (sp_order)."""

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

POSE_SAMPLE = np.dtype(
    [("capture_ns", "<i8"), ("arrival_ns", "<i8"), ("x", "<f8"), ("y", "<f8"), ("z", "<f8"), ("yaw", "<f8")]
)
"""One sample of a pose stream: m and rad."""


def state_dtype(joints: int) -> np.dtype[np.void]:
    """The state of a loop with ``joints`` joints (sp_state, cut to size)."""
    return np.dtype([*_STATE_HEAD, ("joints", JOINT_STATE, (joints,))])


def record_dtype(joints: int) -> np.dtype[np.void]:
    """The record of one tick with ``joints`` joints (sp_tick_record, cut to size)."""
    return np.dtype([*_RECORD_HEAD, ("joints", JOINT_RECORD, (joints,))])
