from collections.abc import Iterable
from typing import Literal, NamedTuple, Self

from typing_extensions import Buffer

WIRE_RECORD_BYTES: int

class Drive(NamedTuple):
    position_counts: float
    velocity_counts_s: float
    pwm_permille: float
    torque_limit_permille: int
    p: int
    d: int
    i: int
    mode: int
    torque: bool

class Stats(NamedTuple):
    packets: int
    bad_checksums: int
    garbage_bytes: int
    instruction_errors: int
    replies: int
    collisions: int
    lost_replies: int
    busy_ns: int

class Report(NamedTuple):
    running: bool
    fifo: bool
    realtime_error: int
    line: Literal["open", "away", "closed", "failed"]
    line_error: int
    unwritten_bytes: int
    late_count: int
    late_p50_ns: int
    late_p99_ns: int
    late_p999_ns: int
    late_max_ns: int

class Emulator:
    ids: tuple[int, ...]
    def __init__(
        self, ids: Iterable[int], *, baud: int = 1_000_000, positions_counts: Iterable[float] | None = None
    ) -> None: ...
    def __len__(self) -> int: ...
    @property
    def baud(self) -> int: ...
    @property
    def address(self) -> int: ...
    def record_to(self, ring_address: int) -> None: ...
    def receive(self, data: Buffer, now_ns: int) -> None: ...
    def next_due_ns(self) -> int | None: ...
    def take(self, now_ns: int, capacity: int = 65536) -> bytes: ...
    def discard(self, now_ns: int) -> None: ...
    def register(self, index: int, address: int, width: int = 1) -> int: ...
    def put_register(self, index: int, address: int, value: int, width: int = 1) -> None: ...
    def power_cycle(self, index: int) -> None: ...
    def advance(self, now_ns: int) -> None: ...
    def follow(self, now_ns: int, lag_ns: int) -> None: ...
    def reference(self, index: int) -> Drive: ...
    def references(self) -> list[Drive]: ...
    def set_present(
        self,
        index: int,
        position_counts: float,
        velocity_counts_s: float = 0.0,
        *,
        load_permille: int = 0,
        current: int = 0,
        moving: bool = False,
    ) -> None: ...
    def set_supply(self, index: int, *, decivolts: int = 120, celsius: int = 30) -> None: ...
    def set_faults(
        self,
        index: int,
        *,
        drop_replies: int = 0,
        corrupt_replies: int = 0,
        corrupt_byte: int = 0,
        silent: bool = False,
        unplugged: bool = False,
        error_bits: int = 0,
        extra_delay_ns: int = 0,
        frozen: bool = False,
    ) -> None: ...
    def keep_faults(
        self,
        index: int,
        *,
        silent: bool = False,
        unplugged: bool = False,
        error_bits: int = 0,
        extra_delay_ns: int = 0,
        frozen: bool = False,
    ) -> None: ...
    def lose_replies(self, index: int, *, drop: int = 0, corrupt: int = 0) -> None: ...
    def stats(self) -> Stats: ...

class MemoryTransport:
    emulator: Emulator
    now_ns: int
    def __init__(self, emulator: Emulator, *, now_ns: int = 0, clock_address: int = 0) -> None: ...
    @property
    def address(self) -> int: ...
    @property
    def clock_address(self) -> int: ...
    def write(self, data: Buffer) -> None: ...
    def read(self, deadline_ns: int, capacity: int = 65536) -> bytes: ...
    def discard_input(self) -> None: ...

class EmulatorServer:
    emulator: Emulator
    def __init__(self, emulator: Emulator, fd: int, priority: int = 0) -> None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def power_cycle(self, index: int) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> None: ...
    def report(self) -> Report: ...
