/* The guard: a thread beside a controller that lives in another process. When that one dies, is stopped, or does not
 * tick any more, the guard makes sure that it is dead, and only then brings the arm to rest in its place:
 *
 *     watch -> kill -> wait until it is dead -> flush the line -> wait a frame's gap -> brake -> at rest, quiet
 *
 * Nothing is written before the kernel says that the process is gone: two writers on one line are impossible, also
 * where a stopped process is continued.
 *
 * The first frame is the last command once more, since nobody knows whether it got through; those after it are the
 * limiter's brake from there. A frame that the line does not take is tried again in the next period, so that what
 * arrives stays one sequence inside the limits.
 *
 * Why native: it must be there within milliseconds while the interpreter is busy. It takes no lock of the interpreter,
 * allocates nothing and opens nothing; each wait has a deadline, and what it waits for (a death, a line) is asked for
 * again and again.
 *
 * Thread contract: one owner makes, starts and stops it, and asks it to watch or to leave; the request is carried out
 * by the thread, never while it takes over. `state`, `awake_ns` and `takeovers` may be read from any thread.
 */
#ifndef SPINAL_GUARD_H
#define SPINAL_GUARD_H

#include "bus.h"
#include "clock.h"
#include "guard_judge.h"
#include "mailbox.h"
#include "realtime.h"
#include "segment.h"

#include <pthread.h>
#include <stdatomic.h>

typedef enum {
    SP_GUARD_IDLE = 0,
    SP_GUARD_WATCHING = 1,
    SP_GUARD_ENDING_IT = 2, /* kills the controller and waits for its death */
    SP_GUARD_BRAKING = 3,   /* the line is the guard's */
    SP_GUARD_AT_REST = 4,   /* has taken over and is done; quiet */
    SP_GUARD_GAVE_UP = 5,   /* the line takes no frame; quiet */
} sp_guard_state;

/* The last take-over since the watch began; instants are 0 where nothing has come so far. */
typedef struct sp_takeover {
    int64_t cause;   /* sp_guard_cause; 0: none */
    int64_t outcome; /* sp_guard_outcome, valid from dead_ns on */
    int64_t detected_ns;
    int64_t heartbeat_ns; /* the controller's last */
    int64_t silent_ns;    /* counted until then */
    int64_t kill_error;   /* errno of the last attempt to kill it; 0: none failed */
    int64_t dead_ns;
    int64_t first_frame_ns; /* the last command again */
    int64_t first_brake_ns; /* the first one that brakes */
    int64_t at_rest_ns;     /* the frame in which all joints stand */
    int64_t frames;
    int64_t failed_writes;
    double largest_step; /* of an arm joint between two frames, rad */
} sp_takeover;

typedef struct sp_guard_config {
    int64_t dt_ns;
    int64_t frame_gap_ns;
    sp_guard_patience patience;
    int joint_count;
    sp_joint_kind kinds[SP_MAX_JOINTS];
    sp_limits emergency[SP_MAX_JOINTS];
    int line_fd;                          /* flushed before the first frame; -1: memory, nothing to flush */
    const _Atomic int64_t *heartbeat_ns;  /* the controller's, as is */
    const sp_mailbox *commands;           /* sp_command */
    sp_mailbox *takeovers;                /* sp_takeover, written by the guard alone */
    sp_realtime_request realtime;
} sp_guard_config;

/* Whom to watch; `pidfd` -1: nobody. Descriptors stay the owner's, and open until the next request is done. */
typedef struct sp_guard_request {
    int pidfd;
    int stat_fd; /* /proc/PID/stat, -1 where there is none */
    int64_t heartbeat_ns;    /* of the controller before */
    uint64_t command_number; /* newest command before it */
} sp_guard_request;

typedef struct sp_guard {
    sp_guard_config config;
    sp_clock clock;
    sp_bus bus;

    sp_guard_request request; /* the owner's while asked == done, the guard's otherwise */
    _Atomic uint64_t asked, done;
    _Atomic int state;
    _Atomic int64_t awake_ns; /* last wake-up */
    _Atomic int64_t longest_silence_ns;
    _Atomic int stop;
    _Atomic int entered;
    sp_realtime_report realtime; /* valid once `entered` is 1 */
    pthread_t thread;

    sp_guard_request watched;
    sp_guard_judgement judgement;
    sp_takeover takeover;
    sp_command command;
    sp_limiter written[SP_MAX_JOINTS]; /* the last frame that the line took */
    int64_t failing_ns; /* since when it takes none; 0: it does */
    int rest_frames;
    int64_t next_ns; /* next wake-up */
} sp_guard;

void sp_guard_init(sp_guard *guard, const sp_guard_config *config, sp_clock clock, sp_bus bus);

/* One wake-up. For the thread; or for lock-step and tests, where no thread runs. */
void sp_guard_wake(sp_guard *guard);

/* Asks for `request` to be carried out; the last one must be done. */
void sp_guard_ask(sp_guard *guard, const sp_guard_request *request);

/* The thread; start returns 0 or an errno. Stop lets a take-over finish, and returns when the thread has ended: a
 * process that the kernel cannot kill is left after two seconds, since nothing was written yet. */
int sp_guard_start(sp_guard *guard);
void sp_guard_stop(sp_guard *guard);

#endif
