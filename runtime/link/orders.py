"""What planners' and people's goals amount to for the loop: one order, in force until the next.

A goal runs until its own deadline. A pause holds until ``go_on``, whoever renews goals meanwhile. A stop is latched
until a person asks to arm again; what was ordered before it does not come back by that, only with a new goal.
"""

from __future__ import annotations

from spinal.native import layout
from spinal.native.loop import mode_name
from spinal.runtime.link.envelope import Reason, RefusedError
from spinal.runtime.link.goals import RUNS
from spinal.runtime.link.messages import Goal
from spinal.runtime.link.policy_requests import check_request
from spinal.runtime.link.server import AcceptedGoal
from spinal.runtime.segments import OrderWriter
from spinal.runtime.types import State

FOREVER_NS = 1 << 60
PERCENT = "percent"
AT_AN_END = (layout.MODE_STOPPED, layout.MODE_OFF)


def consider(goal: Goal, state: State | None, exchange: str = "") -> None:
    """Raises RefusedError for a goal that a robot in ``state`` (None: it has not begun) does not take.

    ``exchange``: how far an exchange of policies stands.
    """
    check_request(goal, exchange)
    if goal.kind == "speed":
        share_of(goal)
    if goal.kind == "arm" and (state is None or state.mode not in AT_AN_END):
        mode = "starting" if state is None else mode_name(state.mode)
        raise RefusedError(Reason.NOT_NOW, f"the robot is {mode}: only a stopped robot is armed again")


def share_of(goal: Goal) -> float:
    """The share of the velocity limits that a ``speed`` goal asks for. Raises RefusedError when it says none."""
    percent = goal.parameters.get(PERCENT)
    if isinstance(percent, bool) or not isinstance(percent, int | float):
        raise RefusedError(Reason.BAD_PARAMETER, "speed needs the parameter percent, a number from 0 to 100")
    if not 0 <= percent <= 100:
        raise RefusedError(Reason.BAD_PARAMETER, f"percent is {percent:g}, and must be from 0 to 100")
    return percent / 100


class Orders:
    """What the goals so far amount to; ``writer`` carries it to the loop. One thread.

    It begins with what the last link process ordered: a pause, a stop and a speed outlive whoever passed them on.
    """

    def __init__(self, writer: OrderWriter) -> None:
        self._writer = writer
        last = writer.last
        kind = last.kind if last is not None else None
        self.paused = kind == layout.ORDER_HOLD
        self.stop: int | None = kind if kind in (layout.ORDER_STOP, layout.ORDER_OFF) else None
        """The kind of the latched order to stop, None when there is none."""
        self.goal_id = 0
        self.speed = last.speed if last is not None else 1.0
        self.arming = last.arming if last is not None else 0
        self._sequence = last.goal if last is not None else 0
        self._deadline_ns = last.valid_until_ns if last is not None and kind == layout.ORDER_RUN else 0

    def obey(self, accepted: AcceptedGoal, now_ns: int) -> None:
        """Turns a goal into the order that follows from it and from what went before."""
        goal = accepted.goal
        if goal.kind in ("stop", "estop"):
            self.stop = self.stop if self.stop is not None else layout.ORDER_STOP
        elif goal.kind == "relax":
            self.stop = layout.ORDER_OFF
        elif goal.kind == "arm":
            self.stop = None
            self.arming += 1
            self._deadline_ns = 0
        elif goal.kind == "speed":
            self.speed = share_of(goal)
        elif goal.kind == "pause":
            self.paused = True
        else:
            self._deadline_ns = accepted.deadline_ns
            self.paused = self.paused and goal.kind != "go_on"
        if goal.kind in RUNS:
            if goal.goal_id != self.goal_id:
                self._sequence += 1
            self.goal_id = goal.goal_id
        self._give(now_ns)

    def _give(self, now_ns: int) -> None:
        if self.stop is not None:
            kind, valid_ns = self.stop, FOREVER_NS
        elif self.paused:
            kind, valid_ns = layout.ORDER_HOLD, FOREVER_NS
        else:
            kind, valid_ns = layout.ORDER_RUN, max(0, self._deadline_ns - now_ns)
        self._writer.give(kind, now_ns, valid_ns, self._sequence, self.speed, self.arming)

    @property
    def status(self) -> str:
        """In one word."""
        if self.stop is not None:
            return "relaxed" if self.stop == layout.ORDER_OFF else "stopped"
        return "paused" if self.paused else "running" if self.goal_id else ""
