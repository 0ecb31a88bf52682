/* Real-time set-up of the calling thread, and an honest report of what was granted.
 *
 * Thread contract: sp_realtime_enter acts on the calling thread (memory lock: on the process).
 */
#ifndef SPINAL_REALTIME_H
#define SPINAL_REALTIME_H

typedef struct sp_realtime_request {
    int fifo_priority; /* 1 to 49; 0: stay with the normal scheduler */
    int lock_memory;   /* what is in use now and later, and all code that a tick may execute */
    int cpu;           /* pin to it; -1: do not pin */
} sp_realtime_request;

/* Each field: 0 granted, an errno value when refused, -1 not asked for. */
typedef struct sp_realtime_report {
    int fifo;
    int memory_lock;
    int affinity;
    int timer_slack;
} sp_realtime_report;

/* Blocks all signals in this thread too, so that a handler never runs on it. */
void sp_realtime_enter(const sp_realtime_request *request, sp_realtime_report *report);

/* Touches `bytes` of the stack below the caller, so that no page of it faults later. */
void sp_touch_stack(void);

#endif
