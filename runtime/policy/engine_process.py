"""The policy's side of an engine process: see ``engines.md`` for the port, ``engine_server.py`` for the other side.

One request at a time: fill the inputs, raise the request word, ring the bell (a byte on a socket, which also tells
of the other side's death), wait until the deadline. An engine that is silent or dead is ended and started again,
with growing patience and without anybody waiting for it: until it is back every run is refused, and the arm holds.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.native import clock
from spinal.runtime.config.policy import EngineCommand
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.engine import warm_up
from spinal.runtime.policy.engine_memory import FAILED, OK, READY, EngineMemory
from spinal.runtime.policy.signature import Signature, Tensor

START = Path(__file__).with_name("engine_start.py")
MEMORY_VARIABLE, BELL_VARIABLE = "SPINAL_ENGINE_MEMORY", "SPINAL_ENGINE_BELL"
MODEL_VARIABLE = "SPINAL_ENGINE_MODEL"
BACK_OFF_NS = (50_000_000, 500_000_000, 1_000_000_000, 2_000_000_000, 5_000_000_000)
WARM_UP_RUNS = 3
"""An engine is warm when it says that it is ready; these try the way to it and back."""
HINT = "its own last words stand above; the port is described in runtime/policy/engines.md"


class ProcessEngine:
    """An engine outside this process. One thread; start it from one that lives as long as it is to live.

    ``inputs`` lie in the shared memory; ``outputs`` are copies, so that nobody changes them behind the decoder.
    Raises PolicyError when it does not start, or not in time.
    """

    def __init__(self, name: str, settings: EngineCommand, model: Path, wanted: Signature) -> None:
        self.name = name
        self._settings, self._model = settings, model
        outputs = _described(model.name, name, wanted)
        try:
            self._memory = EngineMemory.create(wanted.inputs, outputs)
        except ValueError as error:
            raise PolicyError(f"{model.name} does not fit into an engine's memory: {error}", HINT) from None
        self.inputs: Mapping[str, NDArray[Any]] = self._memory.inputs
        self.outputs: Mapping[str, NDArray[Any]] = {
            key: np.zeros_like(array) for key, array in self._memory.outputs.items()
        }
        self.providers = [f"engine {name}"]
        self.starts = 0
        self._pairs = [(self.outputs[key], array) for key, array in self._memory.outputs.items()]
        self._process: subprocess.Popen[bytes] | None = None
        self._bell: socket.socket | None = None
        self._poll = select.poll()
        self._ready = self._was_ready = False
        self._started_ns = self._restart_ns = 0
        self._failures = 0
        self._ended: weakref.finalize[Any, Any] = weakref.finalize(self, lambda: None)
        self._start()
        if not self._wait(int(settings.start_limit_s * 1000)) or not self._ready:
            self.close()
            raise PolicyError(f"engine {name} was not ready in {settings.start_limit_s:g} s", HINT)
        warm_up(self, model.name, WARM_UP_RUNS)

    def run(self) -> None:
        """One request. Raises PolicyError when it fails, or the engine is silent, dead or not back yet."""
        if not self._ready:
            self._look_again()
        head = self._memory.head[0]
        number = int(head["request"]) + 1
        head["status"] = 0
        head["request"] = number
        deadline_ns = clock.now_ns() + self._settings.deadline_ms * 1_000_000
        self._ring()
        while int(head["response"]) != number:
            left_ms = (deadline_ns - clock.now_ns()) // 1_000_000
            if left_ms < 0 or not self._wait(left_ms + 1):
                self._bury(f"has not answered for {self._settings.deadline_ms} ms")
        if head["status"] != OK:
            raise PolicyError(f"engine {self.name}: {self._words()}", HINT)
        self._failures = 0
        for mine, shared in self._pairs:
            mine[...] = shared

    def close(self) -> None:
        """Ends it. It is not used any more."""
        self._kill()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)

    @property
    def pid(self) -> int:
        """Of the engine that runs; 0 while none does."""
        return self._process.pid if self._process is not None else 0

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        head = self._memory.head[0]
        head["request"] = head["response"] = head["status"] = 0
        environment = os.environ | {
            MEMORY_VARIABLE: str(self._memory.fd),
            BELL_VARIABLE: str(theirs.fileno()),
            MODEL_VARIABLE: str(self._model),
        }
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(START), str(os.getpid()), *self._settings.command],
                pass_fds=(self._memory.fd, theirs.fileno()),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._ended.detach()
        pid = self._process.pid
        self._ended = weakref.finalize(self, lambda: _end(pid))
        self._bell, self._ready = ours, False
        self._poll = select.poll()
        self._poll.register(ours, select.POLLIN)
        self._started_ns = clock.now_ns()
        self.starts += 1

    def _look_again(self) -> None:
        """Starts it anew when it is time; raises PolicyError until it is ready."""
        now_ns = clock.now_ns()
        if self._process is not None and self._bell is None:  # killed: until the kernel has let go of it
            if self._process.poll() is not None:
                self._process = None
        elif self._process is None and now_ns >= self._restart_ns:
            self._start()
        elif self._process is not None:
            self._wait(0)
            if not self._ready and now_ns - self._started_ns > self._settings.start_limit_s * 1e9:
                self._bury(f"was not ready in {self._settings.start_limit_s:g} s")
        if not self._ready:
            raise PolicyError(f"engine {self.name} starts again", HINT)

    def _wait(self, limit_ms: int) -> bool:
        """Waits until the bell rings; False when it does not. Raises PolicyError when the engine is dead."""
        if self._bell is None or not self._poll.poll(limit_ms):
            return False
        try:
            rung = self._bell.recv(64)
        except BlockingIOError:
            return True
        except OSError:
            rung = b""
        if not rung:
            self._bury("has ended")
        head = self._memory.head[0]
        if not self._ready and head["status"] == FAILED:
            self._bury(f"could not begin: {self._words()}")
        if not self._ready and head["status"] == READY:
            self._ready = self._was_ready = True
        return True

    def _ring(self) -> None:
        try:
            if self._bell is not None:
                self._bell.send(b"\1")
        except BlockingIOError:  # it has not taken thousands of them: the deadline speaks
            pass
        except OSError:
            self._bury("has ended")

    def _bury(self, why: str) -> None:
        """Makes sure that it is dead, plans its next start, and says why."""
        process = self._process
        self._kill()
        if process is not None and why == "has ended":
            with contextlib.suppress(subprocess.TimeoutExpired):
                why = f"has ended{_how(process.wait(0.05))}"
        back_off_ns = BACK_OFF_NS[min(self._failures, len(BACK_OFF_NS) - 1)]
        self._failures += 1
        self._restart_ns = clock.now_ns() + back_off_ns
        again = f": it is started again in {back_off_ns / 1e9:g} s" if self._was_ready else ""
        raise PolicyError(f"engine {self.name} {why}{again}", HINT)

    def _kill(self) -> None:
        self._ready = False
        if self._bell is not None:
            self._bell.close()
            self._bell = None
        self._ended()
        self._ended = weakref.finalize(self, lambda: None)

    def _words(self) -> str:
        said = bytes(self._memory.head[0]["words"]).decode(errors="replace")
        return "".join(letter if letter.isprintable() else " " for letter in said) or "says nothing"


def _described(model: str, engine: str, wanted: Signature) -> dict[str, Tensor]:
    """The outputs, all of them with a shape: an engine outside onnxruntime is told, and not asked."""
    open_ones = [name for name, tensor in wanted.outputs.items() if tensor is None]
    if open_ones or wanted.every_output or wanted.whole:
        what = (
            f"outputs without a shape in its card: {', '.join(open_ones)}" if open_ones else "a looped head"
        )
        raise PolicyError(
            f"{model} has {what}, which engine {engine} cannot run",
            hint="let the graph answer with one output, described in the card, or use onnxruntime",
        )
    return {name: tensor for name, tensor in wanted.outputs.items() if tensor is not None}


def _how(code: int) -> str:
    if code >= 0:
        return f" with exit code {code}"
    return f" by signal {signal.Signals(-code).name}"


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
