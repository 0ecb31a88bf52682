"""Opening the line to a bus: a serial port for real motors, one half of a socketpair for simulated ones."""

from __future__ import annotations

import contextlib
import os
import socket
import termios
from dataclasses import dataclass

import serial

from spinal.runtime.errors import BusError


@dataclass(frozen=True, slots=True)
class Line:
    """Descriptors of a line: the controller's end, and the device's end in simulation (-1 otherwise)."""

    controller_fd: int
    device_fd: int

    def close(self) -> None:
        """Closes what is open."""
        for fd in (self.controller_fd, self.device_fd):
            if fd >= 0:
                with contextlib.suppress(OSError):
                    os.close(fd)


def open_simulated() -> Line:
    """A socketpair: unlike a pty's, its bytes need no kernel worker, so its timing is a floor."""
    controller, device = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return Line(controller.detach(), device.detach())


def open_serial(port: str, baud: int) -> Line:
    """``port`` at ``baud``, raw, exclusive, with the adapter's latency timer as low as it goes.

    Raises BusError when it is not there, not ours to use, or in use.
    """
    try:
        line = serial.Serial(port, baud, timeout=0, exclusive=True)
    except serial.SerialException as error:
        raise BusError(
            f"cannot open {port}: {_reason(error)}",
            hint="run: spinal check, which says whether it is there, whose it is and who holds it",
        ) from None
    with contextlib.suppress(OSError, ValueError, AttributeError, NotImplementedError):
        line.set_low_latency_mode(True)  # a pty and some adapters refuse
    fd = os.dup(line.fileno())
    line.close()
    _tell_silence_from_hang_up(fd)
    return Line(fd, -1)


def _tell_silence_from_hang_up(fd: int) -> None:
    """pyserial leaves VMIN at 0, where a read of a silent line returns 0 bytes, as one of a lost line does."""
    attributes = termios.tcgetattr(fd)
    attributes[6][termios.VMIN] = 1
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def _reason(error: serial.SerialException) -> str:
    text = str(error)
    if "Could not exclusively lock" in text:
        return "another program uses it"
    return os.strerror(error.errno) if error.errno else text
