"""A planner's messages to the live robot, one by one, and what each came to: who wrote what when.

The link stamps its order, the loop its ticks; both are read out of shared memory, so nothing is added to the way
that is measured.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from spinal.bench.link.echo_client import Echo
from spinal.bench.live.supervised_robot import SupervisedRobot
from spinal.native import clock, layout
from spinal.native.shared import Mailbox, Ring
from spinal.runtime.errors import LinkError, ProcessError
from spinal.runtime.link.client import PlannerClient
from spinal.runtime.link.messages import GoalKind
from spinal.runtime.segments import CONTROLLER_RECORDS, LINK_ORDER, SUPERVISOR_TAIL, Writer

REST_S = (0.020, 0.045)
"""Between one message's effect and the next message: no phase of the tick is preferred."""
EFFECT_S = 1.0
VALID_MS = 10_000.0
START_S = 20.0
POLL_S = 0.002
TAKE = 512
MOST_MESSAGES = 100_000
ORDERED_TO_HOLD = next(bit for bit, words in layout.CONDITIONS.items() if words == "ordered to hold")


@dataclass(frozen=True, slots=True)
class Tick:
    """When a tick went through its stages, and what it obeyed. ns."""

    woke_ns: int
    read_ns: int
    computed_ns: int
    written_ns: int
    mode: int
    conditions: int

    def obeys(self, kind: GoalKind) -> bool:
        """Whether it does what such a message asks for, because it was asked for."""
        if kind == "pause":
            return self.mode == layout.MODE_HOLDING and bool(self.conditions & ORDERED_TO_HOLD)
        return self.mode == layout.MODE_RUNNING


@dataclass(frozen=True, slots=True)
class Message:
    """One message and what became of it. ns."""

    kind: GoalKind
    sent_ns: int
    acked_ns: int
    ordered_ns: int
    obeyed: Tick
    earliest: Tick
    """The first tick that could have obeyed a message that takes no time."""
    echo_ns: int
    """Round trip of the bare echo, measured next to it."""

    @property
    def ack_ns(self) -> int:
        """From the send to the robot's answer."""
        return self.acked_ns - self.sent_ns

    @property
    def order_ns(self) -> int:
        """From the send until the order lies in the loop's mailbox."""
        return self.ordered_ns - self.sent_ns

    @property
    def in_force_ns(self) -> int:
        """From the send to the first frame."""
        return self.obeyed.written_ns - self.sent_ns

    @property
    def floor_ns(self) -> int:
        """The same of a message that takes no time."""
        return self.earliest.written_ns - self.sent_ns


@dataclass
class Sent:
    """What a run of messages came to."""

    messages: list[Message] = field(default_factory=list)
    refused: int = 0
    lost: int = 0
    """Unanswered, or without effect within EFFECT_S."""


def converse(live: SupervisedRobot, echo: Echo, seconds: float) -> Sent:
    """Pauses the robot and lets it go on by turns. Raises LinkError when nobody answers, ProcessError when it does
    not run to begin with."""
    rng = np.random.default_rng(0)
    sent = Sent()
    ticks = Ticks(live)
    orders = Orders(live)
    with PlannerClient(live.endpoints, src="bench", provenance="spinal bench") as client:
        client.connect(round(START_S * 1e3))
        client.send_goal("pick", valid_for_ms=VALID_MS)
        if ticks.until(0, "go_on", START_S) is None:
            raise ProcessError("the robot never ran", hint="try by hand: spinal demo --headless --seconds 5")
        end_s = time.monotonic() + seconds
        kind: GoalKind = "pause"
        while time.monotonic() < end_s and len(sent.messages) < MOST_MESSAGES:
            ticks.rest(float(rng.uniform(*REST_S)) / 2)
            echo_ns = echo.round_trip_ns()
            ticks.rest(float(rng.uniform(*REST_S)) / 2)
            sent_ns = clock.now_ns()
            try:
                ack = client.send_goal(kind, valid_for_ms=VALID_MS)
            except LinkError:
                sent.lost += 1
                continue
            acked_ns = clock.now_ns()
            if not ack.accepted:
                sent.refused += 1
                continue
            obeyed = ticks.until(sent_ns, kind, EFFECT_S)
            earliest = ticks.first_from(sent_ns)
            ordered_ns = orders.stamp_ns()
            if obeyed is None or earliest is None or ordered_ns < sent_ns:
                sent.lost += 1
            else:
                sent.messages.append(Message(kind, sent_ns, acked_ns, ordered_ns, obeyed, earliest, echo_ns))
            kind = "go_on" if kind == "pause" else "pause"
    return sent


class Ticks:
    """What the robot's loop recorded lately, while its processes are watched over. One thread."""

    def __init__(self, live: SupervisedRobot) -> None:
        self._supervisor = live.supervisor
        controller = live.supervisor.reader(Writer.CONTROLLER)
        self._ring = Ring(
            controller, CONTROLLER_RECORDS, live.supervisor.reader(Writer.SUPERVISOR), SUPERVISOR_TAIL
        )
        self._buffer = np.zeros(TAKE, layout.record_dtype(len(live.robot.joints)))
        self._lately: list[Tick] = []

    def rest(self, seconds: float) -> None:
        """Lets time go by; what was recorded until then is forgotten."""
        self._supervisor.watch()
        time.sleep(seconds)
        self._take()
        self._lately.clear()

    def until(self, from_ns: int, kind: GoalKind, seconds: float) -> Tick | None:
        """The first tick that obeys such a message and judged at ``from_ns`` or later; None within ``seconds``."""
        deadline = time.monotonic() + seconds
        while True:
            self._take()
            found = next((t for t in self._lately if t.read_ns >= from_ns and t.obeys(kind)), None)
            if found is not None or time.monotonic() > deadline:
                return found
            self._supervisor.watch()
            time.sleep(POLL_S)

    def first_from(self, from_ns: int) -> Tick | None:
        """The first tick recorded lately whose judgement came at ``from_ns`` or later: a tick judges orders once
        its bus is read."""
        return next((tick for tick in self._lately if tick.read_ns >= from_ns), None)

    def _take(self) -> None:
        while count := self._ring.take(self._buffer.view(np.uint8)):
            columns = ("woke_ns", "read_ns", "computed_ns", "written_ns", "mode", "conditions")
            taken = self._buffer[:count]
            self._lately += [
                Tick(*row) for row in zip(*(taken[name].tolist() for name in columns), strict=True)
            ]


class Orders:
    """The newest order that the link gave the loop."""

    def __init__(self, live: SupervisedRobot) -> None:
        self._mailbox = Mailbox(live.supervisor.reader(Writer.LINK), LINK_ORDER)
        self._record = np.zeros(1, layout.ORDER)

    def stamp_ns(self) -> int:
        """When it was given; 0 before the first."""
        self._mailbox.read_latest(self._record.view(np.uint8))
        return int(self._record[0]["stamp_ns"])
