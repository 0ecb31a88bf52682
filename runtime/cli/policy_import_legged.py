"""``spinal policy import legged MODEL.onnx``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from spinal.runtime.cli.policy_import import add_common, finish, mapping, numbers, robot_of, words


def add_parser(subparsers: Any) -> None:
    """Adds ``legged`` to ``spinal policy import``."""
    parser = subparsers.add_parser(
        "legged",
        help="a walking policy: mjlab, holosoma, unitree_rl_lab",
        description="Reads the metadata in the ONNX file and unitree_rl_lab's deploy.yaml, and compares our"
        " observation with the exporter's assembly.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL.onnx")
    parser.add_argument(
        "--deploy", type=Path, metavar="deploy.yaml", help="params/deploy.yaml of the training run"
    )
    parser.add_argument(
        "--joints",
        type=words,
        metavar="NAME,...",
        help="joints in the policy's order, where no file has them",
    )
    parser.add_argument(
        "--driven", type=words, metavar="NAME,...", help="those of the file's joints that are driven"
    )
    parser.add_argument(
        "--rename",
        type=mapping,
        default={},
        metavar="JOINT=ROBOT_JOINT,...",
        help="what the robot file calls them",
    )
    parser.add_argument(
        "--term", type=mapping, default={}, metavar="TERM=STREAM,...", help="what fills an observation term"
    )
    parser.add_argument(
        "--scale",
        type=mapping,
        default={},
        metavar="TERM=NUMBER,...",
        help="its scale, where no file says it (1)",
    )
    parser.add_argument(
        "--history",
        type=mapping,
        default={},
        metavar="TERM=N,...",
        help="its instants, where no file says it (1)",
    )
    parser.add_argument(
        "--default-pos", type=numbers, metavar="RAD,...", help="the default pose, in the policy's order"
    )
    parser.add_argument("--action-scale", type=numbers, metavar="NUMBER,...", help="one, or one a joint")
    parser.add_argument(
        "--base", default="base", metavar="STREAM", help="the robot file's stream of the body (base)"
    )
    parser.add_argument(
        "--without-clip", action="store_true", help="leave the bounds of targets to the robot file"
    )
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0; 1 when ``--robot`` does not fit."""
    from spinal.runtime.importers.legged.card import Answers
    from spinal.runtime.importers.legged.importer import import_legged

    robot = robot_of(args)
    answers = Answers(
        joints=args.joints,
        driven=args.driven,
        renames=args.rename,
        terms=args.term,
        scales={name: _number(text, "--scale") for name, text in args.scale.items()},
        histories={name: round(_number(text, "--history")) for name, text in args.history.items()},
        default=args.default_pos,
        action_scale=args.action_scale,
        step_ms=args.step_ms,
        base=args.base,
        without_clip=args.without_clip,
        robot=None if robot is None else robot.embodiment,
        name=args.name,
    )
    draft, results = import_legged(args.model, args.deploy, answers)
    return finish(args, draft, results)


def _number(text: str, option: str) -> float:
    from spinal.runtime.importers.source import refusal

    try:
        return numbers(text)[0]
    except argparse.ArgumentTypeError:
        raise refusal("the command line", option, f"has {text}", "TERM=NUMBER") from None
