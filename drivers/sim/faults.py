"""Things that go wrong in the simulated robot, on demand: its servos, its supply, its joints, its pose stream.

What is asked for comes through the supervisor's memory (``layout.SIM_FAULTS``), and is looked at in each physics
step. The servos' own faults are those of the emulator, so they happen on the wire, where the controller would meet
them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spinal.drivers.sim.servos import SimulatedServos
from spinal.native import layout
from spinal.runtime.segments import FaultsReader, PoseSample

FAR_M = 1000.0


class Joints(Protocol):
    """Physics whose joints can be pushed and held."""

    def disturb(self, push: NDArray[np.float64], jammed: NDArray[np.bool_]) -> None:
        """Torque from outside on each joint (N m, N on jaws), and which of them cannot move."""


class Faults:
    """Applies what is asked for to ``servos`` and ``joints``; ``power_cycle`` switches one servo off and on.

    What was already asked for when it begins is in force, but what only rises counts from there.
    """

    def __init__(
        self,
        reader: FaultsReader,
        servos: SimulatedServos,
        joints: Joints,
        power_cycle: Callable[[int], None],
    ) -> None:
        self._reader, self._servos, self._joints = reader, servos, joints
        self._power_cycle = power_cycle
        self._count = len(servos.emulator)
        self._done = {word: np.zeros(self._count, np.int64) for word in layout.RISING_FAULTS}
        self.pose_kind = layout.POSE_AS_IT_IS
        self.pose_delay_ns = 0
        self.pose_every = 1
        if reader.changed():
            self._take_rises()
            self._take_states()

    def apply(self) -> None:
        """Looks whether anything else is asked for, and makes it so."""
        if self._reader.changed():
            self._apply_rises()
            self._take_states()

    def _take_rises(self) -> dict[str, NDArray[np.int64]]:
        """How much each count has risen since the last time."""
        asked = {
            word: self._reader.faults["servos"][word][: self._count].copy() for word in layout.RISING_FAULTS
        }
        risen = {word: np.maximum(0, counts - self._done[word]) for word, counts in asked.items()}
        self._done = asked
        return risen

    def _apply_rises(self) -> None:
        risen = self._take_rises()
        for index in range(self._count):
            drop, corrupt, cycles = (int(risen[word][index]) for word in layout.RISING_FAULTS)
            self._servos.emulator.lose_replies(index, drop=drop, corrupt=corrupt)
            if cycles:
                self._power_cycle(index)

    def _take_states(self) -> None:
        faults = self._reader.faults
        servos = faults["servos"][: self._count]
        for index, servo in enumerate(servos):
            self._servos.emulator.keep_faults(
                index,
                silent=bool(servo["silent"]),
                unplugged=bool(servo["unplugged"]),
                error_bits=int(servo["error_bits"]),
                extra_delay_ns=int(servo["extra_delay_ns"]),
                frozen=bool(servo["frozen"]),
            )
        self._servos.override_supply(servos["decivolts"].tolist(), servos["celsius"].tolist())
        self._joints.disturb(servos["push"].copy(), servos["jam"] != 0)
        self.pose_kind = int(faults["pose_kind"])
        self.pose_delay_ns = int(faults["pose_delay_ns"])
        self.pose_every = max(1, int(faults["pose_every"]))


class FaultyPoses:
    """The pose stream as the faults leave it."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._waiting: deque[tuple[int, PoseSample]] = deque()
        self._seen = 0
        self._stuck: PoseSample | None = None

    def passed(self, samples: Sequence[PoseSample], now_ns: int) -> list[PoseSample]:
        """Those of ``samples``, and of the ones that were held back, that come through at ``now_ns``."""
        for sample in samples:
            self._seen += 1
            if self._seen % self._faults.pose_every == 0 and self._faults.pose_kind != layout.POSE_OFF:
                self._waiting.append((now_ns + self._faults.pose_delay_ns, self._spoiled(sample)))
        through = []
        while self._waiting and self._waiting[0][0] <= now_ns:
            through.append(self._waiting.popleft()[1])
        return through

    def _spoiled(self, sample: PoseSample) -> PoseSample:
        kind = self._faults.pose_kind
        if kind != layout.POSE_STUCK:
            self._stuck = None
        if kind == layout.POSE_STUCK:
            self._stuck = self._stuck or sample
            return self._stuck._replace(capture_ns=sample.capture_ns, arrival_ns=sample.arrival_ns)
        if kind == layout.POSE_NAN:
            return sample._replace(x=math.nan, y=math.nan, z=math.nan, yaw=math.nan)
        if kind == layout.POSE_FAR:
            return sample._replace(x=sample.x + FAR_M)
        return sample
