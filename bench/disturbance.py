"""What the machine suffers while something is measured: time stolen by the hypervisor, waiting for a processor.

A figure of timing from a disturbed machine is neither a pass nor a fail.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Self

from spinal.bench.result import Disturbance

STEAL_LIMIT = 0.02
"""Share of all processors' time. At 2 % a loop of 1 kHz loses 20 slots a second to somebody else."""
PRESSURE_LIMIT = 0.25
"""Share of the time in which something waited for a processor, on a machine that was to be idle."""
STEAL_FIELD = 7


class Watch:
    """``with Watch() as watch: ...``, then ``watch.seen``. On a kernel without pressure figures that share is 0."""

    def __init__(self) -> None:
        self.seen = Disturbance(steal=0.0, pressure=0.0)

    def __enter__(self) -> Self:
        self._before = _now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        steal, total, stalled_us, wall_s = (
            after - before for after, before in zip(_now(), self._before, strict=True)
        )
        self.seen = Disturbance(
            steal=steal / total if total else 0.0,
            pressure=min(1.0, stalled_us * 1e-6 / wall_s) if wall_s else 0.0,
        )


def reason(seen: Disturbance, loaded: bool) -> str:
    """Why nothing can be told from what was measured meanwhile, or "". ``loaded``: pressure was made on purpose."""
    if seen.steal > STEAL_LIMIT:
        return f"the hypervisor took {seen.steal:.1%} of the time (limit {STEAL_LIMIT:.0%})"
    if not loaded and seen.pressure > PRESSURE_LIMIT:
        return f"others kept the processors busy {seen.pressure:.0%} of the time (limit {PRESSURE_LIMIT:.0%})"
    return ""


def _now() -> tuple[float, float, float, float]:
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[STEAL_FIELD], sum(ticks), _stalled_us(), time.monotonic()


def _stalled_us() -> float:
    try:
        some = Path("/proc/pressure/cpu").read_text().split("\n", 1)[0]
    except OSError:
        return 0.0
    return float(some.rsplit("total=", 1)[1])
