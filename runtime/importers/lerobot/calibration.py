"""LeRobot's calibration of an arm: what 100 percent and 0 degrees are, in the robot file's rad and m.

    {"shoulder_pan": {"id": 1, "drive_mode": 0, "homing_offset": -1470, "range_min": 758, "range_max": 3292}, ...}

Degrees are (raw - middle of the range) * 360 / 4095 whatever the drive mode is; percent are of the range, the other
way round with drive mode 1. The homing offset lives in the servo, so that raw counts are those that we read as
well; whether the servo still holds it, only the servo knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spinal.runtime.config.joints import Joint
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import ConfigError, Problem
from spinal.runtime.importers.lerobot.card import Channels
from spinal.runtime.importers.lerobot.units import Units
from spinal.runtime.importers.source import read_json, refusal


def ranges_of(
    path: Path | None, robot: RobotConfig | None, channels: Channels, units: Units
) -> Mapping[str, tuple[float, float]]:
    """joint -> its range in the card's words; empty without a file. Raises ConfigError with every problem."""
    if path is None:
        return {}
    if robot is None:
        hint = "counts become rad by the robot file: give --robot ROBOT.toml"
        raise refusal(path, "--calibration", "needs a robot", hint)
    raw = read_json(path, "it is calibration/robots/so_follower/ID.json in LeRobot's home")
    joints = {joint.name: joint for joint in robot.joints}
    found, problems = {}, []
    for name, recorded, gripper in zip(channels.names, channels.recorded, channels.grippers, strict=True):
        motor = recorded.removesuffix(".pos")
        entry = raw.get(motor)
        numbers: list[Any] = (
            [entry.get(key) for key in ("range_min", "range_max", "drive_mode")]
            if isinstance(entry, dict)
            else []
        )
        if len(numbers) != 3 or not all(isinstance(n, int) for n in numbers) or numbers[0] >= numbers[1]:
            problems.append(
                Problem(motor, "has no range_min, range_max and drive_mode", "calibrate it in LeRobot")
            )
            continue
        joint = joints.get(name)
        if joint is None:
            problems.append(
                Problem(motor, f"is {name}, which the robot does not have", "--joints CHANNEL=JOINT")
            )
            continue
        unit = units.gripper if gripper else units.arm
        if unit in ("rad", "m"):
            continue
        low, high = (_position(joint, count) for count in numbers[:2])
        found[name] = (high, low) if unit != "deg" and numbers[2] else (low, high)
    if problems:
        raise ConfigError(problems, str(path))
    return found


def _position(joint: Joint, count: float) -> float:
    """rad, or m of jaw travel, at an encoder count."""
    return (count - joint.count_at_zero) / joint.counts_per_unit
