"""One method on the benchmark: its smoothness, always beside its bandwidth and its truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinal.bench.seam import bandwidth, smoothness
from spinal.bench.seam.bandwidth import StepResponse
from spinal.bench.seam.feed import TICK_HZ, Array, Feed
from spinal.bench.seam.played import Method, Played

SAME_GAIN = 0.01
"""Gains this close count as the same."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Figures of one method; rad and s, at TICK_HZ, from the second swap on, when every method is under way."""

    name: str
    played: Played
    rms_jerk: float
    max_jerk: float
    max_acceleration: float
    ldlj: float
    sparc: float
    jump: Array
    """[3]: the largest jump of position, velocity and acceleration at a swap."""
    rms_error: float
    """From the motion that the chunks mean."""
    rms_deviation: float
    """From the actions of the chunk in force."""
    max_deviation: float
    gain_5hz: float
    gain_10hz: float
    step: StepResponse

    def keeps_as_much_as(self, other: Trial) -> bool:
        """Whether it has the other's gain, as far as this is not over 1, and is half-way to a step as soon."""
        return (
            self.gain_5hz >= min(1.0, other.gain_5hz) - SAME_GAIN
            and self.gain_10hz >= min(1.0, other.gain_10hz) - SAME_GAIN
            and self.step.rise_50_ms <= other.step.rise_50_ms
        )


def run(name: str, method: Method, feed: Feed) -> Trial:
    """Plays ``feed``, sines and a step."""
    played = method(feed)
    first = feed.swap_tick(1)
    position, truth = played.position[first:], feed.truth[first:]
    jerk = smoothness.jerk(position, TICK_HZ)
    deviation = smoothness.deviation(played.position, feed)
    return Trial(
        name=name,
        played=played,
        rms_jerk=smoothness.rms(jerk),
        max_jerk=float(np.abs(jerk).max()),
        max_acceleration=float(np.abs(smoothness.acceleration(position, TICK_HZ)).max()),
        ldlj=smoothness.ldlj(position, TICK_HZ),
        sparc=smoothness.sparc(position, TICK_HZ),
        jump=np.abs(played.after - played.before)[1:].max(axis=(0, 1)),
        rms_error=smoothness.rms(position - truth),
        rms_deviation=smoothness.rms(deviation),
        max_deviation=float(np.abs(deviation).max()),
        gain_5hz=bandwidth.gain(method, 5),
        gain_10hz=bandwidth.gain(method, 10),
        step=bandwidth.step_response(method),
    )
