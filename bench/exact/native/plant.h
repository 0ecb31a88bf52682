/* Slow-downs that are put into the tick on purpose, through the transport of its bus, to see that the figures notice.
 * PLANT is chosen when it is compiled; without it nothing is between the bus and its transport. The extra instructions
 * are about 30 % of a tick without a hand-off. */
#ifndef SPINAL_BENCH_PLANT_H
#define SPINAL_BENCH_PLANT_H

#define _GNU_SOURCE
#include "transport.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define PLANT_NONE 0
#define PLANT_ALLOCATION 1
#define PLANT_INSTRUCTIONS 2
#define PLANT_SLEEP 3
#define PLANT_LOCK 4

#ifndef PLANT
#define PLANT PLANT_NONE
#endif

static inline sp_transport plant(sp_transport inner, int joints);

#if PLANT == PLANT_NONE
static inline sp_transport plant(sp_transport inner, int joints)
{
    (void)joints;
    return inner;
}
#else

enum { MOST_PLANTS = 8, LOOPS_PER_JOINT = 117, SLEEP_NS = 50000, INSTRUCTION_AT = 4, SYNC_READ = 0x82 };

typedef struct {
    sp_transport inner;
    int joints;
} planted_wire;

static planted_wire planted_wires[MOST_PLANTS];
static int planted_count;
#if PLANT == PLANT_LOCK
static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static int (*take_interpreter)(void); /* PyGILState_Ensure and _Release, where there is an interpreter */
static void (*give_interpreter)(int);
#endif

/* What `PLANT` says, with each request for positions: so it runs inside the tick, once. */
__attribute__((noinline)) void planted_work(int joints)
{
#if PLANT == PLANT_ALLOCATION
    void *volatile memory = malloc((size_t)joints * 8);
    free(memory);
#elif PLANT == PLANT_INSTRUCTIONS
    volatile int sum = 0;
    for (int i = 0; i < joints * LOOPS_PER_JOINT; i++)
        sum += i;
#elif PLANT == PLANT_SLEEP
    struct timespec pause = {.tv_sec = 0, .tv_nsec = SLEEP_NS};
    nanosleep(&pause, NULL);
#elif PLANT == PLANT_LOCK
    if (take_interpreter) {
        give_interpreter(take_interpreter());
    } else {
        pthread_mutex_lock(&shared_lock);
        pthread_mutex_unlock(&shared_lock);
    }
#endif
    (void)joints;
}

static int planted_read(void *context, uint8_t *bytes, size_t capacity, int64_t deadline_ns)
{
    planted_wire *wire = context;
    return wire->inner.read(wire->inner.context, bytes, capacity, deadline_ns);
}

static int planted_write(void *context, const uint8_t *bytes, size_t count)
{
    planted_wire *wire = context;
    if (bytes[INSTRUCTION_AT] == SYNC_READ)
        planted_work(wire->joints);
    return wire->inner.write(wire->inner.context, bytes, count);
}

static int planted_discard(void *context)
{
    planted_wire *wire = context;
    return wire->inner.discard_input(wire->inner.context);
}

static inline sp_transport plant(sp_transport inner, int joints)
{
    planted_wire *wire = &planted_wires[planted_count++ % MOST_PLANTS];
    *wire = (planted_wire){inner, joints};
    return (sp_transport){
        .context = wire, .write = planted_write, .read = planted_read, .discard_input = planted_discard};
}
#endif

#endif
