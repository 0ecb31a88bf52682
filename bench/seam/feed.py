"""What a policy answers: overlapping chunks that disagree, or that all tell of one sine or one step.

Chunk k is observed at k * EXECUTED steps, and its action i is due i + 1 steps later. Its answer comes DELAY steps
after the observation: from that instant on, the swap, it is executed, until the next one's. Instants are ns since
the first observation; commands are sampled every TICK_NS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STEP_NS = 20_000_000
HORIZON, EXECUTED, DELAY = 50, 25, 5
"""Steps: of a chunk, from one swap to the next, from observation to swap."""
TICK_NS = 2_000_000
TICK_HZ = 1e9 / TICK_NS
TICKS_PER_STEP = STEP_NS // TICK_NS
TICKS_PER_CHUNK = EXECUTED * TICKS_PER_STEP
STEP_S, TICK_S = STEP_NS * 1e-9, TICK_NS * 1e-9
JOINTS, CHUNKS = 7, 40
OFFSET_RAD, JITTER_RAD = 0.02, 0.0015
"""Standard deviations: of a whole chunk in one joint, and of a single action."""
SEED = 0


@dataclass(frozen=True, slots=True)
class Feed:
    """Chunks, and the motion that they mean."""

    chunks: Array
    """[chunk, HORIZON, joint] rad."""
    truth: Array
    """[tick, joint] rad, from the first observation to EXECUTED steps behind the last swap, both included."""

    @property
    def joints(self) -> int:
        """How many joints move."""
        return int(self.chunks.shape[2])

    @property
    def ticks(self) -> int:
        """How many commands there are."""
        return ticks(len(self.chunks))

    def swap_tick(self, chunk: int) -> int:
        """The last tick that is not yet of ``chunk``."""
        return (chunk * EXECUTED + DELAY) * TICKS_PER_STEP

    def in_force(self) -> Array:
        """[step, joint]: for each step behind the first swap, the action of the chunk that is in force."""
        return self.chunks[:, DELAY : DELAY + EXECUTED].reshape(-1, self.joints)


def ticks(chunks: int) -> int:
    """How many commands ``chunks`` chunks make."""
    return (chunks * EXECUTED + DELAY) * TICKS_PER_STEP + 1


def disagreeing(chunks: int = CHUNKS, joints: int = JOINTS, seed: int = SEED) -> Feed:
    """A slow motion that starts at 0, told by chunks that each are off by a constant, every action by a little."""
    rng = np.random.default_rng(seed)
    amplitude = rng.uniform(0.05, 0.25, (3, joints))
    hz = rng.uniform(0.1, 0.6, (3, joints))
    phase = rng.uniform(0, 2 * np.pi, (3, joints))

    def motion(t: Array) -> Array:
        waves = amplitude * (np.sin(2 * np.pi * hz * t[..., None, None] + phase) - np.sin(phase))
        total: Array = waves.sum(axis=-2)
        return total

    told = motion(_action_times(chunks))
    offset = rng.normal(0, OFFSET_RAD, (chunks, 1, joints))
    jitter = rng.normal(0, JITTER_RAD, told.shape)
    return Feed(told + offset + jitter, motion(_tick_times(chunks)))


def sine(hz: float, amplitude: float, chunks: int, joints: int = JOINTS) -> Feed:
    """Chunks that agree on a sine; the joints' phases are spread, as a seam meets each phase differently."""
    phase = 2 * np.pi * np.arange(joints) / joints

    def motion(t: Array) -> Array:
        wave: Array = amplitude * np.sin(2 * np.pi * hz * t[..., None] + phase)
        return wave

    return Feed(motion(_action_times(chunks)), motion(_tick_times(chunks)))


def step(height: float, first: int, chunks: int, joints: int = 1) -> Feed:
    """0 until chunk ``first``, which wants ``height`` at once."""
    told = np.zeros((chunks, HORIZON, joints))
    told[first:] = height
    truth = np.zeros((ticks(chunks), joints))
    truth[(first * EXECUTED + DELAY) * TICKS_PER_STEP + 1 :] = height
    return Feed(told, truth)


def _action_times(chunks: int) -> Array:
    """[chunk, HORIZON] s."""
    observed = np.arange(chunks, dtype=np.float64)[:, None] * EXECUTED
    times: Array = (observed + np.arange(1, HORIZON + 1)) * STEP_S
    return times


def _tick_times(chunks: int) -> Array:
    times: Array = np.arange(ticks(chunks), dtype=np.float64) * TICK_S
    return times
