"""What keeps a stopped robot stopped, until a person arms it again.

The loop latches by itself, but a loop may die: the supervisor remembers for it, so that a controller that comes
back does not go on where a person, or a collision, had stopped its predecessor.
"""

from __future__ import annotations

from dataclasses import dataclass

from spinal.native import layout
from spinal.native.layout import Condition
from spinal.native.loop import conditions as condition_table
from spinal.runtime.types import State

_ROWS = dict(zip(Condition, condition_table(), strict=True))
LATCHING = Condition(sum(bit for bit, (_, _, clearing) in _ROWS.items() if clearing != "by_itself"))
FINAL = Condition(sum(bit for bit, (_, _, clearing) in _ROWS.items() if clearing == "never"))
RENEWED = Condition.ORDER_STOP | Condition.RELEASED
"""Follow from a stop, and name no cause when there is another."""


@dataclass(frozen=True, slots=True)
class Latch:
    """A stop that stays: its conditions, and the instant (CLOCK_MONOTONIC ns) at which it was seen."""

    conditions: Condition
    since_ns: int
    detail: str = ""
    """What a condition alone does not say: which button, which joint."""

    @property
    def cause(self) -> str:
        """In words, for people."""
        named = self.conditions & ~RENEWED or self.conditions
        words = ", ".join(layout.CONDITIONS[bit] for bit in named)
        return f"{words} ({self.detail})" if self.detail else words

    @property
    def final(self) -> bool:
        """Whether not even a person can arm again: only a new start of the runtime."""
        return bool(self.conditions & FINAL)


def latched_by(state: State | None, now_ns: int, detail: str = "") -> Latch | None:
    """What the loop's newest state says must stay; None when nothing does."""
    conditions = Condition(state.latched if state is not None else 0) & LATCHING
    return Latch(conditions, now_ns, detail) if conditions else None
