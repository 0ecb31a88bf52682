"""The Feetech codec: the vendor's packets byte for byte, and a scanner that garbage cannot mislead."""

import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinal.drivers.feetech import registers
from spinal.drivers.feetech.units import Line
from spinal.native import feetech

GOLDEN = json.loads((Path(__file__).parent / "golden" / "feetech.json").read_text())
HEADER = Path(__file__).parent.parent / "native" / "core" / "feetech.h"
IDS = range(1, 7)

ids = st.integers(0, 253)
params = st.binary(max_size=feetech.MAX_PARAMS)
packets = st.builds(feetech.Packet, ids, st.integers(0, 255), params)


def golden(name: str) -> bytes:
    return bytes.fromhex(GOLDEN["packets"][name])


def status(packet: feetech.Packet) -> bytes:
    return feetech.status(packet.id, packet.error, packet.params)


def word(value: int, sign_bit: int = 15) -> bytes:
    return feetech.encode(value, sign_bit).to_bytes(2, "little")


@pytest.mark.parametrize(
    ("name", "built"),
    [
        ("ping", feetech.ping(1)),
        ("ping_broadcast", feetech.ping(feetech.BROADCAST)),
        ("read", feetech.read(1, 56, 2)),
        ("torque_on", feetech.write(1, 40, b"\x01")),
        ("goal_2048", feetech.write(1, 42, word(2048))),
        ("goal_velocity_minus_100", feetech.write(1, 46, word(-100))),
        ("homing_minus_500", feetech.write(1, 31, word(-500, 11))),
        ("unlock", feetech.write(1, 55, b"\x00")),
        ("reg_write_goal_2048", feetech.reg_write(1, 42, word(2048))),
        ("action", feetech.action()),
        ("sync_read_2", feetech.sync_read(IDS, 56, 2)),
        ("sync_read_15", feetech.sync_read(IDS, 56, 15)),
        ("sync_write_goals", feetech.sync_write(42, {i: word(2048 + i) for i in IDS})),
        ("read_settings", feetech.read(1, 40, 10)),
        ("read_measured", feetech.read(1, 62, 9)),
        ("sync_write_torque_limits", feetech.sync_write(48, {1: word(1000), 2: word(800), 6: word(500)})),
        ("sync_write_torque_on", feetech.sync_write(40, dict.fromkeys((1, 2, 6), b"\x01"))),
        ("sync_write_torque_off", feetech.sync_write(40, dict.fromkeys((1, 2, 6), b"\x00"))),
        ("status_position_2048", feetech.status(1, 0, word(2048))),
        ("status_overload", feetech.status(1, 0x20, word(2048))),
    ],
)
def test_frames_are_the_vendors_bytes(name: str, built: bytes) -> None:
    assert built.hex(" ") == golden(name).hex(" ")


def test_replies_of_the_vendor_are_read() -> None:
    replies = golden("status_sync_read")
    scan = feetech.scan(replies)
    assert [p.id for p in scan.packets] == list(IDS)
    positions = [feetech.decode(int.from_bytes(p.params, "little"), 15) for p in scan.packets]
    assert positions == GOLDEN["status_sync_read_positions"]
    assert (scan.consumed, scan.garbage, scan.bad_checksums) == (len(replies), 0, 0)
    assert len(replies) == feetech.replies_size(6, 2)


def test_error_byte_comes_with_valid_data() -> None:
    (packet,) = feetech.scan(golden("status_overload")).packets
    assert packet == (1, 0x20, word(2048))
    assert registers.error_names(packet.error) == ("overload",)
    assert registers.error_names(0x41) == ("voltage out of range", "bits 0x40")


@given(st.sampled_from([10, 11, 15]), st.integers(-(2**31), 2**31 - 1))
def test_sign_magnitude_round_trip(sign_bit: int, value: int) -> None:
    limit = 2**sign_bit - 1
    encoded = feetech.encode(value, sign_bit)
    assert feetech.decode(encoded, sign_bit) == max(-limit, min(limit, value))
    assert encoded >> sign_bit == (value < 0)


def test_negative_zero_is_zero() -> None:
    assert feetech.decode(0x8000, 15) == 0


@given(st.lists(packets, max_size=8))
def test_packets_round_trip(sent: list[feetech.Packet]) -> None:
    stream = b"".join(map(status, sent))
    scan = feetech.scan(stream)
    assert scan.packets == sent
    assert scan.consumed == len(stream)


@given(packets, st.data())
def test_a_partial_packet_waits_and_then_arrives(packet: feetech.Packet, data: st.DataObject) -> None:
    frame = status(packet)
    cut = data.draw(st.integers(1, len(frame) - 1))
    first = feetech.scan(frame[:cut])
    assert (first.packets, first.consumed) == ([], 0)
    assert feetech.scan(frame).packets == [packet]


@given(st.lists(packets.filter(lambda p: len(p.params) <= 15), min_size=1, max_size=6), st.data())
def test_fragments_give_the_packets_of_the_whole(sent: list[feetech.Packet], data: st.DataObject) -> None:
    stream = b"".join(map(status, sent))
    held, got = b"", []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        held, stream = held + stream[:cut], stream[cut:]
        scan = feetech.scan(held)
        held = held[scan.consumed :]
        got += scan.packets
    assert got == sent


@given(st.binary(max_size=64).filter(lambda b: b"\xff" not in b), packets)
def test_garbage_before_a_packet_is_skipped_and_counted(garbage: bytes, packet: feetech.Packet) -> None:
    scan = feetech.scan(garbage + status(packet))
    assert scan.packets == [packet]
    assert scan.garbage == len(garbage)


@given(st.binary(max_size=600), st.integers(0, 244), st.booleans())
def test_any_bytes_are_survived_and_accounted_for(data: bytes, limit: int, last: bool) -> None:
    scan = feetech.scan(data, max_params=limit, last=last)
    framed = sum(len(status(p)) for p in scan.packets if p.id != feetech.BROADCAST)
    framed += sum(len(p.params) + 6 for p in scan.packets if p.id == feetech.BROADCAST)
    assert scan.garbage + framed == scan.consumed <= len(data)
    assert all(len(p.params) <= limit for p in scan.packets)
    if last:
        assert scan.consumed == len(data)


@given(packets.filter(lambda p: len(p.params) >= 1), st.data())
def test_a_flipped_bit_is_never_a_packet(packet: feetech.Packet, data: st.DataObject) -> None:
    frame = bytearray(status(packet))
    at = data.draw(st.integers(4, len(frame) - 1))
    frame[at] ^= 1 << data.draw(st.integers(0, 7))
    scan = feetech.scan(bytes(frame), last=True)
    assert packet not in scan.packets
    assert scan.bad_checksums >= 1


def test_a_false_header_does_not_hide_the_replies_behind_it() -> None:
    replies = golden("status_sync_read")
    false_header = b"\xff\xff\x01\xf0\x00"
    assert feetech.scan(false_header + replies).packets == []  # could still be a long frame
    bounded = feetech.scan(false_header + replies, max_params=2)
    assert [p.id for p in bounded.packets] == list(IDS)
    at_the_deadline = feetech.scan(false_header + replies, last=True)
    assert [p.id for p in at_the_deadline.packets] == list(IDS)


def test_a_false_length_inside_the_bound_resynchronises() -> None:
    scan = feetech.scan(b"\xff\xff\x09\x04" + golden("status_sync_read"), max_params=2)
    assert [p.id for p in scan.packets] == list(IDS)
    assert scan.bad_checksums == 1


def test_a_third_ff_is_not_an_id() -> None:
    scan = feetech.scan(b"\xff" + golden("status_position_2048"))
    assert [p.id for p in scan.packets] == [1]
    assert scan.garbage == 1


@pytest.mark.parametrize(
    "build",
    [
        lambda: feetech.ping(255),
        lambda: feetech.read(1, 200, 57),
        lambda: feetech.read(1, 56, 0),
        lambda: feetech.write(1, 10, b""),
        lambda: feetech.write(1, 0, bytes(245)),
        lambda: feetech.sync_read([], 56, 2),
        lambda: feetech.sync_read([254], 56, 2),
        lambda: feetech.sync_write(42, {1: b"ab", 2: b"a"}),
        lambda: feetech.sync_write(42, dict.fromkeys(range(90), b"ab")),
        lambda: feetech.status(254),
        lambda: feetech.encode(1, 16),
    ],
)
def test_what_the_protocol_cannot_carry_is_refused(build: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        build()  # type: ignore[operator]


def test_register_tables_of_c_and_python_agree() -> None:
    text = HEADER.read_text()
    widths = dict(re.findall(r"#define (SP_FEETECH_\w+)_WIDTH (\d+)", text))
    native = {
        (int(address), int(widths[name]))
        for name, address in re.findall(r"#define (SP_FEETECH_\w+) (\d+)\b", text)
        if name in widths
    }
    table = {(r.address, r.width) for r in registers.STS3215 if r.address >= 3}
    assert native == table
    assert len(registers.BY_NAME) == len(registers.STS3215)


def test_registers_do_not_overlap() -> None:
    used = [a for r in registers.STS3215 for a in range(r.address, r.address + r.width)]
    assert len(used) == len(set(used))


@given(
    st.builds(Line.joint, st.integers(0, 4095), st.sampled_from([-1, 1]))
    | st.builds(Line.jaw, st.integers(0, 1000), st.integers(1100, 4095), st.floats(0.01, 0.2)),
    st.integers(-4095, 8190),
)
def test_counts_survive_the_units(line: Line, count: int) -> None:
    assert line.count(line.position(count)) == count


def test_units_have_the_datasheets_scale() -> None:
    joint = Line.joint(2048, direction=-1)
    assert joint.position(2048 - 1024) == pytest.approx(math.pi / 2)
    assert joint.velocity(4096) == pytest.approx(-math.tau)
    assert joint.load(500) == pytest.approx(-0.5)
    jaw = Line.jaw(1500, 2900, 0.07)
    assert jaw.position(2200) == pytest.approx(0.035)
    assert jaw.counts_s(0.07) == pytest.approx(1400)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_no_position_becomes_no_count(bad: float) -> None:
    with pytest.raises(ValueError, match="no position"):
        Line.joint(2048).count(bad)
    with pytest.raises(ValueError, match="finite"):
        Line(bad, 1.0)
