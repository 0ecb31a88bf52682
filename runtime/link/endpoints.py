"""Where a robot listens: a private directory per robot with two sockets in it, `command` and `state`.

The directory is `$XDG_RUNTIME_DIR/spinal/<robot>`, or `/tmp/spinal-<uid>/<robot>` where the system sets
none. Who may enter it may command the robot, so it is checked like a key's directory: owned by this
user, mode 0700, and no other user can swap it for another.
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spinal.runtime.errors import LinkError

IPC_PATH_MAX = 107  # bytes; what the kernel takes for a unix socket, less the final zero
_ROBOT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The two ZeroMQ addresses of one robot."""

    command: str
    state: str


def robots_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """The directory that holds one directory per robot of this user; not created here."""
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime):
        return Path(runtime) / "spinal"
    return Path(f"/tmp/spinal-{os.geteuid()}")  # noqa: S108  # checked by `prepare_directory`


def robot_directory(robot: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The runtime directory of the robot of that name; LinkError when the name could leave its parent."""
    if not _ROBOT_NAME.fullmatch(robot):
        raise LinkError(
            f"{robot!r} cannot be a robot's name",
            hint="use 1 to 64 letters, digits, dots, dashes and underscores, the first a letter or digit",
        )
    return robots_directory(environ) / robot


def in_directory(directory: Path) -> Endpoints:
    """The endpoints inside a robot's runtime directory."""
    absolute = os.path.abspath(directory)
    return Endpoints(f"ipc://{absolute}/command", f"ipc://{absolute}/state")


def of_robot(robot: str, environ: Mapping[str, str] = os.environ) -> Endpoints:
    """The endpoints of the robot of that name; LinkError for a name that is none."""
    return in_directory(robot_directory(robot, environ))


def listening_robots(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Names of this user's robots that have a command socket; one of them may have died since."""
    return sorted(path.parent.name for path in robots_directory(environ).glob("*/command"))


def ipc_path(endpoint: str) -> Path | None:
    """The socket's path for an `ipc://` endpoint, None for another transport.

    LinkError for a path that is relative, abstract (those have no permissions) or too long.
    """
    if not endpoint.startswith("ipc://"):
        return None
    text = endpoint.removeprefix("ipc://")
    if not os.path.isabs(text):
        raise LinkError(f"{endpoint} is not an absolute path", hint="write ipc:///directory/name")
    if len(os.fsencode(text)) > IPC_PATH_MAX:
        raise LinkError(
            f"{endpoint} is longer than the {IPC_PATH_MAX} bytes a socket's path may have",
            hint="choose a shorter --robot-dir",
        )
    return Path(text)


def is_local(endpoint: str) -> bool:
    """Whether only this machine can reach the endpoint. Names other than `localhost` count as remote."""
    if endpoint.startswith("ipc://"):
        return True
    if not endpoint.startswith("tcp://"):
        return False
    host = endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def prepare_directory(directory: Path) -> None:
    """Makes `directory` (0700) and its missing parents, and checks that it is private to this user.

    An existing directory is never changed. LinkError says what is wrong with it and how to put it right.
    """
    try:
        for missing in reversed([path for path in (directory, *directory.parents) if not path.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
        status = directory.lstat()
        owner = os.geteuid()
        if not stat.S_ISDIR(status.st_mode):
            raise LinkError(
                f"{directory} is not a directory", hint="move it away or name another --robot-dir"
            )
        if status.st_uid != owner:
            raise LinkError(
                f"{directory} belongs to user {status.st_uid}, not to {owner}",
                hint="name another --robot-dir",
            )
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise LinkError(
                f"{directory} is open to other users (mode {stat.S_IMODE(status.st_mode):04o})",
                hint=f"chmod 700 {directory}, or name a directory that is only this robot's",
            )
        for parent in directory.resolve().parents:
            _check_parent(parent)
    except OSError as error:
        raise LinkError(f"{directory} cannot be used: {error}", hint="name another --robot-dir") from error


def _check_parent(parent: Path) -> None:
    status = parent.stat()
    sticky = status.st_mode & stat.S_ISVTX
    if status.st_uid not in (0, os.geteuid()) or (status.st_mode & 0o022 and not sticky):
        raise LinkError(
            f"another user could replace what is in {parent}",
            hint="name a --robot-dir below a directory that only you or root can write to",
        )
