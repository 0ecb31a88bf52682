"""``spinal policy swap MODEL``, ``rollback`` and ``reveal``: which model runs on a running robot."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spinal.runtime.link.client import PlannerClient
    from spinal.runtime.link.messages import GoalKind, StateReport

ANSWER_MS = 1000
LIMIT_S = 180.0
ENDS = ("kept", "refused", "rolled_back", "revealed")
DONE = {"swap": "kept", "rollback": "rolled_back", "reveal": "revealed"}
IN_WORDS = {
    "loading": "loading and warming it beside the one that runs",
    "comparing": "it answers in the shadow",
    "probation": "it runs, on probation; the one before is ready to take over again",
    "kept": "kept",
    "refused": "REFUSED",
    "revealed": "revealed",
    "rolled_back": "the one before runs again",
}


def add_parser(subparsers: Any) -> None:
    """Adds ``swap`` and ``rollback`` to ``spinal policy``."""
    swap = subparsers.add_parser(
        "swap",
        help="let another model take over while the robot runs",
        description="Loads and warms MODEL beside the one that runs, compares both on the same observations, and"
        " switches. It goes back by itself when the new one errs in its first seconds.",
    )
    swap.add_argument(
        "model",
        metavar="MODEL.onnx",
        help="in the folder of the robot's own model, or in [policy.swap] folders",
    )
    swap.add_argument(
        "--force", action="store_true", help="also when its first actions are far from the others'"
    )
    rollback = subparsers.add_parser(
        "rollback",
        help="let the model before take over again",
        description="Lets the model before take over again, at once.",
    )
    reveal = subparsers.add_parser(
        "reveal",
        help="end a blind test: say which of the two policies ran behind which label",
        description="Says which policy of [policy.ab] ran behind which label. The journal says which label ran for"
        " which goal.",
    )
    for parser in (swap, rollback, reveal):
        place = parser.add_mutually_exclusive_group()
        place.add_argument("--robot", metavar="NAME", help="its name; not needed when only one is running")
        place.add_argument("--robot-dir", type=Path, metavar="DIR", help="the robot's runtime directory")
        place.add_argument(
            "--endpoint", nargs=2, metavar=("COMMAND", "STATE"), help="the two ZeroMQ endpoints"
        )
        parser.add_argument("--json", action="store_true", help="one JSON object at the end")
        parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when it was done, 1 when it was refused or taken back. LinkError when no robot answers."""
    from spinal.runtime.cli.plan import find_endpoints
    from spinal.runtime.link.client import PlannerClient

    where = find_endpoints(args)
    with PlannerClient(where, src=f"operator-{os.getpid()}", provenance="a person, by hand") as client:
        goal_id = client.new_goal_id()
        if args.action == "swap":
            parameters = {"model": _meant(args.model), "forced": args.force}
            answer = client.send_goal(
                "policy_swap", parameters, valid_for_ms=10_000, goal_id=goal_id, timeout_ms=ANSWER_MS
            )
        else:
            kind: GoalKind = "policy_rollback" if args.action == "rollback" else "policy_reveal"
            answer = client.send_goal(kind, valid_for_ms=10_000, goal_id=goal_id, timeout_ms=ANSWER_MS)
        if not answer.accepted:
            return _tell(args, "refused", answer.detail, "")
        report = _follow(client, goal_id, args.json)
    if report is None:
        return _tell(args, "unknown", "nothing was heard of it: look at spinal log", "")
    return _tell(args, report.exchange, report.exchange_detail, report.policy)


def _follow(client: PlannerClient, goal_id: int, silent: bool) -> StateReport | None:
    """Shows how far it is until it is over; the report with its end."""
    deadline, said = time.monotonic() + LIMIT_S, ""
    while time.monotonic() < deadline:
        report = client.latest_state(ANSWER_MS)
        if report is None or report.exchange_goal != goal_id:
            continue
        if report.exchange in ENDS:
            return report
        if report.exchange != said and not silent:
            said = report.exchange
            print(f"{IN_WORDS.get(said, said)} ...", flush=True)
    return None


def _tell(args: argparse.Namespace, status: str, why: str, policy: str) -> int:
    done = status == DONE[args.action]
    if args.json:
        print(json.dumps({"ok": done, "status": status, "why": why, "policy": policy}))
    else:
        because = f": {why}" if why else ""
        print(f"{IN_WORDS.get(status, status)}{because}{f' ({policy} runs)' if policy else ''}")
    return 0 if done else 1


def _meant(model: str) -> str:
    """A file that is here by its whole path; any other name as it is, for the robot to find."""
    path = Path(model)
    return str(path.resolve()) if path.is_file() else model
