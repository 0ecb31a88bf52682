from libc.stdint cimport int64_t

cdef extern from "clock.h" nogil:
    ctypedef struct sp_clock:
        void *context
        int64_t (*now_ns)(void *) noexcept
        int (*sleep_until)(void *, int64_t) noexcept
    ctypedef struct sp_manual_clock:
        int64_t now_ns
    int64_t sp_monotonic_ns() noexcept
    int sp_sleep_until_ns(int64_t) noexcept
    sp_clock sp_clock_monotonic() noexcept
    sp_clock sp_clock_manual(sp_manual_clock *) noexcept


cdef class ManualClock:
    cdef sp_manual_clock clock
