"""The emulated bus on a manual clock: times to the nanosecond, registers, faults."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servo_bus import IDS, PATIENCE_NS, Bus, encoded

from spinal.drivers.feetech.registers import BAUD_RATES, STS3215
from spinal.native import feetech
from spinal.native.emulator import Emulator

BYTE_NS = 10_000  # ten bits at 1 Mbaud


@pytest.fixture
def bus() -> Bus:
    return Bus()


# Time on the wire -------------------------------------------------------------------------------------


def test_sync_read_replies_come_one_by_one_in_the_asked_order(bus: Bus) -> None:
    request = feetech.sync_read((3, 1, 2), 56, 2)
    replies = bus.ask(request)
    assert [packet.id for _, packet in replies] == [3, 1, 2]
    assert [at for at, _ in replies] == [(len(request) + 8 * k) * BYTE_NS for k in (1, 2, 3)]


def test_the_wire_budget_of_a_six_servo_arm(bus: Bus) -> None:
    """880 us a cycle at 1 Mbaud: 14 bytes asked, 48 answered, 26 written."""
    assert bus.ask(feetech.sync_read(IDS, 56, 2))[-1][0] == 620_000
    bus.packets(feetech.sync_write(42, dict.fromkeys(IDS, b"\x00\x08")))
    assert bus.emulator.stats().busy_ns == 880_000


@pytest.mark.parametrize("baud", BAUD_RATES)
def test_every_rate_has_its_own_byte_time(baud: int) -> None:
    ((at, _),) = Bus(baud=baud).ask(feetech.ping(1))
    assert at == 6 * 10 * 10**9 // baud + 6 * 10 * 10**9 // baud


def test_return_delay_counts_two_microseconds_each(bus: Bus) -> None:
    bus.write(2, "return_delay", 250)
    first, second, third = bus.ask(feetech.sync_read((1, 2, 3), 56, 2))
    assert second[0] - first[0] == 500_000 + 8 * BYTE_NS
    assert third[0] - second[0] == 8 * BYTE_NS


def test_a_reply_is_due_whole_at_its_last_byte() -> None:
    e = Emulator([1])
    e.receive(feetech.ping(1), 1_000)
    due_ns = 1_000 + 12 * BYTE_NS
    assert e.next_due_ns() == due_ns
    assert e.take(due_ns - 1) == b""
    assert e.take(due_ns, 4) == feetech.status(1)[:4]
    assert e.take(due_ns) == feetech.status(1)[4:]
    assert e.next_due_ns() is None


def test_bytes_that_come_late_move_the_end_of_the_request() -> None:
    e, request = Emulator([1]), feetech.ping(1)
    e.receive(request[:2], 0)
    e.receive(request[2:], 1_000_000)
    assert e.next_due_ns() == 1_000_000 + (4 + 6) * BYTE_NS


def test_frames_handed_over_at_once_follow_each_other_on_the_wire() -> None:
    e = Emulator([1])
    goals, ping = feetech.sync_write(42, {1: b"\x00\x08"}), feetech.ping(1)
    e.receive(goals, 0)
    e.receive(ping, 5)  # the line is still busy with the goals
    assert e.next_due_ns() == (len(goals) + len(ping) + 6) * BYTE_NS
    assert e.stats().collisions == 0


def test_a_read_moves_the_clock_to_the_deadline_and_no_further(bus: Bus) -> None:
    bus.wire.write(feetech.ping(1))
    assert bus.wire.read(119_999) == b""
    assert bus.wire.now_ns == 119_999
    assert bus.wire.read(1_000_000) == feetech.status(1)
    assert bus.wire.now_ns == 120_000
    assert bus.wire.read(5) == b""
    assert bus.wire.now_ns == 120_000


def test_discarded_input_is_gone_and_what_is_on_its_way_is_not(bus: Bus) -> None:
    bus.wire.write(feetech.sync_read((1, 2), 56, 2))
    bus.wire.now_ns = 180_000  # servo 1 is through, servo 2 is not
    bus.wire.discard_input()
    (packet,) = feetech.scan(bus.wire.read(10**9)).packets
    assert packet.id == 2


def test_speaking_into_a_reply_destroys_it() -> None:
    e = Emulator(IDS)
    request = feetech.sync_read((1, 2, 3), 56, 2)
    e.receive(request, 0)
    through_ns = (len(request) + 8) * BYTE_NS
    e.receive(feetech.ping(5), through_ns)  # servo 1 is through, 2 is speaking
    assert [p.id for p in feetech.scan(e.take(10**9)).packets] == [1, 5]
    assert (e.stats().collisions, e.stats().lost_replies) == (1, 2)


def test_two_writes_without_waiting_for_the_acknowledgement_collide(bus: Bus) -> None:
    frame = feetech.write(1, 41, b"\x05")
    (reply,) = bus.ask(frame + feetech.write(2, 41, b"\x06"))
    assert reply[1].id == 2
    assert bus.emulator.stats().collisions == 1
    assert bus.read(1, "acceleration") == 5  # the write itself was heard


# What is not answered ---------------------------------------------------------------------------------


def test_wrong_checksum_gets_no_answer_and_the_next_frame_does(bus: Bus) -> None:
    bad = bytearray(feetech.write(1, 41, b"\x05"))
    bad[-1] ^= 1
    assert bus.packets(bytes(bad)) == []
    assert bus.read(1, "acceleration") == 0
    assert bus.emulator.stats().bad_checksums == 1


def test_a_torn_frame_does_not_eat_the_next_one(bus: Bus) -> None:
    assert bus.packets(feetech.sync_write(42, dict.fromkeys(IDS, b"\x00\x08"))[:9]) == []
    assert [p.id for p in bus.packets(feetech.ping(1))] == [1]


def test_broadcasts_are_obeyed_in_silence(bus: Bus) -> None:
    assert bus.packets(feetech.write(feetech.BROADCAST, 41, b"\x07")) == []
    assert [bus.read(i, "acceleration") for i in IDS] == [7] * 6
    assert bus.packets(feetech.read(feetech.BROADCAST, 56, 2)) == []


def test_broadcast_ping_is_answered_in_the_order_of_ids() -> None:
    replies = Bus(ids=(9, 2, 5)).ask(feetech.ping(feetech.BROADCAST))
    assert [(at, p.id) for at, p in replies] == [(120_000, 2), (180_000, 5), (240_000, 9)]


def test_status_level_0_answers_reads_and_pings_only(bus: Bus) -> None:
    bus.write(1, "status_level", 0)
    assert bus.write(1, "acceleration", 9) == []
    assert bus.read(1, "acceleration") == 9
    assert len(bus.packets(feetech.ping(1))) == 1


@pytest.mark.parametrize(
    "frame",
    [
        "ff ff 01 02 77 85",  # unknown instruction
        "ff ff 01 03 02 38 c1",  # read without a length
        "ff ff 01 04 02 f0 20 e8",  # read past register 255
        "ff ff fe 06 83 2a 02 01 00 4b",  # sync write whose data is short
    ],
)
def test_malformed_instructions_are_counted_not_answered(bus: Bus, frame: str) -> None:
    assert bus.packets(bytes.fromhex(frame)) == []
    assert bus.emulator.stats().instruction_errors == 1


# Registers --------------------------------------------------------------------------------------------


def test_factory_values_are_those_of_the_table(bus: Bus) -> None:
    for register in STS3215:
        if register.initial is not None:
            assert bus.read(4, register.name) == register.initial, register.name
    assert bus.read(4, "id") == 4
    assert bus.read(4, "present_voltage") == 120
    assert bus.read(4, "present_position") == bus.read(4, "goal_position") == 2048


def test_measured_values_reach_the_wire_with_their_signs(bus: Bus) -> None:
    bus.emulator.set_present(0, 1234.4, -567.0, load_permille=-321, current=42, moving=True)
    bus.emulator.set_supply(0, decivolts=111, celsius=44)
    (state,) = bus.packets(feetech.read(1, 56, 15))
    assert state.params.hex(" ") == "d2 04 37 82 41 05 6f 2c 00 00 01 00 00 2a 00"
    assert bus.read(1, "present_velocity") == -567
    assert bus.read(1, "present_load") == -321


def test_read_only_registers_stay(bus: Bus) -> None:
    assert len(bus.write(1, "model_number", 1)) == 1
    bus.write(1, "present_temperature", 99)
    assert bus.read(1, "model_number") == 777
    assert bus.read(1, "present_temperature") == 30


def test_locked_eeprom_writes_act_but_are_forgotten_without_power(bus: Bus) -> None:
    bus.write(1, "lock", 1)
    bus.write(1, "max_position", 3000)
    assert bus.read(1, "max_position") == 3000
    bus.emulator.power_cycle(0)
    assert bus.read(1, "max_position") == 4095


def test_unlocked_eeprom_writes_are_kept_and_ram_is_not(bus: Bus) -> None:
    bus.write(1, "max_position", 3000)
    bus.write(1, "max_torque", 500)
    bus.write(1, "acceleration", 9)
    bus.emulator.power_cycle(0)
    assert bus.read(1, "max_position") == 3000
    assert bus.read(1, "acceleration") == 0
    assert bus.read(1, "torque_limit") == 500  # the table: assigned from 16 at power-on


def test_a_new_id_answers_the_write_as_the_old_one(bus: Bus) -> None:
    assert [p.id for p in bus.write(1, "id", 42)] == [1]
    assert bus.packets(feetech.ping(1)) == []
    assert [p.id for p in bus.packets(feetech.ping(42))] == [42]


def test_two_servos_of_one_id_garble_each_other(bus: Bus) -> None:
    bus.write(1, "id", 2)
    assert bus.packets(feetech.ping(2)) == []
    assert bus.emulator.stats().collisions == 1


def test_a_servo_at_another_rate_is_deaf(bus: Bus) -> None:
    assert len(bus.write(1, "baud_rate", 4)) == 1
    assert bus.packets(feetech.ping(1)) == []
    assert len(bus.packets(feetech.ping(2))) == 1


def test_writing_128_to_torque_makes_the_present_position_the_middle(bus: Bus) -> None:
    bus.emulator.set_present(0, 1000.0)
    bus.write(1, "torque_enable", 128)
    assert bus.read(1, "present_position") == 2048
    assert bus.read(1, "homing_offset") == 1000 - 2048
    assert bus.read(1, "torque_enable") == 0
    bus.emulator.power_cycle(0)
    assert bus.read(1, "present_position") == 2048


@given(st.integers(-2047, 2047), st.integers(-30_000, 30_000))
def test_position_is_encoder_minus_offset_within_one_turn(offset: int, shaft: int) -> None:
    bus = Bus(ids=(1,))
    bus.emulator.set_present(0, shaft)
    bus.write(1, "homing_offset", offset)
    assert bus.read(1, "present_position") == (shaft - offset) % 4096


def test_phase_bit_4_reports_whole_turns(bus: Bus) -> None:
    bus.emulator.set_present(0, -5000.0)
    bus.write(1, "phase", 12 | 16)
    assert bus.read(1, "present_position") == -5000


def test_reg_write_waits_for_action(bus: Bus) -> None:
    for servo in (1, 2):
        bus.packets(feetech.reg_write(servo, 42, encoded("goal_position", 1000)))
    assert bus.read(1, "goal_position") == 2048
    assert bus.read(1, "reg_write_held") == 1
    assert bus.packets(feetech.action()) == []
    assert [bus.read(i, "goal_position") for i in (1, 2, 3)] == [1000, 1000, 2048]
    assert bus.read(1, "reg_write_held") == 0


def test_error_byte_follows_voltage_and_temperature(bus: Bus) -> None:
    bus.emulator.set_supply(0, decivolts=39, celsius=71)
    (reply,) = bus.packets(feetech.read(1, 56, 2))
    assert reply.error == 0x01 | 0x04
    assert bus.read(1, "status") == 0x05
    assert bus.read(1, "present_position") == 2048  # valid all the same


# Faults -----------------------------------------------------------------------------------------------


def test_a_silent_servo_leaves_its_slot_and_obeys(bus: Bus) -> None:
    bus.emulator.set_faults(1, silent=True)
    replies = bus.ask(feetech.sync_read((1, 2, 3), 56, 2))
    assert [(at, p.id) for at, p in replies] == [(190_000, 1), (350_000, 3)]
    bus.write(2, "acceleration", 3)
    bus.emulator.set_faults(1)
    assert bus.read(2, "acceleration") == 3


def test_an_unplugged_servo_hears_nothing(bus: Bus) -> None:
    bus.emulator.set_faults(1, unplugged=True)
    bus.write(2, "acceleration", 3)
    bus.packets(feetech.sync_write(42, {2: encoded("goal_position", 5)}))
    bus.emulator.set_faults(1)
    assert bus.read(2, "acceleration") == 0
    assert bus.read(2, "goal_position") == 2048


def test_dropped_replies_are_the_next_so_many(bus: Bus) -> None:
    bus.emulator.set_faults(2, drop_replies=2)
    answered = [{p.id for p in bus.packets(feetech.sync_read(IDS, 56, 2))} for _ in range(3)]
    assert answered == [set(IDS) - {3}, set(IDS) - {3}, set(IDS)]
    assert bus.emulator.stats().lost_replies == 2


def test_a_corrupt_reply_costs_its_servo_only(bus: Bus) -> None:
    bus.emulator.set_faults(2, corrupt_replies=1, corrupt_byte=5)
    bus.wire.write(feetech.sync_read(IDS, 56, 2))
    data = b"".join(iter(lambda: bus.wire.read(PATIENCE_NS), b""))
    scan = feetech.scan(data)
    assert [p.id for p in scan.packets] == [1, 2, 4, 5, 6]
    assert scan.bad_checksums == 1


def test_extra_delay_and_error_bits(bus: Bus) -> None:
    bus.emulator.set_faults(0, extra_delay_ns=1_234, error_bits=0x20)
    ((at, packet),) = bus.ask(feetech.ping(1))
    assert at == 12 * BYTE_NS + 1_234
    assert packet.error == 0x20


# Misuse -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", [(), (1, 1), (254,), tuple(range(33))])
def test_impossible_buses_are_refused(ids: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="servos"):
        Emulator(ids)


def test_impossible_rates_and_values_are_refused(bus: Bus) -> None:
    with pytest.raises(ValueError, match="rate"):
        Emulator([1], baud=9600)
    with pytest.raises(ValueError, match="out of its range"):
        bus.emulator.set_present(0, float("nan"))
    with pytest.raises(ValueError, match="no such servo"):
        bus.emulator.set_present(6, 0.0)
    assert bus.read(1, "present_position") == 2048


@given(
    st.lists(st.binary(min_size=1, max_size=40) | st.sampled_from([b"\xff\xff\x01", b"\xff\xff\xfe\x16\x83"]))
)
def test_any_bytes_are_survived_and_the_bus_still_answers(chunks: list[bytes]) -> None:
    bus = Bus()
    for chunk in chunks:
        bus.wire.write(chunk)
        bus.wire.read(bus.wire.now_ns + 100_000)
    bus.wire.now_ns += PATIENCE_NS
    bus.wire.discard_input()
    known = [bus.emulator.register(i, 5) for i in range(6)]
    if len(set(known)) == 6 and all(bus.emulator.register(i, 6) == 0 for i in range(6)):
        assert {p.id for p in bus.packets(feetech.ping(feetech.BROADCAST))} == set(known)
