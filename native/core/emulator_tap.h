/* What arrives at the servos, as a ring in shared memory: one record for each request that a servo obeyed by writing
 * registers, with the goal, torque and shaft of every servo right behind it. Whoever writes on the bus is seen here,
 * also a controller that has died since, a second writer, or none.
 *
 * Why native: it is taken on the emulator's wire side, in the order of the bytes.
 *
 * Thread contract: the wire side records; any process may follow the ring (ring.h). It has no consumer, and the
 * oldest records are overwritten.
 */
#ifndef SPINAL_EMULATOR_TAP_H
#define SPINAL_EMULATOR_TAP_H

#include "emulator.h"
#include "ring.h"

typedef struct sp_wire_servo {
    int16_t goal;          /* register counts */
    int16_t shaft;         /* shaft counts, as physics said last */
    uint16_t torque_limit; /* permille of stall torque */
    uint16_t torque;       /* 1: on */
} sp_wire_servo;

typedef struct sp_wire_record {
    int64_t arrived_ns; /* the instant of the request's last byte */
    int32_t address;    /* the first register that was written */
    uint32_t written;      /* bit i: servo i was */
    sp_wire_servo servos[SP_EMULATOR_MAX_SERVOS];
} sp_wire_record;

size_t sp_wire_record_bytes(int servos);
/* Records from now on into `ring`, which outlives the emulator; before the wire side runs. -EINVAL: its slots are too
 * small for a record of these servos. */
int sp_emulator_record_to(sp_emulator *e, struct sp_ring *ring);
/* Adds a record to the ring, if there is one. */
void sp_emulator_record(const sp_emulator *e, uint8_t address, int64_t arrived_ns);

#endif
