from libc.stdint cimport int64_t, uint64_t

cdef extern from "histogram.h" nogil:
    ctypedef struct sp_histogram:
        uint64_t total
        int64_t max_ns
        double sum_ns
        uint64_t counts[1152]
    enum:
        SP_HISTOGRAM_BUCKETS
    void sp_histogram_reset(sp_histogram *) noexcept
    void sp_histogram_record(sp_histogram *, int64_t) noexcept
    void sp_histogram_record_late(sp_histogram *, int64_t, int64_t) noexcept
    int64_t sp_histogram_upper_edge_ns(int) noexcept
    int64_t sp_histogram_quantile_ns(const sp_histogram *, double) noexcept

cdef dict quantiles(const sp_histogram *histogram)
cdef object bucket_counts(const sp_histogram *histogram)
