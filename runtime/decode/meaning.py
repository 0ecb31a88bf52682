"""What a model's numbers mean: from its own, normalised and relative, to the robot's joint targets, and back.

Joint targets are rad for arm joints and m for grippers, in the robot file's order, which is the card's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import PolicyCard
from spinal.runtime.errors import PolicyError

Array = NDArray[np.float64]


class Meaning:
    """Both directions, for one card. Values only; one thread."""

    def __init__(self, card: PolicyCard) -> None:
        self.plain = (
            card.representation == "absolute"
            and card.output.normalise is None
            and all(joint.unit in ("rad", "m") for joint in card.joints)
        )
        """Whether the model's numbers are the joint targets."""
        if not self.plain:
            raise PolicyError(
                f"actions of {card.name} are not absolute joint targets in rad and m",
                hint="export the model so that they are",
            )

    def to_joints(self, actions: Array, base: Array) -> Array:
        """[step, joint] from ``actions`` [step, channel]; ``base`` [joint]: what relative ones are added to."""
        return actions

    def to_model(self, targets: Array, base: Array) -> Array:
        """[step, channel] from ``targets`` [step, joint]: the inverse."""
        return targets
