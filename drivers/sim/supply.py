"""What the motors draw from their supply, and what that does to it and to them. Pure numbers.

The servos stand for the STS3215 at 12 V: 2.7 A at stall (Feetech's data sheet), so 4.4 Ohm of winding, and a
current that grows with torque. The rest is chosen, not measured: leads and a bench supply of 0.1 Ohm
together, which a whole arm at its limits pulls down by a volt and a half; and a housing that gets 3 K warmer
a watt, nine tenths of the way in ten minutes, so that the shipped task, which drives its elbow at half the
stall current, may go on for ever at some 50 degrees, and a joint that pushes with all its torque passes 70 in
three minutes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SUPPLY_V = 12.0
SOURCE_OHM = 0.1
STANDBY_A = 0.02
STALL_A = 2.7
WINDING_OHM = SUPPLY_V / STALL_A
AMBIENT_C = 25.0
K_PER_W = 3.0
WARMING_S = 260.0

FloatArray = NDArray[np.float64]


def drawn(load: FloatArray) -> FloatArray:
    """Current of each motor, A, at its load [n], share of the stall torque, -1 to 1."""
    amperes: FloatArray = STANDBY_A + STALL_A * np.abs(load)
    return amperes


class Supply:
    """One supply for all motors, and each motor's temperature."""

    def __init__(self, motors: int) -> None:
        self.volts = SUPPLY_V
        self.celsius: FloatArray = np.full(motors, AMBIENT_C)

    def advance(self, amperes: FloatArray, dt_s: float) -> None:
        """So much current in each motor [n] for ``dt_s`` seconds: exact for any step."""
        self.volts = max(0.0, SUPPLY_V - SOURCE_OHM * float(amperes.sum()))
        final = AMBIENT_C + K_PER_W * WINDING_OHM * amperes**2
        self.celsius += (final - self.celsius) * -math.expm1(-dt_s / WARMING_S)
