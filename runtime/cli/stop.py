"""``spinal stop``: emergency stop, by whatever road works.

First a signal to the process that runs the robot, which needs no network and no other process; where that cannot
be, or is not seen to work, the link. Without a name it stops every robot of this user.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from typing import Any

from spinal.native.layout import CONDITIONS, Condition
from spinal.runtime.errors import LinkError
from spinal.runtime.link import endpoints as places
from spinal.runtime.link import presence
from spinal.runtime.link.client import PlannerClient
from spinal.runtime.link.messages import StateReport

SEEN_MS = 500
ANSWER_MS = 500
VALID_MS = 5000
STOPPED = ("stopped", "off")


def add_parser(subparsers: Any) -> None:
    """Adds ``stop`` to the command line."""
    parser = subparsers.add_parser(
        "stop",
        help="emergency stop of a running robot, or of all of them",
        description="Emergency stop: the arm comes to rest by its emergency limits and holds, until a person"
        " arms it again. Without a name, every robot of this user stops.",
    )
    parser.add_argument("robot", nargs="?", metavar="ROBOT", help="the robot's name; all of them when absent")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of stopping one robot. ``stopped``: it was seen to be so."""

    robot: str
    stopped: bool
    by: str
    mode: str
    text: str


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when every robot was seen to stop, 1 when one was not. LinkError when there is none."""
    alive = presence.running()
    names = [args.robot] if args.robot else sorted(alive) or places.listening_robots()
    if not names:
        raise LinkError(
            f"no robot runs in {places.robots_directory()}",
            hint="a robot that another user runs is stopped by that user; in doubt, cut its power",
        )
    outcomes = [stop(name, alive.get(name)) for name in names]
    for outcome in outcomes:
        print(json.dumps(asdict(outcome)) if args.json else outcome.text)
    if not args.json and any(outcome.stopped for outcome in outcomes):
        which = f" --robot {names[0]}" if len(names) == 1 else " --robot NAME"
        print(f"to go on: make sure that nobody is near the arm, then: spinal plan arm{which}")
    return 0 if all(outcome.stopped for outcome in outcomes) else 1


def stop(name: str, process: presence.Presence | None) -> Outcome:
    """Stops one robot, by the signal and, unless it is then seen to be stopped, by the link."""
    roads, troubles = [], []
    try:
        if process is not None and process.signal(signal.SIGUSR1):
            roads.append(f"SIGUSR1 to process {process.pid}")
    except PermissionError:
        troubles.append(f"process {process.pid if process else 0} belongs to another user")
    mode = ""
    try:
        with PlannerClient(
            places.of_robot(name), src=f"stop-{os.getpid()}", provenance="spinal stop"
        ) as link:
            report = _seen(link) if roads else None
            if report is None or report.mode not in STOPPED:
                answer = link.send_goal("estop", valid_for_ms=VALID_MS, timeout_ms=ANSWER_MS)
                if answer.accepted:
                    roads.append("the link")
                else:
                    troubles.append(f"the link refused: {answer.reason}")
                report = _seen(link) or report
            mode = report.mode if report is not None else ""
    except LinkError as error:
        troubles.append(error.message)
    return _outcome(name, roads, troubles, mode)


def _outcome(name: str, roads: list[str], troubles: list[str], mode: str) -> Outcome:
    by = " and ".join(roads)
    stopped = mode in STOPPED
    if stopped:
        rest = "the arm holds, torque on" if mode == "stopped" else "it was off"
        text = f"{name}: stopped by {by or 'somebody before'}; {rest}"
    elif roads:
        why = troubles[-1] if troubles else f"it says {mode or 'nothing'}"
        text = f"{name}: {by} was told to stop, but nobody could watch it ({why}): look at the arm"
    else:
        text = f"{name}: NOT stopped ({'; '.join(troubles)}): cut its power"
    return Outcome(name, stopped, by, mode, text)


def _seen(link: PlannerClient) -> StateReport | None:
    """The robot's state as soon as it is stopped, or the newest one after a while."""
    deadline = time.monotonic() + SEEN_MS / 1e3
    report: StateReport | None = None
    while time.monotonic() < deadline and (report is None or report.mode not in STOPPED):
        report = link.latest_state(round(max(0.0, deadline - time.monotonic()) * 1e3)) or report
    return report


def in_words(names: tuple[str, ...]) -> list[str]:
    """Conditions as a state report names them, for people; a name of a newer robot stays as it is."""
    known = Condition.__members__
    return [CONDITIONS[known[name.upper()]] if name.upper() in known else name for name in names]
