"""How soon a response can be seen: ``python -m spinal.bench response [--events 100] [--answer-ms 4]``.

Runs with a turn of the cart and their undisturbed twins, in lock-step, tick by tick. ``runtime/response.py`` says
what is measured.
"""

from __future__ import annotations

import argparse
import sys
from importlib import resources
from pathlib import Path
from typing import Any

from spinal.runtime.config import load_robot
from spinal.runtime.response import measure_response

ANSWER_MS = 4.0
"""What the live demo measures as its own delay on two cores."""


def add_parser(subparsers: Any) -> None:
    """Declares the suite."""
    parser = subparsers.add_parser("response", help="time until a response is visible, against a twin")
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--answer-ms", type=float, default=ANSWER_MS, help="from observation to in force")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measures and prints medians in ms."""
    robot = load_robot(Path(str(resources.files("spinal.launch") / "robots" / "so101_sim.toml")))
    found = measure_response(
        robot, args.answer_ms, lambda line: print(line, file=sys.stderr), events=args.events
    )
    print(" ".join(f"{name} {value}" for name, value in found.items()))
    return 0
