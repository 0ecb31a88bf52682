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
    ctypedef struct sp_brake_path:
        double lowest
        double highest
        double rest
    enum: SP_LIMITED_POSITION
    enum: SP_LIMITED_VELOCITY
    enum: SP_LIMITED_ACCELERATION
    enum: SP_LIMITED_JERK
    enum: SP_LIMITED_INVALID
    enum: SP_LIMITED_EMERGENCY
    enum: SP_OUTSIDE_POSITION
    enum: SP_OUTSIDE_VELOCITY
    enum: SP_OUTSIDE_ACCELERATION
    enum: SP_OUTSIDE_JERK
    int sp_limiter_rest(sp_limiter *, double) noexcept
    int sp_limiter_is_viable(const sp_limiter *, const sp_limits *, double) noexcept
    sp_brake_path sp_limiter_brake_path(const sp_limiter *, const sp_limits *, double) noexcept
    uint32_t sp_limiter_step_or_return(
        sp_limiter *, const sp_limits *, const sp_limits *, double, const sp_motion *) noexcept
    uint32_t sp_limiter_brake_or_return(sp_limiter *, const sp_limits *, const sp_limits *, double) noexcept
    uint32_t sp_limiter_step(sp_limiter *, const sp_limits *, double, const sp_motion *) noexcept
    uint32_t sp_limiter_brake(sp_limiter *, const sp_limits *, double) noexcept
    uint32_t sp_limiter_step_gripper(sp_limiter *, const sp_limits *, double, double) noexcept
    sp_limits sp_limits_scaled(const sp_limits *, double) noexcept
    sp_limiter sp_limiter_between(const sp_limiter *, const sp_limiter *, const sp_limiter *, double,
                                  double) noexcept
