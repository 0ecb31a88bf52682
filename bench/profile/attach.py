"""Finds the running robot of a robot file, and maps what its controller publishes, read-only.

The supervisor gives the controller its wiring as one argument: the robot file, and which descriptor is which
memory. That argument is readable in ``/proc``, and names everything; nothing else has to be told or kept.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from spinal.native.shared import Segment
from spinal.runtime.errors import ProcessError
from spinal.runtime.segments import Writer
from spinal.runtime.supervisor.table import CONTROLLER
from spinal.runtime.wiring import Wiring

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Controller:
    """A controller process that runs."""

    pid: int
    supervisor: int
    """Its parent: the ``spinal run`` or ``spinal demo`` that a person started."""
    robot: Path
    """As the controller sees it: absolute, unless its folder may not be looked at."""
    fd: int
    """The number of the descriptor of its memory, in that process."""


def find(robot_file: Path, pid: int | None = None, proc: Path = PROC) -> Controller:
    """The one controller of ``robot_file``; ``pid`` is its own or its supervisor's, where there are several.

    Raises ProcessError in one line when there is none, or more than one.
    """
    there = running(proc)
    if pid is not None:
        chosen = next((one for one in there if pid in (one.pid, one.supervisor)), None)
        if chosen is None:
            raise ProcessError(f"process {pid} is no running robot", hint=_which(there, robot_file))
        if not _same(chosen.robot, robot_file):
            raise ProcessError(
                f"process {pid} runs {chosen.robot}, not {robot_file}", hint=f"name that file: {chosen.robot}"
            )
        return chosen
    fitting = [one for one in there if _same(one.robot, robot_file)]
    if not fitting:
        raise ProcessError(f"no robot of {robot_file} is running here", hint=_which(there, robot_file))
    if len(fitting) > 1:
        pids = ", ".join(str(one.supervisor) for one in fitting)
        raise ProcessError(
            f"{len(fitting)} robots of {robot_file} are running: processes {pids}",
            hint=f"choose one: --pid {fitting[0].supervisor}",
        )
    return fitting[0]


def running(proc: Path = PROC) -> list[Controller]:
    """Every controller on this machine whose command line may be read, by process id."""
    pids = sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdigit())
    return [found for pid in pids if (found := _controller(proc / str(pid), pid)) is not None]


def attach(controller: Controller, proc: Path = PROC) -> Segment:
    """What it publishes, mapped to read. Raises ProcessError: not permitted, gone, or of another version."""
    path = proc / str(controller.pid) / "fd" / str(controller.fd)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        raise ProcessError(
            f"the robot in process {controller.supervisor} belongs to another user: its memory may not be read",
            hint="run this as that user, or as root",
        ) from None
    except OSError:
        raise _gone(controller) from None
    try:
        return Segment.attach_reader(Writer.CONTROLLER.value, fd)
    except (ValueError, OSError) as error:
        os.close(fd)
        raise ProcessError(
            f"the robot in process {controller.supervisor} cannot be read: {error}",
            hint="start the robot again, with the version that profiles it",
        ) from None


def _gone(controller: Controller) -> ProcessError:
    return ProcessError(
        f"the robot in process {controller.supervisor} has just ended",
        hint=f"start it in another terminal: spinal run {controller.robot}",
    )


def _controller(folder: Path, pid: int) -> Controller | None:
    try:
        words = (folder / "cmdline").read_bytes().decode(errors="surrogateescape").split("\0")
        if CONTROLLER.module not in words or "--wiring" not in words[:-1]:
            return None
        wiring = msgspec.json.decode(words[words.index("--wiring") + 1], type=Wiring)
        parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, msgspec.MsgspecError, UnicodeError):
        return None  # it has ended, or only looks like one
    fd = wiring.segments.get(Writer.CONTROLLER.value)
    return None if fd is None else Controller(pid, parent, _absolute(Path(wiring.robot), folder), fd)


def _absolute(robot: Path, folder: Path) -> Path:
    try:
        return Path(os.readlink(folder / "cwd")) / robot
    except OSError:
        return robot


def _same(robot: Path, asked: Path) -> bool:
    if not robot.is_absolute():  # of another user, who gave a relative path: its name is all there is
        return robot.name == asked.name
    try:
        return robot.samefile(asked)
    except OSError:  # in a container, or gone since
        return robot == asked.absolute()


def _which(there: Sequence[Controller], robot_file: Path) -> str:
    start = f"start it in another terminal: spinal run {robot_file}"
    others = ", ".join(f"{one.robot} (process {one.supervisor})" for one in there)
    return f"{start}; running are: {others}" if others else start
