"""Between a simulated world and the emulated servos: counts on one side, rad and m on the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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


class SimulatedServos:
    """An emulator whose motors are a world's. Belongs to the physics thread; see ``core/emulator.h``."""

    def __init__(self, joints: Sequence[Joint], world: World, baud: int) -> None:
        self._world = world
        self._zero = np.array([joint.count_at_zero for joint in joints], np.float64)
        self._scale = np.array([joint.counts_per_unit for joint in joints], np.float64)
        self.emulator = Emulator(
            [joint.id for joint in joints], baud=baud, positions_counts=self._counts(world.joint_position())
        )
        self.measure()

    def drive(self, now_ns: int) -> None:
        """Lets the world's motors drive to what the servos' internal references are at ``now_ns``."""
        self.emulator.advance(now_ns)
        drives = self.emulator.references()
        counts = np.array([drive.position_counts for drive in drives])
        share = np.array([drive.torque_limit_permille * 1e-3 if drive.torque else 0.0 for drive in drives])
        self._world.apply((counts - self._zero) / self._scale, share)

    def measure(self) -> None:
        """Lets the servos measure the world's joints."""
        counts = self._counts(self._world.joint_position())
        speeds = (self._world.joint_velocity() * self._scale).tolist()
        loads = (self._world.joint_load() * np.sign(self._scale) * 1000).astype(np.int64).tolist()
        for index, (count, speed, load) in enumerate(zip(counts, speeds, loads, strict=True)):
            self.emulator.set_present(index, count, speed, load_permille=load, moving=abs(speed) > 10)

    def _counts(self, position: FloatArray) -> list[float]:
        counts: list[float] = (self._zero + position * self._scale).tolist()
        return counts
