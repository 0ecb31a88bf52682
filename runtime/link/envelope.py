"""The gate: which commands the robot listens to. Values in, a verdict out; no sockets, no clock of its own.

1. A sender says hello: a heartbeat with session 0. The gate answers with a session id that it draws at
   random for this start, so a recording of an earlier session cannot be played back, neither to a robot
   nor by a planner that was restarted. A new hello from the same source retires the old session.
2. Every message carries a sequence number; one that does not exceed the session's last is refused.
3. Every goal carries a deadline in the robot's clock. The sender's clock error is taken off first: in
   doubt a goal is late. A deadline further away than `max_validity_ns` is none, and refused.
4. A heartbeat has no deadline, because it commands nothing and is what the clock estimate comes from.
5. A goal may be refused by the robot itself: not now, or not with these parameters.

Each refusal is counted by its reason and answered with an Ack that gives it.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from spinal.runtime.link.messages import (
    INT63_MAX,
    MAX_FRAME_BYTES,
    VERSION_MAJOR,
    Ack,
    Envelope,
    Goal,
    Heartbeat,
    MessageError,
    decode_envelope,
    decode_payload,
    decode_version,
)

MAX_VALIDITY_NS = 60_000_000_000
MAX_SESSIONS = 64
SESSION_IDLE_NS = 1_000_000_000


class Reason(StrEnum):
    """Why a message was refused: the word in `Ack.reason`."""

    OVERSIZED = "oversized"
    MALFORMED = "malformed"
    VERSION = "version"
    UNKNOWN_KIND = "unknown_kind"
    OTHER_SESSION = "other_session"
    REPLAYED = "replayed"
    EXPIRED = "expired"
    TOO_FAR = "deadline_too_far"
    TOO_MANY_SESSIONS = "too_many_sessions"
    NOT_NOW = "not_now"
    BAD_PARAMETER = "bad_parameter"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate made of one frame: `message` and `envelope` are None when it was refused.

    `session_id` is the one to answer under; `deadline_ns` (robot clock) is 0 for a heartbeat.
    """

    ack: Ack
    session_id: int
    envelope: Envelope | None = None
    message: Goal | Heartbeat | None = None
    deadline_ns: int = 0


@dataclass(slots=True)
class _Session:
    src: str
    last_seq: int
    heard_ns: int


class RefusedError(Exception):
    """Why a message is refused: a stable word, and a line for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def random_session_id() -> int:
    """A session id nobody can guess, 1 to 2^63 - 1."""
    return secrets.randbelow(INT63_MAX) + 1


class Gate:
    """Decides on frames one at a time. Thread contract: one thread.

    `consider` raises RefusedError for a goal that the robot does not take now. `accepted` counts by kind,
    `rejected` by reason; together they count every frame admitted.
    """

    def __init__(
        self,
        *,
        max_validity_ns: int = MAX_VALIDITY_NS,
        max_sessions: int = MAX_SESSIONS,
        draw_session_id: Callable[[], int] = random_session_id,
        consider: Callable[[Goal], None] = lambda goal: None,
    ) -> None:
        self.accepted: Counter[str] = Counter()
        self.rejected: Counter[Reason] = Counter()
        self._max_validity_ns = max_validity_ns
        self._max_sessions = max_sessions
        self._draw_session_id = draw_session_id
        self._consider = consider
        self._sessions: dict[int, _Session] = {}

    def admit(self, frame: bytes, now_ns: int) -> Verdict:
        """The verdict on one frame at `now_ns` of the robot's monotonic clock; never raises."""
        seq = session_id = 0
        try:
            envelope = _open(frame)
            seq, session_id = envelope.seq, envelope.session_id
            if session_id:
                self._check_order(envelope, now_ns)
            message = _read(envelope)
            deadline_ns = 0
            if isinstance(message, Goal):
                deadline_ns = self._check_deadline(envelope, now_ns)
                self._consider(message)
            if not session_id:
                session_id = self._open_session(envelope, now_ns)
        except RefusedError as refusal:
            self.rejected[refusal.reason] += 1
            return Verdict(Ack(seq, False, refusal.reason.value, _printable(str(refusal))), session_id)
        self.accepted[envelope.kind] += 1
        return Verdict(Ack(seq, True), session_id, envelope, message, deadline_ns)

    def _check_order(self, envelope: Envelope, now_ns: int) -> None:
        session = self._sessions.get(envelope.session_id)
        if session is None or session.src != envelope.src:
            raise RefusedError(
                Reason.OTHER_SESSION, f"no session of {envelope.src} has this id: say hello first"
            )
        if envelope.seq <= session.last_seq:
            detail = f"message {envelope.seq} does not follow {session.last_seq}"
            raise RefusedError(Reason.REPLAYED, detail)
        session.last_seq = envelope.seq
        session.heard_ns = now_ns

    def _check_deadline(self, envelope: Envelope, now_ns: int) -> int:
        if not envelope.session_id:
            raise RefusedError(Reason.OTHER_SESSION, "a goal needs a session: say hello first")
        deadline_ns = envelope.valid_until_ns - envelope.clock_err_ns
        left_ns = deadline_ns - now_ns
        if left_ns <= 0:
            raise RefusedError(Reason.EXPIRED, f"its deadline passed {-left_ns / 1e6:.3f} ms ago")
        if left_ns > self._max_validity_ns:
            limit_s = self._max_validity_ns / 1e9
            raise RefusedError(
                Reason.TOO_FAR, f"its deadline is {left_ns / 1e9:.1f} s away, at most {limit_s:g} s"
            )
        return deadline_ns

    def _open_session(self, envelope: Envelope, now_ns: int) -> int:
        for session_id, session in list(self._sessions.items()):
            if session.src == envelope.src:
                del self._sessions[session_id]
        if len(self._sessions) >= self._max_sessions:
            quietest = min(self._sessions, key=lambda key: self._sessions[key].heard_ns)
            if now_ns - self._sessions[quietest].heard_ns < SESSION_IDLE_NS:
                detail = f"{len(self._sessions)} sessions are open and in use"
                raise RefusedError(Reason.TOO_MANY_SESSIONS, detail)
            del self._sessions[quietest]
        session_id = self._draw_session_id()
        self._sessions[session_id] = _Session(envelope.src, envelope.seq, now_ns)
        return session_id


def _open(frame: bytes) -> Envelope:
    if len(frame) > MAX_FRAME_BYTES:
        raise RefusedError(Reason.OVERSIZED, f"{len(frame)} bytes, at most {MAX_FRAME_BYTES}")
    try:
        major = decode_version(frame) >> 8
        if major != VERSION_MAJOR:
            raise RefusedError(
                Reason.VERSION, f"version {major} is spoken there, version {VERSION_MAJOR} here"
            )
        return decode_envelope(frame)
    except MessageError as error:
        raise RefusedError(Reason.MALFORMED, str(error)) from error


def _read(envelope: Envelope) -> Goal | Heartbeat:
    if envelope.kind not in ("goal", "heartbeat"):
        raise RefusedError(Reason.UNKNOWN_KIND, f"a robot takes goal and heartbeat, not {envelope.kind!r}")
    try:
        message = decode_payload(envelope)
    except MessageError as error:
        raise RefusedError(Reason.MALFORMED, str(error)) from error
    assert isinstance(message, Goal | Heartbeat)
    return message


def _printable(text: str) -> str:
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)[:200]
