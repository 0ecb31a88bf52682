/* The head of a shared mapping, and what the controller publishes in it.
 *
 * One mapping has one writer; everybody else maps it read-only. Its size never changes after it is made. A
 * writer that is restarted maps the same memory again, raises `epoch` and goes on: readers need no new
 * descriptor, and mailbox numbers never run backwards.
 */
#ifndef SPINAL_SEGMENT_H
#define SPINAL_SEGMENT_H

#include "bus.h"
#include "histogram.h"
#include "modes.h"
#include "trajectory.h"

#include <stdatomic.h>
#include <stdint.h>

#define SP_SEGMENT_MAGIC 0x314c4e4950530aULL
#define SP_SEGMENT_VERSION 5
#define SP_SEGMENT_PARTS 8

typedef struct sp_segment {
    uint64_t magic;
    uint64_t layout_hash; /* of every struct that crosses a process border */
    uint32_t version;
    uint32_t part_count;
    uint64_t bytes;
    uint64_t part_offset[SP_SEGMENT_PARTS];
    uint64_t part_bytes[SP_SEGMENT_PARTS];
    _Atomic uint64_t epoch; /* rises with each writer; 0: no writer yet */
    _Atomic int64_t heartbeat_ns;
    _Atomic int64_t writer_pid;
} sp_segment;

typedef struct sp_joint_state {
    sp_joint_sample measured;
    sp_motion commanded; /* for command_ns */
} sp_joint_state;

/* Published in each tick, after the read: what was measured now and commanded last. */
typedef struct sp_state {
    uint64_t tick;
    int64_t tick_ns;    /* the tick's scheduled instant */
    int64_t command_ns; /* the instant that the commanded motion belongs to */
    int64_t mode;
    uint64_t conditions;
    uint64_t trajectory_id; /* in force, and what it answers */
    int64_t observation_stamp_ns;
    int64_t in_force_ns; /* the tick that took it */
    int64_t blend_end_ns; /* when its mismatch at the switch has decayed */
    int64_t at_rest; /* 1: every arm joint's command stands still */
    int64_t rung;    /* sp_rung, and since when */
    int64_t rung_ns;
    uint64_t latched;   /* conditions that stay until a new arming */
    int64_t energised;  /* 1: torque is on by our hand */
    double speed_scale; /* share of the velocity limits in force */
    int64_t joint_count;
    sp_joint_state joints[SP_MAX_JOINTS];
} sp_state;

/* What was commanded last, published right before it is written: whoever must take over goes on from here. */
typedef struct sp_command {
    uint64_t tick;
    int64_t tick_ns;
    int64_t mode;
    int64_t energised;
    int64_t joint_count;
    sp_limiter joints[SP_MAX_JOINTS];
} sp_command;

/* What the motors say about themselves, a few times a second. */
typedef struct sp_health {
    uint64_t tick;
    int64_t tick_ns;
    int64_t joint_count;
    sp_joint_health joints[SP_MAX_JOINTS];
} sp_health;

/* A change of mode, with what caused it. A mailbox of these is a short history. */
typedef struct sp_transition {
    uint64_t tick;
    int64_t tick_ns;
    int64_t edge;        /* sp_edge_at */
    int64_t from, to;    /* sp_mode */
    uint64_t conditions; /* in force at that tick */
    uint64_t risen;      /* those that were not in the tick before: the cause */
    int64_t joint;       /* the first joint that one of them is about; -1: none */
} sp_transition;

typedef struct sp_joint_record {
    double measured;
    double requested;
    double applied;
    uint64_t limited; /* SP_LIMITED_* */
} sp_joint_record;

/* One tick, for recorders and for measuring reaction. */
typedef struct sp_tick_record {
    uint64_t tick;
    int64_t tick_ns;
    int64_t woke_ns;
    int64_t read_ns;
    int64_t planned_ns;  /* state published, mode judged, a new trajectory handed off */
    int64_t computed_ns; /* sampled and limited */
    int64_t written_ns;
    int64_t mode;
    uint64_t conditions;
    uint64_t trajectory_id;
    int64_t observation_stamp_ns;
    int64_t sensor_stamp_ns;
    int64_t switched; /* 1: a trajectory was taken in this tick */
    int64_t joint_count;
    sp_joint_record joints[SP_MAX_JOINTS];
} sp_tick_record;

/* Counters and histograms since the controller's start. */
typedef struct sp_loop_stats {
    uint64_t ticks;
    uint64_t skipped_slots;
    uint64_t running_ticks;
    uint64_t limited_ticks;
    uint64_t starved_ticks;
    uint64_t fenced_ticks; /* the fence kept a step from being taken */
    uint64_t rung_ticks[SP_RUNG_COUNT];
    uint64_t risen[SP_CONDITION_COUNT]; /* how often each condition came up */
    uint64_t switches;
    uint64_t verdicts[5]; /* on received trajectories, by SP_TRAJECTORY_* */
    uint64_t holds;
    uint64_t minor_faults; /* of the loop's thread, since its first tick */
    uint64_t major_faults;
    sp_bus_counts bus;
    double seam_position; /* greatest relative jump at a switch */
    double seam_velocity;
    double seam_acceleration;
    double jerk_square_sum; /* of the commanded arm joints while running, third difference */
    uint64_t jerk_count;
    sp_histogram late;      /* wake-up against the scheduled instant */
    sp_histogram bus_cycle; /* read and write together */
    sp_histogram compute;   /* hand-off, sampling, limits */
    sp_histogram age;       /* of the observation that the trajectory in force answers, each running tick */
    sp_histogram blend;     /* blend time of each switch */
} sp_loop_stats;

uint64_t sp_layout_hash(void);

#endif
