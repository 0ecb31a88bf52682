"""`spinal plan`: a planner's hand tool. Sends one goal and shows the robot's answer, or watches its state."""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path
from typing import Any, cast

import numpy as np

from spinal.runtime.cli.stop import STOPPED, in_words
from spinal.runtime.errors import LinkError
from spinal.runtime.link import endpoints as places
from spinal.runtime.link.arrays import Array
from spinal.runtime.link.client import PlannerClient, no_robot
from spinal.runtime.link.messages import GoalKind, Parameter, StateReport

ANSWER_MS = 1000
ARM_S = 10.0
"""A controller that starts afresh, and the loop's self-test."""
GOALS: dict[str, tuple[GoalKind, str]] = {
    "pick": ("pick", "ask for a pick that stands for --valid-for seconds"),
    "follow": ("follow", "run the policy on what it is told, for --valid-for seconds"),
    "pause": ("pause", "come to rest and hold"),
    "go-on": ("go_on", "go on after a pause"),
    "stop": ("stop", "come to rest by the emergency limits and stay stopped until armed again"),
    "estop": ("estop", "the same; in an emergency: spinal stop"),
    "relax": ("relax", "come to rest, then let torque fade: the arm sinks; it is armed again by hand"),
    "arm": ("arm", "arm a stopped robot again; it goes on with the next goal"),
    "speed": ("speed", "the share of the velocity limits, in percent, until it is changed"),
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `plan` and its actions to the command line."""
    plan = subparsers.add_parser(
        "plan", help="send a goal to a running robot, or watch it", description=__doc__
    )
    actions = plan.add_subparsers(dest="action", required=True)
    for name, (_, text) in GOALS.items():
        action = actions.add_parser(name, help=text, description=text)
        _add_place(action)
        action.add_argument(
            "--valid-for",
            type=_seconds,
            default=10.0,
            metavar="S",
            help="deadline in seconds, at most 60 (10)",
        )
        if name == "speed":
            action.add_argument("percent", type=_percent, metavar="PERCENT", help="0 to 100")
        if name == "follow":
            action.add_argument("--text", default="", help="what it is told, in words")
        if name == "pick":
            action.add_argument(
                "--parameter",
                type=_parameter,
                action="append",
                default=[],
                metavar="KEY=VALUE",
                help="repeatable",
            )
    watch = actions.add_parser("watch", help="show the robot's state until interrupted")
    _add_place(watch)
    watch.add_argument("--seconds", type=_seconds, help="stop after this long")
    watch.add_argument("--hz", type=_seconds, default=5.0, help="lines per second at most (5)")
    plan.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0, or 1 when the robot refused. LinkError when no robot answers."""
    where = find_endpoints(args)
    with PlannerClient(where, src=f"operator-{os.getpid()}", provenance="a person, by hand") as client:
        if args.action == "watch":
            return _watch(client, args)
        return _send(client, args)


def find_endpoints(args: argparse.Namespace) -> places.Endpoints:
    """Where the robot listens: as told, else the only robot of this user; LinkError when that is unclear."""
    if args.endpoint:
        return places.Endpoints(*args.endpoint)
    if args.robot_dir:
        return places.in_directory(args.robot_dir)
    if args.robot:
        return places.of_robot(args.robot)
    names = places.listening_robots()
    if len(names) == 1:
        return places.of_robot(names[0])
    if names:
        raise LinkError(f"several robots listen: {', '.join(names)}", hint="name one with --robot")
    raise LinkError(
        f"no robot listens in {places.robots_directory()}",
        hint="is `spinal run` running? If it runs elsewhere, name it with --robot-dir or --endpoint",
    )


def _send(client: PlannerClient, args: argparse.Namespace) -> int:
    kind, _ = GOALS[args.action]
    parameters: dict[str, Parameter] = dict(getattr(args, "parameter", []))
    if kind == "speed":
        parameters["percent"] = args.percent
    if kind == "follow" and args.text:
        parameters["text"] = Array.of(np.frombuffer(args.text.encode(), np.uint8))
    answer = client.send_goal(kind, parameters, valid_for_ms=args.valid_for * 1e3, timeout_ms=ANSWER_MS)
    if args.json:
        shown: dict[str, Any] = {"ok": answer.accepted, "goal": kind, "reason": answer.reason}
        print(json.dumps(shown | {"detail": answer.detail, "round_trip_us": client.round_trips.max_ns / 1e3}))
    elif answer.accepted and kind == "arm":
        print("arm: accepted", flush=True)
        print(_what_came_of_arming(client))
    elif answer.accepted:
        print(f"{args.action}: accepted")
    else:
        print(f"{args.action}: refused ({answer.reason}): {answer.detail}")
    return 0 if answer.accepted else 1


def _what_came_of_arming(client: PlannerClient) -> str:
    """Waits until the robot is armed, and says what keeps it when it is not."""
    deadline = time.monotonic() + ARM_S
    report: StateReport | None = None
    while time.monotonic() < deadline:
        heard = client.latest_state(ANSWER_MS)
        if heard is None and report is None:
            return "its state cannot be heard: look at the arm"
        report = heard or report
        if report is not None and report.mode not in STOPPED:
            return f"the robot is {report.mode}"
    mode, why = ("?", "") if report is None else (report.mode, "; ".join(in_words(report.conditions)))
    return f"still {mode}: {why or 'nothing says why'}. Is a button still pressed, or a door open?"


def _watch(client: PlannerClient, args: argparse.Namespace) -> int:
    """Shows the newest state at most `--hz` times a second, and says so when the robot falls silent."""
    end_s = time.monotonic() + args.seconds if args.seconds else float("inf")
    silent, first = False, True
    try:
        while time.monotonic() < end_s:
            report = client.latest_state(ANSWER_MS)
            if report is None and first:
                raise no_robot(client.endpoints.state, ANSWER_MS)
            if report is not None:
                print(_as_json(report) if args.json else _as_line(report), flush=True)
                time.sleep(1 / args.hz)
            elif not silent and not args.json:
                print("the robot is silent", flush=True)
            silent, first = report is None, False
    except KeyboardInterrupt:
        pass
    return 0


def _as_line(report: StateReport) -> str:
    position = " ".join(f"{value:+.3f}" for value in report.position.numpy())
    why = f"  {'; '.join(in_words(report.conditions))}" if report.mode != "running" else ""
    slow = f"  speed {report.speed:.0%}" if report.speed < 1 else ""
    return (
        f"{report.mode:<8} tick {report.tick:<8} goal {report.goal_id:x} {report.goal_status or '-':<8} "
        f"position {position}  observation {report.observation_age_ns / 1e6:.1f} ms old  "
        f"limited {report.limited_ticks} starved {report.starved_ticks} missed {report.missed_ticks}  "
        f"picked {report.successes}/{report.episodes}{slow}{why}"
    )


def _as_json(report: StateReport) -> str:
    arrays = ("position", "velocity", "command_position")
    fields: dict[str, Any] = {name: getattr(report, name) for name in report.__struct_fields__}
    return json.dumps(fields | {name: fields[name].numpy().tolist() for name in arrays})


def _add_place(parser: argparse.ArgumentParser) -> None:
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--robot", metavar="NAME", help="the robot's name; not needed when only one is running"
    )
    place.add_argument("--robot-dir", type=Path, metavar="DIR", help="the robot's runtime directory")
    place.add_argument("--endpoint", nargs=2, metavar=("COMMAND", "STATE"), help="the two ZeroMQ endpoints")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be a positive number")
    return value


def _percent(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError("must be from 0 to 100")
    return value


def _parameter(text: str) -> tuple[str, Parameter]:
    """KEY=VALUE, the value a JSON number, true or false, or else text."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    try:
        parsed = json.loads(value)
    except json.JSONDecodeError:
        return key, value
    if isinstance(parsed, float) and not math.isfinite(parsed):
        raise argparse.ArgumentTypeError(f"{value} is not a finite number")
    return key, cast(Parameter, parsed) if isinstance(parsed, bool | int | float) else value
