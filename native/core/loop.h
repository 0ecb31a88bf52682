/* The hard loop: one native thread for a group of joints.
 *
 *     sleep -> read -> publish -> take the newest trajectory -> sample -> limit -> write -> record
 *
 * Why native: it never takes the interpreter's lock, allocates, logs, or blocks without a deadline. After
 * sp_loop_init it touches only memory that its owner gave it.
 *
 * Late: phase is kept, whole slots are skipped and counted, dt stays nominal, nothing bursts. After a skip the
 * trajectory is handed off again from the last command, so the arm does not jump to make up for lost time.
 *
 * Thread contract: sp_loop_run or sp_loop_tick from one thread. `stop` may be set from any.
 */
#ifndef SPINAL_LOOP_H
#define SPINAL_LOOP_H

#include "bus.h"
#include "clock.h"
#include "mailbox.h"
#include "modes.h"
#include "realtime.h"
#include "ring.h"
#include "segment.h"
#include "trajectory.h"

#define SP_MAX_ORDERS 4

typedef struct sp_loop_config {
    int64_t dt_ns;
    int64_t read_budget_ns;     /* for the replies of one cycle */
    int64_t joint_age_limit_ns; /* a joint that is silent for longer is a fault */
    int64_t missed_to_hold;     /* more skipped slots than this: hold, then plan again */
    int joint_count;
    int order_count;
    sp_joint_kind kinds[SP_MAX_JOINTS];
    sp_limits limits[SP_MAX_JOINTS];
    sp_limits emergency[SP_MAX_JOINTS];
    const sp_mailbox *orders[SP_MAX_ORDERS];
    const sp_mailbox *trajectories;
    sp_mailbox *state;
    sp_ring *records;
    const _Atomic uint64_t *record_tail;
    sp_loop_stats *stats;
    _Atomic int64_t *heartbeat_ns;
    sp_realtime_request realtime;
} sp_loop_config;

typedef struct sp_loop {
    sp_loop_config config;
    sp_clock clock;
    sp_bus bus;

    _Atomic int stop;
    sp_realtime_report realtime; /* valid once `entered` is 1 */
    _Atomic int entered;
    _Atomic int64_t thread_id;

    uint64_t tick;
    sp_mode mode;
    int armed;
    sp_joint_sample samples[SP_MAX_JOINTS];
    sp_limiter joints[SP_MAX_JOINTS];
    sp_active paths[2]; /* one in force, one to receive the next */
    int in_force;       /* index into paths; -1: none yet */
    int pending;        /* the other one holds a trajectory that was not taken yet */
    uint64_t trajectory_sequence;
    sp_state state;
    sp_tick_record record;
    int64_t first_minor_faults, first_major_faults;
} sp_loop;

void sp_loop_init(sp_loop *loop, const sp_loop_config *config, sp_clock clock, sp_bus bus);

/* One tick for the slot at `tick_ns`, after `skipped` slots that were missed. For lock-step and tests. */
void sp_loop_tick(sp_loop *loop, int64_t tick_ns, int64_t skipped);

/* Runs until `stop`: enters real time, then ticks from `start_ns` on. */
void sp_loop_run(sp_loop *loop, int64_t start_ns);

#endif
