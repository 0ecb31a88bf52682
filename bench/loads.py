"""What keeps a machine busy while something is measured. Bounded in memory, in disk and in time.

Processes: ``python -m spinal.bench.loads busy | storage``. They end with the process that started them, however it
ends. Threads: a busy one and one that infers, in the process that is measured.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from spinal.native.clock import now_ns, sleep_until_ns
from spinal.native.realtime import die_with_parent
from spinal.runtime.errors import ProcessError

READY_S = 30.0
MEMORY_BYTES = 64 << 20
"""Larger than the last cache of most processors, so that each pass goes to memory."""
FILE_BYTES = 32 << 20
WRITE_BYTES = 1 << 20
DISK = "/var/tmp"  # noqa: S108  on a disk where /tmp is memory; the file has no name there
INFERENCE_NS = 20_000_000
POLICY = Path(str(resources.files("spinal.launch") / "policies" / "cartpick" / "cartpick.onnx"))
"""The shipped policy."""


@contextlib.contextmanager
def processes(kinds: Sequence[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """One process of each of ``kinds`` (KINDS), all at work when the block begins and gone when it ends.

    Raises ProcessError when one does not begin.
    """
    started: list[subprocess.Popen[bytes]] = []
    try:
        for kind in kinds:
            command = [sys.executable, "-m", "spinal.bench.loads", kind]
            started.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        for process in started:
            _require_ready(process)
        yield started
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


@contextlib.contextmanager
def busy_thread() -> Iterator[None]:
    """A Python thread of this process that wants the interpreter all the time."""
    with _thread(_count_until):
        yield


@contextlib.contextmanager
def inference_thread(model: Path = POLICY) -> Iterator[None]:
    """A thread of this process that runs ``model`` 50 times a second as the policy process does: 1 thread, no
    spinning. Raises PolicyError when it does not load. Enter it before any thread asks for real-time priority.
    """
    from spinal.runtime.config.card import load_card
    from spinal.runtime.policy.session import Session

    session = Session(model, load_card(model), ["CPUExecutionProvider"])

    def infer(stop: threading.Event) -> None:
        next_ns = now_ns()
        while not stop.is_set():
            sleep_until_ns(next_ns)
            session.run()
            next_ns = max(next_ns + INFERENCE_NS, now_ns())

    with _thread(infer):
        yield


@contextlib.contextmanager
def _thread(work: Callable[[threading.Event], None]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _count_until(stop: threading.Event) -> None:
    while not stop.is_set():
        sum(range(1000))


def _require_ready(process: subprocess.Popen[bytes]) -> None:
    if process.stdout is None:
        raise ValueError("a load whose output is not read")
    readable, _, _ = select.select([process.stdout], [], [], READY_S)
    if not readable or not process.stdout.readline():
        raise ProcessError(
            "a load beside the measurement did not begin",
            hint="run it by hand: python -m spinal.bench.loads busy",
        )


def _busy() -> None:
    _say_ready()
    while True:
        sum(range(1000))


def _storage() -> None:
    """Writes and fsyncs a nameless file of FILE_BYTES over and over, and streams through MEMORY_BYTES."""
    block, memory = os.urandom(WRITE_BYTES), np.zeros(MEMORY_BYTES // 8)
    folder = DISK if os.access(DISK, os.W_OK) else None
    with tempfile.TemporaryFile(dir=folder) as file:
        _say_ready()
        while True:
            file.seek(0)
            for _ in range(FILE_BYTES // WRITE_BYTES):
                file.write(block)
                file.flush()
                os.fsync(file.fileno())
                np.add(memory, 1.0, out=memory)


def _say_ready() -> None:
    print("ready", flush=True)


KINDS = {"busy": _busy, "storage": _storage}


def main(arguments: Sequence[str]) -> int:
    """Loads the machine until it is ended."""
    if len(arguments) != 1 or arguments[0] not in KINDS:
        print(f"usage: python -m spinal.bench.loads {'|'.join(KINDS)}", file=sys.stderr)
        return 2
    die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback
    KINDS[arguments[0]]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
