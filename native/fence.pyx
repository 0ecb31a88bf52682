# cython: language_level=3
"""The fence of one arm: made from a description, read by the loop, asked by tests and people. See ``core/fence.h``."""

from collections import namedtuple

import numpy as np

from libc.string cimport memset

from spinal.native.limiter import between

MAX_LINKS = SP_FENCE_LINKS
MAX_JOINTS = SP_FENCE_JOINTS
MAX_CAPSULES = SP_FENCE_CAPSULES
MAX_BOXES = SP_FENCE_BOXES
MAX_PAIRS = SP_FENCE_PAIRS
WORKSPACE = SP_LIMITED_WORKSPACE
KEEP_OUT = SP_LIMITED_KEEP_OUT
SELF = SP_LIMITED_SELF

Link = namedtuple("Link", ["parent", "joint", "origin", "rotation", "axis"])
"""A frame: its parent (an earlier link, -1 the world), its joint (the robot's, -1 none), where it stands in its
parent at 0 rad (3 m; row-major 9), and the axis of its joint, of unit length."""
Capsule = namedtuple("Capsule", ["link", "start", "end", "radius"])
"""All points nearer than ``radius`` to a segment of a link's frame, m."""
Description = namedtuple("Description", ["links", "capsules", "workspace", "boxes", "pairs", "margin", "self_margin"])
"""What a fence is made from. ``workspace`` and each of ``boxes``: (low, high), m; the first may be None. ``pairs``:
(capsule, capsule) that must not meet. Margins in m."""


cdef sp_limits as_limits(limits) except *:
    low, high, velocity, acceleration, jerk = limits
    return sp_limits(low, high, velocity, acceleration, jerk)


cdef void put(double *where, values, int count) except *:
    if len(values) != count:
        raise ValueError(f"{count} numbers are wanted, not {len(values)}")
    for k in range(count):
        if not np.isfinite(values[k]):
            raise ValueError(f"not a finite number: {values[k]}")
        where[k] = values[k]


cdef class States:
    """Joints at [position, velocity, acceleration] rows."""

    cdef sp_limiter rows[64]
    cdef int count

    def __init__(self, rows):
        self.count = len(rows)
        if self.count > 64:
            raise ValueError(f"at most 64 joints, not {self.count}")
        for i, (position, velocity, acceleration) in enumerate(rows):
            self.rows[i] = sp_limiter(position, velocity, acceleration, sp_motion(position, velocity, acceleration))


cdef class Fence:
    """``description``: a Description for a robot of ``joint_count`` joints. ValueError where it cannot be kept.

    Thread contract: constant once made; it must outlive the loop that was given its ``address``.
    """

    cdef sp_fence fence
    cdef readonly int joint_count

    def __init__(self, description, int joint_count):
        cdef sp_fence *fence = &self.fence
        memset(fence, 0, sizeof(sp_fence))
        self.joint_count = joint_count
        room = (MAX_LINKS, MAX_CAPSULES, MAX_BOXES, MAX_PAIRS)
        rows = (description.links, description.capsules, description.boxes, description.pairs)
        for most, name, row in zip(room, ("links", "capsules", "boxes", "pairs"), rows):
            if len(row) > most:
                raise ValueError(f"a fence has at most {most} {name}, not {len(row)}")
        fence.link_count, fence.capsule_count, fence.box_count, fence.pair_count = map(len, rows)
        fence.margin, fence.self_margin = description.margin, description.self_margin
        fence.bounded = description.workspace is not None
        if fence.bounded:
            put(fence.workspace.low, description.workspace[0], 3)
            put(fence.workspace.high, description.workspace[1], 3)
        for i, (low, high) in enumerate(description.boxes):
            put(fence.boxes[i].low, low, 3)
            put(fence.boxes[i].high, high, 3)
        for i, link in enumerate(description.links):
            if not -1 <= link.parent < i or not -1 <= link.joint < joint_count:
                raise ValueError(f"link {i} hangs on link {link.parent} and joint {link.joint}")
            fence.links[i].parent, fence.links[i].joint = link.parent, link.joint
            put(fence.links[i].origin, link.origin, 3)
            put(fence.links[i].rotation, link.rotation, 9)
            put(fence.links[i].axis, link.axis, 3)
        for i, capsule in enumerate(description.capsules):
            if not 0 <= capsule.link < fence.link_count or not capsule.radius >= 0:
                raise ValueError(f"capsule {i} is on link {capsule.link} with radius {capsule.radius}")
            fence.capsules[i].link, fence.capsules[i].radius = capsule.link, capsule.radius
            put(fence.capsules[i].from_, capsule.start, 3)
            put(fence.capsules[i].to, capsule.end, 3)
        for i, (a, b) in enumerate(description.pairs):
            if not (0 <= a < fence.capsule_count and 0 <= b < fence.capsule_count):
                raise ValueError(f"pair {i} is of capsules {a} and {b}")
            fence.pairs[i][0], fence.pairs[i][1] = a, b
        sp_fence_prepare(fence)

    @property
    def address(self):
        """Of the ``sp_fence``, for a loop."""
        return <size_t>&self.fence

    def judge(self, before, next, limits, emergency, double dt_s):
        """Bits of what the brake after a step would touch; 0 for none.

        ``before``, ``next``: [position, velocity, acceleration] of each joint. ``limits``, ``emergency``: of each
        joint, as the limiter's.
        """
        cdef States here = self._states(before), there = self._states(next)
        cdef sp_limits normal[64]
        cdef sp_limits hard[64]
        self._take(normal, limits)
        self._take(hard, emergency)
        return sp_fence_judge(&self.fence, NULL, here.rows, there.rows, normal, hard, dt_s)

    def share(self, before, brake, step, limits, emergency, double dt_s):
        """How far from the brake's next state towards the step's the joints may go, 0 to 1."""
        cdef States here = self._states(before), braked = self._states(brake), stepped = self._states(step)
        cdef sp_limits normal[64]
        cdef sp_limits hard[64]
        self._take(normal, limits)
        self._take(hard, emergency)
        return sp_fence_share(&self.fence, NULL, here.rows, braked.rows, stepped.rows, normal, hard, dt_s)

    def keep(self, before, brake, step, limits, emergency, double dt_s):
        """What the loop does: the step's states, or those that the fence allows in their place, and the bits."""
        refused = self.judge(before, step, limits, emergency, dt_s)
        if not refused:
            return np.array(step, np.float64), 0
        share = self.share(before, brake, step, limits, emergency, dt_s)
        states = [between(*rows, share, dt_s) for rows in zip(before, brake, step)] if share else brake
        return np.array(states, np.float64), refused

    def poses(self, positions):
        """Where the links are at ``positions`` [joint]: origins [link, 3], rotations [link, 3, 3]."""
        cdef sp_pose poses[24]
        cdef double[::1] at = self._positions(positions)
        sp_fence_poses(&self.fence, &at[0], poses)
        origins = np.array([poses[i].origin for i in range(self.fence.link_count)]).reshape(-1, 3)
        rotations = np.array([poses[i].rotation for i in range(self.fence.link_count)]).reshape(-1, 3, 3)
        return origins, rotations

    def clearance(self, positions):
        """(workspace, keep-out, self): what is free beyond the margins at ``positions`` [joint], m; below 0 in touch.

        inf where there is nothing to touch.
        """
        cdef double least[3]
        cdef double[::1] at = self._positions(positions)
        sp_fence_clearance(&self.fence, &at[0], least)
        return least[0], least[1], least[2]

    def _positions(self, positions):
        at = np.ascontiguousarray(positions, np.float64)
        if at.shape != (self.joint_count,):
            raise ValueError(f"positions of {self.joint_count} joints are wanted, not {at.shape}")
        return at

    def _states(self, rows):
        if len(rows) != self.joint_count:
            raise ValueError(f"states of {self.joint_count} joints are wanted, not {len(rows)}")
        return States(rows)

    cdef void _take(self, sp_limits *where, rows) except *:
        if len(rows) != self.joint_count:
            raise ValueError(f"limits of {self.joint_count} joints are wanted, not {len(rows)}")
        for i, row in enumerate(rows):
            where[i] = as_limits(row)


cdef class Sweep:
    """Bounds of where one joint passes while it brakes; see ``core/sweep.h``."""

    cdef sp_sweep sweep

    def __init__(self, double before, state, limits, emergency, double dt_s):
        cdef sp_limits normal = as_limits(limits), hard = as_limits(emergency)
        cdef States joint = States([state])
        sp_sweep_begin(&self.sweep, before, &joint.rows[0], &normal, &hard, dt_s)

    @property
    def ticks(self):
        """Until the normal brake rests."""
        return self.sweep.ticks

    @property
    def turns(self):
        """Whether acceleration under way turns the joint round."""
        return bool(self.sweep.turns)

    def span(self, double first, double last):
        """(low, high) between two ticks, whatever brake it is."""
        cdef double low, high
        sp_sweep_span(&self.sweep, first, last, &low, &high)
        return low, high

    def at(self, int brake, double tick):
        """Where the normal (0) or the emergency brake (1) is after so many ticks."""
        return sp_sweep_at(&self.sweep, brake, tick)


def segment_box_distance(start, end, low, high):
    """Of a segment to an axis-aligned box, m; 0 or less where they meet."""
    cdef double numbers[12]
    cdef int i
    for i, point in enumerate((start, end, low, high)):
        put(numbers + 3 * i, point, 3)
    return sp_segment_box_distance(numbers, numbers + 3, numbers + 6, numbers + 9)


def segments_distance(a, b, c, d):
    """Of the segments a-b and c-d, m."""
    cdef double numbers[12]
    cdef int i
    for i, point in enumerate((a, b, c, d)):
        put(numbers + 3 * i, point, 3)
    return sp_segments_distance(numbers, numbers + 3, numbers + 6, numbers + 9)
