"""The robot's end of the link: takes commands through the gate, tells the state to whoever listens.

Commands come over a ROUTER, so that each one is answered; the state goes out over a PUB that keeps only
the newest. Neither ever waits for a peer. `sockets` holds how they are bound and kept private.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import msgspec
import zmq

from spinal.runtime.link.endpoints import Endpoints
from spinal.runtime.link.envelope import Gate, Verdict, random_session_id
from spinal.runtime.link.histogram import Histogram
from spinal.runtime.link.messages import (
    VERSION,
    Ack,
    Envelope,
    Goal,
    Heartbeat,
    Payload,
    Source,
    StateReport,
    encode,
    encode_payload,
    kind_of,
)
from spinal.runtime.link.sockets import BoundSockets

MAX_FRAMES_PER_POLL = 64
STATE_VALID_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class AcceptedGoal:
    """A goal that passed the gate. `deadline_ns` is the robot's clock, sender's clock error taken off."""

    goal: Goal
    src: str
    seq: int
    deadline_ns: int
    received_ns: int
    obs_seq: int
    provenance: str


@dataclass(frozen=True, slots=True)
class LinkCounters:
    """Totals since the start. `unanswered`: the sender was gone, or did not take its answers."""

    messages: int
    goals: int
    heartbeats: int
    rejected: dict[str, int]
    unanswered: int
    published: int
    round_trip_us: dict[str, float]


class LinkServer:
    """Thread contract: one thread calls everything; nothing here waits longer than `poll`'s timeout.

    Raises LinkError when an endpoint is not local (unless `allow_remote`), is in use, or its directory is
    open to others. With `allow_remote` nothing is encrypted and every host that reaches the port may
    command the robot: only for a network that is the robot's own. A tcp endpoint on loopback is open to
    every user of this machine; ipc is not. ValueError for a `src` that a client would refuse to read.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        allow_remote: bool = False,
        src: str = "robot",
        gate: Gate | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        wall_clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._src = msgspec.convert(src, Source)
        self._gate = gate if gate is not None else Gate()
        self._clock = clock
        self._wall_clock = wall_clock
        self._start_id = random_session_id()
        self._reply_seq = 0
        self._state_seq = 0
        self._unanswered = 0
        self._goal_deadline_ns: int | None = None
        self._round_trips = Histogram()
        self._sockets = BoundSockets(endpoints, allow_remote=allow_remote)

    @property
    def endpoints(self) -> Endpoints:
        """Where it listens; a tcp port given as `*` is the real one here."""
        return self._sockets.endpoints

    def poll(self, timeout_ms: int) -> list[AcceptedGoal]:
        """Waits until something comes in, at most `timeout_ms`; returns the goals accepted, oldest first.

        Takes 64 frames a call at most, so a flood cannot keep the caller from publishing. Every frame is
        answered. The list is empty when only heartbeats or refused messages came.
        """
        goals: list[AcceptedGoal] = []
        if not self._sockets.command.poll(timeout_ms, zmq.POLLIN):
            return goals
        for _ in range(MAX_FRAMES_PER_POLL):
            received = self._receive()
            if received is None:
                break
            peer, frame = received
            now_ns = self._clock()
            verdict = self._gate.admit(frame, now_ns)
            if isinstance(verdict.message, Goal) and verdict.envelope is not None:
                goals.append(self._take_goal(verdict.message, verdict, verdict.envelope, now_ns))
            self._answer(peer, verdict, now_ns)
        return goals

    def publish(self, report: StateReport) -> None:
        """Sends the state and never waits; a slow subscriber gets the newest only.

        MessageError when the report cannot travel.
        """
        self._state_seq += 1
        frame = self._seal(report, self._start_id, self._state_seq, self._clock() + STATE_VALID_NS)
        with contextlib.suppress(zmq.Again):
            self._sockets.state.send(frame, zmq.DONTWAIT)

    def planner_alive(self, now_ns: int) -> bool:
        """Whether the deadline of the newest accepted goal is still ahead.

        Heartbeats do not count: they prove that a thread runs, only a goal proves that somebody thinks.
        """
        return self._goal_deadline_ns is not None and now_ns < self._goal_deadline_ns

    @property
    def counters(self) -> LinkCounters:
        """A copy of the totals; round trips are those that the clients measured and reported."""
        goals, beats = self._gate.accepted["goal"], self._gate.accepted["heartbeat"]
        rejected = {reason.value: count for reason, count in self._gate.rejected.items()}
        return LinkCounters(
            messages=goals + beats + sum(rejected.values()),
            goals=goals,
            heartbeats=beats,
            rejected=rejected,
            unanswered=self._unanswered,
            published=self._state_seq,
            round_trip_us=self._round_trips.summary_us(),
        )

    def close(self) -> None:
        """Drops what is unsent and removes the socket files; may be called twice."""
        self._sockets.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _receive(self) -> tuple[bytes, bytes] | None:
        """Sender and frame, or None when nothing waits. A message of several parts comes out empty."""
        socket = self._sockets.command
        try:
            peer = socket.recv(zmq.DONTWAIT)
        except zmq.Again:
            return None
        frame, parts = b"", 0
        while socket.getsockopt(zmq.RCVMORE):
            frame, parts = socket.recv(zmq.DONTWAIT), parts + 1
        return peer, frame if parts == 1 else b""

    def _take_goal(self, goal: Goal, verdict: Verdict, envelope: Envelope, now_ns: int) -> AcceptedGoal:
        self._goal_deadline_ns = verdict.deadline_ns
        return AcceptedGoal(
            goal=goal,
            src=envelope.src,
            seq=envelope.seq,
            deadline_ns=verdict.deadline_ns,
            received_ns=now_ns,
            obs_seq=envelope.obs_seq,
            provenance=envelope.provenance,
        )

    def _answer(self, peer: bytes, verdict: Verdict, received_ns: int) -> None:
        answer: Ack | Heartbeat = verdict.ack
        if isinstance(verdict.message, Heartbeat):
            if verdict.message.last_round_trip_ns:
                self._round_trips.record(verdict.message.last_round_trip_ns)
            answer = msgspec.structs.replace(
                verdict.message, robot_receive_ns=received_ns, robot_send_ns=self._clock()
            )
        self._reply_seq += 1
        frame = self._seal(answer, verdict.session_id, self._reply_seq, self._clock() + STATE_VALID_NS)
        try:
            self._sockets.command.send_multipart([peer, frame], zmq.DONTWAIT)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
            self._unanswered += 1

    def _seal(self, payload: Payload, session_id: int, seq: int, valid_until_ns: int) -> bytes:
        return encode(
            Envelope(
                v=VERSION,
                kind=kind_of(payload),
                src=self._src,
                session_id=session_id,
                seq=seq,
                t_mono_ns=self._clock(),
                t_utc_ns=self._wall_clock(),
                clock_offset_ns=0,
                clock_err_ns=0,
                valid_until_ns=valid_until_ns,
                obs_seq=self._state_seq,
                provenance="",
                payload=encode_payload(payload),
            )
        )
