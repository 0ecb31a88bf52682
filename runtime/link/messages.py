"""What planner and robot say to each other: one envelope, four payloads, all bounded.

Every struct is a msgpack array that only ever grows at its end: unknown trailing fields are ignored,
so an older reader understands a newer writer of the same major version. Nothing here knows a socket
or a clock.

Plain `msgpack` is not used for reading: without limits five megabytes of empty arrays cost it seconds
and hundreds of megabytes. msgspec decodes into a declared type and checks each length before it
allocates.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from spinal.runtime.errors import LinkError
from spinal.runtime.link.arrays import Array

MAX_FRAME_BYTES = 1 << 20
MAX_JOINTS = 64
MAX_PARAMETERS = 16

VERSION_MAJOR = 1
VERSION_MINOR = 3
# 1: estop, relax, arm, speed; rung, conditions and speed in the state
# 2: follow; policy_swap, policy_rollback, policy_reveal; policy and exchange in the state
# 3: verdict in the state
VERSION = VERSION_MAJOR << 8 | VERSION_MINOR

INT63_MAX = (1 << 63) - 1
Count = Annotated[int, Meta(ge=0, le=INT63_MAX)]
Signed = Annotated[int, Meta(ge=-INT63_MAX, le=INT63_MAX)]
Source = Annotated[str, Meta(max_length=64, pattern=r"^[A-Za-z0-9._-]+\Z")]  # also a robot's name
Word = Annotated[str, Meta(max_length=32, pattern=r"^[a-z_]*\Z")]
Names = Annotated[tuple[Word, ...], Meta(max_length=64)]
Share = Annotated[float, Meta(ge=0, le=1)]
Text = Annotated[str, Meta(max_length=200, pattern=r"^[ -~]*\Z")]
GoalKind = Literal[
    "pick",
    "pause",
    "go_on",
    "stop",
    "estop",
    "relax",
    "arm",
    "speed",
    "follow",
    "policy_swap",
    "policy_rollback",
    "policy_reveal",
]
Parameter = bool | Signed | float | Text | Array
Parameters = Annotated[dict[Word, Parameter], Meta(max_length=MAX_PARAMETERS)]


class MessageError(LinkError):
    """A frame that is too large, malformed, not finite, or of another major version."""


class Goal(msgspec.Struct, array_like=True, frozen=True):
    """What the planner wants next. Sent again with the same `goal_id`, it renews its deadline.

    `pick` and `follow` run until their deadline, `pause` holds until `go_on`. `stop` and `estop` are the same:
    to rest by the emergency limits, latched until `arm`; `relax` lets go of the torque behind that. `speed` has
    the parameter `percent`, 0 to 100, of the velocity limits, and stays until changed. What `pick` and `follow`
    may say to the policy itself (`text`, `embedding`, `latent`, `waypoint`, `twist`) stands in `goals.py`.
    `policy_swap` has the parameter `model`, a file in one of the robot file's folders, and may have `forced`;
    it, `policy_rollback` and `policy_reveal` are about which model runs, and change nothing of the order in
    force.
    """

    goal_id: Count
    kind: GoalKind
    parameters: Parameters = {}

    def __post_init__(self) -> None:
        for name, value in self.parameters.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"parameter {name!r} is not finite")


class Ack(msgspec.Struct, array_like=True, frozen=True):
    """The robot's answer to message `seq`: `reason` is empty or a stable word, `detail` is for people."""

    seq: Count
    accepted: bool
    reason: Word = ""
    detail: Text = ""


class StateReport(msgspec.Struct, array_like=True, frozen=True):
    """The robot in one message. Arrays follow the robot file's joint order, in each channel's own unit.

    `stamp_ns` and `observation_age_ns` are in the robot's monotonic clock. `rung` is how far down the ladder it
    is, `conditions` name what is missing or wrong, `latched` those that stay until a person arms it again; `speed`
    is the share of the velocity limits. `policy` is what runs; `exchange` how far the exchange of models stands
    that goal `exchange_goal` asked for. `verdict` is what a detector sees, empty for nothing, with its
    probability and the instant since which it sees it. Raises ValueError when the arrays are not one number per
    joint.
    """

    mode: Word
    tick: Count
    stamp_ns: Signed
    position: Array
    velocity: Array
    command_position: Array
    trajectory_id: Count = 0
    observation_age_ns: Count = 0
    goal_id: Count = 0
    goal_status: Word = ""
    limited_ticks: Count = 0
    starved_ticks: Count = 0
    missed_ticks: Count = 0
    episodes: Count = 0
    successes: Count = 0
    rung: Word = ""
    conditions: Names = ()
    latched: Names = ()
    speed: Share = 1.0
    energised: bool = False
    policy: Text = ""
    exchange: Word = ""
    exchange_goal: Count = 0
    exchange_detail: Text = ""
    verdict: Word = ""
    verdict_probability: Share = 0.0
    verdict_since_ns: Count = 0

    def __post_init__(self) -> None:
        shape = self.position.shape
        if len(shape) != 1 or shape[0] > MAX_JOINTS:
            raise ValueError(
                f"positions have shape {shape}, not one number for each of 0-{MAX_JOINTS} joints"
            )
        if self.velocity.shape != shape or self.command_position.shape != shape:
            raise ValueError("positions, velocities and commands differ in length")


class Heartbeat(msgspec.Struct, array_like=True, frozen=True):
    """The four stamps of one exchange, each in the clock of the side that took it, in nanoseconds.

    The client fills the first and reports the round trip of its last exchange (0: none yet); the robot
    fills the next two; the client takes the fourth on arrival.
    """

    client_send_ns: Signed
    robot_receive_ns: Signed = 0
    robot_send_ns: Signed = 0
    client_receive_ns: Signed = 0
    last_round_trip_ns: Count = 0


Payload = Goal | Ack | StateReport | Heartbeat


class Envelope(msgspec.Struct, array_like=True, frozen=True):
    """Who says what, when, in which order and until when it holds.

    `t_mono_ns` and `t_utc_ns` are the sender's clocks; `clock_offset_ns` (robot minus sender) and
    `clock_err_ns` its estimate of the robot's; `valid_until_ns` is in the robot's monotonic clock.
    `obs_seq` is the newest state that the sender had seen, `provenance` who or what decided.
    """

    v: Count
    kind: Word
    src: Source
    session_id: Count
    seq: Count
    t_mono_ns: Signed
    t_utc_ns: Signed
    clock_offset_ns: Signed
    clock_err_ns: Count
    valid_until_ns: Signed
    obs_seq: Count
    provenance: Text
    payload: msgspec.Raw


class _Preamble(msgspec.Struct, array_like=True, frozen=True):
    """The only part that every version agrees on."""

    v: Count


_ENCODER = msgspec.msgpack.Encoder()
_PREAMBLE = msgspec.msgpack.Decoder(_Preamble)
_ENVELOPE = msgspec.msgpack.Decoder(Envelope)
_PAYLOADS: dict[str, msgspec.msgpack.Decoder[Payload]] = {
    "goal": msgspec.msgpack.Decoder(Goal),
    "ack": msgspec.msgpack.Decoder(Ack),
    "state": msgspec.msgpack.Decoder(StateReport),
    "heartbeat": msgspec.msgpack.Decoder(Heartbeat),
}
_KINDS: dict[type[Payload], str] = {Goal: "goal", Ack: "ack", StateReport: "state", Heartbeat: "heartbeat"}
# What msgspec raises on hostile bytes: its own errors, bad UTF-8 (a ValueError), too deep a nesting.
_HOSTILE = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)


def kind_of(payload: Payload) -> str:
    """The word that names this payload in an envelope."""
    return _KINDS[type(payload)]


def encode_payload(payload: Payload) -> msgspec.Raw:
    """The payload's bytes, ready for an Envelope."""
    return msgspec.Raw(_ENCODER.encode(payload))


def encode(envelope: Envelope) -> bytes:
    """One frame; MessageError when it is larger than MAX_FRAME_BYTES or a field cannot travel."""
    try:
        frame = _ENCODER.encode(envelope)
    except (TypeError, *_HOSTILE) as error:
        raise MessageError(f"a {envelope.kind} message cannot be written: {error}") from error
    if len(frame) > MAX_FRAME_BYTES:
        raise MessageError(f"a {envelope.kind} message of {len(frame)} bytes exceeds {MAX_FRAME_BYTES}")
    return frame


def decode_version(frame: bytes) -> int:
    """The frame's version word (major << 8 | minor); MessageError when there is none to read."""
    if len(frame) > MAX_FRAME_BYTES:
        raise MessageError(f"a frame of {len(frame)} bytes exceeds {MAX_FRAME_BYTES}")
    try:
        return _PREAMBLE.decode(frame).v
    except _HOSTILE as error:
        raise MessageError(f"not a message: {error}") from error


def decode_envelope(frame: bytes) -> Envelope:
    """The envelope with its payload still in bytes; MessageError for anything else."""
    version = decode_version(frame)
    if version >> 8 != VERSION_MAJOR:
        raise MessageError(f"version {version >> 8} is spoken there, version {VERSION_MAJOR} here")
    try:
        return _ENVELOPE.decode(frame)
    except _HOSTILE as error:
        raise MessageError(f"malformed envelope: {error}") from error


def decode_payload(envelope: Envelope) -> Payload:
    """The payload, typed by the envelope's kind; MessageError for an unknown kind or malformed bytes."""
    decoder = _PAYLOADS.get(envelope.kind)
    if decoder is None:
        raise MessageError(f"unknown kind of message {envelope.kind!r}")
    try:
        return decoder.decode(envelope.payload)
    except _HOSTILE as error:
        raise MessageError(f"malformed {envelope.kind}: {error}") from error
