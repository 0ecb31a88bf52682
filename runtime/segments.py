"""Which process of a robot writes what into shared memory, and how the others read it.

    controller  stats, state mailbox, ring of tick records, report mailbox, last command, changes of mode,
                health of the motors
    policy      trajectory mailbox, report mailbox
    link        order mailbox, report mailbox, what planners say to the policy, what is asked of its process
    supervisor  order mailbox, tail of the record ring, settings mailbox, emergency stops, faults of the simulation
    sim         pose mailbox (a short history), report mailbox, ring of what arrives at the servos

One mapping per writer. Its owner, the supervisor, makes and lays it out, then hands the descriptor that can
write to the one process and read-only ones to the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
import numpy as np

from spinal.native import layout
from spinal.native.loop import STATS_BYTES
from spinal.native.shared import Mailbox, Ring, Segment
from spinal.native.trajectory import LARGEST_BYTES
from spinal.runtime.types import State

RECORD_SLOTS = 4096
"""16 s of ticks at 250 Hz until a reader must have come by."""
POSE_SLOTS = 64
TRANSITION_SLOTS = 64
WIRE_SLOTS = 4096
"""16 s of commands at 250 Hz; the oldest are overwritten."""
STOP_LINES = 8
"""Words in the part of emergency stops: when each was pressed, 0 while it is not."""
GOAL_BYTES = 1 << 16
"""All that planners say to the policy, together (``runtime/goals.py``)."""
REPORT_BYTES = 4096
"""The longest report: a msgpack map behind its length."""


class Writer(StrEnum):
    """The processes that write."""

    CONTROLLER = "controller"
    POLICY = "policy"
    LINK = "link"
    SUPERVISOR = "supervisor"
    SIM = "sim"


CONTROLLER_STATS, CONTROLLER_STATE, CONTROLLER_RECORDS, CONTROLLER_REPORT, CONTROLLER_COMMAND = range(5)
CONTROLLER_TRANSITIONS, CONTROLLER_HEALTH = 5, 6
POLICY_TRAJECTORY, POLICY_REPORT = range(2)
LINK_ORDER, LINK_REPORT, LINK_GOAL, LINK_POLICY = range(4)
SUPERVISOR_ORDER, SUPERVISOR_TAIL, SUPERVISOR_SETTINGS, SUPERVISOR_STOPS, SUPERVISOR_FAULTS = range(5)
SIM_POSE, SIM_REPORT, SIM_WIRE = range(3)


def create(writer: Writer, joints: int) -> Segment:
    """A new segment for ``writer``, laid out, with no writer yet."""
    state_bytes = layout.state_dtype(joints).itemsize
    record_bytes = layout.record_dtype(joints).itemsize
    report = (REPORT_BYTES, 4)
    mailboxes: dict[int, tuple[int, int]]
    other: dict[int, int] = {}
    match writer:
        case Writer.CONTROLLER:
            mailboxes = {
                CONTROLLER_STATE: (state_bytes, 8),
                CONTROLLER_REPORT: report,
                CONTROLLER_COMMAND: (layout.command_dtype(joints).itemsize, 4),
                CONTROLLER_TRANSITIONS: (layout.TRANSITION.itemsize, TRANSITION_SLOTS),
                CONTROLLER_HEALTH: (layout.health_dtype(joints).itemsize, 4),
            }
            other = {CONTROLLER_STATS: STATS_BYTES, CONTROLLER_RECORDS: Ring.size(record_bytes, RECORD_SLOTS)}
        case Writer.POLICY:
            mailboxes = {POLICY_TRAJECTORY: (LARGEST_BYTES, 4), POLICY_REPORT: report}
        case Writer.LINK:
            mailboxes = {
                LINK_ORDER: (layout.ORDER.itemsize, 4),
                LINK_REPORT: report,
                LINK_GOAL: (GOAL_BYTES, 4),
                LINK_POLICY: report,
            }
        case Writer.SUPERVISOR:
            mailboxes = {
                SUPERVISOR_ORDER: (layout.ORDER.itemsize, 4),
                SUPERVISOR_SETTINGS: (layout.SETTINGS.itemsize, 4),
                SUPERVISOR_FAULTS: (layout.SIM_FAULTS.itemsize, 4),
            }
            other = {SUPERVISOR_TAIL: 64, SUPERVISOR_STOPS: 8 * STOP_LINES}
        case Writer.SIM:
            mailboxes = {SIM_POSE: (layout.POSE_SAMPLE.itemsize, POSE_SLOTS), SIM_REPORT: report}
            other = {SIM_WIRE: Ring.size(layout.wire_dtype(joints).itemsize, WIRE_SLOTS)}
    sizes = {part: Mailbox.size(size, slots) for part, (size, slots) in mailboxes.items()} | other
    segment = Segment.create(writer.value, [sizes[part] for part in sorted(sizes)])
    for part, (size, slots) in mailboxes.items():
        Mailbox.format(segment, part, size, slots)
    if writer is Writer.CONTROLLER:
        Ring.format(segment, CONTROLLER_RECORDS, record_bytes, RECORD_SLOTS)
    if writer is Writer.SIM:
        Ring.format(segment, SIM_WIRE, layout.wire_dtype(joints).itemsize, WIRE_SLOTS)
    return segment


class StateReader:
    """Reads the controller's newest state. One thread."""

    def __init__(self, controller: Segment, joints: int) -> None:
        self._mailbox = Mailbox(controller, CONTROLLER_STATE)
        self._record = np.zeros(1, layout.state_dtype(joints))
        self._bytes = self._record.view(np.uint8)

    def read(self) -> State | None:
        """The newest state, or None while there is none."""
        if not self._mailbox.read_latest(self._bytes):
            return None
        head = self._record[0]
        joints = head["joints"]
        return State(
            tick=int(head["tick"]),
            tick_ns=int(head["tick_ns"]),
            command_ns=int(head["command_ns"]),
            mode=int(head["mode"]),
            conditions=int(head["conditions"]),
            trajectory_id=int(head["trajectory_id"]),
            observation_stamp_ns=int(head["observation_stamp_ns"]),
            in_force_ns=int(head["in_force_ns"]),
            blend_end_ns=int(head["blend_end_ns"]),
            at_rest=bool(head["at_rest"]),
            rung=int(head["rung"]),
            rung_ns=int(head["rung_ns"]),
            latched=int(head["latched"]),
            energised=bool(head["energised"]),
            speed_scale=float(head["speed_scale"]),
            position=joints["position"].copy(),
            velocity=joints["velocity"].copy(),
            load=joints["load"].copy(),
            stamp_ns=joints["stamp_ns"].copy(),
            commanded=np.stack(
                [
                    joints["commanded_position"],
                    joints["commanded_velocity"],
                    joints["commanded_acceleration"],
                ],
                axis=1,
            ),
        )


class Order(NamedTuple):
    """What was ordered of the loop (layout.ORDER)."""

    stamp_ns: int
    valid_until_ns: int
    kind: int
    goal: int
    speed: float
    arming: int


class OrderReader:
    """Reads what somebody orders."""

    def __init__(self, segment: Segment, part: int) -> None:
        self._mailbox = Mailbox(segment, part)
        self._record = np.zeros(1, layout.ORDER)
        self._bytes = self._record.view(np.uint8)

    def read(self) -> Order | None:
        """The newest order; None before the first."""
        return Order(*self._record[0].item()) if self._mailbox.read_latest(self._bytes) else None


class OrderWriter:
    """Gives the loop orders: run, hold, stop or let go, valid for a while."""

    def __init__(self, segment: Segment, part: int) -> None:
        self._mailbox = Mailbox(segment, part)
        self._record = np.zeros(1, layout.ORDER)
        self._bytes = self._record.view(np.uint8)
        self._reader = OrderReader(segment, part)

    @property
    def last(self) -> Order | None:
        """The newest order, whoever gave it; None before the first."""
        return self._reader.read()

    def give(
        self, kind: int, now_ns: int, valid_for_ns: int, goal: int = 0, speed: float = 1.0, arming: int = 0
    ) -> None:
        """``kind``: layout.ORDER_RUN, ORDER_HOLD, ORDER_STOP or ORDER_OFF. Not renewed in time, it counts as hold.

        ``speed``: share of the velocity limits, 0 to 1. ``arming`` rises by one when a person asks to arm again.
        """
        self._record[0] = (now_ns, now_ns + valid_for_ns, kind, goal, speed, arming)
        self._mailbox.publish(self._bytes)


class Transition(NamedTuple):
    """A change of mode: which edge the loop took, when, and why."""

    tick: int
    tick_ns: int
    edge: int
    """Index into ``native.loop.edges()``."""
    before: int
    after: int
    conditions: int
    risen: int
    """The conditions that were not there in the tick before: the cause."""
    joint: int
    """Index of the first joint that one of them is about; -1: none."""


class TransitionReader:
    """Every change of mode since the last call, oldest first; what was overwritten meanwhile is skipped."""

    def __init__(self, controller: Segment) -> None:
        self._mailbox = Mailbox(controller, CONTROLLER_TRANSITIONS)
        self._record = np.zeros(1, layout.TRANSITION)
        self._bytes = self._record.view(np.uint8)
        self._next = 1

    def take(self) -> list[Transition]:
        """The changes that are new."""
        newest = self._mailbox.latest
        changes = []
        for number in range(max(self._next, newest - self._mailbox.slots + 2), newest + 1):
            if self._mailbox.read(number, self._bytes):
                changes.append(Transition(*self._record[0].item()))
        self._next = newest + 1
        return changes


class SettingsWriter:
    """What a person may change while the robot runs."""

    def __init__(self, segment: Segment, part: int) -> None:
        self._mailbox = Mailbox(segment, part)
        self._record = np.zeros(1, layout.SETTINGS)
        self._bytes = self._record.view(np.uint8)

    def publish(self, added_delay_ns: int) -> None:
        """``added_delay_ns``: how long each of the policy's answers is held back."""
        self._record[0] = (added_delay_ns,)
        self._mailbox.publish(self._bytes)


class SettingsReader:
    """Reads what ``SettingsWriter`` wrote."""

    def __init__(self, segment: Segment, part: int) -> None:
        self._mailbox = Mailbox(segment, part)
        self._record = np.zeros(1, layout.SETTINGS)
        self._bytes = self._record.view(np.uint8)

    @property
    def added_delay_ns(self) -> int:
        """The newest value; 0 before the first."""
        self._mailbox.read_latest(self._bytes)
        return int(self._record[0]["added_delay_ns"])


class FaultsWriter:
    """Tells the simulator what is to be wrong: change ``faults`` (layout.SIM_FAULTS), then ``publish``.

    ``writer.faults["servos"][2]["silent"] = 1``; counts rise: ``writer.faults["servos"][2]["power_cycles"] += 1``.
    """

    def __init__(self, segment: Segment, part: int = SUPERVISOR_FAULTS) -> None:
        self._mailbox = Mailbox(segment, part)
        self._record = np.zeros(1, layout.SIM_FAULTS)
        self._bytes = self._record.view(np.uint8)
        self._mailbox.read_latest(self._bytes)
        self.faults: np.void = self._record[0]

    def publish(self) -> None:
        """Makes ``faults`` so, from the simulator's next step on."""
        self._mailbox.publish(self._bytes)

    def clear(self) -> None:
        """Nothing is wrong any more; what only rises stays as it is."""
        rises = {word: self.faults["servos"][word].copy() for word in layout.RISING_FAULTS}
        self._record[0] = np.zeros(1, layout.SIM_FAULTS)[0]
        for word, counts in rises.items():
            self.faults["servos"][word] = counts
        self.publish()


class FaultsReader:
    """Reads what ``FaultsWriter`` published."""

    def __init__(self, segment: Segment, part: int = SUPERVISOR_FAULTS) -> None:
        self._mailbox = Mailbox(segment, part)
        self._record = np.zeros(1, layout.SIM_FAULTS)
        self._bytes = self._record.view(np.uint8)
        self._seen = 0
        self.faults: np.void = self._record[0]

    def changed(self) -> bool:
        """Whether ``faults`` was published anew since the last call; takes it over. A few hundred ns when not."""
        newest = self._mailbox.latest
        if newest == self._seen or not self._mailbox.read_latest(self._bytes):
            return False
        self._seen = newest
        return True


class ReportWriter:
    """Publishes a map of plain values about its process, for people and their views."""

    def __init__(self, segment: Segment, part: int) -> None:
        self._mailbox = Mailbox(segment, part)

    def publish(self, report: Mapping[str, Any]) -> None:
        """Raises ValueError when it is longer than REPORT_BYTES."""
        packed = msgspec.msgpack.encode(report)
        framed = len(packed).to_bytes(8, "little") + packed
        self._mailbox.publish(framed.ljust((len(framed) + 7) // 8 * 8, b"\0"))


class ReportReader:
    """Reads the newest report of a process."""

    def __init__(self, segment: Segment, part: int) -> None:
        self._mailbox = Mailbox(segment, part)
        self._buffer = bytearray(REPORT_BYTES)

    @property
    def latest(self) -> int:
        """The newest report's number; 0 before the first."""
        return self._mailbox.latest

    def read(self) -> dict[str, Any]:
        """The newest report; empty before the first."""
        if not self._mailbox.read_latest(self._buffer):
            return {}
        length = int.from_bytes(self._buffer[:8], "little")
        report: dict[str, Any] = msgspec.msgpack.decode(self._buffer[8 : 8 + length], type=dict)
        return report


class StepStamps(NamedTuple):
    """When each stage of one policy step was through, CLOCK_MONOTONIC ns; ``steps`` in the policy's report."""

    due_ns: int
    """Its slot."""
    observed_ns: int
    """The observation's stamp, by which tick records name the trajectory that answers it."""
    run_began_ns: int
    run_ended_ns: int
    fitted_ns: int
    published_ns: int
    """Handed over from here on: behind any delay that was added on purpose."""
    visible_ns: int
    """In the mailbox."""


class PoseSample(NamedTuple):
    """One measured pose: when it was true, when it could be read, position in m, yaw in rad."""

    capture_ns: int
    arrival_ns: int
    x: float
    y: float
    z: float
    yaw: float


class PoseWriter:
    """Publishes samples of a pose stream."""

    def __init__(self, segment: Segment, part: int) -> None:
        self._mailbox = Mailbox(segment, part)
        self._record = np.zeros(1, layout.POSE_SAMPLE)
        self._bytes = self._record.view(np.uint8)

    def publish(self, sample: PoseSample) -> None:
        """Makes ``sample`` the newest."""
        self._record[0] = sample
        self._mailbox.publish(self._bytes)


class PoseReader:
    """Every sample since the last call, oldest first; what was overwritten meanwhile is skipped."""

    def __init__(self, segment: Segment, part: int) -> None:
        self._mailbox = Mailbox(segment, part)
        self._record = np.zeros(1, layout.POSE_SAMPLE)
        self._bytes = self._record.view(np.uint8)
        self._next = max(1, self._mailbox.latest - self._mailbox.slots // 2)

    def take(self) -> list[PoseSample]:
        """The samples that are new."""
        newest = self._mailbox.latest
        samples = []
        for number in range(max(self._next, newest - self._mailbox.slots + 2), newest + 1):
            if self._mailbox.read(number, self._bytes):
                samples.append(PoseSample(*self._record[0].item()))
        self._next = newest + 1
        return samples
