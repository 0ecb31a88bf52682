"""What planners and people ask of the policy process: another model, the one before, the names behind a blind test.

The link passes it on, in a mailbox of its own segment; whether it can be done the policy process decides, and says
so in its report. A request changes no order: the arm goes on meanwhile.
"""

from __future__ import annotations

from typing import Any

from spinal.native.shared import Segment
from spinal.runtime.link.envelope import Reason, RefusedError
from spinal.runtime.link.messages import Goal
from spinal.runtime.link.server import AcceptedGoal
from spinal.runtime.segments import LINK_POLICY, ReportReader, ReportWriter

ACTIONS = {"policy_swap": "swap", "policy_rollback": "rollback", "policy_reveal": "reveal"}
UNDER_WAY = ("loading", "comparing", "probation")
LONGEST = 200


def check_request(goal: Goal, exchange: str = "") -> None:
    """Raises RefusedError for a request that cannot be meant, or that comes while an ``exchange`` is under way."""
    busy = exchange in UNDER_WAY and not (exchange == "probation" and goal.kind == "policy_rollback")
    if goal.kind in ACTIONS and busy:
        raise RefusedError(Reason.NOT_NOW, f"an exchange of policies is under way: {exchange}")
    if goal.kind == "policy_swap":
        model, forced = goal.parameters.get("model"), goal.parameters.get("forced", False)
        if not isinstance(model, str) or not model:
            raise RefusedError(Reason.BAD_PARAMETER, "policy_swap needs the parameter model, a file name")
        if not isinstance(forced, bool):
            raise RefusedError(Reason.BAD_PARAMETER, "forced must be true or false")


class PolicyRequests:
    """Numbers requests and passes them on. One thread. It goes on where the link process before it stopped."""

    def __init__(self, segment: Segment) -> None:
        self._writer = ReportWriter(segment, LINK_POLICY)
        self._number = int(ReportReader(segment, LINK_POLICY).read().get("number", 0))

    def pass_on(self, accepted: AcceptedGoal) -> bool:
        """False when it asks nothing of the policy process. The same goal sent again is one request."""
        goal = accepted.goal
        action = ACTIONS.get(goal.kind)
        if action is None:
            return False
        self._number += 1
        request: dict[str, Any] = {"number": self._number, "goal": goal.goal_id, "action": action}
        request |= {"by": printable(f"{accepted.src}: {accepted.provenance}")}
        if action == "swap":
            request |= {"model": goal.parameters["model"], "forced": goal.parameters.get("forced", False)}
        self._writer.publish(request)
        return True


def printable(text: str) -> str:
    """As a message can carry it."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)[:LONGEST]
