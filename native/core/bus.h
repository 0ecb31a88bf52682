/* What the tick needs of a bus: samples of all joints, and one command to all of them.
 *
 * Asking and reading are apart, so that several buses answer at the same time (bus_group.h).
 *
 * A command is a view of the limiter's joints: nothing else can be written, so nothing goes round the limits.
 *
 * Thread contract: the tick's thread alone, once the loop runs.
 */
#ifndef SPINAL_BUS_H
#define SPINAL_BUS_H

#include "limiter.h"

#include <stdint.h>

typedef struct sp_joint_sample {
    double position; /* rad, or m for a gripper */
    double velocity;
    double load;      /* share of the motor's greatest torque, -1 to 1 */
    int64_t stamp_ns; /* middle of the reply's time on the wire */
    uint32_t error;   /* the device's own error bits */
    uint32_t fresh;   /* 1: answered in this cycle */
} sp_joint_sample;

/* What a joint's motor says about itself, a few times a second. */
typedef struct sp_joint_health {
    int64_t stamp_ns;   /* when it was read; 0: never */
    double voltage;     /* V; 0: not known */
    double temperature; /* degree Celsius; 0: not known */
    double current;     /* A; its size */
    uint32_t error;     /* the device's own status bits */
    uint32_t torque;    /* 1: switched on, and with the settings that it was given */
} sp_joint_health;

typedef struct sp_bus_counts {
    uint64_t cycles;
    uint64_t missing_replies;
    uint64_t bad_packets;
    uint64_t failed_writes;
    uint64_t torque_repeats; /* motors that had not heard that they are switched on, and were told again */
} sp_bus_counts;

typedef struct sp_bus {
    void *context;
    /* Requests samples and does not wait for them. Returns 0 or -errno; `read` comes all the same. */
    int (*ask)(void *context);
    /* Refreshes what answers before the deadline, and leaves the rest as it was with fresh = 0. Returns how
     * many joints answered, or -errno when the line itself failed. */
    int (*read)(void *context, sp_joint_sample *samples, int64_t deadline_ns);
    /* Returns 0 or -errno; -EINVAL when it refuses the command as unusable. */
    int (*write)(void *context, const sp_limiter *commanded);
    /* Switches torque: `share` of each joint's own torque limit, 0 to 1; 0 switches the motors off. Goals must have
     * been written before. At once, or with the next write while a device is speaking. Returns 0 or -errno. NULL: this
     * bus cannot. */
    int (*torque)(void *context, double share);
    /* One per joint, refreshed in turns beside the cycles; NULL: this bus tells nothing. */
    const sp_joint_health *health;
    const sp_bus_counts *counts;
} sp_bus;

#endif
