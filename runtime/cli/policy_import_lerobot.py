"""``spinal policy import lerobot CHECKPOINT``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from spinal.runtime.cli.policy_import import add_common, finish, mapping, robot_of, words

ARM, GRIPPER = ("deg", "signed_percent", "rad"), ("percent", "signed_percent", "deg", "rad", "m")


def add_parser(subparsers: Any) -> None:
    """Adds ``lerobot`` to ``spinal policy import``."""
    parser = subparsers.add_parser(
        "lerobot",
        help="a LeRobot checkpoint (ACT, diffusion); needs the extra lerobot",
        description="Exports a LeRobot policy to ONNX with its normalisation in the card, and compares it with"
        " LeRobot's own answer.",
    )
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="folder with config.json")
    parser.add_argument(
        "--dataset", type=Path, metavar="INFO.json", help="its dataset's meta/info.json, or folder"
    )
    parser.add_argument(
        "--joints",
        type=mapping,
        default={},
        metavar="CHANNEL=JOINT,...",
        help="what the robot file calls them",
    )
    parser.add_argument(
        "--cameras", type=mapping, default={}, metavar="NAME=CAMERA,...", help="likewise its cameras"
    )
    parser.add_argument("--units", choices=ARM, help="of the arm's joints; without, it is inferred and asked")
    parser.add_argument(
        "--gripper-units", choices=GRIPPER, help="of grippers (percent; with --units rad: say it)"
    )
    parser.add_argument(
        "--grippers", type=words, metavar="JOINT,...", help="which are grippers (by their name)"
    )
    parser.add_argument(
        "--calibration", type=Path, metavar="ID.json", help="LeRobot's calibration of the arm; needs --robot"
    )
    parser.add_argument(
        "--stream", type=mapping, default={}, metavar="KEY=STREAM,...", help="what fills other observations"
    )
    parser.add_argument("--ddim-steps", type=int, metavar="N", help="denoising steps of a diffusion policy")
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0; 1 when ``--robot`` does not fit."""
    from spinal.runtime.importers.lerobot.calibration import ranges_of
    from spinal.runtime.importers.lerobot.card import Answers, channels_of
    from spinal.runtime.importers.lerobot.checkpoint import read_checkpoint
    from spinal.runtime.importers.lerobot.dataset import read_dataset
    from spinal.runtime.importers.lerobot.importer import describe, import_lerobot, refuse_type
    from spinal.runtime.importers.lerobot.units import settle_units

    robot = robot_of(args)
    checkpoint = read_checkpoint(args.checkpoint)
    refuse_type(checkpoint)
    print(describe(checkpoint))
    dataset = None if args.dataset is None else read_dataset(args.dataset)
    channels = channels_of(checkpoint, dataset, args.joints, args.grippers)
    print(f"channels: {', '.join(channels.names)}")
    units = settle_units(
        checkpoint, channels, args.units, args.gripper_units, _ask if sys.stdin.isatty() else None, print
    )
    answers = Answers(
        units=units.arm,
        gripper_units=units.gripper,
        names=args.cameras,
        grippers=args.grippers,
        streams=args.stream,
        step_ms=args.step_ms,
        robot=None if robot is None else robot.embodiment,
        ddim_steps=args.ddim_steps,
        ranges=ranges_of(args.calibration, robot, channels, units),
    )
    draft, results = import_lerobot(checkpoint, channels, dataset, answers, args.name, robot, print)
    return finish(args, draft, results)


def _ask(question: str) -> str:
    return input(f"{question} ").strip()
