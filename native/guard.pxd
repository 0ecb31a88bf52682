# The guard for other native modules; guard.h and guard_judge.h document every name.
from libc.stdint cimport int64_t, uint64_t

from spinal.native.bus cimport sp_bus
from spinal.native.clock cimport sp_clock
from spinal.native.limiter cimport sp_limits
from spinal.native.loop cimport sp_realtime_report, sp_realtime_request
from spinal.native.shared cimport sp_mailbox
from spinal.native.trajectory cimport sp_joint_kind

cdef extern from "guard_judge.h" nogil:
    ctypedef struct sp_guard_patience:
        int64_t poll_ns
        int64_t look_ns
        int64_t stopped_ns
        int64_t silent_ns
    ctypedef struct sp_guard_sight:
        int exited
        int64_t heartbeat_ns
        int stopped
    ctypedef struct sp_guard_judgement:
        int64_t heartbeat_ns
        int begun
        int64_t silent_ns
        int64_t stopped_ns
        int64_t longest_silence_ns
    int sp_guard_looks(const sp_guard_judgement *, const sp_guard_patience *, int64_t) noexcept
    int sp_guard_judge(sp_guard_judgement *, const sp_guard_patience *, const sp_guard_sight *) noexcept
    int sp_guard_says_stopped(const char *, size_t) noexcept

cdef extern from "guard.h" nogil:
    enum:
        SP_GUARD_IDLE
        SP_GUARD_WATCHING
        SP_GUARD_ENDING_IT
        SP_GUARD_BRAKING
        SP_GUARD_AT_REST
        SP_GUARD_GAVE_UP
    ctypedef struct sp_takeover:
        int64_t cause
        int64_t outcome
        int64_t detected_ns
        int64_t heartbeat_ns
        int64_t silent_ns
        int64_t kill_error
        int64_t dead_ns
        int64_t first_frame_ns
        int64_t first_brake_ns
        int64_t at_rest_ns
        int64_t frames
        int64_t failed_writes
        double largest_step
    ctypedef struct sp_guard_config:
        int64_t dt_ns
        int64_t frame_gap_ns
        sp_guard_patience patience
        int joint_count
        sp_joint_kind kinds[64]
        sp_limits emergency[64]
        int line_fd
        const void *heartbeat_ns
        const sp_mailbox *commands
        sp_mailbox *takeovers
        sp_realtime_request realtime
    ctypedef struct sp_guard_request:
        int pidfd
        int stat_fd
        int64_t heartbeat_ns
        uint64_t command_number
    ctypedef struct sp_guard:
        sp_guard_config config
        sp_realtime_report realtime
        int64_t next_ns
    void sp_guard_init(sp_guard *, const sp_guard_config *, sp_clock, sp_bus) noexcept
    void sp_guard_wake(sp_guard *) noexcept
    void sp_guard_ask(sp_guard *, const sp_guard_request *) noexcept
    int sp_guard_start(sp_guard *) noexcept
    void sp_guard_stop(sp_guard *) noexcept


cdef class Guard:
    cdef sp_guard *guard
    cdef sp_mailbox *takeovers
    cdef int pidfd
    cdef int stat_fd
    cdef bint running
    cdef bint in_lock_step
    cdef object owners
    cdef object nice_refused
    cdef int state_now(self) noexcept
    cdef int carry_out(self, sp_guard_request *, double) except -1
    cdef int until_done(self, double) except -1


cdef class Judge:
    cdef sp_guard_judgement judgement
    cdef sp_guard_patience limits
