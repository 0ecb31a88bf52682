#include "floor.h"

#include "clock.h"

void sp_floor_run(sp_floor *floor)
{
    sp_realtime_enter(&floor->realtime, &floor->report);
    atomic_store(&floor->entered, 1);
    const int64_t period_ns = floor->period_ns;
    int64_t passed_ns = sp_monotonic_ns() - floor->start_ns;
    int64_t next_ns = floor->start_ns + (passed_ns > 0 ? (passed_ns / period_ns + 1) * period_ns : 0);
    while (!atomic_load_explicit(&floor->stop, memory_order_acquire)) {
        sp_sleep_until_ns(next_ns);
        int64_t late_ns = sp_monotonic_ns() - next_ns;
        sp_histogram_record_late(&floor->late, late_ns, period_ns);
        next_ns += (late_ns / period_ns + 1) * period_ns;
    }
}
