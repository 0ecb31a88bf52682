"""Our own path from an observation to joint targets, without clock or execution: what an import is proven on.

fill -> engine -> decode -> meaning
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import CardJoint, PolicyCard
from spinal.runtime.config.card.decoders import ChunkDecoder, EnsembleDecoder
from spinal.runtime.config.policy import PolicySettings
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.decode import Meaning
from spinal.runtime.decode.registry import make_decoder
from spinal.runtime.importers.draft import Draft
from spinal.runtime.policy.fill import Fills
from spinal.runtime.policy.head import make_head
from spinal.runtime.policy.loaded import make_engine
from spinal.runtime.types import Image, Observation, StreamValue

Array = NDArray[np.float64]

STAND_IN: dict[str, tuple[float, float]] = {"arm": (-1.7, 1.9), "gripper": (0.004, 0.07)}
"""Ranges for joints that count in percent, where nobody gave any: the mapping is proven, not the calibration."""


class OurPath:
    """A draft, loaded as a robot would. One thread. Raises ConfigError, PolicyError."""

    def __init__(self, draft: Draft, robot: RobotConfig | None = None) -> None:
        card = draft.card()
        if isinstance(
            card.decoder, EnsembleDecoder
        ):  # its chunks are compared; how they overlap is another question
            card = card.model_copy(update={"decoder": ChunkDecoder()})
        self.stand_in = robot is None and any(_needs_range(joint) for joint in card.joints)
        if self.stand_in:
            joints = tuple(
                joint.model_copy(update={"range": STAND_IN[joint.kind]}) if _needs_range(joint) else joint
                for joint in card.joints
            )
            card = card.model_copy(update={"joints": joints})
        self.card: PolicyCard = card
        with tempfile.TemporaryDirectory() as folder:
            for name, data in draft.files.items():
                (Path(folder) / name).write_bytes(data)
            model = Path(folder) / draft.model
            self.engine = make_engine(model, card, PolicySettings(model=str(model)))
            self._decoder = make_decoder(card, Path(folder))
        self._meaning = Meaning(card, robot)
        self.names = [joint.name for joint in (robot.joints if robot is not None else card.joints)]
        self.fills = Fills(card, self.engine, self._meaning, robot)
        self._head = make_head(card, self.engine)

    def restart(self) -> None:
        """What was observed and answered before is forgotten."""
        self.fills.restart(0)
        self._head.restart(0)
        self._decoder.restart()

    def see(self, observation: Observation) -> None:
        """Fills the inputs, and nothing else: histories grow."""
        self.fills.fill(observation)

    def answer(self, observation: Observation, noise: Array | None = None) -> Array:
        """[step, joint of the card] in rad and m, from the chunk's first action on."""
        self.fills.fill(observation)
        decoded = self._decoder.decode(self._head.answer(None, noise))
        actions = decoded.actions[self.card.chunk.first :]
        targets = self._meaning.to_joints(
            actions, self._meaning.base(observation), None, observation.command[:, 0]
        )
        if self.fills.remembers:
            self.fills.accepted(observation.stamp_ns, decoded.actions)
        return targets[:, [self.names.index(joint.name) for joint in self.card.joints]]


def to_robot(joint: CardJoint, values: Array, robot: RobotConfig | None = None) -> Array:
    """A joint's numbers in its card's unit as rad or m: written out once more, so that it can be compared."""
    if joint.unit in ("rad", "m"):
        return values
    span = joint.range
    if joint.unit == "deg":
        middle = 0.0 if span is None else (span[0] + span[1]) / 2
        sign = 1.0 if span is None or span[1] > span[0] else -1.0
        return np.deg2rad(values) * sign + middle
    if span is None:
        if robot is None:
            raise ValueError(f"{joint.name} has no range")
        limits = next(one.limits for one in robot.joints if one.name == joint.name)
        span = (limits.position_min, limits.position_max)
    share = values / 100 if joint.unit == "percent" else (values + 100) / 200
    return span[0] + np.clip(share, 0.0, 1.0) * (span[1] - span[0])


def observation(
    stamp_ns: int,
    position: Array,
    velocity: Array | None = None,
    images: dict[str, NDArray[np.uint8]] | None = None,
    streams: dict[str, StreamValue] | None = None,
) -> Observation:
    """Of a robot that stands still at ``position`` unless ``velocity`` says otherwise."""
    moving = np.zeros_like(position) if velocity is None else velocity
    command = np.stack([position, moving, np.zeros_like(position)], axis=1)
    return Observation(
        stamp_ns=stamp_ns,
        position=position,
        velocity=moving,
        command=command,
        ahead=np.zeros((0, len(position))),
        joints_age_ns=0,
        streams=streams or {},
        images={name: Image(pixels, stamp_ns) for name, pixels in (images or {}).items()},
    )


def _needs_range(joint: CardJoint) -> bool:
    return joint.unit in ("percent", "signed_percent") and joint.range is None
