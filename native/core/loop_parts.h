/* The parts of one tick, each in its own file: judging (loop_judge.c), planning (loop_plan.c), commanding
 * (loop_command.c). loop.c calls them in their order and publishes what came of it.
 *
 * Thread contract: the tick's thread alone.
 */
#ifndef SPINAL_LOOP_PARTS_H
#define SPINAL_LOOP_PARTS_H

#include "loop.h"

/* judging: what is missing or wrong, and the mode that follows ----------------------------------------- */

/* Looks at the measured pose, and begins commands there when the arm may be armed. */
void sp_loop_arm(sp_loop *loop);
/* Counts whole ticks in a row, for the self-test. */
void sp_loop_test_itself(sp_loop *loop, int64_t skipped);
void sp_loop_scale(sp_loop *loop, double scale);
uint32_t sp_loop_judge(sp_loop *loop, int64_t tick_ns, int64_t skipped);
void sp_loop_change_mode(sp_loop *loop, int64_t tick_ns, uint32_t conditions);

/* planning: which trajectory is in force ---------------------------------------------------------------- */

void sp_loop_receive(sp_loop *loop, int64_t tick_ns);
void sp_loop_take(sp_loop *loop, int64_t tick_ns, int again);
void sp_loop_ease(sp_loop *loop, int64_t tick_ns, int begins);

/* commanding: sample, limit, fence, write ---------------------------------------------------------------- */

void sp_loop_command_joints(sp_loop *loop, int64_t tick_ns);
void sp_loop_command_bus(sp_loop *loop, int64_t tick_ns);
void sp_loop_take_rung(sp_loop *loop, int64_t tick_ns);

/* what all of them ask ------------------------------------------------------------------------------------ */

static inline int64_t sp_loop_now(const sp_loop *loop)
{
    return loop->clock.now_ns(loop->clock.context);
}

/* The trajectory in force; NULL before the first. */
static inline sp_active *sp_loop_active(sp_loop *loop)
{
    return loop->in_force < 0 ? NULL : &loop->paths[loop->in_force];
}

/* Whether every arm joint's command stands still. */
int sp_loop_at_rest(const sp_loop *loop);

#endif
