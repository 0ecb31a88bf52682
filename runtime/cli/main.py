"""The command ``spinal``: finds a subcommand in a table and runs it.

Only the module of the command that is asked for is imported, so that a light command stays fast. Each
module has ``add_parser(subparsers)``, which sets ``run`` as a default, and ``run(args) -> int``.

An expected failure is printed on stderr as its message and ``next: <hint>``, and leaves with the exit code
of its class (see ``runtime.errors``); 130 is an interrupt from the
keyboard.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from spinal import __version__
from spinal.runtime.errors import SpinalError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

READER_GONE = 141
"""Exit code when what reads the output has closed it, as shells have it for SIGPIPE."""


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand: the module that has it, and its line in the help."""

    module: str
    help: str


COMMANDS = {
    "demo": Command(
        "spinal.runtime.cli.demo", "a learned policy picks blocks off a moving cart; no hardware"
    ),
    "run": Command("spinal.runtime.cli.run", "run a robot until Ctrl-C"),
    "check": Command(
        "spinal.runtime.cli.check", "check a robot file, its policy and its buses; moves nothing"
    ),
    "doctor": Command(
        "spinal.runtime.cli.doctor", "what this computer can promise a control loop, and how to mend the rest"
    ),
    "stop": Command("spinal.runtime.cli.stop", "emergency stop of a running robot, or of all of them"),
    "log": Command("spinal.runtime.cli.log", "what happened in a robot's newest run"),
    "plan": Command(
        "spinal.runtime.cli.plan", "a planner's hand tool: pick, pause, go on, stop, relax, arm, speed, watch"
    ),
    "policy": Command(
        "spinal.runtime.cli.policy", "look at a model and its card, check them, bring models from elsewhere"
    ),
    "bench": Command("spinal.bench.command", "measure latency and smoothness; the release gate"),
    "faults": Command(
        "spinal.bench.faults.command", "kill, starve and garble the simulated robot; see what its arm does"
    ),
    "emulate": Command("spinal.runtime.cli.emulate", "serve emulated servos on a pty for other programs"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; ``argv`` defaults to the process's own."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    wanted = next((word for word in arguments if not word.startswith("-")), "")
    options = _parser(wanted).parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        code = run(options)
        sys.stdout.flush()
        return code
    except SpinalError as error:
        print(f"spinal: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"next: {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader went away; nothing more can be said, at exit neither
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE


def _parser(wanted: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spinal", description="Runs a learned policy on a robot, smoothly and within its limits."
    )
    parser.add_argument("--version", action="version", version=f"spinal {__version__}")
    subparsers: Any = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        if name == wanted:
            import_module(command.module).add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=command.help)
    return parser


if __name__ == "__main__":
    sys.exit(main())
