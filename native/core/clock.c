#include "clock.h"

#include <errno.h>
#include <stddef.h>
#include <time.h>

int64_t sp_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int sp_sleep_until_ns(int64_t deadline_ns)
{
    struct timespec until = {
        .tv_sec = deadline_ns / 1000000000,
        .tv_nsec = deadline_ns % 1000000000,
    };
    int failure;
    do {
        failure = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    } while (failure == EINTR);
    return -failure;
}

static int64_t monotonic_now(void *context)
{
    (void)context;
    return sp_monotonic_ns();
}

static int monotonic_sleep(void *context, int64_t deadline_ns)
{
    (void)context;
    return sp_sleep_until_ns(deadline_ns);
}

static int64_t manual_now(void *context)
{
    return ((sp_manual_clock *)context)->now_ns;
}

static int manual_sleep(void *context, int64_t deadline_ns)
{
    sp_manual_clock *clock = context;
    if (deadline_ns > clock->now_ns)
        clock->now_ns = deadline_ns;
    return 0;
}

sp_clock sp_clock_monotonic(void)
{
    return (sp_clock){.context = NULL, .now_ns = monotonic_now, .sleep_until = monotonic_sleep};
}

sp_clock sp_clock_manual(sp_manual_clock *clock)
{
    return (sp_clock){.context = clock, .now_ns = manual_now, .sleep_until = manual_sleep};
}
