/* The floor that lateness is judged beside: an empty loop of the same rate and priority, doing nothing but
 * sleeping to its next slot.
 *
 * Why native: so that what it measures is the kernel and the machine, not an interpreter. After cyclictest.
 *
 * Thread contract: sp_floor_run in a thread of its own; `stop` may be set from any, `late` be read by any.
 */
#ifndef SPINAL_FLOOR_H
#define SPINAL_FLOOR_H

#include "histogram.h"
#include "realtime.h"

#include <stdatomic.h>

typedef struct sp_floor {
    int64_t start_ns; /* its first slot */
    int64_t period_ns;
    sp_realtime_request realtime;
    _Atomic int stop;
    _Atomic int entered; /* 1: `report` is valid */
    sp_realtime_report report;
    sp_histogram late;
} sp_floor;

/* Runs until `stop`. */
void sp_floor_run(sp_floor *floor);

#endif
