"""``spinal demo`` as somebody starts it: a process of its own, whose lines are read with the instant of each.

It listens in a private folder, so any number of them may run on a machine. It ends with the ``with`` block, in
order where it can; should this process be killed, the demo ends by itself when its time is over.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from spinal.bench.live import processes
from spinal.native import clock
from spinal.native.shared import Segment
from spinal.runtime.errors import ProcessError

COMMAND = (sys.executable, "-m", "spinal.runtime.cli.main")
ENDING_S = 20.0
"""The arm comes to rest, each process gets its time, then it is killed."""
LONGEST_LINE = 65536
MARGIN_S = 60.0
"""Beyond what is to be measured, until it ends by itself: a start on a busy machine."""


class DemoRobot:
    """``with DemoRobot(seconds) as robot``: started at once; ``lines`` [(ns, text)] are what it has said."""

    def __init__(self, seconds: float, options: Sequence[str] = ()) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="spinal-bench-")
        self.lines: list[tuple[int, str]] = []
        self._unfinished = b""
        limit = ["--seconds", f"{seconds + MARGIN_S:.1f}"]
        try:
            self.began_ns = clock.now_ns()
            self.process = subprocess.Popen(
                [*COMMAND, "demo", "--headless", *limit, *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={
                    **os.environ,
                    "TMPDIR": self._folder.name,
                    "XDG_RUNTIME_DIR": self._folder.name,
                    "XDG_STATE_HOME": self._folder.name,
                },
            )
        except BaseException:
            self._folder.cleanup()
            raise
        self._selector = selectors.DefaultSelector()
        if self.process.stderr is not None:
            os.set_blocking(self.process.stderr.fileno(), False)
            self._selector.register(self.process.stderr, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._selector.close()
            if self.process.stderr is not None:
                self.process.stderr.close()
            self._folder.cleanup()

    def listen(self, seconds: float) -> None:
        """Waits so long, or until it says something. Raises ProcessError when it has ended."""
        for _ in self._selector.select(seconds):
            self._read()
        if self.process.poll() is not None:
            self._read()
            said = [text for _, text in self.lines]
            raise ProcessError(
                f"spinal demo ended with {self.process.returncode}" + (f": {said[-1]}" if said else ""),
                hint="run it by hand: spinal demo --headless --seconds 5",
            )

    def until(self, condition: Callable[[], bool], what: str, seconds: float, period_s: float = 0.05) -> None:
        """Listens until ``condition`` holds. Raises ProcessError when it does not within ``seconds``."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                said = self.lines[-1][1] if self.lines else "nothing"
                raise ProcessError(
                    f"{what}: not within {seconds:.0f} s; spinal demo said last: {said}",
                    hint="run it by hand: spinal demo --headless --seconds 5",
                )
            self.listen(period_s)

    def said_ns(self, words: str) -> int | None:
        """When it said a line that begins with ``words``; None when it has not."""
        return next((at for at, text in self.lines if text.startswith(words)), None)

    @property
    def up(self) -> bool:
        """Whether it has started the last of its processes."""
        return self.said_ns("starting planner") is not None

    def roles(self) -> dict[int, str]:
        """Its processes, the supervisor first: pid -> what it is for."""
        pids = processes.children(self.process.pid)
        return {self.process.pid: "supervisor"} | {pid: processes.role(pid) for pid in pids}

    def segment(self, writer: str) -> Segment | None:
        """A read-only look at the shared memory that ``writer`` fills; None while it is not there."""
        folder = Path(f"/proc/{self.process.pid}/fd")
        try:
            for entry in folder.iterdir():
                if os.readlink(entry).startswith(f"/memfd:spinal-{writer}"):
                    return Segment.attach_reader(writer, os.open(entry, os.O_RDONLY | os.O_CLOEXEC))
        except (FileNotFoundError, ProcessLookupError, ValueError):  # half made
            return None
        return None

    def stop(self) -> float:
        """Ctrl-C, then worse; how many seconds it took to end."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                while self.process.poll() is None and time.monotonic() - began < ENDING_S:
                    for _ in self._selector.select(0.05):  # nobody must wait for a full pipe
                        self._read()
            finally:
                if self.process.poll() is None:
                    self.process.kill()
                    self.process.wait()
        return time.monotonic() - began

    def _read(self) -> None:
        if self.process.stderr is None:
            return
        try:
            said = os.read(self.process.stderr.fileno(), LONGEST_LINE)
        except BlockingIOError:
            return
        now_ns = clock.now_ns()
        *lines, self._unfinished = (self._unfinished + said).split(b"\n")
        self._unfinished = self._unfinished[-LONGEST_LINE:]
        self.lines += [(now_ns, line.decode(errors="replace")) for line in lines if line.strip()]
        if not said and self._selector.get_map():
            self._selector.unregister(self.process.stderr)
