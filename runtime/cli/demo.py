"""``spinal demo``: the main job with no hardware.

A simulated arm on a wire-true bus, a learned policy and a planner, through the processes, the protocol and the
limits of a real arm, with a live view. Headless, it writes what it measured as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

from spinal.runtime.cli.announcer import Announcer
from spinal.runtime.cli.meter import summary
from spinal.runtime.cli.session import Ending, Options, Session, fit_robot
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import ConfigError, PolicyError, Problem
from spinal.runtime.link.endpoints import in_directory, prepare_directory, robot_directory
from spinal.runtime.link.presence import sweep
from spinal.runtime.supervisor.journal import Journal, header_of, robot_states
from spinal.runtime.supervisor.supervisor import Supervisor

ROBOT = "so101_sim.toml"
NOT_MEASURED: dict[str, Any] = dict.fromkeys(("visible", "p10", "p50", "p90"))


def add_parser(subparsers: Any) -> None:
    """Declares the command."""
    parser = subparsers.add_parser(
        "demo", help="a learned policy picks blocks off a moving cart; no hardware"
    )
    parser.add_argument("--seconds", type=_positive, default=0.0, help="end after so long (default: Ctrl-C)")
    parser.add_argument("--headless", action="store_true", help="no live view")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")
    parser.add_argument(
        "--delay-ms", type=_not_negative, default=0.0, help="hold each answer back by so much"
    )
    parser.add_argument("--video", type=Path, metavar="FILE.gif", help="a film of the same task in lock-step")
    parser.add_argument("--robot", type=Path, help="another simulated robot file")
    parser.add_argument("--seed", type=int, default=0, help="of the world and its sensor (default 0)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the demo; 0 when the robot ran and picked, 1 when it picked nothing in a run of 15 s or more.

    Raises PolicyError when the robot never ran.
    """
    robot_file = args.robot or Path(str(resources.files("spinal.launch") / "robots" / ROBOT))
    robot = fit_robot(robot_file)
    if robot.sim is None or robot.policy is None:
        problem = Problem("", "is not a simulated robot with a policy", "use: spinal run")
        raise ConfigError([problem], str(robot_file))
    unfit = [*_unfit("--json", args.json), *_unfit("--video", args.video)]
    if unfit:
        raise ConfigError(unfit, "command line")
    ending = Ending()
    directory = robot_directory(f"demo-{os.getpid()}")
    prepare_directory(directory)
    sweep("demo-*")
    endpoints = in_directory(directory)
    options = Options(args.seconds, args.delay_ms, view=not args.headless, progress=True)
    try:
        with Journal(robot_states(robot.name), header_of(robot, robot_file)) as journal:
            say = Announcer(journal)
            with Supervisor(
                robot,
                robot_file,
                endpoints,
                say,
                with_planner=True,
                seed=args.seed,
                ending=lambda: ending.asked,
            ) as supervisor:
                title = f"spinal demo: {robot.description}"
                session = Session(supervisor, journal, endpoints, title, options)
                figures = session.run(ending, say.use)
                say("bringing the arm to rest")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        with contextlib.suppress(OSError):  # another robot's directory is in it
            directory.parent.rmdir()
        ending.over()
    ran = ending.asked or figures["command"]["switches"] > 0
    result = {"ok": ran and (figures["successes"] > 0 or figures["seconds"] < 15), **figures}
    if args.json is not None:
        result["response_ms"] = _response(robot, figures, say) if not ending.asked else NOT_MEASURED
        args.json.write_text(json.dumps(_finite(result), indent=1) + "\n")
        say(f"wrote {args.json}")
    if args.video is not None:
        from spinal.runtime.cli.film import film

        film(robot_file, args.video, args.delay_ms, args.seed, say)
    print(summary(result))
    if not ran:
        raise PolicyError(
            f"the robot never ran: {figures['policy']['complaint'] or 'no chunk came into force'}",
            hint="give it some seconds"
            if figures["seconds"] < 2
            else "look at the policy's inputs and outputs; spinal check shows what its card says",
        )
    return 0 if result["ok"] else 1


def _response(robot: RobotConfig, figures: dict[str, Any], say: Announcer) -> dict[str, Any]:
    """Measured in some seconds of lock-step; Ctrl-C leaves it out."""
    from spinal.runtime.response import measure_response

    try:
        return measure_response(robot, figures["policy"]["delay_ms"], say)
    except KeyboardInterrupt:
        return NOT_MEASURED


def _unfit(option: str, path: Path | None) -> list[Problem]:
    """Why nothing can be written to ``path``: found before the run, not behind it."""
    if path is None:
        return []
    folder = path.resolve().parent
    if not folder.is_dir():
        return [Problem(option, f"{folder} is not a folder", "make it first, or name another")]
    if path.is_dir():
        return [Problem(option, f"{path} is a folder", "name a file in it")]
    if not os.access(path if path.exists() else folder, os.W_OK):
        return [Problem(option, f"{path} may not be written by this user", "name another place")]
    return []


def _finite(value: Any) -> Any:
    """JSON has no NaN: what was not measured is null."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _positive(text: str) -> float:
    value = _number(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError("must be a number of seconds above 0")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None


def _not_negative(text: str) -> float:
    value = _number(text)
    if not 0 <= value <= 1000:
        raise argparse.ArgumentTypeError("must be between 0 and 1000 ms")
    return value
