"""``spinal check ROBOT.toml``: everything that can be known about a robot before anything moves.

Every problem is shown at once; the exit code is 0 or 2.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from spinal.runtime.cli.check_report import as_json, dicts, examine
from spinal.runtime.errors import ConfigError


def add_parser(subparsers: Any) -> None:
    """Adds ``check`` to the command line."""
    parser = subparsers.add_parser(
        "check",
        help="check a robot file, its policy and its buses; moves nothing",
        description="Checks a robot file, its policy and its buses. Opens no port and moves nothing.",
    )
    parser.add_argument(
        "robot", metavar="ROBOT.toml", help="the robot file, e.g. launch/robots/so101_sim.toml"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument(
        "--picture",
        metavar="FILE.png",
        type=Path,
        help="draw the fence and the arm's capsules from two sides",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the report. Raises ``ConfigError`` with every problem; with ``--json`` returns 2 instead."""
    try:
        report = examine(args.robot)
    except ConfigError as error:
        if not args.json:
            raise
        print(
            json.dumps({"ok": False, "file": args.robot, "problems": dicts(error.problems), "warnings": []})
        )
        return error.exit_code
    if args.picture:
        from spinal.runtime.cli.check_picture import draw

        draw(report.robot, args.picture)
    if args.json:
        print(json.dumps(as_json(report, args.robot)))
        return ConfigError.exit_code if report.problems else 0
    from spinal.runtime.cli.check_view import show

    show(report, args.robot)
    if report.problems:
        raise ConfigError(report.problems, args.robot, f"correct this and run: spinal check {args.robot}")
    return 0
