"""What the seam suite has to show: jerk over bandwidth, gain, the answer to a step, and one seam in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from spinal.bench.result import Curve
from spinal.bench.seam import bandwidth, smoothness
from spinal.bench.seam.feed import EXECUTED, HORIZON, TICK_HZ, TICK_NS, Array, Feed
from spinal.bench.seam.played import Method
from spinal.bench.seam.trial import Trial

WINDOW_TICKS = (50, 150)
"""Shown before and behind a swap: 0.4 s in all."""


def front(trials: Mapping[str, Trial], line_of: Mapping[str, str]) -> Curve:
    """Jerk over bandwidth: a point for each method; those of one ``line_of`` share a line."""
    x = sorted({one.gain_10hz for one in trials.values()})
    lines: dict[str, list[float | None]] = {}
    for name, one in trials.items():
        line = lines.setdefault(line_of.get(name, name), [None] * len(x))
        line[x.index(one.gain_10hz)] = one.rms_jerk
    return Curve(
        name="rms jerk against gain at 10 Hz",
        x_name="gain at 10 Hz",
        x_unit="",
        y_name="rms jerk",
        y_unit="rad/s^3",
        x=x,
        lines=lines,
    )


def gains(methods: Mapping[str, Method], hz: Sequence[int]) -> Curve:
    """What each method leaves of a sine."""
    return Curve(
        name="gain against frequency",
        x_name="frequency",
        x_unit="Hz",
        y_name="gain",
        y_unit="",
        x=[float(one) for one in hz],
        lines={name: [bandwidth.gain(method, one) for one in hz] for name, method in methods.items()},
    )


def steps(trials: Sequence[Trial]) -> Curve:
    """The answer to a step, from the swap on."""
    return Curve(
        name="step response",
        x_name="since the swap",
        x_unit="ms",
        y_name="share of the step",
        y_unit="",
        x=[tick * TICK_NS * 1e-6 for tick in range(len(trials[0].step.curve))],
        lines={one.name: [float(share) for share in one.step.curve] for one in trials},
    )


def seam(trials: Sequence[Trial], fed: Feed) -> list[Curve]:
    """Position, velocity and acceleration of the joint and at the swap where two chunks disagree most."""
    swap, joint = worst_seam(fed)
    before, behind = WINDOW_TICKS
    shown = slice(swap - before, swap + behind + 1)
    made: list[tuple[str, str, Callable[[Array], Array]]] = [
        ("position", "rad", lambda position: position),
        ("velocity", "rad/s", lambda position: smoothness.velocity(position, TICK_HZ)),
        ("acceleration", "rad/s^2", lambda position: smoothness.acceleration(position, TICK_HZ)),
    ]
    curves = []
    for order, (name, unit, of) in enumerate(made):
        lines: dict[str, list[float | None]] = {}
        for one in trials:
            # A difference belongs to the last of its ticks: nothing is seen before it is commanded.
            values = np.pad(of(one.played.position[:, joint : joint + 1])[:, 0], (order, 0))
            lines[one.name] = [float(value) for value in values[shown]]
        curves.append(
            Curve(
                name=f"a seam in {name}",
                x_name="since the swap",
                x_unit="ms",
                y_name=name,
                y_unit=unit,
                x=[tick * TICK_NS * 1e-6 for tick in range(-before, behind + 1)],
                lines=lines,
            )
        )
    return curves


def worst_seam(fed: Feed) -> tuple[int, int]:
    """(tick of the swap, joint) where the new chunk differs most from the one before it, over what both tell."""
    both = HORIZON - EXECUTED
    apart = (fed.chunks[1:, :both] - fed.chunks[:-1, EXECUTED:]).mean(axis=1)
    chunk, joint = np.unravel_index(int(np.abs(apart).argmax()), apart.shape)
    return fed.swap_tick(int(chunk) + 1), int(joint)
