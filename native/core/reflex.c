#include "reflex.h"

#include <string.h>

void sp_reflex_begin(sp_reflex *reflex)
{
    memset(reflex, 0, sizeof *reflex);
}

uint32_t sp_reflex_tick(sp_reflex *reflex, const sp_reflex_limits *limits, const sp_joint_sample *sample,
                        const sp_joint_health *health, const sp_limiter *commanded, double dt_s, int64_t tick_ns,
                        int energised)
{
    (void)reflex, (void)limits, (void)sample, (void)health, (void)commanded, (void)dt_s, (void)tick_ns,
        (void)energised;
    return 0;
}
