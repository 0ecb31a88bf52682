"""``spinal policy check MODEL.onnx``: everything that is wrong with a policy, and with it on a robot."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Adds ``check`` to ``spinal policy``."""
    parser = subparsers.add_parser(
        "check",
        help="every problem of a model and its card, and of the two on a robot",
        description="Checks a model and its card, and whether they fit a robot. Runs nothing and moves nothing.",
    )
    parser.add_argument("model", metavar="MODEL.onnx")
    parser.add_argument("--robot", metavar="ROBOT.toml", help="compare it with this robot, joint by joint")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0, or 2 with every problem."""
    from spinal.runtime.cli.check_report import dicts
    from spinal.runtime.cli.policy_beside import beside_report, check
    from spinal.runtime.cli.policy_report import as_json, report_of
    from spinal.runtime.errors import ConfigError

    try:
        beside = beside_report(args.model, args.robot)
        if beside is not None:
            return check(beside, args.model, args.robot, args.json)
        report = report_of(args.model, args.robot)
    except ConfigError as error:
        if not args.json:
            raise
        told = {"ok": False, "file": args.robot, "problems": dicts(error.problems), "warnings": []}
        print(json.dumps(told))
        return error.exit_code
    if args.json:
        print(json.dumps(as_json(report, args.model)))
        return ConfigError.exit_code if report.problems else 0
    from rich.text import Text

    from spinal.runtime.cli.check_view import to_console
    from spinal.runtime.cli.policy_view import show

    if report.found.file.facts.size_bytes:
        show(report, args.model)
    if report.problems:
        again = f"spinal policy check {args.model}" + (f" --robot {args.robot}" if args.robot else "")
        raise ConfigError(report.problems, args.model, f"correct this and run: {again}")
    fits = f", and it fits {report.robot.name}" if report.robot else ""
    then = f"next: spinal policy check {args.model} --robot ROBOT.toml" if not args.robot else ""
    ok = Text.assemble(("ok: ", "green"), f"model and card agree{fits}. {then}".rstrip())
    to_console().print(ok)
    return 0
