"""Whether a bus can carry one servo cycle in one tick: bytes on the wire against the period.

A cycle is one sync read of position, velocity and load, and one sync write of the goal position. Behind some
writes one motor is asked about itself (``native/core/feetech_health.h``). Sizes follow the protocol memos of the
vendors: Feetech STS, frames FF FF ID LEN INST ... CHECKSUM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from spinal.runtime.config.robot import BusSettings, RobotConfig
from spinal.runtime.errors import Problem

FULL_SHARE = 0.9
"""Above this share of the tick the cycle does not fit: an error."""

TIGHT_SHARE = 0.7
"""Above this share of the tick little is left for USB and retries: a warning."""

HEALTH_TURN_S = 0.2
"""Where there is room, every motor has said how it is within so long."""

BITS_PER_BYTE = 10
"""8N1: a start bit, eight data bits, a stop bit."""


@dataclass(frozen=True, slots=True)
class CycleSizes:
    """Bytes of one cycle for n motors: ``fixed + n * per_motor`` of each frame.

    ``health_bytes`` is the longest question to one motor about itself, with its reply; ``health_readings`` of them
    tell all. ``reply_gap_us`` is what each motor waits before it answers; ``bauds`` are what the protocol knows.
    """

    request: tuple[int, int]
    reply: tuple[int, int]
    write: tuple[int, int]
    health_bytes: int
    health_readings: int
    reply_gap_us: float
    motors_max: int
    bauds: tuple[int, ...]


_DATA_BYTES = 6  # from address 56: position, velocity, load
_GOAL_BYTES = 2  # from address 42: goal position
_HEALTH_BYTES = 10  # from address 40: torque and its limit; 9 from address 62: voltage to current

CYCLES = {
    "feetech": CycleSizes(
        request=(8, 1),
        reply=(0, 6 + _DATA_BYTES),
        write=(8, 1 + _GOAL_BYTES),
        health_bytes=8 + 6 + _HEALTH_BYTES,
        health_readings=2,
        reply_gap_us=50.0,
        motors_max=32,
        bauds=(1_000_000, 500_000, 250_000, 128_000, 115_200, 57_600, 38_400, 19_200),
    )
}
"""The cycle of each protocol whose sizes are known here."""


@dataclass(frozen=True, slots=True)
class BusBudget:
    """What one cycle of a bus costs, in us, and its share of the tick.

    ``read_us`` and ``write_us`` are bytes on the wire, ``gap_us`` the motors' own delays before they answer.
    ``health_bytes`` and ``health_us``: what one reading of a motor's health adds to its cycle, gap included.
    """

    bus: str
    motors: int
    period_us: float
    read_us: float
    write_us: float
    gap_us: float
    health_bytes: int
    health_us: float
    health_readings: int

    @property
    def cycle_us(self) -> float:
        """One read and one write, gaps included."""
        return self.read_us + self.write_us + self.gap_us

    @property
    def share(self) -> float:
        """Share of the tick, 1 is all of it."""
        return self.cycle_us / self.period_us

    @property
    def health_every(self) -> int:
        """Each so many-th cycle asks one motor about itself; 0: none does, a cycle with it would be ``over``."""
        if self.cycle_us + self.health_us > FULL_SHARE * self.period_us:
            return 0
        readings = self.motors * self.health_readings
        return max(1, int(HEALTH_TURN_S * 1e6 / self.period_us / readings))

    @property
    def health_turn_s(self) -> float:
        """How long it takes until every motor has been asked; 0: none is."""
        return self.health_every * self.motors * self.health_readings * self.period_us * 1e-6

    @property
    def verdict(self) -> Literal["fits", "tight", "over"]:
        """``over`` above 90 % of the tick, ``tight`` above 70 %."""
        if self.share > FULL_SHARE:
            return "over"
        return "tight" if self.share > TIGHT_SHARE else "fits"


def bus_budget(robot: RobotConfig, bus: str) -> BusBudget | None:
    """The budget of one bus; None when its protocol's sizes are not known. KeyError: no such bus."""
    settings = robot.buses[bus]
    sizes = CYCLES.get(settings.protocol)
    if sizes is None:
        return None
    motors = len(robot.joints_on(bus))
    byte_us = BITS_PER_BYTE * 1e6 / settings.baud
    return BusBudget(
        bus=bus,
        motors=motors,
        period_us=1e6 / robot.control.servo_hz,
        read_us=(_bytes(sizes.request, motors) + _bytes(sizes.reply, motors)) * byte_us,
        write_us=_bytes(sizes.write, motors) * byte_us,
        gap_us=motors * sizes.reply_gap_us,
        health_bytes=sizes.health_bytes,
        health_us=sizes.health_bytes * byte_us + sizes.reply_gap_us,
        health_readings=sizes.health_readings,
    )


def budget_problems(robot: RobotConfig) -> tuple[list[Problem], list[Problem]]:
    """(problems, warnings) of all buses, with paths in the robot file."""
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for name, settings in robot.buses.items():
        budget = bus_budget(robot, name)
        if budget is None:
            continue
        problems += _settings_problems(name, settings, budget)
        if budget.verdict == "fits":
            warnings += _without_health(name, budget)
            continue
        used = f"{100 * budget.share:.0f} % of a tick of {budget.period_us:.0f} us"
        said = f"needs {budget.cycle_us:.0f} us for one cycle, {used}"
        fastest_hz = TIGHT_SHARE * 1e6 / budget.cycle_us
        hint = f"raise the baud, or lower control.servo_hz to {fastest_hz:.0f} or less"
        (problems if budget.verdict == "over" else warnings).append(Problem(f"buses.{name}", said, hint))
    return problems, warnings


def _without_health(name: str, budget: BusBudget) -> list[Problem]:
    if budget.health_every:
        return []
    cycle_us = budget.cycle_us + budget.health_us
    said = (
        f"leaves no room to ask the motors about themselves: {cycle_us:.0f} us of a tick of"
        f" {budget.period_us:.0f} us, so a motor that is hot or has lost its power is not noticed"
    )
    fastest_hz = FULL_SHARE * 1e6 / cycle_us
    hint = f"raise the baud, or lower control.servo_hz to {fastest_hz:.0f} or less"
    return [Problem(f"buses.{name}", said, hint)]


def _settings_problems(name: str, settings: BusSettings, budget: BusBudget) -> list[Problem]:
    sizes = CYCLES[settings.protocol]
    problems = []
    if settings.baud not in sizes.bauds:
        said = f"is {settings.baud}, which {settings.protocol} servos do not speak"
        problems.append(Problem(f"buses.{name}.baud", said, f"they speak {', '.join(map(str, sizes.bauds))}"))
    if budget.motors > sizes.motors_max:
        said = f"has {budget.motors} joints, more than the {sizes.motors_max} of one read"
        problems.append(Problem(f"buses.{name}", said, "put the rest on a bus of their own"))
    least_us = budget.read_us + budget.gap_us
    if settings.reply_timeout_us < least_us:
        said = f"is {settings.reply_timeout_us}, and a read takes {least_us:.0f} us when nothing is lost"
        hint = f"give it more than {least_us:.0f} us, and less than a tick"
        problems.append(Problem(f"buses.{name}.reply_timeout_us", said, hint))
    return problems


def _bytes(size: tuple[int, int], motors: int) -> int:
    fixed, per_motor = size
    return fixed + per_motor * motors
