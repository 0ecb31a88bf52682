"""What the link reads: round trips of every message, and hostile bytes."""

import struct
import time
import tracemalloc

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from link_frames import frame, pick, report

from spinal.runtime.link.arrays import Array
from spinal.runtime.link.messages import (
    MAX_FRAME_BYTES,
    Ack,
    Goal,
    Heartbeat,
    MessageError,
    StateReport,
    decode_envelope,
    decode_payload,
    encode_payload,
)

MESSAGES = [pick(), Ack(3, False, "expired", "late"), report(), Heartbeat(1, 2, 3, 4, 5)]
KINDS = ("goal", "ack", "state", "heartbeat")


def read(data: bytes) -> object:
    """A message, or None for the declared error; anything else that is raised fails the test."""
    try:
        return decode_payload(decode_envelope(data))
    except MessageError:
        return None


@pytest.mark.parametrize("message", MESSAGES, ids=KINDS)
def test_every_message_arrives_as_it_was_sent(message):
    assert read(frame(message)) == message


@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<i4", "<i8", "|u1", ">f8"])
def test_arrays_keep_dtype_shape_and_values(dtype):
    values = np.arange(12, dtype=dtype).reshape(3, 4)
    array = Array.of(values)
    np.testing.assert_array_equal(array.numpy(), values)
    assert not array.numpy().flags.writeable
    assert Array.of(1.5).numpy().shape == ()


@pytest.mark.parametrize("dtype", ["O", "V8", "c16", "m8[s]", "U4", "f2", "?"])
def test_other_dtypes_do_not_travel(dtype):
    with pytest.raises(ValueError, match="dtype"):
        Array.of(np.zeros(2, dtype=dtype))


@pytest.mark.parametrize(
    "wire",
    [
        (b"\0" * 16, "|O", (2,)),
        (b"\0" * 16, "<f8", (3,)),
        (b"\0" * 16, "<i8", (1,)),
        (b"\0" * 16, "<f8", (-1, -2)),
        (b"", "<f8", (1 << 40, 0)),
        (b"", "<f8", (0,) * 5),
        (b"\0" * (1 << 17), "|u1", (1 << 17,)),
        (np.array([1.0, np.nan]).tobytes(), "<f8", (2,)),
        (np.array([np.inf], dtype="<f4").tobytes(), "<f4", (1,)),
    ],
    ids=["object", "short", "long", "negative", "huge", "dimensions", "large", "nan", "inf"],
)
def test_hostile_arrays_are_refused(wire):
    raw = msgspec.Raw(msgspec.msgpack.encode([1, "pick", {"target": wire}]))
    with pytest.raises(MessageError):
        decode_payload(decode_envelope(frame(raw)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_refused(value):
    with pytest.raises(ValueError, match="finite"):
        Goal(1, "pick", {"speed": value})
    assert read(frame(msgspec.Raw(msgspec.msgpack.encode([1, "pick", {"speed": value}])))) is None


@pytest.mark.parametrize(
    "goal",
    [
        [1, "dance", {}],
        [-1, "pick", {}],
        [1 << 63, "pick", {}],
        [1, "pick", {f"p{'x' * i}": 1 for i in range(17)}],
        [1, "pick", {"x" * 33: 1}],
        [1, "pick", {"x": "y" * 201}],
        [1, "pick", {"x": "\x1b[2J"}],
        [1, "pick", {"x": {"y": 1}}],
        [1],
    ],
)
def test_goals_out_of_bounds_are_refused(goal):
    assert read(frame(msgspec.Raw(msgspec.msgpack.encode(goal)))) is None


def test_joint_arrays_must_agree():
    two, three = Array.of(np.zeros(2)), Array.of(np.zeros(3))
    with pytest.raises(ValueError, match="length"):
        StateReport("running", 1, 1, three, two, three)
    many = Array.of(np.zeros(65))
    with pytest.raises(ValueError, match="joints"):
        StateReport("running", 1, 1, many, many, many)


def test_fields_that_a_newer_writer_appends_are_ignored():
    fields = msgspec.msgpack.decode(frame(msgspec.Raw(msgspec.msgpack.encode([7, "stop", {}, "new", [1]]))))
    assert read(msgspec.msgpack.encode([*fields, {"newer": True}])) == Goal(7, "stop", {})


def test_an_older_robot_s_state_is_understood():
    """Version 1.0 ended with the successes."""
    older = msgspec.msgpack.decode(encode_payload(report(7, episodes=3, successes=2)))[:15]
    found = read(frame(msgspec.Raw(msgspec.msgpack.encode(older)), kind="state", v=1 << 8))
    assert (found.successes, found.rung, found.conditions, found.speed) == (2, "", (), 1.0)


def test_an_older_client_reads_what_it_knows_of_a_newer_state():
    class Older(msgspec.Struct, array_like=True):
        mode: str
        tick: int

    newer = report(7, rung="hold", conditions=("estop",), latched=("estop",), speed=0.5, energised=True)
    assert read(frame(newer)) == newer
    assert msgspec.msgpack.decode(encode_payload(newer), type=Older) == Older("running", 7)


@pytest.mark.parametrize("speed", [-0.1, 1.1, float("nan")])
def test_a_speed_beyond_the_limits_is_no_state(speed):
    assert read(frame(report(speed=speed))) is None


def test_a_message_too_large_to_send_is_refused_at_the_sender():
    with pytest.raises(MessageError, match="exceeds"):
        frame(msgspec.Raw(msgspec.msgpack.encode("x" * MAX_FRAME_BYTES)))


def assert_message_or_none(found):
    """Whatever came in, what comes out is a checked message or nothing; anything else was raised by now."""
    assert found is None or isinstance(found, (Goal, Ack, StateReport, Heartbeat))


@given(st.binary(max_size=300))
def test_random_bytes_raise_the_declared_error_only(data):
    assert_message_or_none(read(data))


@given(st.sampled_from(KINDS), st.binary(max_size=200))
def test_random_payloads_raise_the_declared_error_only(kind, data):
    assert_message_or_none(read(frame(msgspec.Raw(data), kind=kind)))


@given(st.sampled_from(MESSAGES), st.data())
def test_damaged_messages_raise_the_declared_error_only(message, data):
    damaged = bytearray(frame(message))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        damaged[position] = data.draw(st.integers(0, 255))
    assert_message_or_none(read(bytes(damaged[: data.draw(st.integers(0, len(damaged)))])))
    assert_message_or_none(read(bytes(damaged)))


def _bombs() -> dict[str, bytes]:
    size = MAX_FRAME_BYTES
    head = frame(pick())[: -len(encode_payload(pick()))]
    rest = size - len(head)
    count = struct.pack(">I", rest // 4)
    huge = b"\xff\xff\xff\xff"
    return {
        "nested arrays": b"\x91" * size,
        "nested payload": head + b"\x91" * rest,
        "nested maps": head + b"\x81\x01" * (rest // 2),
        "nested trailing": b"\xdd" + count + b"\x91" * (size - 5),
        "declared array": b"\xdd" + huge,
        "declared map": b"\xdf" + huge,
        "declared payload array": head + b"\xdd" + huge,
        "declared parameters": head + b"\x93\x01\xa4pick\xdf" + huge,
        "declared shape": head + b"\x93\x01\xa4pick\x81\xa1a\x93\xc4\x00\xa3<f8\xdd" + huge,
        "declared bytes": head + b"\x93\x01\xa4pick\x81\xa1a\x93\xc6" + huge,
        "empty arrays": head + b"\x93\x01\xa4pick\xdd" + count + b"\x90" * (rest // 4),
        "many parameters": head + b"\x93\x01\xa4pick\xdf" + count + b"\xa1a\xc2" * (rest // 4),
        "unknown trailing": head + b"\xdd" + count + b"\x01\xa1a\x90" * (rest // 16),
        "long text": b"\x9d\xcd\x01\x00\xdb" + struct.pack(">I", size - 9) + b"a" * (size - 9),
        "too large": b"\x90" * (size + 1),
        "bad text": b"\x9d\xcd\x01\x00\xa2\xff\xfe" + b"\xc0" * 11,
    }


@pytest.mark.parametrize("name", _bombs())
def test_bombs_are_refused_quickly_and_in_little_memory(name):
    bomb = _bombs()[name]
    before_s = time.thread_time()
    assert read(bomb) is None
    assert time.thread_time() - before_s < 0.05
    tracemalloc.start()
    read(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MAX_FRAME_BYTES
