"""Bringing STS servos to the state that the loop expects, before it starts.

The servo's own motion profile is switched off (acceleration and speed 0): the runtime's limiter shapes every
command, and a second shaper behind it would only add lag. The goal is put at the present position, so nothing
moves, and torque is left as it is found: the loop switches it on, with its first goals. A gripper that has torque
keeps its goal: it is by the goal it cannot reach that it holds.

An arm that is held stays held: the return delay concerns the line alone, and the memory table asks for an open
lock to save it, not for torque off. Only a servo in another mode than position must let go, because its goal
register means something else there: in step mode a write to it moves the shaft.
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

from spinal.drivers.feetech.registers import BY_NAME
from spinal.native import feetech
from spinal.runtime.config.joints import ArmJoint, GripperJoint, Joint
from spinal.runtime.errors import BusError

TRIES = 3
ARMING_SHARE = 0.002
ANSWER_LIMIT_NS = 20_000_000
LONGEST_DISCARD = 64
"""Reads of 4 KiB: a line that babbles on is not waited for."""
STS3215_MODELS = (777, 2825)
"""Model numbers of the 7.4 V and 12 V versions."""
TORQUE_PERMILLE = 1000


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
    between which it may stand. One that ``grips`` keeps its goal while it has torque: what it holds would fall."""

    id: int
    name: str
    torque_fraction: float
    count_min: float = -math.inf
    count_max: float = math.inf
    grips: bool = False


def setups(joints: Sequence[Joint]) -> list[ServoSetup]:
    """What a robot file says about each servo.

    An arm joint must stand inside its limits; a gripper may not, it comes back at limited speed and torque.
    """
    return [
        ServoSetup(
            joint.id,
            joint.name,
            joint.limits.torque_fraction,
            *((-math.inf, math.inf) if isinstance(joint, GripperJoint) else _stands_between(joint)),
            grips=isinstance(joint, GripperJoint),
        )
        for joint in joints
    ]


def _stands_between(joint: ArmJoint) -> tuple[float, float]:
    """The counts of the joint's limits, and a little more: what the loop arms (core/loop_judge.c)."""
    ends = sorted(
        joint.count_at_zero + joint.counts_per_unit * position
        for position in (joint.limits.position_min, joint.limits.position_max)
    )
    slack = ARMING_SHARE * (ends[1] - ends[0])
    return ends[0] - slack, ends[1] + slack


def configure(wire: Wire, servos: Sequence[ServoSetup]) -> None:
    """Sets every servo up for the loop, which switches torque on.

    Raises BusError that names every servo which does not answer, is another model, or stands outside its
    limits, before any of them is touched.
    """
    lines = [_Servo(wire, servo) for servo in servos]
    models = {line.setup: line.read("model_number") for line in lines}
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
        f"{line.setup.name} (count {position}, allowed {line.setup.count_min:.0f} to {line.setup.count_max:.0f})"
        for line in lines
        if (position := line.read("present_position")) is not None
        and not line.setup.count_min <= position <= line.setup.count_max
    ]
    if outside:
        raise BusError(
            f"outside its limits: {', '.join(outside)}",
            hint="move the arm inside by hand, or correct limits and zero_count in the robot file",
        )
    for line in lines:
        _prepare(line)


def release(wire: Wire, servos: Sequence[ServoSetup]) -> None:
    """Switches the torque off. The arm goes limp: only for an arm that lies or is held."""
    for servo in servos:
        line = _Servo(wire, servo)
        line.listen()
        line.write("torque_enable", 0)


def _prepare(servo: _Servo) -> None:
    servo.listen()
    mode, delay = servo.must_read("mode"), servo.must_read("return_delay")
    if mode != 0:
        servo.write("torque_enable", 0)
    if mode != 0 or delay != 0:
        servo.write("lock", 0)
        servo.write("mode", 0)
        servo.write("return_delay", 0)
        servo.write("lock", 1)
    servo.write("acceleration", 0)
    servo.write("goal_time", 0)
    servo.write("goal_velocity", 0)
    servo.write("torque_limit", round(TORQUE_PERMILLE * servo.setup.torque_fraction))
    if not (servo.setup.grips and servo.must_read("torque_enable") == 1):
        servo.write("goal_position", servo.must_read("present_position"))


class _Servo:
    """One servo's registers, by their names in ``registers.py``, over a line that may lose a frame."""

    def __init__(self, wire: Wire, setup: ServoSetup) -> None:
        self._wire = wire
        self.setup = setup
        self._acknowledges = True

    def listen(self) -> None:
        """Finds out whether it acknowledges writes: at status level 0 it answers pings and reads only."""
        self._acknowledges = self.must_read("status_level") != 0

    def read(self, name: str) -> int | None:
        """A register's value, None when it does not answer."""
        register = BY_NAME[name]
        request = feetech.read(self.setup.id, register.address, register.width)
        answer = self._exchange(request, register.width)
        if answer is None:
            return None
        raw = int.from_bytes(answer, "little")
        return raw if register.sign_bit is None else feetech.decode(raw, register.sign_bit)

    def must_read(self, name: str) -> int:
        """The same; BusError when it does not answer."""
        value = self.read(name)
        if value is None:
            raise self._silent()
        return value

    def write(self, name: str, value: int) -> None:
        """Writes, and makes sure of it. BusError when it does not answer, or does not take the value."""
        register = BY_NAME[name]
        raw = value if register.sign_bit is None else feetech.encode(value, register.sign_bit)
        request = feetech.write(self.setup.id, register.address, raw.to_bytes(register.width, "little"))
        if self._acknowledges:
            if self._exchange(request, 0) is None:
                raise self._silent()
            return
        for _ in range(TRIES):  # nobody says whether it arrived
            self._wire.discard_input()
            self._wire.write(request)
            if self.must_read(name) == value:
                return
        raise BusError(
            f"{self.setup.name} (id {self.setup.id}) does not take {value} as its {name}",
            hint="check its cable; a servo that answers only reads (status level 0) was asked what it made of it",
        )

    def _silent(self) -> BusError:
        return BusError(
            f"{self.setup.name} (id {self.setup.id}) stopped answering during set-up",
            hint="check its cable and supply, and start again",
        )

    def _exchange(self, request: bytes, length: int) -> bytes | None:
        wire = self._wire
        for _ in range(TRIES):
            wire.discard_input()
            wire.write(request)
            deadline_ns = wire.now_ns + ANSWER_LIMIT_NS
            received = b""
            while wire.now_ns < deadline_ns:
                part = wire.read(deadline_ns)
                received += part
                for packet in feetech.scan(received).packets:
                    if packet.id == self.setup.id and len(packet.params) == length:
                        return packet.params
                if not part:
                    break
        return None
