from libc.stdint cimport uint32_t

from spinal.native.limiter cimport sp_limiter, sp_limits, sp_motion

cdef extern from "fence_leave.h" nogil:
    enum: SP_FENCE_LINKS
    enum: SP_FENCE_JOINTS
    enum: SP_FENCE_CAPSULES
    enum: SP_FENCE_BOXES
    enum: SP_FENCE_PAIRS
    enum: SP_LIMITED_WORKSPACE
    enum: SP_LIMITED_KEEP_OUT
    enum: SP_LIMITED_SELF
    ctypedef struct sp_link:
        int parent
        int joint
        double origin[3]
        double rotation[9]
        double axis[3]
    ctypedef struct sp_pose:
        double origin[3]
        double rotation[9]
    ctypedef struct sp_capsule:
        int link
        double from_ "from"[3]
        double to[3]
        double radius
        uint32_t chain
    ctypedef struct sp_box:
        double low[3]
        double high[3]
    ctypedef struct sp_fence:
        int link_count
        int capsule_count
        int box_count
        int pair_count
        int bounded
        double margin
        double self_margin
        sp_box workspace
        sp_link links[24]
        sp_capsule capsules[24]
        sp_box boxes[16]
        int pairs[128][2]
    void sp_fence_prepare(sp_fence *) noexcept
    ctypedef struct sp_fence_leave:
        int count
        double least[656]
    void sp_fence_leave_begin(sp_fence_leave *, const sp_fence *, const sp_limiter *) noexcept
    void sp_fence_leave_go_on(sp_fence_leave *, const sp_fence *, const sp_limiter *) noexcept
    uint32_t sp_fence_judge(const sp_fence *, const sp_fence_leave *, const sp_limiter *, const sp_limiter *,
                            const sp_limits *, const sp_limits *, double) noexcept
    double sp_fence_share(const sp_fence *, const sp_fence_leave *, const sp_limiter *, const sp_limiter *,
                          const sp_limiter *, const sp_limits *, const sp_limits *, double) noexcept
    void sp_fence_poses(const sp_fence *, const double *, sp_pose *) noexcept
    void sp_fence_clearance(const sp_fence *, const double *, double *) noexcept

cdef extern from "distance.h" nogil:
    double sp_segment_box_distance(const double *, const double *, const double *, const double *) noexcept
    double sp_segments_distance(const double *, const double *, const double *, const double *) noexcept

cdef extern from "sweep.h" nogil:
    ctypedef struct sp_sweep:
        double ticks
        int turns
    void sp_sweep_begin(sp_sweep *, double, const sp_limiter *, const sp_limits *, const sp_limits *, double) noexcept
    void sp_sweep_span(const sp_sweep *, double, double, double *, double *) noexcept
    double sp_sweep_at(const sp_sweep *, int, double) noexcept
