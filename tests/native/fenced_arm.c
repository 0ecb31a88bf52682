/* An arm behind limiter and fence, as the loop drives it, many ticks a call: the tests' own copy of that dozen lines,
 * so that a hundred thousand ticks take a second. */
#include "fence_leave.h"

#include <string.h>

enum { JOINTS = 16, RUN, HOLD };

static void drive(const sp_fence *fence, const sp_fence_leave *leave, int joints, const sp_limits *limits, const sp_limits *emergency, double dt,
                  int order, const sp_motion *request, sp_limiter *at, uint32_t *bits)
{
    const sp_limits *in_force = order == RUN || order == HOLD ? limits : emergency;
    sp_limiter before[JOINTS], step[JOINTS];
    memcpy(before, at, sizeof *at * (size_t)joints);
    memcpy(step, at, sizeof *at * (size_t)joints);
    for (int i = 0; i < joints; i++) {
        sp_limiter_brake_or_return(&at[i], &in_force[i], &emergency[i], dt);
        sp_limiter_step_or_return(&step[i], &limits[i], &emergency[i], dt, &request[i]);
    }
    *bits = order == RUN ? sp_fence_judge(fence, leave, before, step, limits, emergency, dt) : 0;
    if (order == RUN && *bits == 0)
        memcpy(at, step, sizeof *at * (size_t)joints);
    double share = *bits ? sp_fence_share(fence, leave, before, at, step, limits, emergency, dt) : 0;
    for (int i = 0; i < joints && share > 0; i++)
        at[i] = sp_limiter_between(&before[i], &at[i], &step[i], share, dt);
}

/* `leaves`: what it begins in touch with it may leave by whatever way; `count`[ticks]: how much is still to be left.
 * requests[ticks][joints], orders[ticks], states[ticks][joints][3] of position, velocity, acceleration. */
void follow(const sp_fence *fence, int joints, const sp_limits *limits, const sp_limits *emergency, double dt,
            int ticks, const int32_t *orders, const sp_motion *requests, const double *start, double *states,
            uint32_t *bits, int leaves, int32_t *count)
{
    sp_limiter at[JOINTS];
    sp_fence_leave leave;
    for (int i = 0; i < joints; i++)
        sp_limiter_rest(&at[i], start[i]);
    sp_fence_leave_begin(&leave, fence, at);
    for (int k = 0; k < ticks; k++) {
        drive(fence, leaves ? &leave : NULL, joints, limits, emergency, dt, orders[k] + RUN, requests + k * joints, at, bits + k);
        sp_fence_leave_go_on(&leave, fence, at);
        count[k] = leave.count;
        for (int i = 0; i < joints; i++, states += 3)
            states[0] = at[i].position, states[1] = at[i].velocity, states[2] = at[i].acceleration;
    }
}

/* Nanoseconds are the caller's to count. */
uint32_t judge_often(const sp_fence *fence, const sp_limiter *before, const sp_limiter *next, const sp_limits *limits,
                     const sp_limits *emergency, double dt, int count)
{
    uint32_t bits = 0;
    for (int i = 0; i < count; i++)
        bits |= sp_fence_judge(fence, NULL, before, next, limits, emergency, dt);
    return bits;
}
