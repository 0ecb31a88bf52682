"""Inputs that are a stream's numbers as they are, in float32: at 50 Hz caches are cold, and each look-up by name or
pass of numpy would be paid in every step.
"""

from __future__ import annotations

from collections.abc import Callable

from spinal.native.tensor import TensorInput
from spinal.runtime.config.card import CardInput
from spinal.runtime.config.card.fed import FedCard
from spinal.runtime.policy.fill.memory import Memory
from spinal.runtime.types import Observation

Fill = Callable[[Observation], None]


def plain_fill(tensor: CardInput, card: FedCard, into: TensorInput, memory: Memory) -> Fill | None:
    """None where ``tensor`` needs more. For a card whose actions are the robot's joints in rad and m."""
    if tensor.parts or tensor.history > 1 or tensor.normalise or tensor.joints or tensor.dtype != "float32":
        return None
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
            if card.noise == "zero":
                return lambda observation: into.fill(0.0)
            numbers = card.chunk.steps * card.channels
            return lambda observation: into.put(memory.normal(numbers))
    if tensor.sensor is None:
        return None
    name, field = tensor.sensor
    match field:
        case "yaw":
            return lambda observation: into.fill(observation.streams[name].yaw_rad)
        case "position":
            return lambda observation: into.put(observation.streams[name].position_m)
        case "velocity":
            return lambda observation: into.put(observation.streams[name].velocity_m_s)
    return None
