"""How the bench's flags are read: text in, a value out, or one line that says what it should have been."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from collections.abc import Sequence

from spinal.drivers.sim import seeds

MOST_DELAY_STEPS = 10
"""Half of the shipped policy's chunk."""
SEEDS = {"evaluation": seeds.EVALUATION, "validation": seeds.VALIDATION}
NOISES = ("zero", "normal")
PLANTS = ("none", "allocation", "instructions", "sleep", "lock")
"""Slow-downs that the exact suite can put into the tick; the index is PLANT in ``exact/native/plant.h``."""


def count(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text} is no whole number from 1 on")
    return int(text)


def delays(text: str) -> tuple[int, ...]:
    """``0,2,4`` as policy steps, each once."""
    words = text.split(",")
    if not all(word.isascii() and word.isdigit() and int(word) <= MOST_DELAY_STEPS for word in words):
        raise ArgumentTypeError(f"{text} is no list of 0 to {MOST_DELAY_STEPS} policy steps, as in 0,2,4")
    return tuple(dict.fromkeys(int(word) for word in words))


def milliseconds(text: str) -> float:
    """0 to 1000 ms."""
    return _number(text, 0.0, 1000.0, "ms")


def seconds(text: str) -> float:
    """From 1 s to a day."""
    return _number(text, 1.0, 86400.0, "s")


def hours(text: str) -> float:
    """Of a soak: from 4 s, to try one, to six weeks."""
    return _number(text, 0.001, 1000.0, "hours")


def minutes(text: str) -> float:
    """Of a clean soak: from 3 s to a day."""
    return _number(text, 0.05, 1440.0, "minutes")


def noise(text: str) -> str:
    """What feeds a policy's noise input."""
    return _one_of(text, NOISES)


def plant(text: str) -> str:
    """A slow-down to put into the tick."""
    return _one_of(text, PLANTS)


def seed_range(text: str) -> range:
    """Of which purpose the episodes are; see ``drivers/sim/seeds.py``."""
    return SEEDS[_one_of(text, tuple(SEEDS))]


def _number(text: str, least: float, most: float, unit: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise ArgumentTypeError(f"{text} is no number from {least:g} to {most:g} {unit}")
    return value


def _one_of(text: str, words: Sequence[str]) -> str:
    if text not in words:
        raise ArgumentTypeError(f"{text} is none of: {', '.join(words)}")
    return text
