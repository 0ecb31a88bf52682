#define _GNU_SOURCE
#include "realtime.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

enum { TOUCHED_STACK_BYTES = 128 * 1024 };

void sp_touch_stack(void)
{
    volatile char stack[TOUCHED_STACK_BYTES];
    for (int i = 0; i < TOUCHED_STACK_BYTES; i += 1024)
        stack[i] = 0;
    (void)stack[0];
}

void sp_realtime_enter(const sp_realtime_request *request, sp_realtime_report *report)
{
    *report = (sp_realtime_report){-1, -1, -1, -1};

    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);

    report->timer_slack = prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL) ? errno : 0;
    if (request->lock_memory)
        report->memory_lock = mlockall(MCL_CURRENT | MCL_FUTURE) ? errno : 0;
    if (request->cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)request->cpu, &set);
        report->affinity = sched_setaffinity(0, sizeof set, &set) ? errno : 0;
    }
    if (request->fifo_priority > 0) {
        struct sched_param wanted = {.sched_priority = request->fifo_priority};
        /* Threads made by this one must not inherit its priority. */
        report->fifo = pthread_setschedparam(pthread_self(), SCHED_FIFO | SCHED_RESET_ON_FORK, &wanted);
    }
    sp_touch_stack();
}
