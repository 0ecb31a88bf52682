#include "fence_pose.h"

#include "distance.h"

#include <math.h>
#include <string.h>

enum { SIDES = SP_FENCE_SIDES, PLACES = SP_FENCE_PLACES };

void sp_fence_stand(const sp_fence *fence, sp_fence_figure *at, int link, double angle)
{
    const sp_link *one = &fence->links[link];
    int fixed = one->joint < 0;
    sp_link_pose(one, one->parent < 0 ? NULL : &at->poses[one->parent], fixed ? 1 : cos(angle),
                 fixed ? 0 : sin(angle), &at->poses[link]);
}

void sp_fence_place_capsules(const sp_fence *fence, sp_fence_figure *at)
{
    for (int i = 0; i < fence->capsule_count; i++) {
        const sp_capsule *capsule = &fence->capsules[i];
        sp_pose_point(&at->poses[capsule->link], capsule->from, at->ends[i][0]);
        sp_pose_point(&at->poses[capsule->link], capsule->to, at->ends[i][1]);
    }
}

double sp_fence_side_clearance(const sp_fence *fence, const sp_fence_figure *at, int capsule, int side)
{
    const double(*ends)[3] = at->ends[capsule];
    int axis = side % 3;
    double room = side < 3 ? fmin(ends[0][axis], ends[1][axis]) - fence->workspace.low[axis]
                           : fence->workspace.high[axis] - fmax(ends[0][axis], ends[1][axis]);
    return room - fence->capsules[capsule].radius - fence->margin;
}

double sp_fence_box_clearance(const sp_fence *fence, const sp_fence_figure *at, int capsule, const sp_box *box)
{
    return sp_segment_box_distance(at->ends[capsule][0], at->ends[capsule][1], box->low, box->high) -
           fence->capsules[capsule].radius - fence->margin;
}

double sp_fence_pair_clearance(const sp_fence *fence, const sp_fence_figure *at, int pair)
{
    int a = fence->pairs[pair][0], b = fence->pairs[pair][1];
    return sp_segments_distance(at->ends[a][0], at->ends[a][1], at->ends[b][0], at->ends[b][1]) -
           fence->capsules[a].radius - fence->capsules[b].radius - fence->self_margin;
}

double sp_fence_barrier_clearance(const sp_fence *fence, const sp_fence_figure *at, int barrier)
{
    int capsule = barrier / PLACES, place = barrier % PLACES;
    if (capsule >= SP_FENCE_CAPSULES)
        return sp_fence_pair_clearance(fence, at, barrier - SP_FENCE_CAPSULES * PLACES);
    return place < SIDES ? sp_fence_side_clearance(fence, at, capsule, place)
                         : sp_fence_box_clearance(fence, at, capsule, &fence->boxes[place - SIDES]);
}

void sp_fence_place_at(const sp_fence *fence, sp_fence_figure *at, const sp_limiter *joints)
{
    for (int i = 0; i < fence->link_count; i++) {
        int joint = fence->links[i].joint;
        sp_fence_stand(fence, at, i, joint < 0 ? 0 : joints[joint].position);
    }
    sp_fence_place_capsules(fence, at);
}

void sp_fence_poses(const sp_fence *fence, const double *positions, sp_pose *poses)
{
    sp_fence_figure at;
    for (int i = 0; i < fence->link_count; i++) {
        int joint = fence->links[i].joint;
        sp_fence_stand(fence, &at, i, joint < 0 ? 0 : positions[joint]);
    }
    memcpy(poses, at.poses, sizeof(sp_pose) * (size_t)fence->link_count);
}

void sp_fence_clearance(const sp_fence *fence, const double *positions, double clearance[3])
{
    sp_fence_figure at;
    sp_fence_poses(fence, positions, at.poses);
    sp_fence_place_capsules(fence, &at);
    for (int k = 0; k < 3; k++)
        clearance[k] = INFINITY;
    for (int i = 0; i < fence->capsule_count; i++) {
        if (!fence->capsules[i].chain)
            continue;
        for (int side = 0; side < SIDES && fence->bounded; side++)
            clearance[0] = fmin(clearance[0], sp_fence_side_clearance(fence, &at, i, side));
        for (int k = 0; k < fence->box_count; k++)
            clearance[1] = fmin(clearance[1], sp_fence_box_clearance(fence, &at, i, &fence->boxes[k]));
    }
    for (int k = 0; k < fence->pair_count; k++)
        clearance[2] = fmin(clearance[2], sp_fence_pair_clearance(fence, &at, k));
}
