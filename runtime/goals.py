"""What planners want of a policy, from the link to the policy: one slot, the newest wins.

The slot holds the newest goal of each kind (text and a latent vector may come from two thinkers), so that a reader
that comes late, or again, sees them all. Written by the link, read by the policy process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from spinal.native.shared import Mailbox, Segment
from spinal.runtime.segments import GOAL_BYTES, LINK_GOAL
from spinal.runtime.types import Goal

NUMBERS = ("embedding", "latent", "waypoint", "twist")
KINDS = ("text", *NUMBERS)
"""What a planner may say to a policy; ``goal:KIND`` of a card."""


class _Record(msgspec.Struct, array_like=True, frozen=True):
    kind: Literal["text", "embedding", "latent", "waypoint", "twist"]
    seq: int
    stamp_ns: int
    valid_until_ns: int
    payload: Annotated[bytes, Meta(max_length=GOAL_BYTES)]
    """UTF-8, or little-endian float32."""


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[_Record])


def pack(goals: Iterable[Goal]) -> bytes:
    """As they stand in the slot. Raises ValueError when they do not fit into it."""
    records = [
        _Record(
            goal.kind,  # type: ignore[arg-type]  # one of KINDS
            goal.seq,
            goal.stamp_ns,
            goal.valid_until_ns,
            goal.payload if isinstance(goal.payload, bytes) else goal.payload.astype("<f4").tobytes(),
        )
        for goal in goals
    ]
    packed = _ENCODER.encode(records)
    framed = len(packed).to_bytes(8, "little") + packed
    if len(framed) > GOAL_BYTES:
        raise ValueError(f"goals of {len(framed)} bytes; together they may have {GOAL_BYTES}")
    return framed.ljust((len(framed) + 7) // 8 * 8, b"\0")


class GoalWriter:
    """The link's end. One thread."""

    def __init__(self, link: Segment) -> None:
        self._mailbox = Mailbox(link, LINK_GOAL)

    def publish(self, goals: Iterable[Goal]) -> None:
        """All that hold, at most one of each kind. Raises ValueError when they do not fit."""
        self._mailbox.publish(pack(goals))


class GoalReader:
    """The policy's end. One thread."""

    def __init__(self, link: Segment) -> None:
        self._mailbox = Mailbox(link, LINK_GOAL)
        self._buffer = bytearray(GOAL_BYTES)
        self._seen = 0
        self._goals: Mapping[str, Goal] = {}

    def read(self) -> Mapping[str, Goal]:
        """The newest of each kind; empty before the first. Decoded once for each publication."""
        newest = self._mailbox.latest
        if newest != self._seen:
            read = self._mailbox.read_latest(self._buffer)
            if read:
                self._seen = read
                self._goals = self._decoded()
        return self._goals

    def _decoded(self) -> Mapping[str, Goal]:
        length = int.from_bytes(self._buffer[:8], "little")
        return {
            one.kind: Goal(
                one.kind,
                one.seq,
                one.stamp_ns,
                one.valid_until_ns,
                one.payload if one.kind == "text" else np.frombuffer(one.payload, "<f4"),
            )
            for one in _DECODER.decode(memoryview(self._buffer)[8 : 8 + length])
        }
