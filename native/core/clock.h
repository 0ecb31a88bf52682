/* Time for the tick: a clock that reads and sleeps, real or manual.
 *
 * Why native: the hard loop must read time and sleep to an absolute instant without the
 * interpreter. All instants are CLOCK_MONOTONIC nanoseconds (`*_ns`); a manual clock counts the
 * same unit from wherever a test puts it.
 *
 * Thread contract: a real clock may be used from any thread. A manual clock belongs to one thread.
 */
#ifndef SPINAL_CLOCK_H
#define SPINAL_CLOCK_H

#include <stdint.h>

typedef struct sp_clock {
    void *context;
    int64_t (*now_ns)(void *context);
    /* Returns 0 once `deadline_ns` has come, or -errno. */
    int (*sleep_until)(void *context, int64_t deadline_ns);
} sp_clock;

typedef struct sp_manual_clock {
    int64_t now_ns;
} sp_manual_clock;

int64_t sp_monotonic_ns(void);
int sp_sleep_until_ns(int64_t deadline_ns);

sp_clock sp_clock_monotonic(void);
/* Sleeping moves a manual clock to the deadline; it never goes back. */
sp_clock sp_clock_manual(sp_manual_clock *clock);

#endif
