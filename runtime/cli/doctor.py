"""``spinal doctor``: what this computer can promise a control loop, what is missing, and how to mend it.

Exit code: 0 ready, 1 not ready for a robot that requires real time. Nothing is changed without ``--fix``, and with
it only settings of the kernel that are forgotten at the next boot.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from spinal.runtime.preflight.examine import PRIORITY, examine, verdict
from spinal.runtime.preflight.finding import Finding, Status, System

STYLES = {Status.GOOD: "green", Status.NOTE: "dim", Status.WARN: "yellow", Status.BAD: "red"}
MEASURE_S = 3.0
LONGEST_S = 600.0
FILE_WIDTH = 120


def add_parser(subparsers: Any) -> None:
    """Adds ``doctor`` to the command line."""
    parser = subparsers.add_parser(
        "doctor",
        help="what this computer can promise a control loop, and how to mend the rest",
        description="Looks at kernel, permissions, processors, ports and onnxruntime, and measures an empty loop.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument(
        "--fix", action="store_true", help="mend what is safe: until the next boot, and no more"
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=MEASURE_S,
        help="of an empty loop to measure, up to 600; 0: none (default 3)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Examines, mends where asked to, shows."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    with console.status("looking") if not args.json else Console(quiet=True).status(""):
        findings = list(examine(System(), _shipped_model(), args.seconds))
        mended = [mend(finding) for finding in findings if finding.repairs] if args.fix else []
        if mended:
            findings = list(examine(System(), _shipped_model(), args.seconds))
    status, sentence = verdict(findings)
    if args.json:
        print(json.dumps(plain(findings, status, sentence, mended)))
    else:
        show(findings, mended, console)
        console.print(Text(sentence, STYLES[status]))
    return int(status is Status.BAD)


def mend(finding: Finding) -> str:
    """Applies a finding's repairs; says what was done, or what could not be and how a person can."""
    try:
        for repair in finding.repairs:
            repair.apply()
    except OSError as error:
        return f"{finding.name}: {error.strerror}; by hand: {finding.fix}"
    return f"{finding.name}: mended until the next boot"


def plain(findings: list[Finding], status: Status, sentence: str, mended: list[str]) -> dict[str, Any]:
    """For JSON: ``ok`` as the exit code has it."""
    rows = [
        {key: value for key, value in asdict(finding).items() if key != "repairs"}
        | {"safe": bool(finding.repairs)}
        for finding in findings
    ]
    return {
        "ok": status is not Status.BAD,
        "verdict": sentence,
        "priority": PRIORITY,
        "findings": rows,
        "mended": mended,
    }


def show(findings: list[Finding], mended: list[str], console: Console) -> None:
    """A line for each fact; below it what it means and how to mend it, where there is something to mend."""
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        style = STYLES[finding.status]
        table.add_row(Text(finding.status.value, style), finding.name, Text(finding.fact))
        if finding.status is not Status.GOOD:
            table.add_row("", "", Text(finding.meaning, "dim"))
            if finding.fix:
                able = "  (or: spinal doctor --fix)" if finding.repairs else ""
                table.add_row("", "", Text.assemble(("fix: ", "bold"), finding.fix, (able, "dim")))
    console.print(table)
    for line in mended:
        console.print(line)
    console.print()


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= LONGEST_S:  # NaN neither
        raise argparse.ArgumentTypeError(f"{text} is not 0 to {LONGEST_S:.0f} s")
    return value


def _shipped_model() -> Path:
    return Path(str(resources.files("spinal.launch") / "policies" / "cartpick" / "cartpick.onnx"))
