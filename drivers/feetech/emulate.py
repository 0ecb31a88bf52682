"""An emulated servo bus on a pseudo-terminal, for anybody's client.

The servos have no physics: each position follows its goal as a first-order lag. The wire keeps its real times
(``native/core/emulator.h``), but a pty adds the kernel's own delays: timing suites use a socketpair.
"""

from __future__ import annotations

import os
import threading
import tty
from collections.abc import Callable, Sequence

from spinal.native.clock import now_ns
from spinal.native.emulator import Emulator, EmulatorServer, Stats

STEP_S = 0.002
LAG_NS = 20_000_000


def run_pty(
    ids: Sequence[int],
    *,
    baud: int = 1_000_000,
    priority: int = 0,
    on_ready: Callable[[str, EmulatorServer], object],
    stop: threading.Event | None = None,
    lag_ns: int = LAG_NS,
) -> Stats:
    """Serve servos with these ids until ``stop`` is set or Ctrl-C, and return what went over the wire.

    ``on_ready`` is called once with the path to open and the running server, whose report says whether the
    real-time priority (1 to 99; 0 asks for none) was granted. Clients may come, go and come back; any line
    speed they set is accepted, the wire runs at ``baud``. Raises ``ValueError`` for ids or a rate that a
    bus cannot have, ``OSError`` when there is no pty.
    """
    emulator = Emulator(ids, baud=baud)
    ended = stop if stop is not None else threading.Event()
    master, slave = os.openpty()
    try:
        try:
            path = os.ttyname(slave)
            tty.setraw(slave)
        finally:
            os.close(slave)  # held open it would keep an exclusive client's lock for ever
        with EmulatorServer(emulator, master, priority) as server:
            on_ready(path, server)
            try:
                while not ended.wait(STEP_S):
                    emulator.follow(now_ns(), lag_ns)
            except KeyboardInterrupt:
                pass
    finally:
        os.close(master)
    return emulator.stats()
