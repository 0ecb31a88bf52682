"""``python -m spinal.bench SUITE``: finds a suite in a table and runs it.

Only the module of the suite that is asked for is imported. Each has ``add_parser(subparsers)``, which sets ``run``
as a default, and ``run(args) -> int``, as the commands of ``spinal`` do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from spinal.runtime.errors import SpinalError

SUITES = {
    "task": (
        "spinal.bench.task",
        "how often and how smoothly the policy picks, at added delays, in lock-step",
    ),
    "front": ("spinal.bench.front", "success and jerk of other fits, blends and prefixes beside the shipped"),
    "response": ("spinal.bench.response", "time until a response is visible, against an undisturbed twin"),
    "live": ("spinal.bench.live", "the live demo beside its floor, idle or under a load"),
}
"""Name: the module that has it, and its line in the help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one suite and returns its exit code; ``argv`` defaults to the process's own."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    wanted = next((word for word in arguments if not word.startswith("-")), "")
    options = _parser(wanted).parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except SpinalError as error:
        print(f"bench: {error.message}\nnext: {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _parser(wanted: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m spinal.bench", description="Measures what is published.")
    subparsers: Any = parser.add_subparsers(dest="suite", required=True, metavar="SUITE")
    for name, (module, line) in SUITES.items():
        if name == wanted:
            import_module(module).add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=line)
    return parser


if __name__ == "__main__":
    sys.exit(main())
