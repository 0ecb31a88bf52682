"""Serial adapters: what delays them, and who else reaches for them."""

from __future__ import annotations

import grp
import os

from spinal.runtime.preflight.finding import Finding, Status, System, Write

LATENCY_TIMERS = "/sys/bus/usb-serial/devices/*/latency_timer"
SHORTEST_MS = 1
UDEV_RULE = (
    'ACTION=="add", SUBSYSTEM=="usb-serial", DRIVER=="ftdi_sio", ATTR{latency_timer}="1"'
    " in /etc/udev/rules.d/99-spinal.rules"
)
GRABBERS = {
    "ModemManager": "it sends modem commands to every new adapter",
    "brltty": "it takes CH340 adapters for braille displays and keeps them",
}
PORTS = ("/dev/ttyUSB*", "/dev/ttyACM*", "/dev/ttyTHS*")


def latency_timers(system: System) -> Finding | None:
    """How long an FTDI adapter keeps bytes back."""
    found = {path: int(path.read_text()) for path in system.matching(LATENCY_TIMERS)}
    if not found:
        return None
    slow = {path: ms for path, ms in found.items() if ms > SHORTEST_MS}
    if not slow:
        return Finding(
            "latency timer", Status.GOOD, "serial adapters pass bytes on within 1 ms", "as fast as they can"
        )
    return Finding(
        "latency timer",
        Status.BAD,
        f"{len(slow)} serial adapter(s) keep bytes back for up to {max(slow.values())} ms",
        "every reply of a servo comes that much later: no more than 60 cycles a second at 16 ms",
        f"for now: echo 1 | sudo tee {LATENCY_TIMERS}; for good: {UDEV_RULE}",
        tuple(Write(path, str(SHORTEST_MS)) for path in slow),
    )


def access(system: System) -> Finding | None:
    """Whether this user may open the ports that are there."""
    ports = [path for pattern in PORTS for path in system.matching(pattern)]
    if not ports:
        return None
    closed = [path for path in ports if not os.access(path, os.R_OK | os.W_OK)]
    if not closed:
        return Finding(
            "ports", Status.GOOD, f"{len(ports)} serial port(s) may be opened", "nothing stands in the way"
        )
    names = ", ".join(f"/{path.relative_to(system.root)}" for path in closed)
    try:
        group = grp.getgrgid(closed[0].stat().st_gid).gr_name
    except KeyError:
        group = "dialout"
    return Finding(
        "ports",
        Status.BAD,
        f"this user may not open {names}",
        "motors behind it cannot be reached",
        f"sudo usermod -aG {group} $USER, then log in again",
    )


def grabbers(system: System) -> list[Finding]:
    """Services that open any serial adapter that appears."""
    running = {
        system.text(f"/{path.relative_to(system.root)}") for path in system.matching("/proc/[0-9]*/comm")
    }
    return [
        Finding(
            name,
            Status.WARN,
            f"{name} is running",
            f"{what}: bytes of its own among those of the servos",
            f"sudo systemctl disable --now {name}",
        )
        for name, what in GRABBERS.items()
        if name in running
    ]
