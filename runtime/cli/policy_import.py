"""``spinal policy import lerobot|legged|openpi|groot``: other people's models, with a card."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

KINDS = (
    "spinal.runtime.cli.policy_import_lerobot",
    "spinal.runtime.cli.policy_import_legged",
    "spinal.runtime.cli.policy_import_openpi",
    "spinal.runtime.cli.policy_import_groot",
)
"""The modules, in the order of the help."""


def add_parser(subparsers: Any) -> None:
    """Adds ``import`` to ``spinal policy``."""
    parser = subparsers.add_parser(
        "import",
        help="bring a model from LeRobot, a legged-robot exporter, openpi or GR00T",
        description="Reads what a framework wrote, asks for what it does not say, and compares both paths on random"
        " observations before anything is written.",
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="FROM")
    for module in KINDS:
        import_module(module).add_parser(kinds)


def add_common(parser: argparse.ArgumentParser) -> None:
    """What every import takes."""
    from pathlib import Path

    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the model and its card go (the policy's name)"
    )
    parser.add_argument("--name", help="the policy's name (that of the file or folder)")
    parser.add_argument(
        "--robot", type=Path, metavar="ROBOT.toml", help="compare with this robot, joint by joint"
    )
    parser.add_argument("--step-ms", type=float, metavar="MS", help="time between two actions")


def finish(args: argparse.Namespace, draft: Any, results: Any) -> int:
    """Writes a verified draft, and says what was made and what comes next. 0, or 1 when the robot does not fit."""
    from pathlib import Path

    folder = args.out or Path(draft.name)
    model = draft.write(folder)
    for note in draft.notes:
        print(f"note: {note}")
    for result in results:
        print(result)
    for name in draft.files:
        print(f"wrote {folder / name} ({len(draft.files[name]):,} bytes)")
    print(f"wrote {model.with_suffix('.card.toml')}")
    code = 0 if args.robot is None else _matched(args.robot, draft)
    print(f"next: spinal policy check {model}" + (f" --robot {args.robot}" if args.robot else ""))
    return code


def robot_of(args: argparse.Namespace) -> Any:
    """The robot file's, where one is named. Raises ConfigError."""
    from spinal.runtime.config import load_robot

    return None if args.robot is None else load_robot(args.robot)


def _matched(path: Any, draft: Any) -> int:
    from spinal.runtime.config import load_robot
    from spinal.runtime.config.match import match_card

    match = match_card(draft.card(), load_robot(path))
    for row in match.joints:
        if row.difference:
            print(
                f"joint {row.index}: card {row.card or 'none'}, robot {row.robot or 'none'}: {row.difference}"
            )
    for problem in match.problems:
        print(f"does not fit {path}: {problem}")
    return 1 if match.problems else 0


def mapping(text: str) -> dict[str, str]:
    """``a=b,c=d``, for argparse."""
    from spinal.runtime.importers.joints import pairs

    try:
        return pairs(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text}: NAME=VALUE,NAME=VALUE is expected, each name once"
        ) from None


def words(text: str) -> tuple[str, ...]:
    """``a,b,c``, for argparse."""
    found = tuple(filter(None, (word.strip() for word in text.split(","))))
    if not found or len(set(found)) != len(found):
        raise argparse.ArgumentTypeError(f"{text}: NAME,NAME,... is expected, each once")
    return found


def numbers(text: str) -> tuple[float, ...]:
    """``0.1,0.2``, for argparse."""
    import math

    try:
        found = tuple(float(word) for word in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(map(math.isfinite, found)):
        raise argparse.ArgumentTypeError(f"{text}: finite numbers with commas between them are expected")
    return found
