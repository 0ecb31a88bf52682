"""``spinal policy show MODEL.onnx``: what a policy eats, what it answers, and for which joints."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Adds ``show`` to ``spinal policy``."""
    parser = subparsers.add_parser(
        "show",
        help="what a model eats and answers; its card, its tensors, its exporter's notes",
        description="Shows what a model eats, what it answers, and for which joints. Runs nothing.",
    )
    parser.add_argument("model", metavar="MODEL.onnx")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 also for a model with problems, which are told: ``check`` judges. ConfigError for what is no model."""
    from spinal.runtime.cli.policy_beside import beside_report
    from spinal.runtime.cli.policy_beside import show as show_beside
    from spinal.runtime.cli.policy_report import as_json, report_of
    from spinal.runtime.errors import ConfigError

    beside = beside_report(args.model)
    if beside is not None and beside.found.facts.size_bytes:
        shown = show_beside(beside, args.model, args.json)
        if beside.problems and not args.json:
            print(f"problems: {len(beside.problems)}. next: spinal policy check {args.model}")
        return shown
    report = report_of(args.model)
    facts = report.found.file.facts
    if not facts.size_bytes:
        raise ConfigError(facts.problems, args.model)
    if args.json:
        print(json.dumps(as_json(report, args.model)))
        return 0
    from spinal.runtime.cli.check_view import to_console
    from spinal.runtime.cli.policy_view import show

    show(report, args.model)
    if report.problems:
        count = "1 problem" if len(report.problems) == 1 else f"{len(report.problems)} problems"
        to_console().print(f"{count}. next: spinal policy check {args.model}")
    return 0
