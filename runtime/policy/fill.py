"""Who fills which input of a model, settled once: at 50 Hz caches are cold, and each look-up by name would be paid
in every step.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spinal.native.tensor import TensorInput
from spinal.runtime.config.card import CardInput, PolicyCard
from spinal.runtime.policy.engine import Engine
from spinal.runtime.types import Observation

Fill = Callable[[Observation], None]


class Fills:
    """Puts an observation into the inputs of ``engine``. One thread; ``restart`` seeds a ``normal`` noise."""

    def __init__(self, card: PolicyCard, engine: Engine) -> None:
        self._card = card
        self._fills = [self._fill(tensor, TensorInput(engine.inputs[tensor.name])) for tensor in card.inputs]
        self.restart(0)

    def restart(self, seed: int) -> None:
        """Begins anew: the noise of a run depends on ``seed`` alone."""
        self._rng = np.random.default_rng(seed)

    def fill(self, observation: Observation) -> None:
        """All inputs."""
        for fill in self._fills:
            fill(observation)

    def _fill(self, tensor: CardInput, into: TensorInput) -> Fill:
        match tensor.stream:
            case "joint_position":
                return lambda observation: into.put(observation.position)
            case "joint_velocity":
                return lambda observation: into.put(observation.velocity)
            case "command":
                return lambda observation: into.put_column(observation.command, 0)
            case "prefix":
                return lambda observation: into.put_prefix(observation.ahead, observation.command)
            case "mask":
                return lambda observation: into.put_mask(len(observation.ahead))
            case "noise":
                return lambda observation: self._draw_noise(into)
        name, _, field = tensor.stream.removeprefix("stream:").partition(".")
        match field:
            case "yaw":
                return lambda observation: into.fill(observation.streams[name].yaw_rad)
            case "position":
                return lambda observation: into.put(observation.streams[name].position_m)
        return lambda observation: into.put(observation.streams[name].velocity_m_s)

    def _draw_noise(self, into: TensorInput) -> None:
        if self._card.noise == "normal":
            into.put(self._rng.normal(size=self._card.chunk.steps * self._card.channels))
        else:
            into.fill(0.0)
