#include "fence_leave.h"

#include <math.h>
#include <string.h>

enum { SIDES = SP_FENCE_SIDES, PLACES = SP_FENCE_PLACES, BARRIERS = SP_FENCE_BARRIERS };

/* Whether the description has this barrier at all. */
static int is_barrier(const sp_fence *fence, int barrier)
{
    int capsule = barrier / PLACES, place = barrier % PLACES;
    if (capsule >= SP_FENCE_CAPSULES)
        return barrier - SP_FENCE_CAPSULES * PLACES < fence->pair_count;
    if (capsule >= fence->capsule_count || !fence->capsules[capsule].chain)
        return 0;
    return place < SIDES ? fence->bounded : place - SIDES < fence->box_count;
}

void sp_fence_leave_begin(sp_fence_leave *leave, const sp_fence *fence, const sp_limiter *joints)
{
    sp_fence_figure at;
    memset(leave, 0, sizeof *leave);
    sp_fence_place_at(fence, &at, joints);
    for (int barrier = 0; barrier < BARRIERS; barrier++) {
        if (!is_barrier(fence, barrier))
            continue;
        double now = sp_fence_barrier_clearance(fence, &at, barrier);
        if (now >= 2 * SP_FENCE_RESERVE_M)
            continue;
        leave->least[barrier] = fmin(now, 0) - SP_FENCE_LEAVE_M;
        leave->count++;
    }
}

void sp_fence_leave_go_on(sp_fence_leave *leave, const sp_fence *fence, const sp_limiter *joints)
{
    sp_fence_figure at;
    if (!leave->count)
        return;
    sp_fence_place_at(fence, &at, joints);
    for (int barrier = 0; barrier < BARRIERS; barrier++) {
        if (leave->least[barrier] >= 0)
            continue;
        double now = sp_fence_barrier_clearance(fence, &at, barrier);
        if (now >= 2 * SP_FENCE_RESERVE_M) {
            leave->least[barrier] = 0;
            leave->count--;
        } else {
            leave->least[barrier] = fmax(leave->least[barrier], fmin(now, 0) - SP_FENCE_LEAVE_M);
        }
    }
}
