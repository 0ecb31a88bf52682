"""How fast chunks are executed: as they were taught, faster, or slower where it matters (SAIL, arXiv 2506.11948).

    step = max(taught step / speed, min(taught step, delay / (steps of a chunk - steps until the next answer)))

The floor leaves a chunk that is executed faster enough time to be relieved by the next one. A policy that is
executed at twice its speed lives in a world whose velocities are half of what they are: so it is told. In its time
the arm is twice as far behind its command as it was taught: so it is shown the arm where it would be, further along
its way by ``arm_lag_ms`` less what of that is left at this speed.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from spinal.runtime.config.card import ChunkShape
from spinal.runtime.policy.execution import Execution
from spinal.runtime.types import Chunk, Observation

MOVES = 0.1
"""A gripper that a chunk moves by more than this share of its travel opens or closes."""


class Tempo:
    """The step time of the next answer. One thread."""

    def __init__(self, execution: Execution, chunk: ChunkShape) -> None:
        self._settings = execution.settings
        self._grippers = np.array(execution.grippers, bool)
        self._arm = ~self._grippers
        self._travel = execution.travel
        self._taught_ns = execution.step_ns
        self._spare = max(1, chunk.steps - chunk.first - math.ceil(execution.period_ns / execution.step_ns))
        self._adaptive = self._settings.speed_at_gripper is not None or self._settings.speed_error is not None
        self.restart()

    def restart(self) -> None:
        """A run begins at the speed that is asked for."""
        self._wanted = self._settings.speed
        self.current_ns = round(self._taught_ns / self._wanted)

    def seen(self, observation: Observation) -> Observation:
        """As a policy sees it that is executed at this speed."""
        return slowed(observation, self._taught_ns / self.current_ns, self._settings.arm_lag_ms * 1e-3)

    def step_ns(self, delay_ns: int) -> int:
        """For an answer that comes ``delay_ns`` after its observation; ``current_ns`` from now on."""
        floor_ns = min(self._taught_ns, -(-delay_ns // self._spare))
        self.current_ns = max(round(self._taught_ns / self._wanted), floor_ns)
        return self.current_ns

    def saw(self, observation: Observation, chunk: Chunk) -> None:
        """What an answer wants, and how far the arm is behind: decides about the next one."""
        if not self._adaptive:
            return
        wanted = self._settings.speed
        if self._settings.speed_at_gripper is not None and self._at_gripper(chunk):
            wanted = self._settings.speed_at_gripper
        behind = np.abs(observation.position - observation.command[:, 0])[self._arm]
        if self._settings.speed_error is not None and behind.max(initial=0.0) > self._settings.speed_error:
            wanted = min(wanted, 1.0)
        self._wanted = wanted

    def _at_gripper(self, chunk: Chunk) -> bool:
        path = chunk.actions[:, self._grippers]
        return bool((np.ptp(path, axis=0) > MOVES * self._travel[self._grippers]).any())


def slowed(observation: Observation, speed: float, lag_s: float = 0.0) -> Observation:
    """``observation`` in the time of a policy that is executed at ``speed``: what moves is so much slower.

    ``lag_s``: how far the arm is behind its command.
    """
    if speed == 1.0:
        return observation
    position = observation.position + observation.velocity * (lag_s * (1 - 1 / speed))
    command = observation.command / np.array([1.0, speed, speed * speed])
    streams = {
        name: replace(value, velocity_m_s=value.velocity_m_s / speed)
        for name, value in observation.streams.items()
    }
    velocity = observation.velocity / speed
    return replace(observation, position=position, velocity=velocity, command=command, streams=streams)
