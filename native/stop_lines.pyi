from collections.abc import Sequence
from typing import Literal, NamedTuple

from spinal.native.shared import Segment

WORD_BYTES: int
MAX_WIRED_LINES: int
MODEM_LINES: dict[str, int]
IDLE: int
ACTIVE: int
UNREADABLE: int
SILENT: int
UNKNOWN: int
PERIOD_NS: int
SILENT_POLLS: int

class StopLine:
    def __init__(self, segment: Segment, part: int, index: int) -> None: ...
    @property
    def address(self) -> int: ...
    def press(self, now_ns: int | None = None) -> bool: ...
    def release(self) -> None: ...
    @property
    def pressed_ns(self) -> int: ...

class WiredLine(NamedTuple):
    fd: int
    kind: Literal["cts", "dsr", "dcd", "ri", "gpio"]
    active_high: bool
    line: StopLine

class Reading(NamedTuple):
    says: int
    error: int
    pressed_by: int
    pressed_error: int
    reads: int

def press_on_signal(number: int, line: StopLine) -> None: ...
def off_signal(number: int) -> None: ...
def signal_sender(number: int) -> int: ...

class LineWatch:
    def __init__(
        self,
        lines: Sequence[WiredLine],
        period_ns: int = ...,
        silent_polls: int = ...,
        fifo_priority: int = ...,
        control: int = ...,
    ) -> None: ...
    def start(self) -> None: ...
    def readings(self) -> list[Reading]: ...
    def close(self) -> None: ...
