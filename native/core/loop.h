/* The hard loop: one native thread for a group of joints.
 *
 *     sleep -> read -> publish -> judge -> take the newest trajectory -> sample -> limit -> fence -> write -> record
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
#include "fence_leave.h"
#include "mailbox.h"
#include "modes.h"
#include "realtime.h"
#include "reflex.h"
#include "ring.h"
#include "segment.h"
#include "trajectory.h"

#include <stdatomic.h>

#define SP_MAX_ORDERS 4
#define SP_MAX_STOP_LINES 8

typedef struct sp_loop_config {
    int64_t dt_ns;
    int64_t read_budget_ns;     /* for the replies of one cycle */
    int64_t joint_age_limit_ns; /* a joint that is silent for longer is a fault */
    int64_t missed_to_hold;     /* more skipped slots than this: hold, then plan again */
    int64_t tail_limit_ns;      /* the tail of a chunk is not followed beyond this age of its observation */
    int64_t let_go_after_ns;    /* standing in hold for longer: torque fades; 0: never */
    int64_t fade_ns;            /* how long torque takes to fade */
    int64_t self_test_ticks;    /* so many in a row must be whole before the arm is armed; 0: no test */
    double arming_speed;        /* share of the velocity limit; a joint that moves faster is not armed */
    double ease_travel;         /* rad: a trajectory that begins further from the command is eased into, */
    double ease_speed;          /* at this share of the velocity limits, until the command has caught up */
    int joint_count;
    int order_count;
    sp_joint_kind kinds[SP_MAX_JOINTS];
    sp_limits limits[SP_MAX_JOINTS];
    sp_limits emergency[SP_MAX_JOINTS];
    sp_reflex_limits reflexes[SP_MAX_JOINTS];
    double grips[SP_MAX_JOINTS]; /* where a gripper's command begins that has held on; NaN: where it stands */
    const sp_fence *fence; /* NULL: none */
    /* Emergency stops: the instant at which each was pressed, 0 while it is not. */
    int stop_line_count;
    const _Atomic int64_t *stop_lines[SP_MAX_STOP_LINES];
    const sp_mailbox *orders[SP_MAX_ORDERS];
    const sp_mailbox *trajectories;
    sp_mailbox *state;
    sp_mailbox *commands;    /* sp_command; NULL: nobody guards */
    sp_mailbox *transitions; /* sp_transition; NULL: nobody reads them */
    sp_mailbox *healths;     /* sp_health; NULL: nobody reads them */
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
    _Atomic int hold; /* 1: whoever owns the loop asks for a hold */
    sp_realtime_report realtime; /* valid once `entered` is 1 */
    _Atomic int entered;
    _Atomic int64_t thread_id;

    uint64_t tick;
    sp_mode mode;
    int armed;
    int energised;      /* torque was switched on, and has not been let go */
    int64_t tested;     /* whole ticks in a row */
    uint32_t conditions, latched;
    int64_t lost_ns;    /* since when the line fails; 0: it does not */
    int64_t rest_ns;    /* since when it stands in hold or stopped; 0: it does not */
    int64_t energised_ns;
    int64_t fade_start_ns; /* 0: torque does not fade */
    int64_t fade_step_ns;  /* its next step */
    sp_fence_leave leave; /* what the arm was in touch with when it was armed */
    int easing;
    int64_t ease_ns; /* when it was last too far */
    double speed_scale;
    sp_limits scaled[SP_MAX_JOINTS]; /* limits at the speed scale */
    sp_reflex reflexes[SP_MAX_JOINTS];
    uint8_t missed[SP_MAX_JOINTS]; /* 1: was silent for too long, and may not have heard what was commanded */
    double heard[SP_MAX_JOINTS];   /* its command when it last answered */
    uint8_t anew[SP_MAX_JOINTS];   /* 1: begins anew in this tick */
    int culprit;        /* the first joint that a condition is about; -1: none */
    sp_command command;
    sp_health health;
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
