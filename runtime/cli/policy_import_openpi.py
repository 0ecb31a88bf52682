"""``spinal policy import openpi MODEL.onnx NORM_STATS.json``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from spinal.runtime.cli.policy_import import add_common, finish, mapping, robot_of, words


def add_parser(subparsers: Any) -> None:
    """Adds ``openpi`` to ``spinal policy import``."""
    parser = subparsers.add_parser(
        "openpi",
        help="a graph of an openpi policy, with its norm_stats.json",
        description="openpi keeps the delta mask, the horizon and the kind of normalisation in its Python: they are"
        " asked for here. Normalisation is compared with openpi's formulas; its network is not here to compare.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL.onnx")
    parser.add_argument("norm_stats", type=Path, metavar="NORM_STATS.json")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--quantile",
        dest="mode",
        action="store_const",
        const="quantile",
        help="use_quantile_norm = True (pi0-FAST, pi0.5)",
    )
    kind.add_argument(
        "--zscore", dest="mode", action="store_const", const="zscore", help="use_quantile_norm = False (pi0)"
    )
    parser.add_argument(
        "--delta-mask",
        type=_mask,
        required=True,
        metavar="6,-1",
        help="make_bool_mask's numbers; -7 for none",
    )
    parser.add_argument("--horizon", type=int, required=True, metavar="H", help="action_horizon")
    parser.add_argument(
        "--joints",
        type=words,
        required=True,
        metavar="NAME,...",
        help="the robot's joints, in the actions' order",
    )
    parser.add_argument(
        "--units", choices=("rad", "deg", "signed_percent"), required=True, help="of arm joints"
    )
    parser.add_argument(
        "--gripper-units",
        choices=("percent", "signed_percent", "deg", "rad", "m"),
        default="m",
        help="of grippers (m)",
    )
    parser.add_argument(
        "--grippers", type=words, metavar="JOINT,...", help="which are grippers (by their name)"
    )
    parser.add_argument(
        "--tensor",
        type=mapping,
        default={},
        metavar="TENSOR=STREAM,...",
        help="what fills the other inputs: camera:NAME, noise, goal:...",
    )
    parser.add_argument("--state", default="state", metavar="TENSOR", help="the input of the state (state)")
    parser.add_argument("--output", default="actions", metavar="TENSOR", help="the output (actions)")
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0; 1 when ``--robot`` does not fit."""
    from spinal.runtime.importers.openpi import Answers, import_openpi
    from spinal.runtime.importers.source import refusal

    if args.step_ms is None:
        raise refusal(
            "the command line", "--step-ms", "is missing", "the time between two actions is in no file"
        )
    robot = robot_of(args)
    answers = Answers(
        mode=args.mode,
        joints=args.joints,
        delta=args.delta_mask,
        horizon=args.horizon,
        step_ms=args.step_ms,
        units=args.units,
        gripper_units=args.gripper_units,
        tensors=args.tensor,
        grippers=args.grippers,
        state=args.state,
        output=args.output,
        robot=None if robot is None else robot.embodiment,
        name=args.name,
    )
    draft, results = import_openpi(args.model, args.norm_stats, answers)
    return finish(args, draft, results)


def _mask(text: str) -> tuple[bool, ...]:
    from spinal.runtime.importers.openpi import delta_mask

    try:
        return delta_mask(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text}: numbers as make_bool_mask takes them, e.g. 6,-1,6,-1"
        ) from None
