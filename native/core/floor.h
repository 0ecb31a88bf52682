/* The floor that lateness is judged beside: an empty loop of the same rate and priority, doing nothing but
 * sleeping to its next slot.
 *
 * Why native: so that what it measures is the kernel and the machine, not an interpreter. After cyclictest.
 *
 * Thread contract: runs in the thread that calls it, until its time is over.
 */
#ifndef SPINAL_FLOOR_H
#define SPINAL_FLOOR_H

#include "histogram.h"
#include "realtime.h"

void sp_floor_run(int64_t start_ns, int64_t period_ns, int64_t ticks, const sp_realtime_request *request,
                  sp_histogram *late, sp_realtime_report *report);

#endif
