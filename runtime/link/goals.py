"""What a goal says to the policy itself: text, an embedding, a latent vector, a waypoint or a twist.

They are parameters of a goal that runs the robot (``pick`` or ``follow``): ``text`` as a string or as UTF-8 bytes
(an Array of |u1), the rest as Arrays of floats. Each holds until its goal's deadline, or until a newer one of its
kind; a stop, and arming behind it, ends them all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.goals import KINDS, NUMBERS, GoalWriter, pack
from spinal.runtime.link import messages
from spinal.runtime.link.arrays import Array
from spinal.runtime.link.envelope import Reason, RefusedError
from spinal.runtime.link.server import AcceptedGoal
from spinal.runtime.types import Goal

RUNS = ("pick", "follow")
"""Goals that run the robot, until their deadline."""
ENDS = ("stop", "estop", "relax", "arm")
MAX_TEXT_BYTES = 4096


def payloads(goal: messages.Goal) -> dict[str, NDArray[np.float32] | bytes]:
    """By kind, what ``goal`` says to the policy. Raises RefusedError for what cannot be said so."""
    said: dict[str, NDArray[np.float32] | bytes] = {}
    for kind in KINDS:
        value = goal.parameters.get(kind)
        if value is None:
            continue
        if goal.kind not in RUNS:
            raise RefusedError(
                Reason.BAD_PARAMETER, f"{kind} belongs to {' or '.join(RUNS)}, not to {goal.kind}"
            )
        said[kind] = _numbers(kind, value) if kind in NUMBERS else _text(value)
    return said


def _text(value: messages.Parameter) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, Array) or value.dtype != "|u1" or len(value.shape) != 1:
        raise RefusedError(Reason.BAD_PARAMETER, "text is a string, or its UTF-8 bytes as a list of |u1")
    if len(value.data) > MAX_TEXT_BYTES:
        detail = f"text has {len(value.data)} bytes, at most {MAX_TEXT_BYTES}"
        raise RefusedError(Reason.BAD_PARAMETER, detail)
    try:
        value.data.decode()
    except UnicodeDecodeError:
        raise RefusedError(Reason.BAD_PARAMETER, "text is not UTF-8") from None
    return value.data


def _numbers(kind: str, value: messages.Parameter) -> NDArray[np.float32]:
    if not isinstance(value, Array) or value.dtype not in ("<f4", "<f8") or not value.data:
        raise RefusedError(Reason.BAD_PARAMETER, f"{kind} is an array of floats with at least one")
    with np.errstate(over="ignore"):
        numbers = value.numpy().ravel().astype(np.float32)
    if not np.isfinite(numbers).all():
        raise RefusedError(Reason.BAD_PARAMETER, f"{kind} holds numbers beyond float32")
    return numbers


class PolicyGoals:
    """The newest of each kind, on their way to the policy. One thread."""

    def __init__(self, writer: GoalWriter) -> None:
        self._writer = writer
        self._goals: dict[str, Goal] = {}
        self._seq = 0

    def consider(self, goal: messages.Goal, now_ns: int) -> None:
        """Raises RefusedError for a goal that says what cannot reach the policy."""
        said = payloads(goal)
        if not said:
            return
        try:
            pack(self._with(said, now_ns, now_ns + 1, now_ns).values())
        except ValueError as error:
            raise RefusedError(Reason.BAD_PARAMETER, str(error)) from None

    def take(self, accepted: AcceptedGoal, now_ns: int) -> None:
        """Publishes what an accepted goal says, or ends what was said."""
        if accepted.goal.kind in ENDS:
            self._goals = {}
            self._writer.publish(())
            return
        said = payloads(accepted.goal)
        if said:
            self._seq += 1
            self._goals = self._with(said, accepted.received_ns, accepted.deadline_ns, now_ns)
            self._writer.publish(self._goals.values())

    def _with(
        self, said: dict[str, NDArray[np.float32] | bytes], stamp_ns: int, until_ns: int, now_ns: int
    ) -> dict[str, Goal]:
        """What still holds, and what is new."""
        held = {kind: goal for kind, goal in self._goals.items() if goal.valid_until_ns > now_ns}
        new = {kind: Goal(kind, self._seq, stamp_ns, until_ns, payload) for kind, payload in said.items()}
        return held | new
