/* What the parts of a tick cost by themselves: each called many times over between two readings of the clock.
 *
 * Why native: they take tens of nanoseconds to some microseconds; a call from an interpreter costs as much. Every
 * batch has a batch of empty calls behind it, through the same pointer: the floor of what can be told.
 *
 * The caches are warm here. What a part costs inside a loop that sleeps between its ticks is in the tick's record.
 *
 * Thread contract: one thread.
 */
#ifndef SPINAL_STOPWATCH_H
#define SPINAL_STOPWATCH_H

#include "histogram.h"
#include "mailbox.h"
#include "trajectory.h"

enum { SP_STOPWATCH_WAVE = 256 }; /* ticks of one turn of the motion that the limiter follows */

typedef enum sp_stopwatch_part {
    SP_STOPWATCH_EMPTY,
    SP_STOPWATCH_CLOCK,         /* one reading of it */
    SP_STOPWATCH_HAND_OFF,      /* all joints */
    SP_STOPWATCH_HAND_OFF_FAR,  /* from so far off that every blend is tried and none will do */
    SP_STOPWATCH_SAMPLE,        /* all joints, while the mismatch decays */
    SP_STOPWATCH_LIMIT,         /* all joints, a motion that passes unchanged */
    SP_STOPWATCH_LIMIT_AT_STOP, /* all joints, each at the end of its range: the search runs */
    SP_STOPWATCH_RECORD,        /* one duration into a histogram */
    SP_STOPWATCH_MAILBOX,       /* the newest trajectory, copied */
    SP_STOPWATCH_PARTS,
} sp_stopwatch_part;

typedef struct sp_stopwatch {
    int joint_count;
    double dt_s;
    sp_limits limits;
    sp_limits all_limits[SP_MAX_JOINTS];
    sp_joint_kind kinds[SP_MAX_JOINTS];
    sp_active active;
    sp_active far;
    sp_motion near_motion[SP_MAX_JOINTS]; /* what each joint did at the switch */
    sp_motion far_motion[SP_MAX_JOINTS];
    int64_t sample_ns;
    sp_motion wave[SP_STOPWATCH_WAVE];
    uint32_t wave_at;
    sp_limiter joints[SP_MAX_JOINTS];
    sp_limiter stopped[SP_MAX_JOINTS];
    sp_histogram histogram;
    uint64_t random;
    sp_mailbox *box; /* given by the owner: sp_mailbox_size(sizeof(sp_trajectory), 4) bytes */
    sp_trajectory copy;
    uint64_t reasons; /* of the limiter, of the motion that is to pass unchanged */
    double sink;      /* so that nothing is optimised away */
} sp_stopwatch;

/* A motion of `joint_count` arm joints with `waypoint_count` waypoints 20 ms apart, at a tick of `dt_s`. Returns 0,
 * or -EINVAL for what does not fit a trajectory. `box_memory`: room for one mailbox of trajectories. */
int sp_stopwatch_init(sp_stopwatch *watch, int joint_count, int waypoint_count, double dt_s, void *box_memory);

/* Times `batches` batches of `repeats` calls, each with as many empty ones behind it; ns of whole batches. */
void sp_stopwatch_run(sp_stopwatch *watch, sp_stopwatch_part part, int64_t repeats, int batches, int64_t *part_ns,
                      int64_t *empty_ns);

#endif
