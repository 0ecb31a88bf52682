"""What arrives at emulated servos, as their ring tells it."""

import numpy as np
import pytest

from spinal.native import feetech, layout
from spinal.native.emulator import Emulator
from spinal.native.shared import RingFollower
from spinal.runtime import segments
from spinal.runtime.segments import SIM_WIRE, WIRE_SLOTS, Writer

GOAL, TORQUE = 42, 40
MS = 1_000_000


@pytest.fixture
def tapped():
    segment = segments.create(Writer.SIM, 2)
    emulator = Emulator([1, 2], positions_counts=[2000, 3000])
    emulator.record_to(segment.part_address(SIM_WIRE))
    follower = RingFollower(segment, SIM_WIRE)
    buffer = np.zeros(WIRE_SLOTS, layout.wire_dtype(2))

    def arrived():
        return buffer[: follower.follow(buffer.view(np.uint8))].copy()

    yield emulator, arrived, follower
    segment.close()


def goal(counts):
    return counts.to_bytes(2, "little")


def test_each_write_is_a_record_with_the_goals_behind_it(tapped):
    emulator, arrived, _ = tapped
    emulator.receive(feetech.sync_write(GOAL, {1: goal(2010), 2: goal(2990)}), 5 * MS)
    emulator.receive(feetech.write(2, TORQUE, b"\x01"), 9 * MS)
    emulator.receive(feetech.write(1, GOAL, goal(2020)), 13 * MS)
    records = arrived()
    assert records["address"].tolist() == [GOAL, TORQUE, GOAL]
    assert records["written"].tolist() == [3, 2, 1]
    assert records["servos"]["goal"].tolist() == [[2010, 2990], [2010, 2990], [2020, 2990]]
    assert records["servos"]["torque"].tolist() == [[0, 0], [0, 1], [0, 1]]
    assert records["servos"]["shaft"].tolist() == [[2000, 3000]] * 3
    first = feetech.sync_write(GOAL, {1: goal(2010), 2: goal(2990)})
    assert records["arrived_ns"][0] == 5 * MS + len(first) * 10_000, "its last byte at 1 Mbit/s"


def test_what_writes_nothing_is_no_record(tapped):
    emulator, arrived, _ = tapped
    emulator.receive(feetech.sync_read([1, 2], 56, 6), 0)
    emulator.discard(20 * MS)
    emulator.receive(feetech.ping(1), 40 * MS)
    assert len(arrived()) == 0


def test_a_servo_that_hears_nothing_was_not_written_to(tapped):
    emulator, arrived, _ = tapped
    emulator.set_faults(1, unplugged=True)
    emulator.receive(feetech.sync_write(GOAL, {1: goal(2010), 2: goal(2990)}), 0)
    (record,) = arrived()
    assert record["written"] == 1
    assert record["servos"]["goal"].tolist() == [2010, 3000]


def test_the_oldest_are_overwritten_and_counted(tapped):
    emulator, arrived, follower = tapped
    for k in range(WIRE_SLOTS + 100):
        emulator.receive(feetech.write(1, GOAL, goal(1000 + k % 2000)), k * MS)
        emulator.discard(k * MS + MS // 2)
    records = arrived()
    assert records["servos"]["goal"][-1, 0] == 1000 + (WIRE_SLOTS + 99) % 2000
    assert follower.lost == WIRE_SLOTS + 100 - len(records)


def test_a_ring_of_another_robot_is_refused():
    segment = segments.create(Writer.SIM, 1)
    with pytest.raises(ValueError, match="out of its range"):
        Emulator([1, 2]).record_to(segment.part_address(SIM_WIRE))
    segment.close()
