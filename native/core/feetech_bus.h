/* Feetech STS servos as a bus for the tick: one sync read and one sync write a cycle, and in some of them one servo's
 * word about itself (feetech_health.h).
 *
 * Why native: it runs inside the tick. A reply that is lost costs its joint one sample and the others
 * nothing; the cycle never waits past the deadline that it is given. Torque is switched by sync writes, which nobody
 * acknowledges: what became of them is what health says. A motor that did not hear that it is switched on is told
 * again, alone, and only while it stands at its goal: else it would leap there.
 *
 * Thread contract: the tick's thread alone, once the loop runs.
 */
#ifndef SPINAL_FEETECH_BUS_H
#define SPINAL_FEETECH_BUS_H

#include "bus.h"
#include "clock.h"
#include "feetech.h"
#include "feetech_health.h"
#include "transport.h"

/* position = (count - zero_count) * unit_per_count; unit_per_count carries the direction. */
typedef struct sp_feetech_joint {
    uint8_t id;
    double zero_count;
    double unit_per_count; /* rad, or m for a gripper's linkage */
    double count_min;
    double count_max;
    double torque_limit; /* share of the motor's greatest torque, above 0, at most 1: what full torque is here */
} sp_feetech_joint;

typedef struct sp_feetech_bus {
    sp_transport wire;
    sp_clock clock;
    int count;
    sp_feetech_joint joints[SP_FEETECH_BUS_SERVOS];
    uint8_t ids[SP_FEETECH_BUS_SERVOS];
    int64_t byte_ns; /* ten bits on the wire */
    sp_bus_counts counts;
    sp_feetech_health health;
    int torque_due;  /* its frames are still to be sent, behind the next goals */
    int switched;    /* torque was given at least once */
    int enabled;     /* motors were told to be on */
    double away[SP_FEETECH_BUS_SERVOS]; /* counts from where a joint was read last to its goal */
    double read_count[SP_FEETECH_BUS_SERVOS];
    int asked;       /* 0, or -errno of the last request */
    int64_t sent_ns; /* when its last byte is through */
    size_t request_size;
    uint8_t request[SP_FEETECH_MAX_FRAME];
    uint8_t replies[1024];
} sp_feetech_bus;

/* `health_every`: each so many-th cycle asks one servo about itself; 0: none does, and the view has no health.
 * Returns 0, or -EINVAL when there are too many joints, or an id, a scale or a torque limit is none. */
int sp_feetech_bus_init(sp_feetech_bus *bus, const sp_feetech_joint *joints, int count, int baud, int health_every,
                        sp_transport wire, sp_clock clock);
/* How long one cycle of reading and writing occupies the wire. */
int64_t sp_feetech_bus_wire_ns(const sp_feetech_bus *bus);
/* And how much longer one that asks a servo about itself, at most: while the tick sleeps. */
int64_t sp_feetech_bus_health_wire_ns(const sp_feetech_bus *bus);
sp_bus sp_feetech_bus_view(sp_feetech_bus *bus);

#endif
