"""Between a simulated world and the emulated servos: counts on one side, rad and m on the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spinal.drivers.feetech.registers import BY_NAME
from spinal.drivers.feetech.units import AMPERE_PER_UNIT, VOLT_PER_UNIT
from spinal.drivers.sim.supply import Supply, drawn
from spinal.native.emulator import Emulator
from spinal.runtime.config.joints import Joint

FloatArray = NDArray[np.float64]


class World(Protocol):
    """Physics with one servo a joint, in the robot file's order; rad or m, and seconds."""

    def apply(self, references: FloatArray, torque_share: FloatArray) -> None:
        """What each servo drives to, and the share of its torque that it may use (0: limp)."""

    def joint_position(self) -> FloatArray:
        """True positions."""

    def joint_velocity(self) -> FloatArray:
        """True velocities."""

    def joint_load(self) -> FloatArray:
        """Force over its limit, -1 to 1."""


TORQUE_ENABLE = BY_NAME["torque_enable"].address
SUPPLY_PERIOD_NS = 20_000_000
"""Voltage and warmth change slowly: looked at so often, they cost physics next to nothing."""


class SimulatedServos:
    """An emulator whose motors are a world's. Belongs to the physics thread; see ``core/emulator.h``.

    They hold where they stand, as whoever used the arm last left them: with nothing below it, it would fall until a
    controller comes.
    """

    def __init__(self, joints: Sequence[Joint], world: World, baud: int) -> None:
        self._world = world
        self._zero = np.array([joint.count_at_zero for joint in joints], np.float64)
        self._scale = np.array([joint.counts_per_unit for joint in joints], np.float64)
        self._sign = np.sign(self._scale)
        self._supply = Supply(len(joints))
        self._now_ns = self._supply_ns = 0  # 0: it has not begun
        self._stands = True  # on its rest, until a motor is switched on for the first time
        self._decivolts = self._celsius = [0] * len(joints)
        self.emulator = Emulator(
            [joint.id for joint in joints], baud=baud, positions_counts=self._counts(world.joint_position())
        )
        for index in range(len(joints)):
            self.emulator.put_register(index, TORQUE_ENABLE, 1)
        self.measure()

    def drive(self, now_ns: int) -> None:
        """Lets the world's motors drive to what the servos' internal references are at ``now_ns``."""
        self._now_ns = now_ns
        self.emulator.advance(now_ns)
        drives = self.emulator.references()
        self._stands = self._stands and not any(drive.torque for drive in drives)
        if self._stands:
            return
        counts = np.array([drive.position_counts for drive in drives])
        share = np.array([drive.torque_limit_permille * 1e-3 if drive.torque else 0.0 for drive in drives])
        self._world.apply((counts - self._zero) / self._scale, share)

    def override_supply(self, decivolts: Sequence[int], celsius: Sequence[int]) -> None:
        """What each servo measures in place of the physics: 0.1 V and degree Celsius; 0: the physics."""
        self._decivolts, self._celsius = list(decivolts), list(celsius)
        self._tell_supply()

    def measure(self) -> None:
        """Lets the servos measure the world's joints."""
        counts = self._counts(self._world.joint_position())
        speeds = (self._world.joint_velocity() * self._scale).tolist()
        load = self._world.joint_load()
        loads = (load * self._sign * 1000).astype(np.int64).tolist()
        amperes = drawn(load)
        currents = (amperes / AMPERE_PER_UNIT).astype(np.int64).tolist()
        for index, (count, speed, permille, current) in enumerate(
            zip(counts, speeds, loads, currents, strict=True)
        ):
            self.emulator.set_present(
                index, count, speed, load_permille=permille, current=current, moving=abs(speed) > 10
            )
        self._feed(amperes)

    def _feed(self, amperes: FloatArray) -> None:
        passed_ns = self._now_ns - self._supply_ns if self._supply_ns else 0
        if 0 < passed_ns < SUPPLY_PERIOD_NS:
            return
        self._supply.advance(amperes, passed_ns * 1e-9)
        self._supply_ns = self._now_ns
        self._tell_supply()

    def _tell_supply(self) -> None:
        volts, celsius = self._supply.volts, self._supply.celsius.tolist()
        for index, (decivolts, override) in enumerate(zip(self._decivolts, self._celsius, strict=True)):
            self.emulator.set_supply(
                index,
                decivolts=decivolts or round(volts / VOLT_PER_UNIT),
                celsius=override or round(min(celsius[index], 255)),
            )

    def _counts(self, position: FloatArray) -> list[float]:
        counts: list[float] = (self._zero + position * self._scale).tolist()
        return counts
