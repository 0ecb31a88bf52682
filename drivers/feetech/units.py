"""An STS3215's register units in SI units: straight lines, as the robot file's calibration draws them.

Pure numbers: no bus, no time. 4096 counts a turn and the other factors are those of Feetech's ST3215 memory
table (``registers.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, Self

COUNTS_PER_TURN: Final = 4096
RAD_PER_COUNT: Final = math.tau / COUNTS_PER_TURN
AMPERE_PER_UNIT: Final = 6.5e-3
VOLT_PER_UNIT: Final = 0.1
LOAD_PER_UNIT: Final = 1e-3
ACCELERATION_COUNTS_S2: Final = 100


@dataclass(frozen=True, slots=True)
class Line:
    """count = count_at_zero + counts_per_unit * position; the sign of ``counts_per_unit`` is the direction.

    Positions are in rad for a joint and in metres of jaw travel for a gripper. The jaw line is the chord of
    a linkage, so it is exact at closed and open and off by the linkage's curvature between them.
    """

    count_at_zero: float
    counts_per_unit: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.count_at_zero) and math.isfinite(self.counts_per_unit)):
            raise ValueError("a calibration line must be finite")
        if self.counts_per_unit == 0:
            raise ValueError("a calibration line with no counts per unit would never move")

    @classmethod
    def joint(cls, zero_count: float, direction: Literal[-1, 1] = 1) -> Self:
        """Rad; ``direction`` is -1 when the count falls with the angle."""
        return cls(zero_count, direction / RAD_PER_COUNT)

    @classmethod
    def jaw(cls, closed_count: float, open_count: float, stroke_m: float) -> Self:
        """Metres of jaw travel: 0 closed, ``stroke_m`` fully open. ``ValueError`` for no stroke."""
        if not stroke_m > 0:
            raise ValueError(f"a stroke of {stroke_m} m: jaws must travel")
        return cls(closed_count, (open_count - closed_count) / stroke_m)

    def position(self, count: float) -> float:
        """Rad or m of an encoder count."""
        return (count - self.count_at_zero) / self.counts_per_unit

    def count(self, position: float) -> int:
        """Give the nearest count. ``ValueError`` when it is not finite: NaN never becomes a goal."""
        if not math.isfinite(position):
            raise ValueError(f"a position of {position} is no position")
        return round(self.count_at_zero + self.counts_per_unit * position)

    def velocity(self, counts_s: float) -> float:
        """Rad/s or m/s of a speed in counts/s."""
        return counts_s / self.counts_per_unit

    def counts_s(self, velocity: float) -> float:
        """Counts/s of a speed in rad/s or m/s."""
        return velocity * self.counts_per_unit

    def load(self, permille: float) -> float:
        """Fraction of full drive (a duty, not a torque), positive where the position grows."""
        return math.copysign(LOAD_PER_UNIT, self.counts_per_unit) * permille


def amperes(current: int) -> float:
    """Ampere of the present current register."""
    return current * AMPERE_PER_UNIT


def volts(voltage: int) -> float:
    """Volt of the present voltage register."""
    return voltage * VOLT_PER_UNIT
