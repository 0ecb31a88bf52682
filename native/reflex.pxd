from libc.stdint cimport int64_t, uint32_t

from spinal.native.bus cimport sp_joint_health, sp_joint_sample
from spinal.native.limiter cimport sp_limiter

cdef extern from "reflex.h" nogil:
    ctypedef struct sp_reflex_limits:
        double following_hold
        double following_stop
        double contact_hold
        double contact_stop
        double contact_drag
        double contact_inertia
        double temperature_hold
        double temperature_stop
        double voltage_hold
        double voltage_stop
        double lag_s
        double load_limit
        double frozen_travel
        int64_t frozen_ns
        int64_t following_ns
        int64_t contact_ns
        int64_t contact_long_ns
        int64_t device_bits
        int64_t device_ns
        int64_t clear_ns
    ctypedef struct sp_reflex:
        double lagged
        double outside
        double rest
    void sp_reflex_begin(sp_reflex *) noexcept
    uint32_t sp_reflex_tick(sp_reflex *, const sp_reflex_limits *, const sp_joint_sample *, const sp_joint_health *,
                            const sp_limiter *, int64_t, int) noexcept
