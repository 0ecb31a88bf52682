/* The fence: where the arm may be. Workspace box, keep-out boxes, and the arm's own links, from a simple kinematic
 * description, judged over the braking path: a step is allowed only when whatever brake may follow it stays clear.
 * So from a clear pose the arm can always come to rest in clear poses.
 *
 * The braking path is bounded, not sampled: for a stretch of it each joint is somewhere in an interval (sweep.h), the
 * links stand at the intervals' middles, and every capsule is made larger by what it can move from there. A stretch
 * that is not clear as a whole is halved, SP_FENCE_HALVINGS times at most. So nothing passes the fence between two
 * instants, and the price is caution that shrinks with speed: at rest there is none.
 *
 * Why native: it stands in the tick, before a step is committed.
 *
 * Thread contract: pure functions of their arguments; the description is constant while a loop runs.
 */
#ifndef SPINAL_FENCE_H
#define SPINAL_FENCE_H

#include "kinematics.h"
#include "limiter.h"

#include <stdint.h>

#define SP_FENCE_LINKS 24
#define SP_FENCE_JOINTS 16
#define SP_FENCE_CAPSULES 24
#define SP_FENCE_BOXES 16
#define SP_FENCE_PAIRS 128
#define SP_FENCE_HALVINGS 3

typedef struct sp_capsule {
    int link;
    double from[3], to[3], radius; /* in the link's frame */
    uint32_t chain;                /* derived: the links whose joints move it, one bit each */
    double lever[SP_FENCE_LINKS];  /* derived: its greatest distance from each of them */
} sp_capsule;

typedef struct sp_box {
    double low[3], high[3];
} sp_box;

typedef struct sp_fence {
    int link_count, capsule_count, box_count, pair_count, bounded;
    double margin, self_margin; /* kept between capsules and boxes, and between capsules */
    sp_box workspace;           /* where `bounded` is 1 */
    sp_link links[SP_FENCE_LINKS];
    sp_capsule capsules[SP_FENCE_CAPSULES];
    sp_box boxes[SP_FENCE_BOXES];
    int pairs[SP_FENCE_PAIRS][2]; /* capsules that must not meet */
} sp_fence;

/* What an arm began in touch with: fence_leave.h. */
typedef struct sp_fence_leave sp_fence_leave;

/* Fills in what is derived. */
void sp_fence_prepare(sp_fence *fence);

/* Whether the joints may step from `before` to `next` (both in the robot file's order): 0, or the bits of what the
 * brake after that step would touch: SP_LIMITED_WORKSPACE, SP_LIMITED_KEEP_OUT, SP_LIMITED_SELF; all three when a
 * state is not finite. An arm that stands in touch already may leave: only what comes nearer is refused. `limits`,
 * `emergency`: the brake may be either, or begin as the first and go on as the second. `leave`: what it began in
 * touch with, or NULL. */
uint32_t sp_fence_judge(const sp_fence *fence, const sp_fence_leave *leave, const sp_limiter *before,
                        const sp_limiter *next, const sp_limits *limits, const sp_limits *emergency, double dt_s);

/* The greatest share of the way from the brake to a refused step that is allowed, 0 to 1; both from `before`. An arm
 * that is led against the fence comes in along the last path that still stops, and does not hop between the two. */
double sp_fence_share(const sp_fence *fence, const sp_fence_leave *leave, const sp_limiter *before,
                      const sp_limiter *brake, const sp_limiter *step, const sp_limits *limits,
                      const sp_limits *emergency, double dt_s);

#endif
