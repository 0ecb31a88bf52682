/* The modes of a loop, the one table of edges between them, and the one table of conditions.
 *
 *     off --arm--> ready --begin--> running <--hold / go on--> holding
 *      ^             |                 |                          |
 *      +--release-- stopped <------- stop (latched) --------------+
 *
 * A condition is something missing or wrong. Each has an answer (what it leads to) and a clear rule (what makes it
 * go away); the worst answer wins. A latched condition stays until a new arming: a controller that starts afresh,
 * because a person asked for it.
 *
 * Thread contract: pure functions and constant tables.
 */
#ifndef SPINAL_MODES_H
#define SPINAL_MODES_H

#include <stdint.h>

typedef enum {
    SP_MODE_OFF = 0,     /* nothing is written */
    SP_MODE_READY = 1,   /* holds the measured pose, waits for an order and a trajectory */
    SP_MODE_RUNNING = 2, /* follows a trajectory */
    SP_MODE_HOLDING = 3, /* comes to rest inside the limits and stays there, torque on */
    SP_MODE_STOPPED = 4, /* the same by the emergency limits, latched: only a new arming leaves it */
} sp_mode;

/* What is missing or wrong, as bits. */
enum {
    SP_CONDITION_NO_TRAJECTORY = 1 << 0,  /* none yet, or the last one has ended */
    SP_CONDITION_ORDER_HOLD = 1 << 1,     /* somebody asks to hold */
    SP_CONDITION_ORDER_STALE = 1 << 2,    /* an order has expired, or its giver never spoke */
    SP_CONDITION_JOINT_SILENT = 1 << 3,   /* a joint has not answered for longer than its age limit */
    SP_CONDITION_LATE = 1 << 4,           /* more periods were missed than may be bridged */
    SP_CONDITION_ORDER_STOP = 1 << 5,     /* somebody asks to stop */
    SP_CONDITION_NOT_ARMED = 1 << 6,      /* a joint is unseen, outside its range, or moves by itself */
    SP_CONDITION_NOT_TESTED = 1 << 7,     /* the loop's self-test has not passed yet */
    SP_CONDITION_CHUNK_OLD = 1 << 8,      /* the tail of the last chunk is older than may be executed */
    SP_CONDITION_LINE_LOST = 1 << 9,      /* the line itself fails, for longer than the joints' age limit */
    SP_CONDITION_MOTOR_OFF = 1 << 10,     /* a motor that was switched on says that it is off: it lost its power */
    SP_CONDITION_FROZEN = 1 << 11,        /* a joint says the same bytes while its command moves */
    SP_CONDITION_FOLLOWING = 1 << 12,     /* a joint is far from its command */
    SP_CONDITION_FOLLOWING_LOST = 1 << 13, /* farther than may be driven on from */
    SP_CONDITION_CONTACT = 1 << 14,       /* a joint pushes against something */
    SP_CONDITION_COLLISION = 1 << 15,     /* hard, or for long */
    SP_CONDITION_HOT = 1 << 16,           /* a motor is warmer than it may run */
    SP_CONDITION_OVERHEATED = 1 << 17,    /* than it may be used at all */
    SP_CONDITION_VOLTAGE_LOW = 1 << 18,   /* the supply sags */
    SP_CONDITION_VOLTAGE_FAILED = 1 << 19, /* lower than motors can be trusted at */
    SP_CONDITION_ESTOP = 1 << 20,         /* an emergency stop is pressed, by whatever line */
    SP_CONDITION_ORDER_OFF = 1 << 21,     /* somebody asks to let go: torque fades, then it is off */
    SP_CONDITION_HELD_LONG = 1 << 22,     /* held for longer than the robot file allows: let go likewise */
    SP_CONDITION_REFUSED = 1 << 23,       /* the bus refused a command as unusable: a defect of this program */
    SP_CONDITION_RELEASED = 1 << 24,      /* torque has faded to nothing */
    SP_CONDITION_NOT_ENERGISED = 1 << 25, /* the motors have not taken torque yet: nothing begins without it */
    SP_CONDITION_DEVICE_ERROR = 1 << 26,  /* a motor says that it protects itself, by giving less torque or none */
};
#define SP_CONDITION_COUNT 27

typedef enum {
    SP_ANSWER_WAIT = 0,    /* does not arm */
    SP_ANSWER_HOLD = 1,    /* comes to rest inside the limits, holds */
    SP_ANSWER_STOP = 2,    /* comes to rest by the emergency limits, holds */
    SP_ANSWER_LET_GO = 3,  /* the same, then torque fades to off */
} sp_answer;

typedef enum {
    SP_CLEARS_BY_ITSELF = 0,  /* when its cause is gone */
    SP_CLEARS_ON_REARMING = 1, /* latched: when its cause is gone and a person arms again */
    SP_CLEARS_NEVER = 2,      /* latched: only by a new start of the whole runtime */
} sp_clearing;

typedef struct sp_condition {
    const char *name; /* one word, stable: for machines */
    sp_answer answer;
    sp_clearing clearing;
} sp_condition;

/* How far down the ladder the arm is; the record says when it took each rung. */
typedef enum {
    SP_RUNG_FRESH = 0,  /* follows a chunk that answers something recent */
    SP_RUNG_TAIL = 1,   /* follows what is left of an older one */
    SP_RUNG_TO_REST = 2, /* carries what velocity there is to rest, inside the limits */
    SP_RUNG_HOLD = 3,   /* stands, torque on */
    SP_RUNG_DAMP = 4,   /* torque fades: the arm sinks slowly in place of dropping */
    SP_RUNG_OFF = 5,    /* no torque, or none of ours yet */
} sp_rung;
#define SP_RUNG_COUNT 6

/* What somebody orders. The most careful of all orders counts. */
typedef enum { SP_ORDER_RUN = 0, SP_ORDER_HOLD = 1, SP_ORDER_STOP = 2, SP_ORDER_OFF = 3 } sp_order_kind;

typedef struct sp_order {
    int64_t stamp_ns;
    int64_t valid_until_ns; /* later than that it counts as hold; a stop does not expire */
    int64_t kind;           /* sp_order_kind */
    int64_t goal;           /* the goal's number, for the policy; 0: none */
    double speed;           /* share of the velocity limits, 0 to 1; of all orders the smallest counts */
    int64_t arming;         /* rises by one each time a person asks to arm again; for the supervisor */
} sp_order;

typedef struct sp_edge {
    sp_mode from, to;
    const char *name;
    uint32_t when;   /* any of these; 0: always */
    uint32_t unless; /* none of these */
} sp_edge;

/* The edge to take, or NULL to stay. Edges of a mode stand in order of care: the first that holds wins. */
const sp_edge *sp_mode_edge(sp_mode mode, uint32_t conditions);
/* Position of an edge in the table, for the record; sp_edge_at gives it back, NULL past the end. */
int sp_edge_index(const sp_edge *edge);
const sp_edge *sp_edge_at(int index);

/* Row of one bit (0 to SP_CONDITION_COUNT - 1). */
const sp_condition *sp_condition_at(int bit);
/* Those of `conditions` that stay once they were raised. */
uint32_t sp_conditions_latched(uint32_t conditions);
/* Whether any of `conditions` leads to `answer` or worse. */
int sp_conditions_answer(uint32_t conditions, sp_answer answer);

const char *sp_mode_name(sp_mode mode);
const char *sp_rung_name(sp_rung rung);

#endif
