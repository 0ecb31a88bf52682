# cython: language_level=3, boundscheck=False, wraparound=False
"""The emulated servo bus for Python: a thin binding of ``core/emulator.h`` and ``core/emulator_server.h``.

Those headers hold the model (wire time, register rules, profile) and the thread contract: one thread is the
wire side, one the physics side. Methods say which they are. Indices follow the order of ``ids``; shaft
counts are 4096 a turn, times are nanoseconds of the monotonic or a manual clock.
"""

import os
from typing import NamedTuple

from libc.stdlib cimport calloc, free

from spinal.native.histogram cimport sp_histogram_quantile_ns


WIRE_RECORD_BYTES = sp_wire_record_bytes(1)
"""Of one servo; see ``layout.wire_dtype``."""


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
    line: str
    line_error: int
    unwritten_bytes: int
    late_count: int
    late_p50_ns: int
    late_p99_ns: int
    late_p999_ns: int
    late_max_ns: int


cdef class Emulator:
    """Up to 32 STS3215 servos on one half-duplex bus.

    ``ValueError`` for ids past 253 or twice, or a rate that the servo's table has not. Calls of the wire
    side raise ``RuntimeError`` while an ``EmulatorServer`` owns it.
    """

    def __cinit__(self, ids, *, int baud=1_000_000, positions_counts=None):
        cdef bytes raw = bytes(ids)
        self.ids = tuple(raw)
        self.bus = <sp_emulator *>calloc(1, sizeof(sp_emulator))
        if self.bus == NULL:
            raise MemoryError
        if sp_emulator_init(self.bus, raw, <int>min(len(raw), 1000), baud) < 0:
            raise ValueError("1 to 32 servos with ids 0 to 253, each once, at a rate of the servo's table")
        if positions_counts is not None:
            for index, position in enumerate(positions_counts):
                self.check(sp_emulator_place(self.bus, index, position))

    def __dealloc__(self):
        free(self.bus)

    def __len__(self):
        return self.bus.n

    cdef int wire_side(self) except -1:
        if self.served:
            raise RuntimeError("a server owns this emulator's wire side while it runs")
        return 0

    cdef int check(self, int result) except -1:
        if result < 0:
            raise ValueError(os.strerror(-result) + ": no such servo, or a value out of its range")
        return result

    @property
    def baud(self):
        """Bits a second on the wire, 10 for each byte."""
        return self.bus.baud

    @property
    def address(self):
        """Address of the ``sp_emulator``, valid as long as this object."""
        return <size_t>self.bus

    def record_to(self, size_t ring_address):
        """Record what arrives, ``layout.wire_dtype`` each, into the ring that lies there; it must outlive this.

        ``ValueError`` when its slots are too small (wire side).
        """
        self.wire_side()
        self.check(sp_emulator_record_to(self.bus, <sp_ring *>ring_address))

    def receive(self, const uint8_t[::1] data, int64_t now_ns):
        """Hand bytes to the bus (wire side)."""
        self.wire_side()
        if data.shape[0] > 0:
            sp_emulator_receive(self.bus, &data[0], data.shape[0], now_ns)

    def next_due_ns(self):
        """When the next reply's last byte is through (wire side)."""
        self.wire_side()
        cdef int64_t due_ns = sp_emulator_next_due_ns(self.bus)
        return None if due_ns == SP_EMULATOR_NEVER else due_ns

    def take(self, int64_t now_ns, size_t capacity=65536):
        """Give the reply bytes that are through by ``now_ns`` (wire side)."""
        self.wire_side()
        cdef bytearray out = bytearray(capacity)
        cdef uint8_t *raw = out
        cdef size_t size = sp_emulator_take(self.bus, now_ns, raw, capacity)
        return bytes(out[:size])

    def discard(self, int64_t now_ns):
        """Throw away what is through by ``now_ns`` (wire side)."""
        self.wire_side()
        sp_emulator_discard(self.bus, now_ns)

    def register(self, int index, int address, int width=1):
        """Give a register as a read would see it now (wire side)."""
        self.wire_side()
        if not 0 <= address <= 256 - width or width not in (1, 2):
            raise ValueError(f"no register of {width} bytes at {address}")
        value = 0
        for offset in range(width):
            value |= self.check(sp_emulator_register_get(self.bus, index, address + offset)) << 8 * offset
        return value

    def put_register(self, int index, int address, int value, int width=1):
        """Write a register past every rule, also as saved (wire side)."""
        self.wire_side()
        if not 0 <= address <= 256 - width or width not in (1, 2) or not 0 <= value < 1 << 8 * width:
            raise ValueError(f"no register of {width} bytes at {address} that holds {value}")
        for offset in range(width):
            self.check(sp_emulator_register_put(self.bus, index, address + offset, value >> 8 * offset & 255))

    def power_cycle(self, int index):
        """Switch one servo off and on: EEPROM as last saved, the rest from the factory (wire side)."""
        self.wire_side()
        self.check(sp_emulator_power_cycle(self.bus, index))

    def advance(self, int64_t now_ns):
        """Move the internal references to ``now_ns`` (physics side)."""
        sp_emulator_advance(self.bus, now_ns)

    def follow(self, int64_t now_ns, int64_t lag_ns):
        """Advance, and let each position follow as a first-order lag: servos without physics (physics side)."""
        sp_emulator_follow(self.bus, now_ns, lag_ns)

    def reference(self, int index):
        """Say what one motor is told (physics side)."""
        cdef sp_emulator_drive drive
        self.check(sp_emulator_reference(self.bus, index, &drive))
        return Drive(drive.position_counts, drive.velocity_counts_s, drive.pwm_permille,
                     drive.torque_limit_permille, drive.p, drive.d, drive.i, drive.mode, bool(drive.torque))

    def references(self):
        """Say what every motor is told (physics side)."""
        return [self.reference(index) for index in range(self.bus.n)]

    def set_present(self, int index, double position_counts, double velocity_counts_s=0.0, *,
                    int load_permille=0, int current=0, bint moving=False):
        """Say what one servo measures; current in units of 6.5 mA. NaN is a ``ValueError`` (physics side)."""
        self.check(sp_emulator_set_present(self.bus, index, position_counts, velocity_counts_s, load_permille,
                                           current, moving))

    def set_supply(self, int index, *, int decivolts=120, int celsius=30):
        """Say what voltage and temperature one servo measures (physics side)."""
        self.check(sp_emulator_set_supply(self.bus, index, decivolts, celsius))

    def set_faults(self, int index, *, int drop_replies=0, int corrupt_replies=0, int corrupt_byte=0,
                   bint silent=False, bint unplugged=False, int error_bits=0, int64_t extra_delay_ns=0,
                   bint frozen=False):
        """Replace one servo's faults; called with none it is healthy again (any thread).

        The next so many replies are dropped, or have the byte at ``corrupt_byte`` inverted; a silent servo
        obeys but does not reply, an unplugged one hears nothing, a frozen one measures nothing any more:
        registers 56 to 70 keep their bytes.
        """
        self.keep_faults(index, silent=silent, unplugged=unplugged, error_bits=error_bits,
                         extra_delay_ns=extra_delay_ns, frozen=frozen)
        cdef sp_emulator_faults *faults = &self.bus.servos[index].faults
        faults.corrupt_byte = corrupt_byte
        faults.drop_replies = drop_replies
        faults.corrupt_replies = corrupt_replies

    def keep_faults(self, int index, *, bint silent=False, bint unplugged=False, int error_bits=0,
                    int64_t extra_delay_ns=0, bint frozen=False):
        """Replace the faults of one servo that last, and leave alone how many replies are lost (any thread)."""
        if not 0 <= index < self.bus.n:
            raise ValueError(f"no servo with index {index}")
        cdef sp_emulator_faults *faults = &self.bus.servos[index].faults
        faults.silent = silent
        faults.unplugged = unplugged
        faults.error_bits = error_bits
        faults.frozen = frozen
        faults.extra_delay_ns = extra_delay_ns

    def lose_replies(self, int index, *, int drop=0, int corrupt=0):
        """So many more of the next replies are dropped, or have a byte inverted (any thread)."""
        self.check(sp_emulator_lose_replies(self.bus, index, drop, corrupt))

    def stats(self):
        """Give the counters (any thread)."""
        cdef sp_emulator_stats *stats = &self.bus.stats
        return Stats(stats.packets, stats.bad_checksums, stats.garbage_bytes, stats.instruction_errors,
                     stats.replies, stats.collisions, stats.lost_replies, stats.busy_ns)


cdef class MemoryTransport:
    """The bus as a transport in this process on a manual clock: lock-step (wire side).

    A write is handed over at the clock's now; a read moves the clock to the next reply's last byte. With
    ``clock_address`` it is a clock that somebody else owns and keeps alive, otherwise its own, from ``now_ns``.
    """

    def __cinit__(self, Emulator emulator not None, *, int64_t now_ns=0, size_t clock_address=0):
        self.emulator = emulator
        self.own_clock.now_ns = now_ns
        self.clock = <sp_manual_clock *>clock_address if clock_address else &self.own_clock
        self.transport = sp_emulator_memory_transport(emulator.bus, self.clock)

    @property
    def address(self):
        """Where the ``sp_transport`` lies, for a bus; valid as long as this object."""
        return <size_t>&self.transport

    @property
    def clock_address(self):
        """Where the ``sp_manual_clock`` lies."""
        return <size_t>self.clock

    @property
    def now_ns(self):
        """The clock; it may be moved, but not back (``ValueError``)."""
        return self.clock.now_ns

    @now_ns.setter
    def now_ns(self, int64_t value):
        if value < self.clock.now_ns:
            raise ValueError("a manual clock does not go back")
        self.clock.now_ns = value

    def write(self, const uint8_t[::1] data):
        """Hand bytes over at the clock's now."""
        self.emulator.wire_side()
        if data.shape[0] > 0:
            self.transport.write(self.transport.context, &data[0], data.shape[0])

    def read(self, int64_t deadline_ns, size_t capacity=65536):
        """Move the clock to the next reply and give it, or to the deadline and give nothing."""
        self.emulator.wire_side()
        cdef bytearray out = bytearray(capacity)
        cdef uint8_t *raw = out
        cdef int size = self.transport.read(self.transport.context, raw, capacity, deadline_ns)
        return bytes(out[:size])

    def discard_input(self):
        """Throw away what has arrived."""
        self.emulator.wire_side()
        self.transport.discard_input(self.transport.context)


cdef class EmulatorServer:
    """A native thread that answers on a descriptor: one end of a socketpair, or a pty's master.

    The descriptor becomes non-blocking and stays the caller's, to close after ``stop``. Priority 1 to 99
    asks for SCHED_FIFO; refused, it serves without and the report says why. Also a context manager.
    """

    def __cinit__(self, Emulator emulator not None, int fd, int priority=0):
        if not 0 <= priority <= 99:
            raise ValueError(f"priority {priority} is not in 0 to 99")
        self.emulator = emulator
        self.fd = fd
        self.priority = priority
        self.server = <sp_emulator_server *>calloc(1, sizeof(sp_emulator_server))
        if self.server == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.server != NULL:
            with nogil:
                sp_emulator_server_stop(self.server)
            free(self.server)

    def start(self):
        """Start; ``OSError`` when the descriptor or the thread is refused."""
        self.emulator.wire_side()
        cdef int failure = sp_emulator_server_start(self.server, self.emulator.bus, self.fd, self.priority)
        if failure < 0:
            raise OSError(-failure, os.strerror(-failure))
        self.emulator.served = True

    def stop(self):
        """End the thread and wait for it; again is harmless."""
        cdef int failure
        if not self.server.running:
            return
        with nogil:
            failure = sp_emulator_server_stop(self.server)
        self.emulator.served = False
        if failure < 0:
            raise OSError(-failure, os.strerror(-failure))

    def power_cycle(self, int index):
        """Switch one servo off and on, while it serves too; see ``Emulator.power_cycle``."""
        if self.server.running:
            self.emulator.check(sp_emulator_server_power_cycle(self.server, index))
        else:
            self.emulator.power_cycle(index)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self.stop()

    def report(self):
        """Say how it fares, also while it runs."""
        cdef sp_emulator_report *report = &self.server.report
        cdef sp_histogram *late = &report.late
        return Report(
            running=bool(self.server.running),
            fifo=bool(report.fifo),
            realtime_error=report.realtime_error,
            line=("open", "away", "closed", "failed")[report.line],
            line_error=report.line_error,
            unwritten_bytes=report.unwritten,
            late_count=late.total,
            late_p50_ns=sp_histogram_quantile_ns(late, 0.5),
            late_p99_ns=sp_histogram_quantile_ns(late, 0.99),
            late_p999_ns=sp_histogram_quantile_ns(late, 0.999),
            late_max_ns=late.max_ns,
        )
