"""What is known of a walking policy beside its graph; what no file says stays None and is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """One observation term: numbers of an instant, clipped, then scaled, and its history of it, the newest last."""

    name: str
    scale: Numbers = (1.0,)
    clip: tuple[float, float] | None = None
    history: int = 1
    size: int | None = None
    """Numbers of one instant, where the file says it."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Per action channel, in the policy's order."""

    source: str
    joints: tuple[str, ...] | None = None
    default: Numbers | None = None
    stiffness: Numbers | None = None
    damping: Numbers | None = None
    action_scale: Numbers | None = None
    action_offset: Numbers | None = None
    """Added to an action; without, the default pose."""
    action_clip: tuple[float, float] | None = None
    terms: tuple[Term, ...] | None = None
    step_ms: float | None = None
    all_joints: tuple[str, ...] | None = None
    """Those of the whole robot, where the file lists also what is not driven."""
    notes: tuple[str, ...] = ()


def over(first: Recipe, second: Recipe) -> Recipe:
    """``first``, completed by ``second`` where it says nothing; notes of both."""
    missing = {
        word: getattr(second, word)
        for word in Recipe.__dataclass_fields__
        if word not in ("source", "notes") and getattr(first, word) is None
    }
    source = " and ".join(filter(None, (first.source, second.source)))
    return replace(first, **missing, source=source, notes=(*first.notes, *second.notes))


def spread(values: Sequence[float], count: int) -> Numbers | None:
    """One number a channel; a single one stands for all. None when the count does not fit."""
    if len(values) == 1:
        return (float(values[0]),) * count
    return tuple(map(float, values)) if len(values) == count else None
