"""Frames and robots for the link's tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import numpy as np

from spinal.runtime.link.arrays import Array
from spinal.runtime.link.messages import (
    VERSION,
    Envelope,
    Goal,
    Heartbeat,
    Payload,
    StateReport,
    encode,
    encode_payload,
    kind_of,
)
from spinal.runtime.link.server import AcceptedGoal, LinkServer

SECOND_NS = 1_000_000_000


class ManualClock:
    """A clock that stands still until told."""

    def __init__(self, now_ns: int = 1000 * SECOND_NS) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns


def frame(payload: Payload | msgspec.Raw | None = None, **fields: object) -> bytes:
    """A frame, valid but for the fields given."""
    payload = Heartbeat(1) if payload is None else payload
    raw = payload if isinstance(payload, msgspec.Raw) else encode_payload(payload)
    kind = "goal" if isinstance(payload, msgspec.Raw) else kind_of(payload)
    values: dict[str, object] = {
        "v": VERSION,
        "kind": kind,
        "src": "planner",
        "session_id": 0,
        "seq": 1,
        "t_mono_ns": 0,
        "t_utc_ns": 0,
        "clock_offset_ns": 0,
        "clock_err_ns": 0,
        "valid_until_ns": 0,
        "obs_seq": 0,
        "provenance": "test",
        "payload": raw,
    }
    return encode(Envelope(**(values | fields)))  # type: ignore[arg-type]


def pick(goal_id: int = 1) -> Goal:
    return Goal(goal_id, "pick", {"speed": 0.5, "target": Array.of(np.array([1.0, 2.0]))})


def report(tick: int = 1, joints: int = 3, **fields: object) -> StateReport:
    values = Array.of(np.zeros(joints))
    return StateReport("running", tick, tick * 1000, values, values, values, **fields)  # type: ignore[arg-type]


@contextmanager
def serving(server: LinkServer) -> Iterator[list[AcceptedGoal]]:
    """Polls the server in a thread; yields the list that the accepted goals end up in."""
    goals: list[AcceptedGoal] = []
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            goals.extend(server.poll(10))

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield goals
    finally:
        stop.set()
        thread.join(5)


@contextmanager
def publishing(server: LinkServer, state: StateReport) -> Iterator[None]:
    """Says ``state`` again and again, in a thread."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(0.01):
            server.publish(state)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5)
