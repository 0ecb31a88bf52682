#include "histogram.h"

#include <string.h>

enum { COUNTED_ONE_BY_ONE = 32 };

static int bucket_of(int64_t value_ns)
{
    if (value_ns < 0)
        value_ns = 0;
    uint64_t value = (uint64_t)value_ns;
    if (value < 64)
        return (int)value; /* the first two octaves are exact */
    int shift = 58 - __builtin_clzll(value); /* leaves 6 bits: 32 to 63 */
    int bucket = shift * 32 + (int)(value >> shift);
    return bucket < SP_HISTOGRAM_BUCKETS ? bucket : SP_HISTOGRAM_BUCKETS - 1;
}

int64_t sp_histogram_upper_edge_ns(int bucket)
{
    if (bucket < 64)
        return bucket;
    if (bucket == SP_HISTOGRAM_BUCKETS - 1)
        return INT64_MAX; /* whatever does not fit is counted there */
    int shift = bucket / 32 - 1;
    int64_t mantissa = bucket - shift * 32;
    return ((mantissa + 1) << shift) - 1;
}

void sp_histogram_reset(sp_histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
}

void sp_histogram_record(sp_histogram *histogram, int64_t value_ns)
{
    histogram->counts[bucket_of(value_ns)]++;
    histogram->total++;
    histogram->sum_ns += (double)value_ns;
    if (value_ns > histogram->max_ns)
        histogram->max_ns = value_ns;
}

void sp_histogram_record_late(sp_histogram *histogram, int64_t late_ns, int64_t period_ns)
{
    sp_histogram_record(histogram, late_ns);
    int64_t skipped = (late_ns - 1) / period_ns; /* slots that would have seen something, each a period less */
    if (skipped <= COUNTED_ONE_BY_ONE) {
        for (int64_t rest = late_ns - period_ns; rest > 0; rest -= period_ns)
            sp_histogram_record(histogram, rest);
        return;
    }
    /* After a day's stop these are millions. How many fall into each bucket is a division. */
    int64_t above = 0; /* of them, those larger than the bucket */
    for (int bucket = bucket_of(late_ns); bucket >= 0; bucket--) {
        int64_t below_ns = bucket ? sp_histogram_upper_edge_ns(bucket - 1) : 0;
        int64_t larger = (late_ns - below_ns - 1) / period_ns; /* than what lies below the bucket */
        histogram->counts[bucket] += (uint64_t)(larger - above);
        above = larger;
        if (above == skipped)
            break;
    }
    histogram->total += (uint64_t)skipped;
    histogram->sum_ns += (double)skipped * ((double)late_ns - (double)period_ns * (double)(skipped + 1) / 2);
}

int64_t sp_histogram_quantile_ns(const sp_histogram *histogram, double fraction)
{
    if (histogram->total == 0)
        return 0;
    double wanted = fraction * (double)histogram->total;
    uint64_t seen = 0;
    for (int bucket = 0; bucket < SP_HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->counts[bucket];
        if (seen > 0 && (double)seen >= wanted) {
            int64_t edge_ns = sp_histogram_upper_edge_ns(bucket);
            return edge_ns < histogram->max_ns ? edge_ns : histogram->max_ns;
        }
    }
    return histogram->max_ns;
}
