#include "floor.h"

#include "clock.h"

void sp_floor_run(int64_t start_ns, int64_t period_ns, int64_t ticks, const sp_realtime_request *request,
                  sp_histogram *late, sp_realtime_report *report)
{
    sp_realtime_enter(request, report);
    int64_t next_ns = start_ns;
    for (int64_t i = 0; i < ticks; i++) {
        sp_sleep_until_ns(next_ns);
        int64_t late_ns = sp_monotonic_ns() - next_ns;
        sp_histogram_record_late(late, late_ns, period_ns);
        next_ns += (late_ns / period_ns + 1) * period_ns;
    }
}
