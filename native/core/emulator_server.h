/* The emulated bus on a descriptor: a thread that answers on a socketpair's end or a pty's master.
 *
 * Why native: a Python thread answers 1-6 ms late because of the interpreter's lock; this one sleeps to each
 * reply's due instant and writes it there. Timing suites should use a socketpair: a pty's bytes pass
 * through a kernel worker of ordinary priority.
 *
 * Thread contract: start and stop belong to one owner thread. While the server runs, it alone is
 * the emulator's wire side (emulator.h). The thread allocates nothing, takes no signal, never touches
 * Python. The report may be read from any thread; its histogram as histogram.h says.
 */
#ifndef SPINAL_EMULATOR_SERVER_H
#define SPINAL_EMULATOR_SERVER_H

#include "emulator.h"
#include "histogram.h"

#include <pthread.h>

typedef enum sp_emulator_line {
    SP_EMULATOR_LINE_OPEN = 0,
    SP_EMULATOR_LINE_AWAY = 1,   /* a pty that nobody has open: looked at again every few milliseconds */
    SP_EMULATOR_LINE_CLOSED = 2, /* the other end of a socketpair is gone for good: the thread is done */
    SP_EMULATOR_LINE_FAILED = 3, /* errno in line_error: the thread is done */
} sp_emulator_line;

typedef struct sp_emulator_report {
    _Atomic int32_t realtime_error; /* why SCHED_FIFO was refused (errno), or 0; meaningless at priority 0 */
    _Atomic int32_t fifo;           /* 1 when granted */
    _Atomic int32_t line;           /* sp_emulator_line */
    _Atomic int32_t line_error;
    _Atomic uint64_t unwritten;     /* reply bytes that the descriptor would not take */
    sp_histogram late;              /* reply written - reply due, ns */
} sp_emulator_report;

typedef struct sp_emulator_server {
    sp_emulator *emulator;
    int fd;
    int wake_fd;
    int priority;
    bool running; /* the owner's: started and not joined */
    _Atomic bool stopping;
    pthread_t thread;
    sp_emulator_report report;
} sp_emulator_server;

/* Starts serving. fd becomes non-blocking and stays the caller's, who closes it after stop. priority 1 to 99 asks
 * for SCHED_FIFO and carries on without when refused; 0 does not ask. Returns 0 or -errno. */
int sp_emulator_server_start(sp_emulator_server *server, sp_emulator *emulator, int fd, int priority);
/* Ends the thread and waits for it; a second call does nothing. Returns 0 or -errno. */
int sp_emulator_server_stop(sp_emulator_server *server);
/* One servo loses its power and gets it back, at once whether or not anybody speaks; from any thread, while it runs.
 * Returns 0, or -EINVAL for no such servo. */
int sp_emulator_server_power_cycle(sp_emulator_server *server, int index);

#endif
