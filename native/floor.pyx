# cython: language_level=3
"""The floor of lateness on this machine: an empty native loop. See ``core/floor.h``."""

from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from spinal.native.clock cimport sp_monotonic_ns
from spinal.native.histogram cimport bucket_counts, quantiles, sp_histogram
from spinal.native.loop cimport sp_realtime_report, sp_realtime_request

import os
import time

cdef extern from *:
    """
    #include "floor.h"
    #include <pthread.h>

    static void *sp_floor_main(void *argument)
    {
        sp_floor_run(argument);
        return NULL;
    }
    static int sp_floor_start(sp_floor *floor, pthread_t *thread)
    {
        atomic_store(&floor->stop, 0);
        atomic_store(&floor->entered, 0);
        return pthread_create(thread, NULL, sp_floor_main, floor);
    }
    static void sp_floor_end(sp_floor *floor, pthread_t thread)
    {
        atomic_store(&floor->stop, 1);
        pthread_join(thread, NULL);
    }
    static int sp_floor_entered(sp_floor *floor) { return atomic_load(&floor->entered); }
    """
    ctypedef struct pthread_t:
        pass
    ctypedef struct sp_floor:
        int64_t start_ns
        int64_t period_ns
        sp_realtime_request realtime
        sp_realtime_report report
        sp_histogram late
    int sp_floor_start(sp_floor *, pthread_t *) nogil
    void sp_floor_end(sp_floor *, pthread_t) noexcept nogil
    int sp_floor_entered(sp_floor *) noexcept nogil

ENTER_LIMIT_S = 5.0


cdef class Floor:
    """An empty loop of ``period_ns`` on a thread of its own, at SCHED_FIFO ``fifo_priority`` where granted (0: not).

    Thread contract: one thread makes, starts and stops it; the figures may be read while it runs.
    """

    cdef sp_floor *floor
    cdef pthread_t thread
    cdef bint running

    def __cinit__(self, int64_t period_ns, int fifo_priority=0, bint lock_memory=False):
        if period_ns <= 0:
            raise ValueError(f"a period of {period_ns} ns")
        self.floor = <sp_floor *>calloc(1, sizeof(sp_floor))
        if self.floor == NULL:
            raise MemoryError()
        self.floor.period_ns = period_ns
        self.floor.realtime = sp_realtime_request(fifo_priority, lock_memory, -1)

    def __dealloc__(self):
        self.stop()
        free(self.floor)

    def start(self, start_ns=None):
        """Starts the thread; its first slot is at ``start_ns`` (CLOCK_MONOTONIC), or soon."""
        if self.running:
            raise RuntimeError("the floor runs already")
        self.floor.start_ns = sp_monotonic_ns() + 2_000_000 if start_ns is None else start_ns
        failure = sp_floor_start(self.floor, &self.thread)
        if failure:
            raise OSError(failure, "the floor's thread could not be made")
        self.running = True
        deadline = time.monotonic() + ENTER_LIMIT_S
        while not sp_floor_entered(self.floor):
            if time.monotonic() > deadline:
                raise TimeoutError("the floor's thread did not start")
            time.sleep(0.0005)

    def stop(self):
        """Ends the thread after its slot."""
        if self.running:
            with nogil:
                sp_floor_end(self.floor, self.thread)
            self.running = False

    @property
    def fifo(self):
        """None: SCHED_FIFO was granted; else why not, in words."""
        cdef int code = self.floor.report.fifo
        return {0: None, -1: "not asked"}.get(code, os.strerror(code) if code > 0 else "")

    def counts(self):
        """How late it woke, by bucket of ``histogram.UPPER_EDGES_NS``."""
        return bucket_counts(&self.floor.late)

    def summary(self):
        """p50, p90, p99, p999, max of its lateness in ns, and the count n."""
        return quantiles(&self.floor.late)
