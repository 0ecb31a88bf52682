"""How smooth and how true a sampled motion is. Positions are [tick, joint]; every figure depends on the rate.

LDLJ and SPARC after S. Balasubramanian et al., "On the analysis of movement smoothness", J. NeuroEng. Rehabil. 12,
2015: of all joints together, with the speed as the norm of the joints' velocities.
"""

from __future__ import annotations

import math

import numpy as np

from spinal.bench.seam.feed import DELAY, TICKS_PER_STEP, Array, Feed

SPARC_HZ = 10.0
SPARC_THRESHOLD = 0.05
SPARC_PADDING = 4
"""Powers of two by which the spectrum is refined."""


def velocity(position: Array, hz: float) -> Array:
    """[tick - 1, joint]: first difference."""
    found: Array = np.diff(position, axis=0) * hz
    return found


def acceleration(position: Array, hz: float) -> Array:
    """[tick - 2, joint]: second difference."""
    found: Array = np.diff(position, 2, axis=0) * hz**2
    return found


def jerk(position: Array, hz: float) -> Array:
    """[tick - 3, joint]: third difference."""
    found: Array = np.diff(position, 3, axis=0) * hz**3
    return found


def rms(values: Array) -> float:
    """Over everything."""
    return float(np.sqrt(np.mean(np.square(values))))


def ldlj(position: Array, hz: float) -> float:
    """Log dimensionless jerk, -ln(T^3 / v_peak^2 * integral of |jerk|^2): higher is smoother."""
    duration_s = (len(position) - 1) / hz
    peak = float(np.linalg.norm(velocity(position, hz), axis=1).max())
    integral = float(np.square(jerk(position, hz)).sum(axis=1).mean()) * duration_s
    return -math.log(duration_s**3 / peak**2 * integral)


def sparc(position: Array, hz: float) -> float:
    """Spectral arc length of the speed up to 10 Hz, as far as the spectrum is above 0.05: higher is smoother."""
    speed = np.linalg.norm(velocity(position, hz), axis=1)
    size = 1 << (math.ceil(math.log2(len(speed))) + SPARC_PADDING)
    spectrum = np.abs(np.fft.rfft(speed, size))
    spectrum /= spectrum.max()
    frequency = np.fft.rfftfreq(size, 1 / hz)
    spectrum, frequency = spectrum[frequency <= SPARC_HZ], frequency[frequency <= SPARC_HZ]
    last = int(np.flatnonzero(spectrum >= SPARC_THRESHOLD)[-1])
    spectrum, frequency = spectrum[: last + 1], frequency[: last + 1]
    if last == 0:
        return 0.0
    along = np.diff(frequency) / (frequency[-1] - frequency[0])
    return -float(np.hypot(along, np.diff(spectrum)).sum())


def deviation(position: Array, feed: Feed) -> Array:
    """[step, joint]: commands less the actions of the chunk in force, where these are due."""
    first = (DELAY + 1) * TICKS_PER_STEP
    found: Array = position[first::TICKS_PER_STEP] - feed.in_force()
    return found
