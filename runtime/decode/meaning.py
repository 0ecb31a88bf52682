"""What a model's numbers mean: from its own, normalised and relative, to the robot's joint targets, and back.

    model's numbers --normalise--> card's units --representation--> targets --units--> rad and m, the robot's joints

1. ``absolute``: a target. ``relative``: added to the base, the state at the observation. ``delta``: each added to
   the one before, the first to the base. ``velocity``: integrated, each over one step, from the base on. ``pose``:
   of a link, absolute or against the base's pose (``poses.py``). Channels that the card calls absolute are targets
   whatever it says of the rest, and so are a pose's grippers.
2. The base is measured or commanded, as the card says, and stays with the chunk: not the state at the switch.
3. What is executed anyway before an answer can be in force (``ahead``) takes the place of the answer's first steps
   before anything is summed: a model with a prefix is trained to answer nothing in particular there.
4. Joints that the card does not name hold their command.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.decode.chunk import NOT_FINITE
from spinal.runtime.decode.normalise import scaling
from spinal.runtime.decode.poses import Poses, Residual
from spinal.runtime.decode.units import JointUnits
from spinal.runtime.errors import PolicyError
from spinal.runtime.types import Observation

Array = NDArray[np.float64]


class Meaning:
    """Both directions, for one card on one robot. Values only; one thread.

    ``robot``: None where the card's joints are the robot's, in rad and m. Raises PolicyError where the two do not
    belong together.
    """

    def __init__(self, card: PolicyCard, robot: RobotConfig | None = None) -> None:
        self._card = card
        self._step_s = card.chunk.step_ns * 1e-9
        self._kind = card.representation
        self.units = JointUnits(card.joints, None if robot is None else robot.joints)
        self._scaling = scaling(card.output.normalise, card.channels, "output.normalise", card.chunk.steps)
        self.plain = self._kind == "absolute" and self._scaling is None and self.units.plain
        """Whether the model's numbers are the joint targets."""
        self.pointwise = self._kind in ("absolute", "relative")
        """Whether each row means the same alone: then a spline's control points may be taken for rows."""
        self._absolute = np.array([joint.absolute for joint in card.joints])
        self._poses: Poses | None = None
        if self._kind == "pose":
            if robot is None:
                raise PolicyError(
                    "poses need the robot they are of", hint="load the card with its robot file"
                )
            self._poses = Poses(card, robot)
            grippers = [joint for joint in card.joints if joint.kind == "gripper"]
            self._grippers = JointUnits(grippers, robot.joints) if grippers else None

    @property
    def residual(self) -> Residual | None:
        """What the newest answer's poses missed; None where actions are joints."""
        return self._poses.residual if self._poses else None

    def base(self, observation: Observation) -> Array:
        """[joint], what relative actions that answer ``observation`` are added to."""
        if self._card.relative_to == "measured":
            return observation.position
        return observation.command[:, 0]

    def to_joints(
        self, actions: Array, base: Array, ahead: Array | None = None, command: Array | None = None
    ) -> Array:
        """[step, joint], a new array, from ``actions`` [step, channel] and ``base`` [joint].

        ``ahead`` [given, joint] takes the place of the first; ``command`` [joint] is what joints without a channel
        hold, ``base`` without. Raises PolicyError for an answer that the robot cannot follow.
        """
        given = 0 if ahead is None else len(ahead)
        if self.plain:
            targets = actions.copy()
        else:
            if not np.isfinite(actions[given:]).all():
                raise NOT_FINITE
            numbers = actions if self._scaling is None else self._scaling.out_of(actions)
            targets = np.repeat((base if command is None else command)[None], len(numbers), axis=0)
            if given < len(numbers):
                start = base if ahead is None or not given else ahead[-1]
                self._put(targets[given:], numbers[given:], base, start)
        if ahead is not None and given:
            targets[:given] = ahead
        return targets

    def to_model(self, targets: Array, base: Array) -> Array:
        """[step, channel] from ``targets`` [step, joint]: the inverse, with the same base."""
        if self.plain:
            return targets
        if self._poses is not None:
            numbers = self._poses.to_poses(targets, base)
            if self._grippers is not None:
                numbers = np.concatenate([numbers, self._grippers.position(targets)], axis=1)
        else:
            numbers, start = self.units.position(targets), self.units.position(base)
            match self._kind:
                case "relative":
                    changed = numbers - start
                case "delta" | "velocity":
                    changed = np.diff(np.concatenate([start[None], numbers]), axis=0)
                    changed = changed / self._step_s if self._kind == "velocity" else changed
                case _:
                    changed = numbers
            numbers = np.where(self._absolute, numbers, changed)
        return numbers if self._scaling is None else self._scaling.answer_of(numbers)

    def _put(self, targets: Array, numbers: Array, base: Array, start: Array) -> None:
        """Into the columns of ``targets`` that the card moves; ``start``: the target before the first of them."""
        if self._poses is not None:
            size = self._poses.size
            targets[:, self._poses.joints] = self._poses.to_joints(numbers[:, :size], base, start)
            if self._grippers is not None:
                targets[:, self._grippers.index] = self._grippers.to_robot(numbers[:, size:])
            return
        match self._kind:
            case "relative":
                summed = self.units.position(base) + numbers
            case "delta":
                summed = self.units.position(start) + np.cumsum(numbers, axis=0)
            case "velocity":
                summed = self.units.position(start) + np.cumsum(numbers, axis=0) * self._step_s
            case _:
                summed = numbers
        targets[:, self.units.index] = self.units.to_robot(np.where(self._absolute, numbers, summed))
