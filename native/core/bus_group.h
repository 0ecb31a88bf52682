/* Several buses as one for the tick: all are asked first, so their replies travel at the same time.
 *
 * Why native: it runs inside the tick. Joints come in the order of the buses. One bus that fails costs the others
 * nothing.
 *
 * Thread contract: the tick's thread alone, once the loop runs.
 */
#ifndef SPINAL_BUS_GROUP_H
#define SPINAL_BUS_GROUP_H

#include "bus.h"

#define SP_GROUP_BUSES 8
#define SP_GROUP_BUS_JOINTS 32 /* at most, on one of them */

typedef struct sp_bus_group {
    int count;
    sp_bus buses[SP_GROUP_BUSES];
    int joints[SP_GROUP_BUSES]; /* how many each has */
    int tells;                  /* one of them at least has health */
    sp_bus_counts counts;       /* summed over the buses, after each read and write */
    sp_joint_health health[SP_GROUP_BUSES * SP_GROUP_BUS_JOINTS]; /* of all joints, after each read */
} sp_bus_group;

/* Returns 0, or -EINVAL for no bus, too many, or one without joints or with too many. */
int sp_bus_group_init(sp_bus_group *group, const sp_bus *buses, const int *joints, int count);
sp_bus sp_bus_group_view(sp_bus_group *group);

#endif
