"""Joints in the card's units and order, from the robot's and back.

The robot counts in rad, and in m for a gripper. A card may count in degrees, in percent of a range, or in percent
to either side of its middle, as LeRobot does: there the range is what the person calibrated, degrees begin in its
middle, and percent end at its ends. (LeRobot divides a turn by 4095 for degrees: 0.02 % are left out here.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import CardJoint
from spinal.runtime.config.card.units import range_of
from spinal.runtime.config.joints import Joint
from spinal.runtime.errors import PolicyError

Array = NDArray[np.float64]


class JointUnits:
    """Some joints of a robot as a model counts them: number = gain * (position - zero).

    ``robot``: the robot's joints; None: they are ``among``, the card's in its order. Raises PolicyError where a
    joint is not there, or percent have no range.
    """

    def __init__(
        self,
        joints: Sequence[CardJoint],
        robot: Sequence[Joint] | None = None,
        among: Sequence[CardJoint] | None = None,
    ) -> None:
        names = [joint.name for joint in (robot or among or joints)]
        missing = [joint.name for joint in joints if joint.name not in names]
        if missing:
            raise PolicyError(
                f"the robot has no joint {', '.join(missing)}", hint=f"its joints are {', '.join(names)}"
            )
        self.index = np.array([names.index(joint.name) for joint in joints])
        """Of each, in the robot file's order."""
        found = [None if robot is None else robot[k] for k in self.index]
        ranges = [_range(joint, place) for joint, place in zip(joints, found, strict=True)]
        self.gain = np.array([_gain(joint, span) for joint, span in zip(joints, ranges, strict=True)])
        self.zero = np.array([_zero(joint, span) for joint, span in zip(joints, ranges, strict=True)])
        ends = {"percent": (0.0, 100.0), "signed_percent": (-100.0, 100.0)}
        self._low = np.array([ends.get(joint.unit, (-np.inf, np.inf))[0] for joint in joints])
        self._high = np.array([ends.get(joint.unit, (-np.inf, np.inf))[1] for joint in joints])
        self.all_joints = len(joints) == len(names) and (self.index == np.arange(len(names))).all()
        self.plain = bool(self.all_joints and (self.gain == 1).all() and (self.zero == 0).all())
        """Whether they are the robot's joints as they are."""

    def position(self, robot: Array) -> Array:
        """[..., joint of the card] from positions [..., joint of the robot]; percent end at the range's ends."""
        number = (robot[..., self.index] - self.zero) * self.gain
        return np.asarray(np.clip(number, self._low, self._high))

    def velocity(self, robot: Array) -> Array:
        """Likewise, per second."""
        return np.asarray(robot[..., self.index] * self.gain)

    def to_robot(self, number: Array) -> Array:
        """Positions [..., joint of the card] in rad and m, still in the card's order."""
        return np.asarray(np.clip(number, self._low, self._high) / self.gain + self.zero)


def _range(joint: CardJoint, robot: Joint | None) -> tuple[float, float] | None:
    if joint.range is not None:
        return joint.range
    if joint.unit in ("percent", "signed_percent"):
        if robot is None:
            raise PolicyError(
                f"joint {joint.name} counts in percent of a range that nobody gave",
                hint="give it in the card: joints[].range, in rad or m",
            )
        return range_of(robot)
    return None


def _gain(joint: CardJoint, span: tuple[float, float] | None) -> float:
    match joint.unit:
        case "percent" if span is not None:
            return 100 / (span[1] - span[0])
        case "signed_percent" if span is not None:
            return 200 / (span[1] - span[0])
        case "deg":
            return math.degrees(1) if span is None else math.copysign(math.degrees(1), span[1] - span[0])
    return 1.0


def _zero(joint: CardJoint, span: tuple[float, float] | None) -> float:
    if span is None or joint.unit in ("rad", "m"):
        return 0.0
    return span[0] if joint.unit == "percent" else (span[0] + span[1]) / 2
