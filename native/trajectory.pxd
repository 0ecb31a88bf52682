from libc.stdint cimport int32_t, int64_t, uint64_t

from spinal.native.limiter cimport sp_limits, sp_motion

cdef extern from "trajectory.h" nogil:
    enum: SP_MAX_JOINTS
    enum: SP_MAX_WAYPOINTS
    enum: SP_MAX_DEGREE
    enum: SP_MAX_CONTROLS
    enum: SP_PATH_CUBIC
    enum: SP_PATH_BSPLINE
    ctypedef struct sp_trajectory:
        uint64_t id
        int64_t observation_stamp_ns
        int64_t sensor_stamp_ns
        int64_t published_ns
        int64_t origin_ns
        int64_t step_ns
        int64_t fresh_for_ns
        int64_t blend_min_ns
        int64_t blend_max_ns
        int32_t waypoint_count
        int32_t joint_count
        int32_t kind
        int32_t degree
        int32_t control_count
        double blend_share
        double values[1]
    ctypedef enum sp_joint_kind:
        SP_JOINT_ARM
        SP_JOINT_GRIPPER
    ctypedef struct sp_active:
        sp_trajectory path
        int64_t switch_ns
        int64_t blend_ns
    int sp_trajectory_fits(const sp_trajectory *, int) noexcept
    size_t sp_trajectory_bytes(const sp_trajectory *) noexcept
    int sp_trajectory_check(const sp_trajectory *, int, int64_t) noexcept
    void sp_trajectory_hand_off(sp_active *, const sp_motion *, const sp_limits *, const sp_joint_kind *, int64_t) noexcept
    void sp_trajectory_resume(sp_active *, const sp_motion *, const sp_joint_kind *, int64_t, int64_t) noexcept
    sp_motion sp_trajectory_sample(const sp_active *, int, sp_joint_kind, int64_t) noexcept
    sp_motion sp_trajectory_spline(const sp_trajectory *, int, int64_t) noexcept
