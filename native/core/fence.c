#include "fence.h"

uint32_t sp_fence_judge(const sp_fence *fence, const sp_limiter *before, const sp_limiter *next,
                        const sp_limits *limits, const sp_limits *emergency, double dt_s)
{
    (void)fence, (void)before, (void)next, (void)limits, (void)emergency, (void)dt_s;
    return 0;
}
