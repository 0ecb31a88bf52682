/* The arm at one pose, and how far it is clear of each barrier there.
 *
 * A barrier is between a capsule and a side of the workspace, between a capsule and a box, or between two capsules;
 * they are numbered in that order, capsule by capsule, the pairs last.
 *
 * Thread contract: pure functions of their arguments.
 */
#ifndef SPINAL_FENCE_POSE_H
#define SPINAL_FENCE_POSE_H

#include "fence.h"

#define SP_FENCE_SIDES 6
#define SP_FENCE_PLACES (SP_FENCE_SIDES + SP_FENCE_BOXES)
#define SP_FENCE_BARRIERS (SP_FENCE_CAPSULES * SP_FENCE_PLACES + SP_FENCE_PAIRS)
/* Commands end so much before a margin, so that an arm that stands there still has room to leave by a path that is
 * bounded with caution. */
#define SP_FENCE_RESERVE_M 0.00025

typedef struct sp_fence_figure {
    sp_pose poses[SP_FENCE_LINKS];
    double ends[SP_FENCE_CAPSULES][2][3];
} sp_fence_figure;

/* One link at its joint's angle; parents come first. Then the capsules of all of them. */
void sp_fence_stand(const sp_fence *fence, sp_fence_figure *at, int link, double angle);
void sp_fence_place_capsules(const sp_fence *fence, sp_fence_figure *at);
/* Both, with each joint where it is commanded. */
void sp_fence_place_at(const sp_fence *fence, sp_fence_figure *at, const sp_limiter *joints);

/* Clearance beyond the margins, in m: negative in touch. Sides: the three low ones, then the high ones. */
double sp_fence_side_clearance(const sp_fence *fence, const sp_fence_figure *at, int capsule, int side);
double sp_fence_box_clearance(const sp_fence *fence, const sp_fence_figure *at, int capsule, const sp_box *box);
double sp_fence_pair_clearance(const sp_fence *fence, const sp_fence_figure *at, int pair);
double sp_fence_barrier_clearance(const sp_fence *fence, const sp_fence_figure *at, int barrier);

/* For people and tests: poses[link_count] with each joint at positions[joint]; and the least clearance beyond the
 * margins of that one pose to workspace, boxes and itself, in m, INFINITY where there is nothing to touch. */
void sp_fence_poses(const sp_fence *fence, const double *positions, sp_pose *poses);
void sp_fence_clearance(const sp_fence *fence, const double *positions, double clearance[3]);

#endif
