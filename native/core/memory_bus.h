/* A bus whose motors are numbers in memory: what a tick reads is put there, and what it wrote is kept.
 *
 * Why native: the tick calls it like any other bus. It has no wire, and so can say what no wire can: a sample that is
 * no number, a reading of any age, a line that fails for one call, a motor that refuses its torque.
 *
 * Thread contract: one thread, between ticks and in them.
 */
#ifndef SPINAL_MEMORY_BUS_H
#define SPINAL_MEMORY_BUS_H

#include "bus.h"
#include "limiter.h"

#define SP_MEMORY_BUS_JOINTS 16
#define SP_MEMORY_BUS_SHARES 256

typedef struct sp_memory_bus {
    int count;
    sp_joint_sample samples[SP_MEMORY_BUS_JOINTS]; /* what the next read gives */
    sp_joint_health healths[SP_MEMORY_BUS_JOINTS];
    sp_limiter written[SP_MEMORY_BUS_JOINTS]; /* as of the last write that did not fail */
    int read_failure, write_failure, torque_failure; /* 0, or -errno of every call until it is set to 0 again */
    uint64_t writes;
    double shares[SP_MEMORY_BUS_SHARES]; /* of torque, as ordered; the first so many are kept */
    uint64_t share_writes[SP_MEMORY_BUS_SHARES]; /* how many writes there had been before each */
    int share_count;
    sp_bus_counts counts;
} sp_memory_bus;

/* Returns 0, or -EINVAL for no joint or too many. */
int sp_memory_bus_init(sp_memory_bus *bus, int count);
/* `tells`: whether it has readings of health, and torque that can be switched. */
sp_bus sp_memory_bus_view(sp_memory_bus *bus, int tells);

#endif
