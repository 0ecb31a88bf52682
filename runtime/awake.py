"""Processors that stay awake while the loop runs.

A processor that sleeps deeply needs tens to hundreds of us to come back, and each tick pays them. The kernel keeps
all of them out of such states while somebody holds ``/dev/cpu_dma_latency`` open with a 0 in it (Linux,
``Documentation/power/pm_qos_interface.rst``); when the descriptor closes, however the process ended, they may sleep
again. It costs power, so only a loop that wants real time holds it.
"""

from __future__ import annotations

import os
import struct
from types import TracebackType
from typing import Self

DEVICE = "/dev/cpu_dma_latency"


class AwakeProcessors:
    """A context; inside, ``refused`` is None when the processors stay awake.

    Else it says why not: "not asked", or the kernel's reason in words. Nothing is raised: the loop runs anyway.
    """

    def __init__(self, wanted: bool, device: str = DEVICE) -> None:
        self.refused: str | None = "not asked"
        self._wanted, self._device = wanted, device
        self._fd = -1

    def __enter__(self) -> Self:
        if self._wanted:
            try:
                self._fd = os.open(self._device, os.O_WRONLY | os.O_CLOEXEC)
                os.write(self._fd, struct.pack("=i", 0))
                self.refused = None
            except OSError as error:
                self.refused = os.strerror(error.errno or 0)
                self._close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
