/* What an arm is in touch with when it begins: folded on its rest, sunk, or pushed there. To leave, it may have to come
 * nearer to one of them while it leaves another: so until it is clear of each for the first time, it may come
 * SP_FENCE_LEAVE_M deeper than it has been clear of it so far, and no further. Whoever drives it goes slowly.
 *
 * Thread contract: the tick's thread alone.
 */
#ifndef SPINAL_FENCE_LEAVE_H
#define SPINAL_FENCE_LEAVE_H

#include "fence.h"
#include "fence_pose.h"

#define SP_FENCE_LEAVE_M 0.01

struct sp_fence_leave {
    int count;                       /* barriers that are still to be left */
    double least[SP_FENCE_BARRIERS]; /* clearance that each may go down to, below 0; 0: it is left, or never touched */
};

/* `joints`: where each stands, in the robot file's order. */
void sp_fence_leave_begin(sp_fence_leave *leave, const sp_fence *fence, const sp_limiter *joints);
/* Once a tick while `count` is not 0. */
void sp_fence_leave_go_on(sp_fence_leave *leave, const sp_fence *fence, const sp_limiter *joints);

#endif
