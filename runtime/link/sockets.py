"""Binding the robot's two sockets so that nobody else can reach, replace or flood them.

1. A lock file in the directory says who is here. The kernel drops it with the process, so a socket file
   under a free lock is a dead process's and is removed; one that still answers belongs to somebody alive
   (libzmq itself would silently unlink it and take its place).
2. libzmq makes a socket file with the umask of the moment, 0755 by default: 0600 here.
3. Every size and every wait has a bound: frame, queue, handshake, silence.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import zmq

from spinal.runtime.errors import LinkError
from spinal.runtime.link.endpoints import Endpoints, ipc_path, is_local, prepare_directory
from spinal.runtime.link.messages import MAX_FRAME_BYTES

QUEUE_FRAMES = 64
HEARTBEAT_MS = 50
HEARTBEAT_TIMEOUT_MS = 150
HANDSHAKE_MS = 1000


def bound_by_limits(new: zmq.Socket[bytes]) -> zmq.Socket[bytes]:
    """Sets what both ends share: limits on size, queue, handshake and silence, and no lingering."""
    new.setsockopt(zmq.LINGER, 0)
    new.setsockopt(zmq.SNDHWM, QUEUE_FRAMES)
    new.setsockopt(zmq.RCVHWM, QUEUE_FRAMES)
    new.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
    new.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    new.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    new.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
    new.setsockopt(zmq.HEARTBEAT_TTL, HEARTBEAT_TIMEOUT_MS)
    return new


class BoundSockets:
    """A ROUTER for commands and a PUB for the state, bound. Raises LinkError; thread contract: one thread."""

    command: zmq.Socket[bytes]
    state: zmq.Socket[bytes]
    endpoints: Endpoints

    def __init__(self, endpoints: Endpoints, *, allow_remote: bool) -> None:
        self._undo = contextlib.ExitStack()
        try:
            for endpoint in (endpoints.command, endpoints.state):
                _check_reach(endpoint, allow_remote)
            paths = [path for path in (ipc_path(endpoints.command), ipc_path(endpoints.state)) if path]
            for directory in sorted({path.parent for path in paths}):
                prepare_directory(directory)
                self._undo.callback(os.close, _lock(directory))
            context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            self._undo.callback(context.destroy, linger=0)
            self.command = bound_by_limits(context.socket(zmq.ROUTER))
            self.command.setsockopt(zmq.ROUTER_MANDATORY, 1)
            self.state = bound_by_limits(context.socket(zmq.PUB))
            self.state.setsockopt(zmq.CONFLATE, 1)
            self.endpoints = Endpoints(
                self._bind(self.command, endpoints.command), self._bind(self.state, endpoints.state)
            )
        except BaseException:
            self._undo.close()
            raise

    def close(self) -> None:
        """Removes the files, closes both sockets, then lets go of the lock; may be called twice."""
        self._undo.close()

    def _bind(self, new: zmq.Socket[bytes], endpoint: str) -> str:
        """Binds and returns the endpoint in its final form."""
        path = ipc_path(endpoint)
        try:
            if path is None:
                new.bind(endpoint)
            else:
                _remove_stale(path)
                with _umask(0o177):
                    new.bind(endpoint)
                self._undo.callback(path.unlink, missing_ok=True)  # libzmq leaves it behind
        except zmq.ZMQError as error:
            raise LinkError(
                f"cannot bind {endpoint}: {error.strerror}",
                hint="is another `spinal run` using this address?",
            ) from error
        return str(new.getsockopt_string(zmq.LAST_ENDPOINT))


def _check_reach(endpoint: str, allow_remote: bool) -> None:
    if is_local(endpoint) or (allow_remote and endpoint.startswith("tcp://")):
        return
    raise LinkError(
        f"{endpoint} is neither ipc:// nor tcp:// on this machine's loopback address",
        hint="bind to ipc:///directory/name or tcp://127.0.0.1:port, or allow remote planners",
    )


def _lock(directory: Path) -> int:
    """A descriptor that holds the directory's lock; LinkError when another process holds it."""
    path = directory / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise LinkError(
            f"another robot process already listens in {directory}",
            hint="stop it first, or give this one another name or --robot-dir",
        ) from error
    return descriptor


def _remove_stale(path: Path) -> None:
    """Removes the socket file of a dead process; LinkError when it answers or is not a socket."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise LinkError(f"{path} exists and is not a socket", hint="move it away or name another --robot-dir")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.2)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:  # a full backlog also means that somebody is there
            raise LinkError(
                f"{path} is in use: {error}", hint="stop the process that listens there"
            ) from error
    raise LinkError(f"a live process listens on {path}", hint="stop it first, or name another --robot-dir")


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    """The umask is the whole process's: hold it for one bind only."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
