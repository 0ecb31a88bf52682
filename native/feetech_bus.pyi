from collections.abc import Sequence
from typing import Protocol

from spinal.native.bus import Bus
from spinal.native.clock import ManualClock

PROTECTS: int
PUSHES: int

class NativeTransport(Protocol):
    @property
    def address(self) -> int: ...

class SerialLine:
    def __init__(self, fd: int) -> None: ...
    @property
    def address(self) -> int: ...

class FeetechBus(Bus):
    def __init__(
        self,
        joints: Sequence[tuple[int, float, float, float, float, float]],
        baud: int,
        transport: NativeTransport,
        clock: ManualClock | None = None,
        health_every: int = 0,
    ) -> None: ...
    @property
    def wire_ns(self) -> int: ...
    @property
    def health_wire_ns(self) -> int: ...
    @property
    def health_missed(self) -> int: ...
