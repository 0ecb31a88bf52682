"""The emulated servo bus for Python: a thin binding of ``core/emulator.h`` and ``core/emulator_server.h``.

Those headers hold the model (wire time, register rules, profile) and the thread contract: one thread is the
wire side, one the physics side. Methods say which they are. Indices follow the order of ``ids``; shaft
counts are 4096 a turn, times are nanoseconds of the monotonic or a manual clock.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple, Self

from typing_extensions import Buffer

class Drive(NamedTuple):
    """What one motor is told to do, as of the last ``advance``.

    ``mode``: 0 position, 1 velocity, 2 PWM, 3 step. In velocity mode ``velocity_counts_s`` is the command;
    elsewhere it is the speed of the internal reference. The torque limit is in permille of stall torque
    and already cut by overload protection. p, d, i are the gain registers.
    """

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
    """Counters of the wire since the start; ``busy_ns`` is the time that it carried bytes."""

    packets: int
    bad_checksums: int
    garbage_bytes: int
    instruction_errors: int
    replies: int
    collisions: int
    lost_replies: int
    busy_ns: int

class Report(NamedTuple):
    """How a server fares: its permission (errno when refused), its line, and reply written - reply due."""

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
    """Up to 32 STS3215 servos on one half-duplex bus.

    ``ValueError`` for ids past 253 or twice, or a rate that the servo's table has not. Calls of the wire
    side raise ``RuntimeError`` while an ``EmulatorServer`` owns it.
    """

    ids: tuple[int, ...]
    def __init__(
        self, ids: Iterable[int], *, baud: int = 1_000_000, positions_counts: Iterable[float] | None = None
    ) -> None: ...
    def __len__(self) -> int: ...
    @property
    def baud(self) -> int:
        """Bits a second on the wire, 10 for each byte."""
    @property
    def address(self) -> int:
        """Address of the ``sp_emulator``, valid as long as this object."""
    def receive(self, data: Buffer, now_ns: int) -> None:
        """Hand bytes to the bus (wire side)."""
    def next_due_ns(self) -> int | None:
        """When the next reply's last byte is through (wire side)."""
    def take(self, now_ns: int, capacity: int = 65536) -> bytes:
        """Give the reply bytes that are through by ``now_ns`` (wire side)."""
    def discard(self, now_ns: int) -> None:
        """Throw away what is through by ``now_ns`` (wire side)."""
    def register(self, index: int, address: int, width: int = 1) -> int:
        """Give a register as a read would see it now (wire side)."""
    def put_register(self, index: int, address: int, value: int, width: int = 1) -> None:
        """Write a register past every rule, also as saved (wire side)."""
    def power_cycle(self, index: int) -> None:
        """Switch one servo off and on: EEPROM as last saved, the rest from the factory (wire side)."""
    def advance(self, now_ns: int) -> None:
        """Move the internal references to ``now_ns`` (physics side)."""
    def follow(self, now_ns: int, lag_ns: int) -> None:
        """Advance, and let each position follow as a first-order lag: servos without physics (physics side)."""
    def reference(self, index: int) -> Drive:
        """Say what one motor is told (physics side)."""
    def references(self) -> list[Drive]:
        """Say what every motor is told (physics side)."""
    def set_present(
        self,
        index: int,
        position_counts: float,
        velocity_counts_s: float = 0.0,
        *,
        load_permille: int = 0,
        current: int = 0,
        moving: bool = False,
    ) -> None:
        """Say what one servo measures; current in units of 6.5 mA. NaN is a ``ValueError`` (physics side)."""
    def set_supply(self, index: int, *, decivolts: int = 120, celsius: int = 30) -> None:
        """Say what voltage and temperature one servo measures (physics side)."""
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
    ) -> None:
        """Replace one servo's faults; called with none it is healthy again (any thread).

        The next so many replies are dropped, or have the byte at ``corrupt_byte`` inverted; a silent
        servo obeys but does not reply, an unplugged one hears nothing.
        """
    def stats(self) -> Stats:
        """Give the counters (any thread)."""

class MemoryTransport:
    """The bus as a transport in this process on a manual clock: lock-step (wire side).

    With ``clock_address`` it moves a clock that somebody else owns and keeps alive.
    """

    emulator: Emulator
    now_ns: int
    def __init__(self, emulator: Emulator, *, now_ns: int = 0, clock_address: int = 0) -> None: ...
    @property
    def address(self) -> int:
        """Address of the ``sp_transport``, valid as long as this object."""
    @property
    def clock_address(self) -> int:
        """Address of the ``sp_manual_clock``."""
    def write(self, data: Buffer) -> None:
        """Hand bytes over at the clock's now."""
    def read(self, deadline_ns: int, capacity: int = 65536) -> bytes:
        """Move the clock to the next reply and give it, or to the deadline and give nothing."""
    def discard_input(self) -> None:
        """Throw away what has arrived."""

class EmulatorServer:
    """A native thread that answers on a descriptor: one end of a socketpair, or a pty's master.

    The descriptor becomes non-blocking and stays the caller's, to close after ``stop``. Priority 1 to 99
    asks for SCHED_FIFO; refused, it serves without and the report says why. Also a context manager.
    """

    emulator: Emulator
    def __init__(self, emulator: Emulator, fd: int, priority: int = 0) -> None: ...
    def start(self) -> None:
        """Start; ``OSError`` when the descriptor or the thread is refused."""
    def stop(self) -> None:
        """End the thread and wait for it; again is harmless."""
    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> None: ...
    def report(self) -> Report:
        """Say how it fares, also while it runs."""
