"""Bringing STS servos to the state that the loop expects, before it starts.

The servo's own motion profile is switched off (acceleration and speed 0): the runtime's limiter shapes every
command, and a second shaper behind it would only add lag. Torque goes on last, with the goal at the present
position, so nothing moves.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import select
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from spinal.native import feetech
from spinal.runtime.config.joints import ArmJoint, GripperJoint, Joint
from spinal.runtime.errors import BusError

TRIES = 3
ARMING_SHARE = 0.002
SIGN_BIT = 15
ANSWER_LIMIT_NS = 20_000_000
LONGEST_DISCARD = 64
"""Reads of 4 KiB: a line that babbles on is not waited for."""
STS3215_MODELS = (777, 2825)
"""Model numbers of the 7.4 V and 12 V versions."""

MODEL, RETURN_DELAY, MODE, TORQUE, ACCELERATION = 3, 7, 33, 40, 41
GOAL, GOAL_TIME, GOAL_SPEED, TORQUE_LIMIT, LOCK, POSITION = 42, 44, 46, 48, 55, 56


class Wire(Protocol):
    """Bytes there and back; instants are of the wire's own clock, ns."""

    @property
    def now_ns(self) -> int:
        """The present instant."""

    def write(self, data: bytes) -> None:
        """Hand all of ``data`` to the line."""

    def read(self, deadline_ns: int) -> bytes:
        """What arrives first, or nothing when the deadline comes before."""

    def discard_input(self) -> None:
        """Throw away what has arrived."""


class DescriptorWire:
    """A serial line, pty or socketpair end as a Wire, before the loop takes it over; BusError when it fails."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_blocking(fd, False)

    @property
    def now_ns(self) -> int:
        """CLOCK_MONOTONIC."""
        return time.monotonic_ns()

    def write(self, data: bytes) -> None:
        """All of ``data``."""
        with _line_errors():
            sent = os.write(self._fd, data)
            if sent != len(data):
                raise BlockingIOError(errno.EAGAIN, f"it took {sent} of {len(data)} bytes")

    def read(self, deadline_ns: int) -> bytes:
        """What arrives first, or nothing when the deadline comes before."""
        left = max(0.0, (deadline_ns - time.monotonic_ns()) * 1e-9)
        with _line_errors():
            ready, _, _ = select.select([self._fd], [], [], left)
            return os.read(self._fd, 4096) if ready else b""

    def discard_input(self) -> None:
        """Throw away what has arrived."""
        with _line_errors():
            for _ in range(LONGEST_DISCARD):
                if not select.select([self._fd], [], [], 0)[0] or not os.read(self._fd, 4096):
                    return


@contextlib.contextmanager
def _line_errors() -> Iterator[None]:
    """What the kernel says of a line that is unplugged, as BusError."""
    try:
        yield
    except OSError as error:
        raise BusError(
            f"the line to the motors failed: {error.strerror}", hint="check the adapter, and start again"
        ) from None


@dataclass(frozen=True, slots=True)
class ServoSetup:
    """One servo: its id, the joint's name for messages, its torque limit (share of the greatest), and the counts
    between which it may stand."""

    id: int
    name: str
    torque_fraction: float = 1.0
    count_min: float = -math.inf
    count_max: float = math.inf


def setups(joints: Sequence[Joint]) -> list[ServoSetup]:
    """What a robot file says about each servo: a gripper may use a share of its torque, an arm all of it.

    An arm joint must stand inside its limits; a gripper may not, it comes back at limited speed and torque.
    """
    return [
        ServoSetup(joint.id, joint.name, joint.limits.torque_fraction)
        if isinstance(joint, GripperJoint)
        else ServoSetup(joint.id, joint.name, 1.0, *_stands_between(joint))
        for joint in joints
    ]


def _stands_between(joint: ArmJoint) -> tuple[float, float]:
    """The counts of the joint's limits, and a little more: what the loop arms (ARMING_SHARE in core/loop.c)."""
    ends = sorted(
        joint.count_at_zero + joint.counts_per_unit * position
        for position in (joint.limits.position_min, joint.limits.position_max)
    )
    slack = ARMING_SHARE * (ends[1] - ends[0])
    return ends[0] - slack, ends[1] + slack


def configure(wire: Wire, servos: Sequence[ServoSetup]) -> None:
    """Sets every servo up and switches its torque on at its present position.

    Raises BusError that names every servo which does not answer, is another model, or stands outside its
    limits, before any of them is touched.
    """
    models = {servo: _read(wire, servo, MODEL, 2) for servo in servos}
    silent = [f"{servo.name} (id {servo.id})" for servo, model in models.items() if model is None]
    if silent:
        raise BusError(
            f"no answer from {', '.join(silent)}",
            hint="check power and cabling, then the ids and the baud rate in the robot file",
        )
    strange = [
        f"{servo.name}: model {model}" for servo, model in models.items() if model not in STS3215_MODELS
    ]
    if strange:
        raise BusError(
            f"not an STS3215: {', '.join(strange)}",
            hint='protocol = "feetech" drives STS3215 servos so far',
        )
    outside = [
        f"{servo.name} (count {position}, allowed {servo.count_min:.0f} to {servo.count_max:.0f})"
        for servo in servos
        if (position := _position(wire, servo)) is not None
        and not servo.count_min <= position <= servo.count_max
    ]
    if outside:
        raise BusError(
            f"outside its limits: {', '.join(outside)}",
            hint="move the arm inside by hand, or correct limits and zero_count in the robot file",
        )
    for servo in servos:
        _prepare(wire, servo)


def _position(wire: Wire, servo: ServoSetup) -> int | None:
    word = _read(wire, servo, POSITION, 2)
    return None if word is None else feetech.decode(word, SIGN_BIT)


def _prepare(wire: Wire, servo: ServoSetup) -> None:
    if _read(wire, servo, MODE, 1) != 0 or _read(wire, servo, RETURN_DELAY, 1) != 0:
        _write(wire, servo, TORQUE, b"\0")
        _write(wire, servo, LOCK, b"\0")
        _write(wire, servo, MODE, b"\0")
        _write(wire, servo, RETURN_DELAY, b"\0")
        _write(wire, servo, LOCK, b"\1")
    _write(wire, servo, ACCELERATION, b"\0")
    _write(wire, servo, GOAL_TIME, b"\0\0\0\0")  # and the speed behind it
    _write(wire, servo, TORQUE_LIMIT, round(1000 * servo.torque_fraction).to_bytes(2, "little"))
    present = _read(wire, servo, POSITION, 2)
    if present is None:
        raise _silent(servo)
    _write(wire, servo, GOAL, present.to_bytes(2, "little"))
    _write(wire, servo, TORQUE, b"\1")


def release(wire: Wire, servos: Sequence[ServoSetup]) -> None:
    """Switches the torque off. The arm goes limp: only for an arm that lies or is held."""
    for servo in servos:
        _write(wire, servo, TORQUE, b"\0")


def _silent(servo: ServoSetup) -> BusError:
    return BusError(
        f"{servo.name} (id {servo.id}) stopped answering during set-up",
        hint="check its cable and supply, and start again",
    )


def _exchange(wire: Wire, request: bytes, servo: ServoSetup, length: int) -> bytes | None:
    for _ in range(TRIES):
        wire.discard_input()
        wire.write(request)
        deadline_ns = wire.now_ns + ANSWER_LIMIT_NS
        received = b""
        while wire.now_ns < deadline_ns:
            part = wire.read(deadline_ns)
            received += part
            for packet in feetech.scan(received).packets:
                if packet.id == servo.id and len(packet.params) == length:
                    return packet.params
            if not part:
                break
    return None


def _read(wire: Wire, servo: ServoSetup, address: int, length: int) -> int | None:
    answer = _exchange(wire, feetech.read(servo.id, address, length), servo, length)
    return None if answer is None else int.from_bytes(answer, "little")


def _write(wire: Wire, servo: ServoSetup, address: int, data: bytes) -> None:
    if _exchange(wire, feetech.write(servo.id, address, data), servo, 0) is None:
        raise _silent(servo)
