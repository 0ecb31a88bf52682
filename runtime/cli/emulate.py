"""``spinal emulate ROBOT.toml --pty``: the robot's servos, emulated on a pseudo-terminal for any program."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from spinal.drivers.feetech.emulate import run_pty
from spinal.native.emulator import EmulatorServer
from spinal.runtime.config import load_robot
from spinal.runtime.controller.plan import the_bus

FIFO_PRIORITY = 40


def add_parser(subparsers: Any) -> None:
    """Declares the command."""
    parser = subparsers.add_parser("emulate", help="serve emulated servos on a pty for other programs")
    parser.add_argument("robot", type=Path, metavar="ROBOT.toml")
    parser.add_argument("--pty", action="store_true", required=True, help="serve on a pseudo-terminal")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serves until Ctrl-C and says what went over the wire."""
    robot = load_robot(args.robot)
    bus = robot.buses[the_bus(robot)]

    def ready(path: str, server: EmulatorServer) -> None:
        print(path, flush=True)
        fifo = "real time granted" if server.report().fifo else "without real-time priority"
        print(
            f"{len(robot.joints)} emulated servos at {bus.baud} baud, {fifo}. Open {path}; Ctrl-C ends it.",
            file=sys.stderr,
            flush=True,
        )

    stats = run_pty(
        [joint.id for joint in robot.joints], baud=bus.baud, priority=FIFO_PRIORITY, on_ready=ready
    )
    print(
        f"{stats.packets} requests, {stats.replies} replies, {stats.bad_checksums} bad checksums,"
        f" {stats.collisions} collisions",
        file=sys.stderr,
    )
    return 0
