"""What a method leaves of a motion: its gain on a sine, its answer to a step. Jerk means nothing without these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinal.bench.seam import feed as feeds
from spinal.bench.seam.feed import TICK_S, TICKS_PER_CHUNK, Array
from spinal.bench.seam.played import Method

AMPLITUDE_RAD = 0.005
"""A third of a degree: at 10 Hz 20 rad/s^2 and 1240 rad/s^3, inside every limit of the shipped arm."""
SINE_CHUNKS, SETTLING_CHUNKS = 10, 4
HEIGHT_RAD = 0.05
"""Of the step: what two chunks may well be apart."""
STEP_CHUNK = 2
ROUNDING = 9
"""Digits of an overshoot: less is arithmetic."""


@dataclass(frozen=True, slots=True)
class StepResponse:
    """From the swap to the chunk that wants the step; NaN where it does not get there in a chunk's time."""

    rise_10_ms: float
    rise_50_ms: float
    rise_90_ms: float
    overshoot: float
    """Share of the step."""
    curve: Array
    """[TICKS_PER_CHUNK + 1]: share of the step at each tick from the swap on."""


def gain(method: Method, hz: float) -> float:
    """Amplitude of the commands at ``hz`` over that of the chunks, mean over joints, whose phases are spread."""
    fed = feeds.sine(hz, AMPLITUDE_RAD, SINE_CHUNKS)
    position = method(fed).position[fed.swap_tick(SETTLING_CHUNKS) :]
    return float(np.mean(amplitude(position, hz))) / AMPLITUDE_RAD


def amplitude(position: Array, hz: float) -> Array:
    """[joint]: of the sine at ``hz`` that fits ``position`` [tick, joint] best, beside a constant."""
    turn = 2 * np.pi * hz * np.arange(len(position)) * TICK_S
    system = np.stack([np.sin(turn), np.cos(turn), np.ones_like(turn)], axis=1)
    found: Array = np.hypot(*np.linalg.lstsq(system, position)[0][:2])
    return found


def step_response(method: Method) -> StepResponse:
    """How one joint answers a chunk that wants HEIGHT_RAD at once."""
    fed = feeds.step(HEIGHT_RAD, STEP_CHUNK, STEP_CHUNK + 1)
    swap = fed.swap_tick(STEP_CHUNK)
    share = method(fed).position[swap : swap + TICKS_PER_CHUNK + 1, 0] / HEIGHT_RAD
    rises = {f"rise_{percent}_ms": rise_s(share, percent / 100) * 1e3 for percent in (10, 50, 90)}
    return StepResponse(overshoot=max(0.0, round(float(share.max()) - 1, ROUNDING)), curve=share, **rises)


def rise_s(share: Array, level: float) -> float:
    """Until ``share`` first reaches ``level``, straight between ticks; NaN if it does not."""
    there = np.flatnonzero(share >= level)
    if not len(there):
        return float("nan")
    tick = int(there[0])
    if tick == 0:
        return 0.0
    below, above = share[tick - 1], share[tick]
    return float(tick - 1 + (level - below) / (above - below)) * TICK_S
