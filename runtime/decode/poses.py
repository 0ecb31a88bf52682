"""Actions that are poses of a link: to joints by inverse kinematics, and from joints to poses.

A pose out of reach makes the whole answer invalid: an arm that goes near it goes somewhere that nobody meant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import PolicyCard, PoseSpec
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.decode import rotations
from spinal.runtime.decode.inverse import InverseKinematics
from spinal.runtime.decode.kinematics import Chain
from spinal.runtime.errors import PolicyError

Array = NDArray[np.float64]

FULL_AXES, FULL_TOLERANCE_DEG = 6, 5.0
LARGEST_TURN_RAD = 1.0
"""Of a joint from one action to the next: further, and the arm would swing over to another posture."""


@dataclass(frozen=True, slots=True)
class Residual:
    """What inverse kinematics left of an answer's poses: the worst of them."""

    position_mm: float
    rotation_deg: float


class Poses:
    """Between [step, 3 + rotation] as the card writes poses and the robot's joints. One thread.

    Raises PolicyError when the robot file describes no such link.
    """

    def __init__(self, card: PolicyCard, robot: RobotConfig) -> None:
        spec = card.pose
        if spec is None:
            raise ValueError("a card without poses")
        self._spec: PoseSpec = spec
        self._rotates = spec.rotation != "none"
        self.size = 3 + rotations.SIZES[spec.rotation]
        """Numbers of a pose."""
        self._chain = Chain(robot, spec.link, spec.point)
        self.joints = np.array(self._chain.joints)
        """The robot's joints that it moves."""
        limits = [robot.joints[k].limits for k in self.joints]
        self._inverse = InverseKinematics(
            self._chain,
            np.array([limit.position_min for limit in limits]),
            np.array([limit.position_max for limit in limits]),
            self._rotates,
        )
        least = FULL_TOLERANCE_DEG if len(self.joints) >= FULL_AXES else 180.0
        self._tolerance_rad = math.radians(spec.tolerance_deg or least)
        self.residual: Residual | None = None
        """Of the newest answer, refused or not."""

    def to_joints(self, poses: Array, base: Array, start: Array) -> Array:
        """[step, joint that moves it] for ``poses`` [step, size]; ``base`` and ``start`` [joint of the robot].

        ``base``: the robot that relative poses are seen from. ``start``: where the first is reached from. Raises
        PolicyError for a pose that is out of reach, or that is none.
        """
        points, turned = poses[:, :3], None
        try:
            if self._rotates:
                turned = rotations.decoder_of(self._spec.rotation)(poses[:, 3:])
        except ValueError as error:
            raise PolicyError(
                f"the model answered no pose: {error}", hint="the arm keeps its old chunk; check the model"
            ) from None
        if self._spec.relative != "none":
            p0, r0 = self._at(base)
            if self._spec.relative == "base":
                points = p0 + points
                turned = None if turned is None else turned @ r0
            else:
                points = p0 + points @ r0.T
                turned = None if turned is None else r0 @ turned
        solution = self._inverse.solve(points, turned, start[self.joints])
        self._refuse(solution.position_m, solution.rotation_rad, solution.apart_rad)
        return solution.joints

    def to_poses(self, targets: Array, base: Array) -> Array:
        """[step, size] as the card writes them, of ``targets`` [step, joint of the robot]: the inverse."""
        points, turned = self._chain.pose(targets[:, self.joints])
        if self._spec.relative != "none":
            p0, r0 = self._at(base)
            if self._spec.relative == "base":
                points, turned = points - p0, turned @ r0.T
            else:
                points, turned = (points - p0) @ r0, r0.T @ turned
        if not self._rotates:
            return points
        return np.concatenate([points, rotations.encoder_of(self._spec.rotation)(turned)], axis=1)

    def _at(self, base: Array) -> tuple[Array, Array]:
        points, turned = self._chain.pose(base[None, self.joints])
        return points[0], turned[0]

    def _refuse(self, missed_m: Array, missed_rad: Array, apart_rad: float) -> None:
        worst_mm, worst_deg = float(missed_m.max()) * 1e3, math.degrees(missed_rad.max())
        self.residual = Residual(worst_mm, worst_deg)
        step = int(np.argmax(missed_m))
        if not worst_mm <= self._spec.tolerance_mm:
            raise PolicyError(
                f"pose {step + 1} of {self._spec.link} is out of reach by {worst_mm:.1f} mm",
                hint=f"the arm keeps its old chunk; {self._spec.tolerance_mm:g} mm are allowed (pose.tolerance_mm)",
            )
        step = int(np.argmax(missed_rad))
        if not missed_rad[step] <= self._tolerance_rad:
            allowed = math.degrees(self._tolerance_rad)
            raise PolicyError(
                f"pose {step + 1} of {self._spec.link} is out of reach by {worst_deg:.1f} deg",
                hint=f"the arm keeps its old chunk; {allowed:g} deg are allowed (pose.tolerance_deg)",
            )
        if apart_rad > LARGEST_TURN_RAD:
            raise PolicyError(
                f"a joint would turn by {math.degrees(apart_rad):.0f} deg between two poses of {self._spec.link}",
                hint="the arm keeps its old chunk; the poses jump, or pass where the arm has to swing over",
            )
