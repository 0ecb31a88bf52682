/* The fence: where the arm may be. Workspace box, keep-out boxes, and the arm's own links, from a simple kinematic
 * description, judged over the braking path: a step is allowed only when the brake that would follow it stays clear.
 * So from a clear pose the arm can always come to rest in clear poses.
 *
 * Why native: it stands in the tick, before a step is committed.
 *
 * Thread contract: pure functions of their arguments; the description is constant while a loop runs.
 */
#ifndef SPINAL_FENCE_H
#define SPINAL_FENCE_H

#include "limiter.h"

#include <stdint.h>

#define SP_FENCE_JOINTS 16
#define SP_FENCE_CAPSULES 24
#define SP_FENCE_BOXES 16
#define SP_FENCE_PAIRS 128

typedef struct sp_fence sp_fence;

/* Whether the joints may step from `before` to `next` (both in the robot file's order): 0, or the bits of what the
 * brake after that step would touch: SP_LIMITED_WORKSPACE, SP_LIMITED_KEEP_OUT, SP_LIMITED_SELF. An arm that stands
 * in touch already may leave: only what comes nearer is refused. `limits`, `emergency`: the brake may be either. */
uint32_t sp_fence_judge(const sp_fence *fence, const sp_limiter *before, const sp_limiter *next,
                        const sp_limits *limits, const sp_limits *emergency, double dt_s);

#endif
