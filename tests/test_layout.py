"""The numpy records are the C structs, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest

from spinal.native import emulator, layout, loop


@pytest.mark.parametrize("joints", [1, 6, 64])
def test_records_have_the_size_of_the_structs(joints: int) -> None:
    assert layout.state_dtype(joints).itemsize == loop.STATE_HEAD_BYTES + joints * loop.JOINT_STATE_BYTES
    assert layout.record_dtype(joints).itemsize == loop.RECORD_HEAD_BYTES + joints * loop.JOINT_RECORD_BYTES
    assert layout.ORDER.itemsize == loop.ORDER_BYTES
    assert layout.TRANSITION.itemsize == loop.TRANSITION_BYTES


def test_the_largest_records_are_the_whole_structs() -> None:
    assert layout.command_dtype(64).itemsize == loop.COMMAND_BYTES
    assert layout.health_dtype(64).itemsize == loop.HEALTH_BYTES


def test_conditions_stand_in_the_order_of_the_table() -> None:
    assert [c.name for c in layout.Condition] == [name.upper() for name, _, _ in loop.conditions()]
    assert set(layout.CONDITIONS) == set(layout.Condition)


def test_every_field_is_aligned_to_eight_bytes_or_its_own_size() -> None:
    for dtype in (
        layout.state_dtype(3),
        layout.record_dtype(3),
        layout.ORDER,
        layout.JOINT_STATE,
        layout.TRANSITION,
        layout.JOINT_HEALTH,
        layout.command_dtype(3),
        layout.health_dtype(3),
    ):
        assert dtype.fields is not None
        for field, offset in ((f[0], f[1]) for f in dtype.fields.values()):
            assert offset % (min(8, field.base.itemsize) if field.base != np.dtype("u4") else 4) == 0


def test_what_arrives_at_a_servo_has_the_size_of_the_struct() -> None:
    assert layout.wire_dtype(1).itemsize == emulator.WIRE_RECORD_BYTES
