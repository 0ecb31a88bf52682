/* A histogram of durations with fixed memory: 32 linear buckets in each power of two, so a value is
 * known to 3 %, from 1 ns to 18 minutes.
 *
 * Why native: the tick records into it without allocation (2 ns a record). After HdrHistogram
 * (http://hdrhistogram.org); that library is not used because it allocates and locks.
 *
 * Coordinated omission: `sp_histogram_record_late` counts a lateness against its scheduled instant and,
 * when whole slots were skipped, also what each skipped slot would have seen.
 *
 * Thread contract: one writer. Readers in other processes see each count whole but not all of one instant.
 */
#ifndef SPINAL_HISTOGRAM_H
#define SPINAL_HISTOGRAM_H

#include <stdint.h>

#define SP_HISTOGRAM_BUCKETS 1152 /* 36 octaves of 32 */

typedef struct sp_histogram {
    uint64_t total;
    int64_t max_ns;
    double sum_ns;
    uint64_t counts[SP_HISTOGRAM_BUCKETS];
} sp_histogram;

void sp_histogram_reset(sp_histogram *histogram);
void sp_histogram_record(sp_histogram *histogram, int64_t value_ns);
void sp_histogram_record_late(sp_histogram *histogram, int64_t late_ns, int64_t period_ns);
/* The largest value of a bucket; INT64_MAX for the last. */
int64_t sp_histogram_upper_edge_ns(int bucket);
/* The smallest value that `fraction` (0 to 1) of the records do not pass; 0 when empty. */
int64_t sp_histogram_quantile_ns(const sp_histogram *histogram, double fraction);

#endif
