"""What a method made of a feed: the commanded positions, and the motion on both sides of each swap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from spinal.bench.seam.feed import Array, Feed


@dataclass(frozen=True, slots=True)
class Played:
    """Commands at every tick."""

    position: Array
    """[tick, joint] rad."""
    before: Array
    """[swap, joint, 3]: position, velocity, acceleration at the swap, as the old motion has them."""
    after: Array
    """[swap, joint, 3]: the same of the new motion."""


Method = Callable[[Feed], Played]
"""A way to execute chunks."""
