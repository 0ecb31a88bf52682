# cython: language_level=3
"""What the parts of a tick cost by themselves, timed without an interpreter. See ``core/stopwatch.h``."""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free

import numpy as np

from spinal.native.shared cimport sp_mailbox_size
from spinal.native.trajectory cimport sp_active, sp_trajectory

cdef extern from "stopwatch.h" nogil:
    ctypedef enum sp_stopwatch_part:
        SP_STOPWATCH_PARTS
    ctypedef struct sp_stopwatch:
        uint64_t reasons
        sp_active active
        sp_active far
    int sp_stopwatch_init(sp_stopwatch *, int, int, double, void *) noexcept
    void sp_stopwatch_run(sp_stopwatch *, sp_stopwatch_part, int64_t, int, int64_t *, int64_t *) noexcept

PARTS = ("empty", "clock", "hand_off", "hand_off_far", "sample", "limit", "limit_at_stop", "record", "mailbox")
"""As in the C enum."""
if len(PARTS) != SP_STOPWATCH_PARTS:
    raise ImportError("the stopwatch's parts are not those of core/stopwatch.h")
MOST_CALLS = 100_000_000


cdef class Stopwatch:
    """A motion of ``joints`` arm joints (1 to 64) with ``waypoints`` (2 to 128) 20 ms apart, at ticks of ``dt_s``.

    Raises ValueError for what does not fit. Thread contract: one thread.
    """

    cdef sp_stopwatch *watch
    cdef void *box

    def __cinit__(self, int joints, int waypoints=51, double dt_s=0.001):
        self.watch = <sp_stopwatch *>calloc(1, sizeof(sp_stopwatch))
        self.box = calloc(1, sp_mailbox_size(sizeof(sp_trajectory), 4))
        if self.watch == NULL or self.box == NULL:
            raise MemoryError()
        if sp_stopwatch_init(self.watch, joints, waypoints, dt_s, self.box):
            raise ValueError(f"{joints} joints, {waypoints} waypoints and a tick of {dt_s} s are no motion")

    def __dealloc__(self):
        free(self.watch)
        free(self.box)

    def time(self, str part, int64_t repeats, int batches):
        """ns a call, [batch]: of ``part`` (one of PARTS), and of an empty call timed right behind each batch.

        The interpreter's lock is free meanwhile. Raises ValueError for a part that is none, or for no calls.
        """
        if part not in PARTS:
            raise ValueError(f"{part} is none of: {', '.join(PARTS)}")
        if repeats < 1 or batches < 1 or repeats > MOST_CALLS // batches:
            raise ValueError(f"{batches} batches of {repeats} calls: 1 to {MOST_CALLS} in all")
        part_ns, empty_ns = np.empty(batches, np.int64), np.empty(batches, np.int64)
        cdef int64_t[::1] ours = part_ns, floor = empty_ns
        cdef int number = PARTS.index(part)
        with nogil:
            sp_stopwatch_run(self.watch, <sp_stopwatch_part>number, repeats, batches, &ours[0], &floor[0])
        return part_ns / repeats, empty_ns / repeats

    @property
    def limited(self):
        """How many steps of the motion that is to pass unchanged did not."""
        return self.watch.reasons

    @property
    def blends_ns(self):
        """The blend that was found for the near mismatch, and for the far one: there the longest."""
        return self.watch.active.blend_ns, self.watch.far.blend_ns
