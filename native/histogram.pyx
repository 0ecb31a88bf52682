# cython: language_level=3
"""Histograms of durations with fixed memory, correct under coordinated omission. See ``core/histogram.h``."""

from libc.stdint cimport int64_t, uint64_t

import numpy as np

UPPER_EDGES_NS = np.array([sp_histogram_upper_edge_ns(bucket) for bucket in range(SP_HISTOGRAM_BUCKETS)], np.float64)
"""The largest value of each bucket; whatever is larger than the last but one is counted in the last."""
UPPER_EDGES_NS[-1] = np.inf
UPPER_EDGES_NS.flags.writeable = False


cdef object bucket_counts(const sp_histogram *histogram):
    taken = np.empty(SP_HISTOGRAM_BUCKETS, np.uint64)
    cdef uint64_t[::1] view = taken
    cdef int bucket
    for bucket in range(SP_HISTOGRAM_BUCKETS):
        view[bucket] = histogram.counts[bucket]
    return taken


cdef dict quantiles(const sp_histogram *histogram):
    return {
        "p50": sp_histogram_quantile_ns(histogram, 0.5),
        "p90": sp_histogram_quantile_ns(histogram, 0.9),
        "p99": sp_histogram_quantile_ns(histogram, 0.99),
        "p999": sp_histogram_quantile_ns(histogram, 0.999),
        "max": histogram.max_ns,
        "n": histogram.total,
    }


cdef class Histogram:
    """Durations in ns, each known to 3 %."""

    cdef sp_histogram histogram

    def record(self, int64_t value_ns):
        """Adds one duration; a negative one counts as 0."""
        sp_histogram_record(&self.histogram, value_ns)

    def record_late(self, int64_t late_ns, int64_t period_ns):
        """Adds a lateness, and what each slot that it skipped would have seen."""
        sp_histogram_record_late(&self.histogram, late_ns, period_ns)

    def quantile_ns(self, double fraction):
        """The value that ``fraction`` (0 to 1) of the records do not pass; 0 when empty."""
        return sp_histogram_quantile_ns(&self.histogram, fraction)

    def summary(self):
        """p50, p90, p99, p999, max in ns and the count n."""
        return quantiles(&self.histogram)

    def counts(self):
        """How many records each bucket has."""
        return bucket_counts(&self.histogram)

    def reset(self):
        sp_histogram_reset(&self.histogram)

    @property
    def total(self):
        return self.histogram.total

    @property
    def max_ns(self):
        return self.histogram.max_ns
