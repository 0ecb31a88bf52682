"""What systemd is told (sd_notify(3)): that the robot is ready, what it does, and that its loop still ticks.

The watchdog is fed by the tick counter alone: a process that is alive while its loop stands still is not. See
``launch/systemd/spinal@.service``.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Mapping


class Service:
    """Speaks to systemd where it started us, and is silent elsewhere. One thread."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        self._half_ns = _half_period_ns(environ)
        self._fed_ns = 0
        self._ticks: int | None = None
        self._status = ""

    def ready(self) -> None:
        """The robot has started."""
        self._send("READY=1")

    def stopping(self) -> None:
        """It comes to rest."""
        self._send("STOPPING=1")

    def status(self, line: str) -> None:
        """What ``systemctl status`` shows; sent when it changes."""
        if line != self._status:
            self._status = line
            self._send("STATUS=" + line.replace("\n", " "))

    def feed(self, now_ns: int, ticks: Callable[[], int]) -> None:
        """Feeds the watchdog at half its period, if the loop's count of ``ticks`` has moved since the last time.

        Where it has not, the count is asked for again at each call: the loop may only have been late.
        """
        if not self._half_ns or now_ns - self._fed_ns < self._half_ns:
            return
        count = ticks()
        if count != self._ticks:
            if self._ticks is not None:
                self._send("WATCHDOG=1")
            self._ticks, self._fed_ns = count, now_ns

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            line.connect(self._address)
            line.sendall(message.encode())


def _half_period_ns(environ: Mapping[str, str]) -> int:
    """0: no watchdog waits for this process."""
    owner = environ.get("WATCHDOG_PID", "")
    if owner and owner != str(os.getpid()):
        return 0
    try:
        return max(0, int(environ.get("WATCHDOG_USEC", "0"))) * 1000 // 2
    except ValueError:
        return 0
