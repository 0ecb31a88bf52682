# cython: language_level=3
"""The floor of lateness on this machine: an empty native loop. See ``core/floor.h``."""

from libc.stdint cimport int64_t

from spinal.native.clock cimport sp_monotonic_ns
from spinal.native.histogram cimport quantiles, sp_histogram, sp_histogram_reset
from spinal.native.loop cimport sp_realtime_report, sp_realtime_request

cdef extern from "floor.h" nogil:
    void sp_floor_run(int64_t, int64_t, int64_t, const sp_realtime_request *, sp_histogram *,
                      sp_realtime_report *) noexcept


def run_floor(int64_t period_ns, int64_t ticks, int fifo_priority):
    """Runs it here for ``ticks`` periods, at SCHED_FIFO where granted; the calling thread keeps the priority.

    Returns quantiles of lateness in ns, and whether the priority was granted.
    """
    cdef sp_histogram late
    cdef sp_realtime_report report
    cdef sp_realtime_request request = sp_realtime_request(fifo_priority, 1, -1)
    sp_histogram_reset(&late)
    cdef int64_t start_ns = sp_monotonic_ns() + 20_000_000
    with nogil:
        sp_floor_run(start_ns, period_ns, ticks, &request, &late, &report)
    return quantiles(&late), report.fifo == 0
