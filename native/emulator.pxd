# The emulated bus for other native modules; emulator.h and emulator_server.h document every name.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from spinal.native.clock cimport sp_manual_clock
from spinal.native.histogram cimport sp_histogram
from spinal.native.transport cimport sp_transport

cdef extern from "emulator.h" nogil:
    enum:
        SP_EMULATOR_NEVER

    ctypedef struct sp_emulator_drive:
        double position_counts
        double velocity_counts_s
        double pwm_permille
        int32_t torque_limit_permille
        uint8_t p, d, i
        uint8_t mode
        bint torque

    # The fields are C11 atomics: each assignment and each read below is one atomic access.
    ctypedef struct sp_emulator_faults:
        int32_t drop_replies
        int32_t corrupt_replies
        int32_t corrupt_byte
        int32_t silent
        int32_t unplugged
        int32_t error_bits
        int32_t frozen
        int64_t extra_delay_ns

    ctypedef struct sp_emulator_stats:
        uint64_t packets
        uint64_t bad_checksums
        uint64_t garbage_bytes
        uint64_t instruction_errors
        uint64_t replies
        uint64_t collisions
        uint64_t lost_replies
        uint64_t busy_ns

    ctypedef struct sp_emulator_servo:
        sp_emulator_faults faults

    ctypedef struct sp_emulator:
        int32_t n
        int32_t baud
        sp_emulator_stats stats
        sp_emulator_servo *servos

    int sp_emulator_init(sp_emulator *e, const uint8_t *ids, int n, int baud) noexcept
    int sp_emulator_place(sp_emulator *e, int index, double position_counts) noexcept
    void sp_emulator_receive(sp_emulator *e, const uint8_t *bytes, size_t n, int64_t now_ns) noexcept
    int64_t sp_emulator_next_due_ns(const sp_emulator *e) noexcept
    size_t sp_emulator_take(sp_emulator *e, int64_t now_ns, uint8_t *out, size_t capacity) noexcept
    void sp_emulator_discard(sp_emulator *e, int64_t now_ns) noexcept
    int sp_emulator_register_get(sp_emulator *e, int index, uint8_t address) noexcept
    int sp_emulator_register_put(sp_emulator *e, int index, uint8_t address, uint8_t value) noexcept
    int sp_emulator_power_cycle(sp_emulator *e, int index) noexcept
    int sp_emulator_lose_replies(sp_emulator *e, int index, int32_t drop, int32_t corrupt) noexcept
    sp_transport sp_emulator_memory_transport(sp_emulator *e, sp_manual_clock *clock) noexcept
    void sp_emulator_advance(sp_emulator *e, int64_t now_ns) noexcept
    int sp_emulator_reference(const sp_emulator *e, int index, sp_emulator_drive *drive) noexcept
    int sp_emulator_set_present(sp_emulator *e, int index, double position_counts, double velocity_counts_s,
                                int load_permille, int current, bint moving) noexcept
    int sp_emulator_set_supply(sp_emulator *e, int index, int decivolts, int celsius) noexcept
    void sp_emulator_follow(sp_emulator *e, int64_t now_ns, int64_t lag_ns) noexcept

cdef extern from "emulator_tap.h" nogil:
    struct sp_ring:
        pass
    size_t sp_wire_record_bytes(int servos) noexcept
    int sp_emulator_record_to(sp_emulator *e, sp_ring *ring) noexcept

cdef extern from "emulator_server.h" nogil:
    ctypedef struct sp_emulator_report:
        int32_t realtime_error
        int32_t fifo
        int32_t line
        int32_t line_error
        uint64_t unwritten
        sp_histogram late

    ctypedef struct sp_emulator_server:
        bint running
        sp_emulator_report report

    int sp_emulator_server_start(sp_emulator_server *server, sp_emulator *emulator, int fd,
                                 int priority) noexcept
    int sp_emulator_server_stop(sp_emulator_server *server) noexcept
    int sp_emulator_server_power_cycle(sp_emulator_server *server, int index) noexcept


cdef class Emulator:
    cdef sp_emulator *bus
    cdef bint served
    cdef readonly tuple ids
    cdef int wire_side(self) except -1
    cdef int check(self, int result) except -1


cdef class MemoryTransport:
    cdef readonly Emulator emulator
    cdef sp_transport transport
    cdef sp_manual_clock own_clock
    cdef sp_manual_clock *clock


cdef class EmulatorServer:
    cdef readonly Emulator emulator
    cdef sp_emulator_server *server
    cdef int fd
    cdef int priority
