from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from spinal.native.bus cimport sp_bus, sp_bus_counts
from spinal.native.clock cimport sp_clock
from spinal.native.histogram cimport sp_histogram
from spinal.native.limiter cimport sp_limiter, sp_limits
from spinal.native.reflex cimport sp_reflex_limits
from spinal.native.shared cimport sp_mailbox, sp_ring
from spinal.native.trajectory cimport sp_joint_kind

cdef extern from "realtime.h" nogil:
    ctypedef struct sp_realtime_request:
        int fifo_priority
        int lock_memory
        int cpu
    ctypedef struct sp_realtime_report:
        int fifo
        int memory_lock
        int affinity
        int timer_slack
    void sp_realtime_enter(const sp_realtime_request *, sp_realtime_report *) noexcept

cdef extern from "modes.h" nogil:
    ctypedef enum sp_mode:
        SP_MODE_OFF
        SP_MODE_READY
        SP_MODE_RUNNING
        SP_MODE_HOLDING
        SP_MODE_STOPPED
    ctypedef enum sp_rung:
        SP_RUNG_OFF
    enum: SP_RUNG_COUNT
    enum: SP_CONDITION_COUNT
    ctypedef struct sp_order:
        int64_t kind
    ctypedef struct sp_edge:
        sp_mode from_ "from"
        sp_mode to
        const char *name
        uint32_t when
        uint32_t unless
    ctypedef struct sp_condition:
        const char *name
        int answer
        int clearing
    const sp_edge *sp_edge_at(int) noexcept
    int sp_edge_index(const sp_edge *) noexcept
    const sp_edge *sp_mode_edge(sp_mode, uint32_t) noexcept
    const sp_condition *sp_condition_at(int) noexcept
    uint32_t sp_conditions_latched(uint32_t) noexcept
    int sp_conditions_answer(uint32_t, int) noexcept
    const char *sp_mode_name(sp_mode) noexcept
    const char *sp_rung_name(sp_rung) noexcept

cdef extern from "fence.h" nogil:
    ctypedef struct sp_fence:
        pass

cdef extern from "segment.h" nogil:
    ctypedef struct sp_joint_state:
        pass
    ctypedef struct sp_joint_record:
        pass
    ctypedef struct sp_state:
        sp_joint_state joints[1]
    ctypedef struct sp_command:
        pass
    ctypedef struct sp_transition:
        pass
    ctypedef struct sp_health:
        pass
    ctypedef struct sp_tick_record:
        sp_joint_record joints[1]
    ctypedef struct sp_loop_stats:
        uint64_t ticks
        uint64_t skipped_slots
        uint64_t running_ticks
        uint64_t limited_ticks
        uint64_t starved_ticks
        uint64_t fenced_ticks
        uint64_t rung_ticks[6]
        uint64_t risen[26]
        uint64_t switches
        uint64_t verdicts[5]
        uint64_t holds
        uint64_t minor_faults
        uint64_t major_faults
        sp_bus_counts bus
        double seam_position
        double seam_velocity
        double seam_acceleration
        double jerk_square_sum
        uint64_t jerk_count
        sp_histogram late
        sp_histogram bus_cycle
        sp_histogram compute
        sp_histogram age
        sp_histogram blend

cdef extern from "loop.h" nogil:
    ctypedef struct sp_loop_config:
        int64_t dt_ns
        int64_t read_budget_ns
        int64_t joint_age_limit_ns
        int64_t missed_to_hold
        int64_t tail_limit_ns
        int64_t let_go_after_ns
        int64_t fade_ns
        int64_t self_test_ticks
        double arming_speed
        double ease_travel
        double ease_speed
        int joint_count
        int order_count
        sp_joint_kind kinds[64]
        sp_limits limits[64]
        sp_limits emergency[64]
        sp_reflex_limits reflexes[64]
        double grips[64]
        const sp_fence *fence
        int stop_line_count
        const void *stop_lines[8]
        const sp_mailbox *orders[4]
        const sp_mailbox *trajectories
        sp_mailbox *state
        sp_mailbox *commands
        sp_mailbox *transitions
        sp_mailbox *healths
        sp_ring *records
        const void *record_tail
        sp_loop_stats *stats
        void *heartbeat_ns
        sp_realtime_request realtime
    ctypedef struct sp_loop:
        sp_realtime_report realtime
        sp_mode mode
        sp_limiter joints[64]
    void sp_loop_init(sp_loop *, const sp_loop_config *, sp_clock, sp_bus) noexcept
    void sp_loop_tick(sp_loop *, int64_t, int64_t) noexcept
    void sp_loop_run(sp_loop *, int64_t) noexcept
