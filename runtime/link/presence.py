"""Which process runs a robot: a small file in the robot's runtime directory, for a stop that needs no link.

It names the process by its id and the instant of its start, so that a signal never reaches another process that was
given the same id later.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from spinal.runtime.link.endpoints import Endpoints, ipc_path, robots_directory

FILE = "supervisor"


@dataclass(frozen=True, slots=True)
class Presence:
    """A process and when it started, in clock ticks since the boot."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return _started(self.pid) == self.started

    def signal(self, number: signal.Signals) -> bool:
        """Sends it a signal; False when it has ended. Raises PermissionError when it is another user's."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.alive:  # the id is another process's by now
                return False
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True


def directory_of(endpoints: Endpoints) -> Path | None:
    """The runtime directory that a robot listens in; None when it listens elsewhere."""
    command = ipc_path(endpoints.command)
    return command.parent if command is not None else None


def announce(directory: Path) -> None:
    """This process runs the robot of ``directory``. Raises OSError."""
    words = msgspec.json.encode({"pid": os.getpid(), "started": _started(os.getpid())})
    new = directory / f".{FILE}-{os.getpid()}"
    new.write_bytes(words)
    new.rename(directory / FILE)


def withdraw(directory: Path) -> None:
    """It does so no longer."""
    with contextlib.suppress(OSError):
        if read(directory) == Presence(os.getpid(), _started(os.getpid())):
            (directory / FILE).unlink()


def read(directory: Path) -> Presence | None:
    """Who is said to run the robot of ``directory``, alive or not; None when nobody is."""
    try:
        return msgspec.json.decode((directory / FILE).read_bytes(), type=Presence)
    except (OSError, msgspec.MsgspecError):
        return None


def sweep(pattern: str, environ: Mapping[str, str] = os.environ) -> None:
    """Removes the directories of robots by that name whose process was killed before it could."""
    for file in robots_directory(environ).glob(f"{pattern}/{FILE}"):
        presence = read(file.parent)
        if presence is not None and not presence.alive:
            shutil.rmtree(file.parent, ignore_errors=True)


def running(environ: Mapping[str, str] = os.environ) -> dict[str, Presence]:
    """This user's robots whose process is alive, by name."""
    found = {}
    for file in sorted(robots_directory(environ).glob(f"*/{FILE}")):
        presence = read(file.parent)
        if presence is not None and presence.alive:
            found[file.parent.name] = presence
    return found


def _started(pid: int) -> int:
    """0: there is no such process, or it is a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            words = file.read().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if words[0] in "ZX" else int(words[19])
