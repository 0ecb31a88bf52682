from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "bus.h" nogil:
    ctypedef struct sp_joint_sample:
        double position
        double velocity
        double load
        int64_t stamp_ns
        uint32_t error
        uint32_t fresh
    ctypedef struct sp_joint_health:
        int64_t stamp_ns
        double voltage
        double temperature
        double current
        uint32_t error
        uint32_t torque
    ctypedef struct sp_bus_counts:
        uint64_t cycles
        uint64_t missing_replies
        uint64_t bad_packets
        uint64_t failed_writes
        uint64_t torque_repeats
    ctypedef struct sp_limiter:
        double position
    ctypedef struct sp_joint_sample:
        double position
    ctypedef struct sp_joint_health:
        int64_t stamp_ns
        double voltage
        double temperature
        double current
        uint32_t error
        uint32_t torque
    ctypedef struct sp_bus:
        void *context
        int (*ask)(void *) noexcept nogil
        int (*read)(void *, sp_joint_sample *, int64_t) noexcept nogil
        int (*write)(void *, const sp_limiter *) noexcept nogil
        int (*torque)(void *, double) noexcept nogil
        const sp_joint_health *health


cdef class Bus:
    cdef sp_bus view
    cdef readonly int joint_count
    cdef object owners
