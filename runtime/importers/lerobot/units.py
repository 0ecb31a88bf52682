"""Which unit a checkpoint counts in: said, or inferred from its statistics, shown and asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spinal.runtime.errors import ConfigError, Problem
from spinal.runtime.importers.joints import ARM_UNITS, ArmUnit, GripperUnit, Inferred, infer_unit
from spinal.runtime.importers.lerobot.card import Channels
from spinal.runtime.importers.lerobot.checkpoint import ACTION, Checkpoint
from spinal.runtime.importers.lerobot.normalise import recorded_range


@dataclass(frozen=True, slots=True)
class Units:
    """Of the arm's joints and of its grippers."""

    arm: ArmUnit
    gripper: GripperUnit


def settle_units(
    checkpoint: Checkpoint,
    channels: Channels,
    arm: ArmUnit | None,
    gripper: GripperUnit | None,
    ask: Callable[[str], str] | None,
    say: Callable[[str], None],
) -> Units:
    """What was said, or what a person answers to ``ask``; None: nobody is there. Raises ConfigError."""
    source = f"the units of {checkpoint.folder.name}"
    inferred = _inferred(checkpoint, channels)
    if inferred is not None:
        say(f"units: the statistics look like {inferred.unit}: {inferred.reason}")
    if arm is None:
        if ask is None:
            said = "are in no file of a LeRobot checkpoint"
            likely = (
                "" if inferred is None else f" (its statistics look like {inferred.unit}: {inferred.reason})"
            )
            raise ConfigError(
                [Problem("--units", said, f"say one of {', '.join(ARM_UNITS)}{likely}")], source
            )
        default = "" if inferred is None else f", Enter for {inferred.unit}"
        answer = ask(f"Which unit was it recorded in? {', '.join(ARM_UNITS)}{default}:")
        answer = answer or (inferred.unit if inferred is not None else "")
        if answer not in ARM_UNITS:
            raise ConfigError(
                [Problem("--units", f'"{answer}" is none', f"one of {', '.join(ARM_UNITS)}")], source
            )
        arm = answer
    if inferred is not None and arm in inferred.impossible:
        said = f"is {arm}, which cannot be: {inferred.reason}"
        raise ConfigError([Problem("--units", said, f"it looks like {inferred.unit}")], source)
    if gripper is None:
        if any(channels.grippers) and arm == "rad":
            hint = "--gripper-units percent, signed_percent, deg, rad or m; or none is a gripper: --grippers NAME"
            named = (n for n, gripper in zip(channels.names, channels.grippers, strict=True) if gripper)
            said = f"are not known for {', '.join(named)}"
            raise ConfigError([Problem("--gripper-units", said, hint)], source)
        gripper = "percent"
    return Units(arm, gripper)


def _inferred(checkpoint: Checkpoint, channels: Channels) -> Inferred | None:
    spread = recorded_range(checkpoint, ACTION)
    arms = [index for index, gripper in enumerate(channels.grippers) if not gripper]
    if spread is None or not arms:
        return None
    low, high = (np.broadcast_to(values, len(channels.names)) for values in spread)
    if checkpoint.post.relative:
        return None  # the statistics are of differences
    return infer_unit([channels.names[i] for i in arms], low[arms].tolist(), high[arms].tolist())
