from libc.stdint cimport uint32_t

cdef extern from "limiter.h" nogil:
    ctypedef struct sp_limits:
        double position_min
        double position_max
        double velocity
        double acceleration
        double jerk
    ctypedef struct sp_motion:
        double position
        double velocity
        double acceleration
    ctypedef struct sp_limiter:
        double position
        double velocity
        double acceleration
        sp_motion setpoint
    enum: SP_LIMITED_POSITION
    enum: SP_LIMITED_VELOCITY
    enum: SP_LIMITED_ACCELERATION
    enum: SP_LIMITED_JERK
    enum: SP_LIMITED_INVALID
    void sp_limiter_rest(sp_limiter *, double) noexcept
    uint32_t sp_limiter_step(sp_limiter *, const sp_limits *, double, const sp_motion *) noexcept
    uint32_t sp_limiter_brake(sp_limiter *, const sp_limits *, double) noexcept
    uint32_t sp_limiter_step_gripper(sp_limiter *, const sp_limits *, double, double) noexcept
    double sp_stop_position_max(const sp_limits *, double, double, double) noexcept
