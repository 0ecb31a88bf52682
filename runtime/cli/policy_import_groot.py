"""``spinal policy import groot MODEL.onnx PROCESSOR_CONFIG STATISTICS --tag TAG``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from spinal.runtime.cli.policy_import import add_common, finish, mapping, robot_of, words


def add_parser(subparsers: Any) -> None:
    """Adds ``groot`` to ``spinal policy import``."""
    parser = subparsers.add_parser(
        "groot",
        help="a graph of a GR00T N1.7 policy, with its processor and statistics",
        description="Groups of joints, absolute and relative. Normalisation is compared with GR00T's formulas; its"
        " network is not here to compare.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL.onnx")
    parser.add_argument("config", type=Path, metavar="processor_config.json")
    parser.add_argument("statistics", type=Path, metavar="statistics.json")
    parser.add_argument("--tag", required=True, help="the embodiment, as both files call it")
    parser.add_argument(
        "--joints",
        type=mapping,
        default={},
        metavar="GROUP=JOINT+JOINT,...",
        help="the robot's joints of each group",
    )
    parser.add_argument(
        "--modality",
        type=Path,
        metavar="modality.json",
        help="the dataset's, with --dataset: groups as stretches of its names",
    )
    parser.add_argument("--dataset", type=Path, metavar="INFO.json", help="the dataset's meta/info.json")
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
    parser.add_argument("--output", default="action", metavar="TENSOR", help="the output (action)")
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0; 1 when ``--robot`` does not fit."""
    from spinal.runtime.importers.groot import import_groot
    from spinal.runtime.importers.groot_files import Answers, groups_of
    from spinal.runtime.importers.source import refusal

    if args.step_ms is None:
        raise refusal(
            "the command line", "--step-ms", "is missing", "the time between two actions is in no file"
        )
    robot = robot_of(args)
    answers = Answers(
        tag=args.tag,
        joints=groups_of(args.joints, args.modality, args.dataset),
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
    draft, results = import_groot(args.model, args.config, args.statistics, answers)
    return finish(args, draft, results)
