"""One child process: started with the descriptors it may have, watched, ended, started again with patience."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from spinal.native import clock
from spinal.native.shared import Segment
from spinal.runtime.errors import BusError, LinkError, PolicyError, ProcessError, RealtimeError, SpinalError
from spinal.runtime.supervisor.table import ProcessRow

BACK_OFF_S = (0.05, 0.2, 0.5, 1.0, 2.0)
RESTARTS_PER_MINUTE = 6
"""More than this, and the process is given up: something is wrong that a restart does not cure."""
KILL_AFTER_S = 4.0
LONGEST_WORDS = 65536
FAILURES: Mapping[int, type[SpinalError]] = {
    kind.exit_code: kind for kind in (PolicyError, BusError, LinkError, RealtimeError)
}
"""What a child's exit code says about why it ended."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What a start needs: the command line behind the interpreter, and the descriptors it inherits."""

    arguments: Sequence[str]
    fds: Sequence[int]


@dataclass
class Child:
    """A row of the table while it lives. ``prepare`` runs right before each start."""

    row: ProcessRow
    launch: Launch
    segment: Segment | None
    prepare: Callable[[], None] | None = None
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    given_up: bool = False
    last_words: str = ""
    last_line: str = ""
    """Of what this start of it has written to stderr."""
    _unfinished: str = ""
    _started_s: float = 0.0
    _epoch: int = 0
    _restart_s: float = 0.0
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=RESTARTS_PER_MINUTE))

    def start(self) -> None:
        """Starts it now, by vfork and exec: never a fork of a process with a real-time thread."""
        if self.prepare is not None:
            self.prepare()
        self._epoch = self.segment.epoch if self.segment is not None else 0
        self._unfinished = self.last_line = ""
        self._started_s = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, *self.launch.arguments],
            pass_fds=tuple(self.launch.fds),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        if self.process.stderr is not None:
            os.set_blocking(self.process.stderr.fileno(), False)

    def words(self) -> list[str]:
        """The lines that it has written to stderr since the last call."""
        if self.process is None or self.process.stderr is None:
            return []
        try:
            said = os.read(self.process.stderr.fileno(), LONGEST_WORDS)
        except BlockingIOError:
            return []
        *lines, self._unfinished = (self._unfinished + said.decode(errors="replace")).split("\n")
        self._unfinished = self._unfinished[-LONGEST_WORDS:]
        lines = [line for line in lines if line.strip()]
        self.last_line = lines[-1] if lines else self.last_line
        return lines

    @property
    def exit_code(self) -> int | None:
        """As subprocess has it; None while it runs, or when there is none."""
        return self.process.poll() if self.process is not None else None

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.poll() is None

    @property
    def ready(self) -> bool:
        """Whether it runs and does what it is for."""
        if not self.alive:
            return False
        if self.segment is None or not self.row.silent_limit_ms:
            return True
        return self._begun and self._silence_ms() < self.row.silent_limit_ms

    def trouble(self) -> str | None:
        """Why it must be restarted: it died, hangs, or never became ready. None while all is well."""
        if self.process is None:
            return None
        code = self.process.poll()
        if code is not None:
            return (
                f"ended by signal {signal.Signals(-code).name}"
                if code < 0
                else f"ended with exit code {code}"
            )
        if self.segment is None or not self.row.silent_limit_ms:
            return None
        if not self._begun:
            waited = time.monotonic() - self._started_s
            return f"not ready after {waited:.0f} s" if waited > self.row.ready_limit_s else None
        silence = self._silence_ms()
        return f"silent for {silence:.0f} ms" if silence > self.row.silent_limit_ms else None

    def bury(self, why: str) -> None:
        """Makes sure that it is dead, and plans its next start."""
        self.kill()
        self.deaths += 1
        self.last_words = why
        now = time.monotonic()
        self._recent.append(now)
        if len(self._recent) == RESTARTS_PER_MINUTE and now - self._recent[0] < 60:
            self.given_up = True
            return
        recent = sum(1 for then in self._recent if now - then < 60)
        self._restart_s = now + BACK_OFF_S[min(recent, len(BACK_OFF_S)) - 1]

    def postpone(self, seconds: float) -> None:
        """Its next start waits so long; unlike ``bury`` this counts against nobody."""
        self._restart_s = time.monotonic() + seconds

    def due(self) -> bool:
        """Whether the wait before its next start is over."""
        return self.process is None and not self.given_up and time.monotonic() >= self._restart_s

    def end(self, limit_s: float = KILL_AFTER_S) -> None:
        """Asks it to end, waits, and kills what does not listen."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(limit_s)
            except subprocess.TimeoutExpired:
                self.kill()
        self._forget()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.process is not None:
            if self.process.poll() is None:
                os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self._forget()

    def _forget(self) -> None:
        if self.process is not None and self.process.stderr is not None:
            self.process.stderr.close()
        self.process = None

    @property
    def _begun(self) -> bool:
        """Whether this start of it has beaten; the heartbeat of the one before may still look fresh."""
        if self.segment is None:
            return True
        return self.segment.epoch > self._epoch and self.segment.heartbeat_ns > self._started_s * 1e9

    def _silence_ms(self) -> float:
        if self.segment is None:
            return 0.0
        return (clock.now_ns() - self.segment.heartbeat_ns) / 1e6


def own_failure(name: str, exit_code: int | None, lines: Sequence[str]) -> SpinalError | None:
    """The error of ours that ended ``name``, made again from the ``lines`` it left; None when it was none.

    A child prints it as ``name: message`` and ``next: hint``.
    """
    begins = [index for index, line in enumerate(lines) if line.startswith(f"{name}: ")]
    if not begins or not lines[-1].startswith("next: "):
        return None
    message = "\n".join(lines[begins[-1] : -1]).removeprefix(f"{name}: ")
    return FAILURES.get(exit_code or 0, ProcessError)(message, hint=lines[-1].removeprefix("next: "))
