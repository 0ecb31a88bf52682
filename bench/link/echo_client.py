"""The bare echo of ``bench/link/bare_echo.py``, seen from the suite that it stands beside."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import zmq

from spinal.native import clock
from spinal.runtime.errors import ProcessError
from spinal.runtime.link.messages import VERSION, Envelope, Goal, encode, encode_payload

START_S = 20.0
SILENCE_MS = 1000
VALID_NS = 10_000_000_000
BY_HAND = "run it by hand: python -m spinal.bench.link.bare_echo --help"


class Echo:
    """The client of the bare echo."""

    def __init__(self, endpoint: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(endpoint)
        self._said = msgspec.msgpack.decode(goal_frame())

    def round_trip_ns(self) -> int:
        """Packs a goal's words, sends them, waits for them to come back, unpacks. Raises ProcessError."""
        began_ns = clock.now_ns()
        self._socket.send(msgspec.msgpack.encode(self._said))
        if not self._socket.poll(SILENCE_MS, zmq.POLLIN):
            raise ProcessError("the bare echo fell silent", hint=BY_HAND)
        heard = msgspec.msgpack.decode(self._socket.recv())
        took_ns = clock.now_ns() - began_ns
        if heard != self._said:
            raise ProcessError("the bare echo garbled a message", hint=BY_HAND)
        return took_ns

    def close(self) -> None:
        """Drops what is unsent."""
        self._context.destroy(linger=0)


@contextmanager
def bare_echo() -> Iterator[Echo]:
    """The bare echo's process and a client of it, on a socket of their own. Raises ProcessError."""
    with tempfile.TemporaryDirectory(prefix="spinal-bench-") as folder:
        endpoint = f"ipc://{Path(folder) / 'echo'}"
        words = ["-m", "spinal.bench.link.bare_echo", "--endpoint", endpoint, "--parent", str(os.getpid())]
        process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE)
        try:
            if process.stdout is None:
                raise ValueError("an echo whose output is not read")
            readable, _, _ = select.select([process.stdout], [], [], START_S)
            if not readable or not process.stdout.readline():
                raise ProcessError("the bare echo did not start", hint=BY_HAND)
            client = Echo(endpoint)
            try:
                yield client
            finally:
                client.close()
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def goal_frame() -> bytes:
    """A goal as it travels: the bytes that the echo sends, too."""
    now_ns = clock.now_ns()
    return encode(
        Envelope(
            v=VERSION,
            kind="goal",
            src="bench",
            session_id=1 << 60,
            seq=1000,
            t_mono_ns=now_ns,
            t_utc_ns=time.time_ns(),
            clock_offset_ns=100,
            clock_err_ns=10_000,
            valid_until_ns=now_ns + VALID_NS,
            obs_seq=1000,
            provenance="spinal bench",
            payload=encode_payload(Goal(1 << 50, "pause")),
        )
    )
