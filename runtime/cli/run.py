"""``spinal run ROBOT.toml``: the daemon. Runs a robot until Ctrl-C or SIGTERM, and brings the arm to rest."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from spinal.runtime.cli.announcer import Announcer
from spinal.runtime.cli.meter import summary
from spinal.runtime.cli.notify import Service
from spinal.runtime.cli.session import Ending, Options, Session, fit_robot
from spinal.runtime.link.endpoints import Endpoints, of_robot, prepare_directory, robot_directory
from spinal.runtime.supervisor.journal import Journal, header_of, robot_states
from spinal.runtime.supervisor.supervisor import Supervisor


def add_parser(subparsers: Any) -> None:
    """Declares the command."""
    parser = subparsers.add_parser("run", help="run a robot until Ctrl-C")
    parser.add_argument("robot", type=Path, metavar="ROBOT.toml")
    parser.add_argument("--view", action="store_true", help="with the live view")
    parser.add_argument(
        "--planner", action="store_true", help="with the demo's planner, which asks for picks"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs until somebody ends it; 0 after an ending in order."""
    robot = fit_robot(args.robot)
    link = robot.link
    if link.command_endpoint and link.state_endpoint:
        endpoints = Endpoints(link.command_endpoint, link.state_endpoint)
    else:
        prepare_directory(robot_directory(robot.name))
        endpoints = of_robot(robot.name)
    service = Service()
    ending = Ending()
    seed = robot.sim.seed if robot.sim else 0
    with Journal(robot_states(robot.name), header_of(robot, args.robot)) as journal:
        say = Announcer(journal)
        with Supervisor(
            robot, args.robot, endpoints, say, args.planner, seed, ending=lambda: ending.asked
        ) as supervisor:
            if not ending.asked:
                say(f"{robot.name} is ready: planners at {endpoints.command}, state at {endpoints.state}")
            service.ready()
            session = Session(
                supervisor,
                journal,
                endpoints,
                f"spinal run: {robot.name}",
                Options(view=args.view),
                service,
            )
            figures = session.run(ending, say.use)
            service.stopping()
            say("bringing the arm to rest")
    print(summary(figures), file=sys.stderr)
    return 0
