"""The planner's end of the link: sends goals and hears why one was refused, listens to the state.

Nothing is queued for a robot that is not there: a message leaves only over a finished connection, or the
call fails at its deadline.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import numpy as np
import zmq
from numpy.typing import ArrayLike

from spinal.runtime.errors import LinkError
from spinal.runtime.link.arrays import Array
from spinal.runtime.link.clock import ClockEstimate, ClockFilter
from spinal.runtime.link.endpoints import Endpoints, ipc_path
from spinal.runtime.link.envelope import Reason
from spinal.runtime.link.histogram import Histogram
from spinal.runtime.link.messages import (
    VERSION,
    Ack,
    Envelope,
    Goal,
    GoalKind,
    Heartbeat,
    MessageError,
    Parameter,
    StateReport,
    decode_envelope,
    decode_payload,
    encode,
    encode_payload,
    kind_of,
)
from spinal.runtime.link.sockets import bound_by_limits

CONNECT_TIMEOUT_MS = 1000
RECONNECT_MS = 20
RECONNECT_MAX_MS = 200
UNREADABLE = 0  # the sequence number in an Ack of a message whose own could not be read


class PlannerClient:
    """One sender of goals. Thread contract: one thread. No call waits longer than its `timeout_ms`.

    `src` names the sender, 1 to 64 letters, digits, dots, dashes and underscores: a second client with
    the same name takes the session of the first over. `provenance` says who or what decides, for the
    record. Raises LinkError when the endpoint is not one.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        src: str | None = None,
        provenance: str = "",
        clock: Callable[[], int] = time.monotonic_ns,
        wall_clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.endpoints = endpoints
        self.round_trips = Histogram()
        self.state: StateReport | None = None
        self.state_received_ns = 0
        self.malformed = 0
        self._src = src if src is not None else f"planner-{os.getpid()}"
        self._provenance = provenance
        self._clock = clock
        self._wall_clock = wall_clock
        self._filter = ClockFilter()
        self._session_id = 0
        self._seq = 0
        self._next_goal_id = secrets.randbits(40) << 20
        self._last_round_trip_ns = 0
        self._robot_start_id = 0
        self._state_seq = 0
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._command = self._connect_socket(zmq.DEALER, endpoints.command)
            self._state = self._connect_socket(zmq.SUB, endpoints.state)
        except BaseException:
            self.close()
            raise

    def connect(self, timeout_ms: int = CONNECT_TIMEOUT_MS) -> None:
        """Opens a session and takes a first look at the robot's clock; LinkError when nobody answers or
        the robot opens none.
        """
        self._open_session(self._clock() + timeout_ms * 1_000_000, timeout_ms)

    def beat(self, timeout_ms: int = CONNECT_TIMEOUT_MS) -> ClockEstimate:
        """One heartbeat; returns the estimate of the robot's clock. Opens a new session if the robot
        restarted. LinkError when nobody answers.
        """
        deadline_ns = self._clock() + timeout_ms * 1_000_000
        answer = self._beat(deadline_ns, timeout_ms) if self._session_id else None
        if not self._session_id or (answer is not None and answer.reason == Reason.OTHER_SESSION):
            self._open_session(deadline_ns, timeout_ms)
        elif answer is not None:
            raise self._refusal("takes no heartbeat", answer)
        estimate = self._filter.estimate(self._clock())
        if estimate is None:
            raise LinkError(f"no heartbeat of {self.endpoints.command} could be read", hint="ask again")
        return estimate

    def send_goal(
        self,
        kind: GoalKind,
        parameters: Mapping[str, Parameter] | None = None,
        *,
        valid_for_ms: float,
        goal_id: int | None = None,
        timeout_ms: int = CONNECT_TIMEOUT_MS,
    ) -> Ack:
        """Sends one goal that holds for `valid_for_ms` from now on and returns the robot's answer.

        The answer may be a refusal: look at `accepted`. Give a `goal_id` again to renew that goal; without
        one it is new. A robot that restarted since is greeted first. LinkError when nobody answers in
        time, and then the goal may or may not have arrived: its deadline ends it either way. ValueError
        for a parameter that is not finite.
        """
        deadline_ns = self._clock() + timeout_ms * 1_000_000
        goal = Goal(self.new_goal_id() if goal_id is None else goal_id, kind, dict(parameters or {}))
        if not self._session_id:
            self._open_session(deadline_ns, timeout_ms)
        answer = self._send_goal(goal, valid_for_ms, deadline_ns, timeout_ms)
        if answer.reason == Reason.OTHER_SESSION:
            self._open_session(deadline_ns, timeout_ms)
            answer = self._send_goal(goal, valid_for_ms, deadline_ns, timeout_ms)
        return answer

    def follow(
        self,
        *,
        text: str | None = None,
        embedding: ArrayLike | None = None,
        latent: ArrayLike | None = None,
        waypoint: ArrayLike | None = None,
        twist: ArrayLike | None = None,
        valid_for_ms: float,
        goal_id: int | None = None,
        timeout_ms: int = CONNECT_TIMEOUT_MS,
    ) -> Ack:
        """Runs the policy on what it is told, for `valid_for_ms` from now on; see `send_goal`.

        Vectors go as float32, in any shape. What is not given stays as it was told before, until its own deadline.
        """
        vectors = {"embedding": embedding, "latent": latent, "waypoint": waypoint, "twist": twist}
        parameters: dict[str, Parameter] = {
            kind: Array.of(np.asarray(vector, np.float32))
            for kind, vector in vectors.items()
            if vector is not None
        }
        if text is not None:
            parameters["text"] = Array.of(np.frombuffer(text.encode(), np.uint8))
        return self.send_goal(
            "follow", parameters, valid_for_ms=valid_for_ms, goal_id=goal_id, timeout_ms=timeout_ms
        )

    def new_goal_id(self) -> int:
        """An id that no other goal of this or another client has (but for a chance of one in 10^12)."""
        self._next_goal_id += 1
        return self._next_goal_id

    def latest_state(self, timeout_ms: int = 0) -> StateReport | None:
        """The newest state not returned before, waiting at most `timeout_ms`; None when none came.

        The last one seen stays in `state`, its arrival in `state_received_ns` (local monotonic clock).
        """
        deadline_ns = self._clock() + timeout_ms * 1_000_000
        while self._state.poll(self._left_ms(deadline_ns), zmq.POLLIN):
            report = self._take_state(self._state.recv(zmq.DONTWAIT))
            if report is not None:
                return report
        return None

    def clock_estimate(self) -> ClockEstimate | None:
        """Where the robot's clock stands against ours, from the heartbeats of the last minute."""
        return self._filter.estimate(self._clock())

    def close(self) -> None:
        """Drops what is unsent; may be called twice."""
        self._context.destroy(linger=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connect_socket(self, kind: int, endpoint: str) -> zmq.Socket[bytes]:
        ipc_path(endpoint)
        new = bound_by_limits(self._context.socket(kind))
        new.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        new.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
        if kind == zmq.DEALER:
            new.setsockopt(zmq.IMMEDIATE, 1)
        else:
            new.setsockopt(zmq.CONFLATE, 1)
            new.setsockopt(zmq.SUBSCRIBE, b"")
        try:
            new.connect(endpoint)
        except zmq.ZMQError as error:
            raise LinkError(
                f"cannot connect to {endpoint}: {error.strerror}", hint="write ipc:///path or tcp://host:port"
            ) from error
        return new

    def _open_session(self, deadline_ns: int, timeout_ms: int) -> None:
        self._session_id = 0
        self._filter.reset()
        answer = self._beat(deadline_ns, timeout_ms)
        if answer is not None:
            raise self._refusal("opens no session", answer)

    def _beat(self, deadline_ns: int, timeout_ms: int) -> Ack | None:
        """None when the robot answered the heartbeat, its Ack when it refused it."""
        self._wait_for_robot(deadline_ns, timeout_ms)
        send_ns = self._clock()
        seq = self._send(Heartbeat(send_ns, last_round_trip_ns=self._last_round_trip_ns), send_ns)
        while True:
            envelope, answer = self._receive(deadline_ns, timeout_ms)
            if isinstance(answer, Ack) and answer.seq in (seq, UNREADABLE) and not answer.accepted:
                return answer
            if isinstance(answer, Heartbeat) and answer.client_send_ns == send_ns:
                self._session_id = envelope.session_id
                self._note_exchange(answer)
                return None

    def _note_exchange(self, beat: Heartbeat) -> None:
        try:
            round_trip_ns = self._filter.add(
                beat.client_send_ns, beat.robot_receive_ns, beat.robot_send_ns, self._clock()
            )
        except ValueError:
            self.malformed += 1
            return
        self._last_round_trip_ns = round_trip_ns
        self.round_trips.record(round_trip_ns)

    def _send_goal(self, goal: Goal, valid_for_ms: float, deadline_ns: int, timeout_ms: int) -> Ack:
        self._wait_for_robot(deadline_ns, timeout_ms)
        send_ns = self._clock()
        seq = self._send(goal, send_ns, valid_for_ns=round(valid_for_ms * 1e6))
        while True:
            _, answer = self._receive(deadline_ns, timeout_ms)
            if isinstance(answer, Ack) and answer.seq in (seq, UNREADABLE):
                self.round_trips.record(self._clock() - send_ns)
                return answer

    def _wait_for_robot(self, deadline_ns: int, timeout_ms: int) -> None:
        if not self._command.poll(self._left_ms(deadline_ns), zmq.POLLOUT):
            raise self._no_answer(timeout_ms)

    def _send(self, payload: Goal | Heartbeat, now_ns: int, valid_for_ns: int = 0) -> int:
        """Sends now or raises; returns the sequence number."""
        estimate = self._filter.estimate(now_ns)
        offset_ns, error_ns = (estimate.offset_ns, estimate.error_ns) if estimate else (0, 0)
        self._seq += 1
        envelope = Envelope(
            v=VERSION,
            kind=kind_of(payload),
            src=self._src,
            session_id=self._session_id,
            seq=self._seq,
            t_mono_ns=now_ns,
            t_utc_ns=self._wall_clock(),
            clock_offset_ns=offset_ns,
            clock_err_ns=error_ns,
            valid_until_ns=now_ns + offset_ns + valid_for_ns,
            obs_seq=self._state_seq,
            provenance=self._provenance,
            payload=encode_payload(payload),
        )
        try:
            self._command.send(encode(envelope), zmq.DONTWAIT)
        except zmq.Again:
            raise LinkError(
                f"the robot on {self.endpoints.command} left just now", hint="is `spinal run` running?"
            ) from None
        return self._seq

    def _receive(self, deadline_ns: int, timeout_ms: int) -> tuple[Envelope, object]:
        """The next readable answer; frames that cannot be read are counted and skipped."""
        unread: MessageError | None = None
        while self._command.poll(self._left_ms(deadline_ns), zmq.POLLIN):
            parts = self._command.recv_multipart(zmq.DONTWAIT)
            try:
                envelope = decode_envelope(parts[0])
                return envelope, decode_payload(envelope)
            except MessageError as error:
                self.malformed += 1
                unread = error
        if unread is not None:
            raise LinkError(
                f"{self.endpoints.command} answers what cannot be read: {unread}",
                hint="do robot and planner run the same version, and is it a robot that listens there?",
            )
        raise self._no_answer(timeout_ms)

    def _take_state(self, frame: bytes) -> StateReport | None:
        try:
            envelope = decode_envelope(frame)
            report = decode_payload(envelope)
        except MessageError:
            self.malformed += 1
            return None
        same_start = envelope.session_id == self._robot_start_id
        if not isinstance(report, StateReport) or (same_start and envelope.seq <= self._state_seq):
            return None
        self._robot_start_id, self._state_seq = envelope.session_id, envelope.seq
        self.state, self.state_received_ns = report, self._clock()
        return report

    def _left_ms(self, deadline_ns: int) -> int:
        return max(0, -(-(deadline_ns - self._clock()) // 1_000_000))

    def _refusal(self, what: str, answer: Ack) -> LinkError:
        return LinkError(f"the robot on {self.endpoints.command} {what}: {answer.reason}", hint=answer.detail)

    def _no_answer(self, timeout_ms: int) -> LinkError:
        return no_robot(self.endpoints.command, timeout_ms)


def no_robot(endpoint: str, timeout_ms: int) -> LinkError:
    """The error for a robot that does not answer."""
    return LinkError(
        f"no robot answered on {endpoint} within {timeout_ms / 1000:g} s", hint="is `spinal run` running?"
    )
