"""How a robot stands right now, in words: its mode and since when, what keeps it, how its motors are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinal.native import clock, layout
from spinal.native.loop import mode_name, rung_name
from spinal.native.shared import Mailbox
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.segments import CONTROLLER_HEALTH, StateReader, Writer
from spinal.runtime.supervisor.chronicle import Chronicle
from spinal.runtime.supervisor.latch import Latch
from spinal.runtime.supervisor.stops import Pressed
from spinal.runtime.supervisor.supervisor import Supervisor
from spinal.runtime.supervisor.table import CONTROLLER

STALE_NS = 2_000_000_000
"""What a motor said longer ago is not shown."""


@dataclass(frozen=True, slots=True)
class Standing:
    """``hottest`` (joint, degree Celsius) and ``supply`` (V, the lowest) are None where no motor says."""

    mode: str
    rung: str = ""
    since_s: float = 0.0
    conditions: tuple[str, ...] = ()
    latch: Latch | None = None
    pressed: tuple[Pressed, ...] = ()
    speed: float = 1.0
    at_rest: bool = True
    energised: bool = False
    hottest: tuple[str, float] | None = None
    supply: float | None = None

    @property
    def stopped(self) -> bool:
        """Until a person arms it again."""
        return self.mode == "stopped" or self.latch is not None or bool(self.pressed)

    @property
    def cause(self) -> str:
        """Why it does not run, in words; a stop by what caused it, whatever else is missing meanwhile."""
        latched = [self.latch.cause] if self.latch is not None else []
        named = [
            f"emergency stop ({p})" for p in self.pressed if not any(str(p) in words for words in latched)
        ]
        return "; ".join([*latched, *named] or self.conditions)


class StandingReader:
    """Reads it from a supervised robot's memory. One thread."""

    def __init__(self, supervisor: Supervisor, chronicle: Chronicle) -> None:
        controller = supervisor.reader(Writer.CONTROLLER)
        self._robot: RobotConfig = supervisor.robot
        self._states = StateReader(controller, len(self._robot.joints))
        self._supervisor, self._chronicle = supervisor, chronicle
        self._healths = Mailbox(controller, CONTROLLER_HEALTH)
        self._health = np.zeros(1, layout.health_dtype(len(self._robot.joints)))

    def read(self) -> Standing:
        """As it is now."""
        state = self._states.read()
        pressed, latch = tuple(self._supervisor.stops.pressed()), self._supervisor.latch
        controller = self._supervisor.children.get(CONTROLLER.name)
        if (
            state is None or controller is None or not controller.ready
        ):  # what a dead one said last is not so now
            return Standing("off", conditions=("the controller starts",), pressed=pressed, latch=latch)
        since_ns = latch.since_ns if latch is not None else self._chronicle.since_ns
        hottest, supply = self._motors()
        return Standing(
            mode=mode_name(state.mode),
            rung=rung_name(state.rung),
            since_s=(clock.now_ns() - since_ns) / 1e9 if since_ns else 0.0,
            conditions=tuple(
                words for bit, words in layout.CONDITIONS.items() if (state.latched or state.conditions) & bit
            ),
            latch=latch,
            pressed=pressed,
            speed=state.speed_scale,
            at_rest=state.at_rest,
            energised=state.energised,
            hottest=hottest,
            supply=supply,
        )

    def _motors(self) -> tuple[tuple[str, float] | None, float | None]:
        if not self._healths.read_latest(self._health.view(np.uint8)):
            return None, None
        joints = self._health[0]["joints"]
        known = joints["stamp_ns"] > clock.now_ns() - STALE_NS
        warm = np.where(known & (joints["temperature"] > 0), joints["temperature"], -np.inf)
        fed = np.where(known & (joints["voltage"] > 0), joints["voltage"], np.inf)
        hottest = int(np.argmax(warm))
        return (
            (self._robot.joints[hottest].name, float(warm[hottest])) if np.isfinite(warm).any() else None,
            float(fed.min()) if np.isfinite(fed).any() else None,
        )
