/* Ideal Feetech servos in memory: each stands at its last goal and answers at once, at no wire time.
 *
 * Why native: a measurement of the tick needs a bus that costs next to nothing and takes no clock; what a tick
 * costs beside it is the tick's own. For servos that behave like servos take the emulator.
 *
 * Thread contract: one thread.
 */
#ifndef SPINAL_MIRROR_H
#define SPINAL_MIRROR_H

#include "feetech.h"
#include "transport.h"

#define SP_MIRROR_REPLY_BYTES 1024

typedef struct sp_mirror {
    uint16_t counts[256]; /* by id: where each servo stands, in register counts */
    uint8_t torque[256];  /* and registers 40 and 48 */
    uint16_t limits[256];
    size_t filled;
    uint8_t replies[SP_MIRROR_REPLY_BYTES];
} sp_mirror;

void sp_mirror_init(sp_mirror *mirror, uint16_t count);
/* Answers sync reads of positions and reads of any registers, obeys sync writes of goals, torque and its limit, each of
 * several frames in one write; -EINVAL for any other frame. */
sp_transport sp_mirror_transport(sp_mirror *mirror);

#endif
