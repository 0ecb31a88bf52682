# cython: language_level=3
"""Trajectories: written into a mailbox for the tick, and the tick's own hand-off and sampling for others."""

import numpy as np

from libc.stdint cimport uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from spinal.native.shared cimport Mailbox, sp_mailbox_begin, sp_mailbox_commit, sp_mailbox_latest

MAX_JOINTS = SP_MAX_JOINTS
MAX_WAYPOINTS = SP_MAX_WAYPOINTS
MAX_DEGREE = SP_MAX_DEGREE
MAX_CONTROLS = SP_MAX_CONTROLS
LARGEST_BYTES = sizeof(sp_trajectory)


cdef int fill(sp_trajectory *path, uint64_t number, head, const double[:, ::1] position,
              const double[:, ::1] curvature) except -1:
    cdef Py_ssize_t waypoints = position.shape[0], joints = position.shape[1], controls = 0, k, j
    cdef int degree = head.degree
    cdef const double[:, ::1] behind = curvature
    if not (2 <= waypoints <= SP_MAX_WAYPOINTS and 1 <= joints <= SP_MAX_JOINTS):
        raise ValueError(f"a trajectory of {waypoints} waypoints and {joints} joints does not fit "
                         f"({SP_MAX_WAYPOINTS} and {SP_MAX_JOINTS} at most, 2 waypoints at least)")
    if degree:
        behind = head.controls
        controls = behind.shape[0]
        if not (1 <= degree <= SP_MAX_DEGREE and degree < controls <= SP_MAX_CONTROLS and behind.shape[1] == joints):
            raise ValueError(f"a B-spline of degree {degree} with {controls} control points for {behind.shape[1]} of "
                             f"{joints} joints does not fit (degree 1 to {SP_MAX_DEGREE}, "
                             f"more points than that, {SP_MAX_CONTROLS} at most)")
    elif behind.shape[0] != waypoints or behind.shape[1] != joints:
        raise ValueError("curvature has another shape than position")
    path.id = number
    path.observation_stamp_ns = head.observation_stamp_ns
    path.sensor_stamp_ns = head.sensor_stamp_ns
    path.published_ns = head.published_ns
    path.origin_ns = head.origin_ns
    path.step_ns = head.step_ns
    path.fresh_for_ns = head.fresh_for_ns
    path.blend_min_ns = head.blend_min_ns
    path.blend_max_ns = head.blend_max_ns
    path.blend_share = head.blend_share
    path.waypoint_count = <int32_t>waypoints
    path.joint_count = <int32_t>joints
    path.kind = SP_PATH_BSPLINE if degree else SP_PATH_CUBIC
    path.degree = degree
    path.control_count = <int32_t>controls
    for k in range(waypoints):
        for j in range(joints):
            path.values[k * joints + j] = position[k, j]
    for k in range(behind.shape[0]):
        for j in range(joints):
            path.values[(waypoints + k) * joints + j] = behind[k, j]
    return 0


def judge(const uint8_t[::1] message not None, int joint_count, int64_t now_ns):
    """0 when a mailbox's ``message`` may be executed, else the reason (SP_TRAJECTORY_* in core/trajectory.h).

    As the tick judges it: the counts of its head first, before as much as they say is looked at.
    """
    cdef sp_trajectory *path = <sp_trajectory *>calloc(1, sizeof(sp_trajectory))
    if path == NULL:
        raise MemoryError()
    try:
        memcpy(path, &message[0], min(<size_t>message.shape[0], sizeof(sp_trajectory)))
        if sp_trajectory_fits(path, joint_count) and sp_trajectory_bytes(path) > <size_t>message.shape[0]:
            raise ValueError(f"a message of {message.shape[0]} bytes says that it has {sp_trajectory_bytes(path)}")
        return sp_trajectory_check(path, joint_count, now_ns)
    finally:
        free(path)


cdef class TrajectoryWriter:
    """Publishes trajectories into ``mailbox``, numbered as the mailbox does. One writer, the policy's thread."""

    cdef Mailbox mailbox

    def __init__(self, Mailbox mailbox not None):
        if mailbox.box.slot_bytes < sizeof(sp_trajectory):
            raise ValueError("the mailbox is too small for trajectories")
        self.mailbox = mailbox

    def publish(self, head, const double[:, ::1] position not None, const double[:, ::1] curvature not None):
        """``head``: a Trajectory; ``position`` and ``curvature`` (second derivative): [waypoint, joint].

        Where the head says a degree, its control points move the arm, and ``curvature`` is not looked at.

        Returns the trajectory's number. Raises ValueError when it does not fit.
        """
        cdef sp_trajectory *path = <sp_trajectory *>sp_mailbox_begin(self.mailbox.box)
        fill(path, sp_mailbox_latest(self.mailbox.box) + 1, head, position, curvature)
        return sp_mailbox_commit(self.mailbox.box)


cdef class ActiveTrajectory:
    """A trajectory handed off from a motion, as the tick does it.

    ``motion``: [joint, 3] position, velocity, acceleration at ``switch_ns``; ``limits``: [joint, 5] as the
    limiter's; ``grippers``: which joints are grippers. With ``blend_end_ns`` it goes on with a hand-off that is
    under way and whose mismatch has decayed by then: what is executed from ``switch_ns`` on.
    Raises ValueError for shapes that do not fit.
    """

    cdef sp_active *active
    cdef sp_joint_kind kinds[64]

    def __init__(self, head, const double[:, ::1] position not None, const double[:, ::1] curvature not None,
                 const double[:, ::1] motion not None, const double[:, ::1] limits not None, grippers,
                 int64_t switch_ns, blend_end_ns=None):
        cdef sp_motion last[64]
        cdef sp_limits bounds[64]
        joints = position.shape[1]
        if motion.shape[0] != joints or motion.shape[1] != 3 or limits.shape[0] != joints or limits.shape[1] != 5:
            raise ValueError("motion is [joints, 3] and limits [joints, 5]")
        if head.step_ns <= 0:
            raise ValueError(f"a step of {head.step_ns} ns between waypoints leads nowhere")
        if self.active == NULL:
            self.active = <sp_active *>calloc(1, sizeof(sp_active))
            if self.active == NULL:
                raise MemoryError()
        fill(&self.active.path, 1, head, position, curvature)
        for j in range(joints):
            last[j] = sp_motion(motion[j, 0], motion[j, 1], motion[j, 2])
            bounds[j] = sp_limits(limits[j, 0], limits[j, 1], limits[j, 2], limits[j, 3], limits[j, 4])
            self.kinds[j] = SP_JOINT_GRIPPER if grippers[j] else SP_JOINT_ARM
        if blend_end_ns is None:
            sp_trajectory_hand_off(self.active, last, bounds, self.kinds, switch_ns)
        else:
            sp_trajectory_resume(self.active, last, self.kinds, switch_ns, blend_end_ns)

    def __dealloc__(self):
        free(self.active)

    @property
    def blend_ns(self):
        return self.active.blend_ns

    def sample(self, int64_t t_ns):
        """[joint, 3]: position, velocity, acceleration at ``t_ns``."""
        joints = self.active.path.joint_count
        out = np.empty((joints, 3))
        cdef double[:, ::1] rows = out
        cdef sp_motion motion
        for j in range(joints):
            motion = sp_trajectory_sample(self.active, j, self.kinds[j], t_ns)
            rows[j, 0] = motion.position
            rows[j, 1] = motion.velocity
            rows[j, 2] = motion.acceleration
        return out

    def verdict(self, int joint_count, int64_t now_ns):
        """0 when it may be executed, else the reason (SP_TRAJECTORY_* in core/trajectory.h)."""
        return sp_trajectory_check(&self.active.path, joint_count, now_ns)
