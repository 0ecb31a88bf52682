/* The modes of a loop and the one table of edges between them.
 *
 * Thread contract: pure functions.
 */
#ifndef SPINAL_MODES_H
#define SPINAL_MODES_H

#include <stdint.h>

typedef enum {
    SP_MODE_OFF = 0,     /* nothing is written */
    SP_MODE_READY = 1,   /* holds the measured pose, waits for an order and a trajectory */
    SP_MODE_RUNNING = 2, /* follows a trajectory */
    SP_MODE_HOLDING = 3, /* comes to rest inside the limits and stays there, torque on */
    SP_MODE_STOPPED = 4, /* the same, latched: only a new arming leaves it */
} sp_mode;

/* What is missing or wrong, as bits; the worst decides. */
enum {
    SP_CONDITION_NO_TRAJECTORY = 1, /* none yet, or the last one has ended */
    SP_CONDITION_ORDER_HOLD = 2,    /* somebody asks to hold */
    SP_CONDITION_ORDER_STALE = 4,   /* an order has expired, or its giver never spoke */
    SP_CONDITION_BUS_SILENT = 8,    /* a joint has not answered for longer than its age limit */
    SP_CONDITION_LATE = 16,         /* more periods were missed than may be bridged */
    SP_CONDITION_ORDER_STOP = 32,   /* somebody asks to stop */
    SP_CONDITION_NOT_ARMED = 64,    /* a joint has not been seen, or stands outside its range */
};

/* What somebody orders. The most careful of all orders counts. */
typedef enum { SP_ORDER_RUN = 0, SP_ORDER_HOLD = 1, SP_ORDER_STOP = 2 } sp_order_kind;

typedef struct sp_order {
    int64_t stamp_ns;
    int64_t valid_until_ns; /* later than that it counts as hold */
    int64_t kind;           /* sp_order_kind */
    int64_t goal;           /* the goal's number, for the policy; 0: none */
} sp_order;

/* The mode after this tick. */
sp_mode sp_mode_next(sp_mode mode, uint32_t conditions);
const char *sp_mode_name(sp_mode mode);

#endif
