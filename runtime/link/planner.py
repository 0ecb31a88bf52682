"""The demo's stand-in for a planner: a process that thinks slowly and talks to the robot over the link.

A real one is a vision-language model, a world model or a person. This one knows a single thought: keep
picking. It shows what a planner owes a robot: a deadline in every goal, renewed by every thought, so that
a planner that hangs or dies is noticed by its silence. It takes no orders; a person's `pause` or `stop`
is the robot's to keep.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Sequence

from spinal.runtime.errors import LinkError
from spinal.runtime.link.client import PlannerClient
from spinal.runtime.link.endpoints import Endpoints
from spinal.runtime.link.messages import StateReport
from spinal.runtime.parent import end_with_parent

THINK_MS = 500
BEAT_MS = 100
PERIODS_OF_VALIDITY = 4
FINISHED = frozenset({"done", "failed", "expired", "refused"})


def choose_goal(goal_id: int, state: StateReport | None) -> int | None:
    """The thought itself: the goal id to ask for, the same again (renewed), 0 for a new one, None for none.

    A robot that is stopped is a person's business, so nothing is asked of it.
    """
    if state is not None and state.mode == "stopped":
        return None
    if state is not None and goal_id and state.goal_id == goal_id and state.goal_status in FINISHED:
        return 0
    return goal_id


class Planner:
    """Thinks every `think_ms`, and beats in between so that robot and planner know each other's clocks."""

    def __init__(self, client: PlannerClient, think_ms: int = THINK_MS) -> None:
        self._client = client
        self._think_ms = think_ms
        self._goal_id = 0
        self._said = ""
        self._reached = False

    def run(self, stop: threading.Event) -> None:
        """Returns soon after `stop` is set; a robot that is away is waited for, in bounded steps."""
        next_think_s = next_beat_s = time.monotonic()
        while not stop.wait(max(0.0, min(next_think_s, next_beat_s) - time.monotonic())):
            now_s = time.monotonic()
            try:
                if now_s >= next_think_s:
                    next_think_s = _next_slot(next_think_s, self._think_ms / 1e3, now_s)
                    self.think()
                    self._reached = True
                else:
                    next_beat_s = _next_slot(next_beat_s, BEAT_MS / 1e3, now_s)
                    if self._reached:
                        self._client.beat(BEAT_MS)
            except LinkError as error:
                self._reached = False
                self._say(f"{error} ({error.hint})")

    def think(self) -> None:
        """One thought: look at the state, then ask for a goal or renew it. LinkError when nobody answers."""
        self._client.latest_state()
        goal_id = choose_goal(self._goal_id, self._client.state)
        if goal_id is None:
            self._say("the robot is stopped: asking for nothing")
            return
        self._goal_id = goal_id or self._client.new_goal_id()
        answer = self._client.send_goal(
            "pick",
            valid_for_ms=PERIODS_OF_VALIDITY * self._think_ms,
            goal_id=self._goal_id,
            timeout_ms=self._think_ms,
        )
        if answer.accepted:
            self._say(f"pick (goal {self._goal_id:x}) accepted")
        else:
            self._say(f"pick refused: {answer.reason}")

    def _say(self, line: str) -> None:
        """One line per change."""
        if line != self._said:
            self._said = line
            print(f"planner: {line}", file=sys.stderr, flush=True)


def _next_slot(slot_s: float, period_s: float, now_s: float) -> float:
    """The next instant on the same grid: late thoughts are skipped, never caught up."""
    return slot_s + period_s * (int(max(0.0, now_s - slot_s) / period_s) + 1)


def main(argv: Sequence[str] | None = None) -> int:
    """The process: exit code 0 after SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m spinal.runtime.link.planner", description=__doc__)
    parser.add_argument("--command-endpoint", required=True)
    parser.add_argument("--state-endpoint", required=True)
    parser.add_argument("--think-ms", type=int, default=THINK_MS)
    parser.add_argument("--parent", type=int, help="the process to end with")
    args = parser.parse_args(argv)
    if args.think_ms < 1:
        parser.error("--think-ms must be at least 1")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if args.parent is not None:
        end_with_parent(args.parent)
    try:
        with PlannerClient(
            Endpoints(args.command_endpoint, args.state_endpoint), src="planner", provenance="demo planner"
        ) as client:
            Planner(client, args.think_ms).run(stop)
    except LinkError as error:
        print(f"planner: {error}\nnext: {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
