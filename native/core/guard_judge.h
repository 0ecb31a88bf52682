/* What the guard decides: whether a controller is lost, whether there is anything to brake, and each step of the brake.
 *
 * Why native: it stands in the guard's thread. Observations in, decisions out; it knows no thread, process or clock.
 *
 * Silence is counted in the guard's own wake-ups and not in time: a machine that stands still stops the guard too, and
 * the controller is judged by what it left undone while the guard was awake. A wake-up that comes late counts as one.
 *
 * Thread contract: pure functions of their arguments; one thread owns a judgement.
 */
#ifndef SPINAL_GUARD_JUDGE_H
#define SPINAL_GUARD_JUDGE_H

#include "segment.h"

#include <stddef.h>
#include <stdint.h>

typedef struct sp_guard_patience {
    int64_t poll_ns;    /* between two wake-ups */
    int64_t look_ns;    /* silent for longer: the process is looked at */
    int64_t stopped_ns; /* seen stopped by a signal for so long: lost */
    int64_t silent_ns;  /* silent for so long, whatever it does: lost */
} sp_guard_patience;

/* What one wake-up sees. */
typedef struct sp_guard_sight {
    int exited;
    int64_t heartbeat_ns;
    int stopped; /* state T or t; 0 where nobody looked */
} sp_guard_sight;

/* Zero but for heartbeat_ns, which is that of the controller before. */
typedef struct sp_guard_judgement {
    int64_t heartbeat_ns; /* the last one seen */
    int begun;            /* 1: this controller has ticked */
    int64_t silent_ns;    /* since then, counted in wake-ups */
    int64_t stopped_ns;
    int64_t longest_silence_ns;
} sp_guard_judgement;

typedef enum {
    SP_GUARD_ALIVE = 0,
    SP_GUARD_DIED = 1,
    SP_GUARD_STOPPED = 2, /* by a signal */
    SP_GUARD_SILENT = 3,  /* it runs and does not tick */
} sp_guard_cause;

typedef enum {
    SP_GUARD_NOTHING_COMMANDED = 0, /* since the watch began */
    SP_GUARD_NOT_ENERGISED = 1,     /* its last command left the motors without torque */
    SP_GUARD_UNUSABLE = 2,          /* its last command is no motion of this arm */
    SP_GUARD_BRAKED = 3,
    SP_GUARD_LINE_LOST = 4, /* the line took no frame any more; motors keep the last goal that they heard */
} sp_guard_outcome;

/* Whether this wake-up has to look at the process: heartbeats are missing. */
int sp_guard_looks(const sp_guard_judgement *judgement, const sp_guard_patience *patience, int64_t heartbeat_ns);

/* One wake-up. Before a controller's first tick only its death counts: starting takes time. */
sp_guard_cause sp_guard_judge(sp_guard_judgement *judgement, const sp_guard_patience *patience,
                              const sp_guard_sight *sight);

/* Whether the first `size` bytes of /proc/PID/stat say that a signal or a tracer has stopped the process. */
int sp_guard_says_stopped(const char *stat, size_t size);

/* Whether `command` is to be braked from (SP_GUARD_BRAKED), or why not. One whose brake would leave a joint's range by
 * more than the range itself was not made by the limiter: the memory it stands in cannot be trusted. */
sp_guard_outcome sp_guard_assess(const sp_command *command, const sp_limits *emergency, const sp_joint_kind *kinds,
                                 int joint_count, double dt_s);

/* One step of all joints towards rest by the emergency limits; a gripper stays where it is. */
void sp_guard_brake(sp_limiter *joints, const sp_limits *emergency, const sp_joint_kind *kinds, int joint_count,
                    double dt_s);

int sp_guard_at_rest(const sp_limiter *joints, int joint_count);

#endif
