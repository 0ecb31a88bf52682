"""What happened in one run, one JSON object a line, for whoever comes in the morning.

``$XDG_STATE_HOME/spinal/ROBOT/run-<utc>.jsonl``: private, each file of a bounded size (a long run goes on in the
next one), at most KEPT of them, the oldest removed. A disk that is full, slow or read-only never disturbs the
robot: a thread writes, from a bounded queue; what does not fit is counted, and a failure is told once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import queue
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from spinal import __version__
from spinal.native import clock
from spinal.native.shared import LAYOUT_HASH
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import SpinalError
from spinal.runtime.preflight.examine import facts
from spinal.runtime.preflight.finding import System

KEPT = 20
LARGEST_BYTES = 1 << 20
WAITING = 1000
"""Entries that a slow disk may be behind; more are counted and dropped."""
CLOSE_LIMIT_S = 2.0
BATCH_S = 0.1
PATTERN = "run-*.jsonl"


def robot_states(robot: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the journals of the robot of that name are."""
    return states_directory(environ) / robot


def states_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Where each robot of this user has a directory of journals."""
    state = environ.get("XDG_STATE_HOME", "")
    return (Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state") / "spinal"


class Journal:
    """One run's. ``write`` from one thread; use as a context manager: an error that ends the run is its last entry.

    ``header``: what every file of the run begins with.
    """

    def __init__(
        self,
        directory: Path,
        header: Mapping[str, Any],
        *,
        largest_bytes: int = LARGEST_BYTES,
        kept: int = KEPT,
        waiting: int = WAITING,
    ) -> None:
        self._directory = directory
        self._header = dict(header)
        self._largest_bytes = largest_bytes
        self._kept = kept
        self._lines: queue.Queue[bytes | None] = queue.Queue(waiting)
        self._lost = 0
        self._trouble = ""
        self._told = False
        self._fd = -1
        self._size = 0
        self._began = _entry("begin", self._header)
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str:
        """Why nothing is written any more, told once; empty while all is well, and after it was told."""
        if not self._trouble or self._told:
            return ""
        self._told = True
        return f"the journal cannot be written ({self._trouble}): the robot goes on without"

    def write(self, event: str, mono_ns: int | None = None, **fields: Any) -> None:
        """Adds an entry of ``event`` at ``mono_ns`` (CLOCK_MONOTONIC; by default now). Never waits, and never
        raises for what a disk does.
        """
        if self._lost:
            fields["lost"] = self._lost
        try:
            self._lines.put_nowait(_entry(event, fields, mono_ns))
        except queue.Full:
            self._lost += 1
        else:
            self._lost = 0

    def close(self) -> None:
        """Writes what waits, for a bounded while."""
        deadline = time.monotonic() + CLOSE_LIMIT_S
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=CLOSE_LIMIT_S)
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, SpinalError):
            self.write("failed", message=error.message, hint=error.hint)
        elif error is not None:
            self.write("failed", message=f"{type(error).__name__}: {error}", hint="")
        else:
            self.write("end")
        self.close()

    # The writer's thread, from here on.

    def _run(self) -> None:
        try:
            self._begin_file()
            while self._write_batch():
                time.sleep(BATCH_S)
        except OSError as error:
            self._trouble = error.strerror or str(error)
            while self._lines.get() is not None:
                pass
        finally:
            if self._fd >= 0:
                os.close(self._fd)

    def _write_batch(self) -> bool:
        """Writes what waits, and waits for something first; False behind the last entry."""
        line = self._lines.get()
        while line is not None:
            if self._size + len(line) > self._largest_bytes:
                os.close(self._fd)
                self._begin_file()
            self._append(line)
            try:
                line = self._lines.get_nowait()
            except queue.Empty:
                os.fdatasync(self._fd)
                return True
        os.fdatasync(self._fd)
        return False

    def _append(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        self._size += len(line)

    def _begin_file(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in sorted(self._directory.glob(PATTERN))[: -self._kept + 1 or None]:
            old.unlink(missing_ok=True)
        self._fd = -1
        while self._fd < 0:  # another run may have begun in the same microsecond
            path = self._directory / f"run-{_utc(time.time_ns(), 6).replace('-', '').replace(':', '')}.jsonl"
            with contextlib.suppress(FileExistsError):
                self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._size = 0
        self._append(self._began)


def header_of(robot: RobotConfig, robot_file: Path) -> dict[str, Any]:
    """What a run begins with: versions, the robot file as it is now, and what this computer promises.

    Looks at the computer for some tens of milliseconds: before the robot starts.
    """
    try:
        sha256 = hashlib.sha256(robot_file.read_bytes()).hexdigest()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        sha256 = boot = ""
    return {
        "spinal": __version__,
        "layout": f"{LAYOUT_HASH:016x}",
        "python": platform.python_version(),
        "kernel": platform.release(),
        "boot": boot,
        "pid": os.getpid(),
        "robot": robot.name,
        "robot_file": str(robot_file.absolute()),
        "robot_sha256": sha256,
        "policy": robot.policy.model if robot.policy is not None else "",
        "preflight": [
            {"name": found.name, "status": found.status.value, "fact": found.fact}
            for found in facts(System(), robot.control.fifo_priority)
        ],
    }


def _entry(event: str, fields: Mapping[str, Any], mono_ns: int | None = None) -> bytes:
    now_ns = clock.now_ns()
    mono_ns = now_ns if mono_ns is None else mono_ns
    utc = _utc(time.time_ns() - (now_ns - mono_ns), 3)
    return msgspec.json.encode({"event": event, "utc": utc, "mono_ns": mono_ns, **fields}) + b"\n"


def _utc(wall_ns: int, digits: int) -> str:
    """ISO 8601, with so many digits of a second behind the point."""
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{stamp}.{rest // 10 ** (9 - digits):0{digits}d}Z"
