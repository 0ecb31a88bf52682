"""The registers of an STS3215, as values.

Source: Feetech's ST3215 memory table (the spreadsheet that the ``st3215`` crate reproduces), addresses
checked against the vendor's SMS_STS.h and the register list of rustypot 1.13. Where libraries disagree
with the table, the table is taken: baud indices 5 to 7 are 76800, 57600 and 38400 there, and in
SMS_STS.h, but 57600, 38400 and 19200 in LeRobot.

Registers below 40 are EEPROM: kept without power when they are written with ``lock`` at 0. Signed registers
are sign and magnitude, the sign in ``sign_bit``; all words are little-endian.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

MODEL_NUMBER: Final = 777
BROADCAST_ID: Final = 254
EEPROM_SIZE: Final = 40
BAUD_RATES: Final = (1_000_000, 500_000, 250_000, 128_000, 115_200, 76_800, 57_600, 38_400)


@dataclass(frozen=True, slots=True)
class Register:
    """One register: ``width`` in bytes, ``initial`` as from the factory (12 V servo), in register units.

    ``unit`` is what a value of 1 is worth; empty for a plain number. ``initial`` is None where the servo
    measures it or each servo has its own.
    """

    name: str
    address: int
    width: Literal[1, 2]
    access: Literal["r", "rw"]
    unit: str
    initial: int | None
    sign_bit: int | None = None

    @property
    def saved(self) -> bool:
        """Whether it outlives the power when written unlocked."""
        return self.address < EEPROM_SIZE


STS3215: Final[tuple[Register, ...]] = (
    Register("firmware_major", 0, 1, "r", "", 3),
    Register("firmware_minor", 1, 1, "r", "", 6),
    Register("model_number", 3, 2, "r", "", MODEL_NUMBER),
    Register("id", 5, 1, "rw", "", None),
    Register("baud_rate", 6, 1, "rw", "index of BAUD_RATES", None),
    Register("return_delay", 7, 1, "rw", "2 us", 0),
    Register("status_level", 8, 1, "rw", "0: only ping and reads answer", 1),
    Register("min_position", 9, 2, "rw", "count", 0),
    Register("max_position", 11, 2, "rw", "count; both limits 0: no limit", 4095),
    Register("max_temperature", 13, 1, "rw", "degree Celsius", 70),
    Register("max_voltage", 14, 1, "rw", "0.1 V", 140),
    Register("min_voltage", 15, 1, "rw", "0.1 V", 40),
    Register("max_torque", 16, 2, "rw", "0.1 % of stall torque", 1000),
    Register("phase", 18, 1, "rw", "bits; bit 4: position over several turns", 12),
    Register("unload_condition", 19, 1, "rw", "error bits that protect", 44),
    Register("alarm_condition", 20, 1, "rw", "error bits that light the LED", 47),
    Register("p_gain", 21, 1, "rw", "", 32),
    Register("d_gain", 22, 1, "rw", "", 32),
    Register("i_gain", 23, 1, "rw", "", 0),
    Register("min_start_force", 24, 2, "rw", "0.1 % of stall torque", 16),
    Register("dead_zone_cw", 26, 1, "rw", "count", 1),
    Register("dead_zone_ccw", 27, 1, "rw", "count", 1),
    Register("protection_current", 28, 2, "rw", "6.5 mA", 500),
    Register("angular_resolution", 30, 1, "rw", "", 1),
    Register("homing_offset", 31, 2, "rw", "count; present = encoder - offset", 0, sign_bit=11),
    Register("mode", 33, 1, "rw", "0 position, 1 velocity, 2 PWM, 3 step", 0),
    Register("protective_torque", 34, 1, "rw", "1 % of max_torque", 20),
    Register("protection_time", 35, 1, "rw", "10 ms", 200),
    Register("overload_torque", 36, 1, "rw", "1 % of max_torque", 80),
    Register("velocity_p_gain", 37, 1, "rw", "", 10),
    Register("overcurrent_time", 38, 1, "rw", "10 ms", 200),
    Register("velocity_i_gain", 39, 1, "rw", "", 10),
    Register("torque_enable", 40, 1, "rw", "0 off, 1 on, 128: the present position becomes 2048", 0),
    Register("acceleration", 41, 1, "rw", "100 count/s^2; 0: no profile", 0),
    Register("goal_position", 42, 2, "rw", "count", None, sign_bit=15),
    Register("goal_time", 44, 2, "rw", "PWM mode: 0.1 %", 0, sign_bit=10),
    Register("goal_velocity", 46, 2, "rw", "count/s; 0: as fast as it can", 0, sign_bit=15),
    Register("torque_limit", 48, 2, "rw", "0.1 % of stall torque", 1000),
    Register("lock", 55, 1, "rw", "0: EEPROM writes are kept", 0),
    Register("present_position", 56, 2, "r", "count", None, sign_bit=15),
    Register("present_velocity", 58, 2, "r", "count/s", None, sign_bit=15),
    Register("present_load", 60, 2, "r", "0.1 % of the drive's duty", None, sign_bit=10),
    Register("present_voltage", 62, 1, "r", "0.1 V", None),
    Register("present_temperature", 63, 1, "r", "degree Celsius", None),
    Register("reg_write_held", 64, 1, "r", "1: a reg write waits for its action", 0),
    Register("status", 65, 1, "r", "error bits", 0),
    Register("moving", 66, 1, "r", "1 while it moves", 0),
    Register("present_current", 69, 2, "r", "6.5 mA", None),
)

BY_NAME: Final[dict[str, Register]] = {register.name: register for register in STS3215}

ERROR_BITS: Final[dict[int, str]] = {
    0x01: "voltage out of range",
    0x02: "encoder",
    0x04: "overheated",
    0x08: "overcurrent",
    0x20: "overload",
}


def error_names(error: int) -> tuple[str, ...]:
    """Say what an error byte or the status register complains of; bits without a name as hex."""
    known = sum(ERROR_BITS)
    names = [name for bit, name in ERROR_BITS.items() if error & bit]
    unknown = error & ~known & 0xFF
    return (*names, f"bits {unknown:#04x}") if unknown else tuple(names)
