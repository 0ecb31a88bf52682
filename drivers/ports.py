"""What can be said of a serial port without opening it: is it there, may we use it, who holds it.

Opening a port is an act: it raises DTR, and on some adapters that resets what hangs on the other end. So
these facts come from the file system and from ``/proc/*/fd`` alone.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serial.tools import list_ports


@dataclass(frozen=True, slots=True)
class PortHolder:
    """A process that has the port open."""

    pid: int
    command: str


@dataclass(frozen=True, slots=True)
class PortFacts:
    """A port at one instant.

    ``holders`` are the other processes that have it open, as far as this user may see them;
    ``all_seen`` is False when some processes of other users could not be looked at. ``description`` is
    the USB adapter's own text, or empty.
    """

    path: str
    exists: bool
    is_terminal: bool
    may_use: bool
    group: str
    holders: tuple[PortHolder, ...]
    all_seen: bool
    description: str


def port_facts(path: str, proc: Path = Path("/proc")) -> PortFacts:
    """Looks at ``path`` and never opens it. ``proc`` is where processes are listed."""
    try:
        status = Path(path).stat()
    except OSError:
        return PortFacts(path, False, False, False, "", (), True, "")
    is_terminal = stat.S_ISCHR(status.st_mode)
    holders, all_seen = _holders(status, proc) if is_terminal else ((), True)
    return PortFacts(
        path=path,
        exists=True,
        is_terminal=is_terminal,
        may_use=os.access(path, os.R_OK | os.W_OK),
        group=_group(Path(path)),
        holders=holders,
        all_seen=all_seen,
        description=serial_ports().get(os.path.realpath(path), ""),
    )


@dataclass(frozen=True, slots=True)
class Adapter:
    """What a USB adapter says of itself: it keeps this when it is plugged in again under another name."""

    vendor: int
    product: int
    serial_number: str


def adapter_at(path: str) -> Adapter | None:
    """The adapter behind ``path``; None when it is none, or one that cannot be told from its like."""
    real = os.path.realpath(path)
    return next((_adapter(port) for port in list_ports.comports() if port.device == real), None)


def port_of(adapter: Adapter) -> str | None:
    """Where ``adapter`` is plugged in now; None while it is not."""
    return next((port.device for port in list_ports.comports() if _adapter(port) == adapter), None)


def _adapter(port: Any) -> Adapter | None:
    if port.vid is None or port.pid is None or not port.serial_number:
        return None
    return Adapter(port.vid, port.pid, port.serial_number)


def serial_ports() -> dict[str, str]:
    """The serial ports of this machine: device path and the adapter's description."""
    return {port.device: port.description for port in sorted(list_ports.comports())}


def _holders(status: os.stat_result, proc: Path) -> tuple[tuple[PortHolder, ...], bool]:
    """Other processes with a descriptor of the same device, and whether every process could be looked at."""
    found: list[PortHolder] = []
    all_seen = True
    for process in proc.iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            if any(_same_device(link, status) for link in (process / "fd").iterdir()):
                found.append(PortHolder(int(process.name), (process / "comm").read_text().strip()))
        except PermissionError:
            all_seen = False
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    return tuple(sorted(found, key=lambda holder: holder.pid)), all_seen


def _same_device(link: Path, status: os.stat_result) -> bool:
    try:
        if not os.readlink(link).startswith("/dev/"):
            return False  # and never touch a file on a network disk that hangs
        other = link.stat()
    except FileNotFoundError:
        return False  # closed while we looked
    return stat.S_ISCHR(other.st_mode) and other.st_rdev == status.st_rdev


def _group(path: Path) -> str:
    try:
        return path.group()
    except (KeyError, OSError):
        return ""
