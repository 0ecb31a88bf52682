#include "modes.h"

#include <stddef.h>

/* The table, once: bit, name, answer, clearing. Rows and masks are made of it, so that they cannot differ. */
#define CONDITIONS(ROW)                                      \
    ROW(NO_TRAJECTORY, "no_trajectory", HOLD, BY_ITSELF)     \
    ROW(ORDER_HOLD, "order_hold", HOLD, BY_ITSELF)           \
    ROW(ORDER_STALE, "order_stale", HOLD, BY_ITSELF)         \
    ROW(JOINT_SILENT, "joint_silent", HOLD, BY_ITSELF)       \
    ROW(LATE, "late", HOLD, BY_ITSELF)                       \
    ROW(ORDER_STOP, "order_stop", STOP, ON_REARMING)         \
    ROW(NOT_ARMED, "not_armed", WAIT, BY_ITSELF)             \
    ROW(NOT_TESTED, "not_tested", WAIT, BY_ITSELF)           \
    ROW(CHUNK_OLD, "chunk_old", HOLD, BY_ITSELF)             \
    ROW(LINE_LOST, "line_lost", HOLD, BY_ITSELF)             \
    ROW(MOTOR_OFF, "motor_off", STOP, ON_REARMING)           \
    ROW(FROZEN, "frozen", STOP, ON_REARMING)                 \
    ROW(FOLLOWING, "following", HOLD, BY_ITSELF)             \
    ROW(FOLLOWING_LOST, "following_lost", STOP, ON_REARMING) \
    ROW(CONTACT, "contact", HOLD, BY_ITSELF)                 \
    ROW(COLLISION, "collision", STOP, ON_REARMING)           \
    ROW(HOT, "hot", HOLD, BY_ITSELF)                         \
    ROW(OVERHEATED, "overheated", STOP, ON_REARMING)         \
    ROW(VOLTAGE_LOW, "voltage_low", HOLD, BY_ITSELF)         \
    ROW(VOLTAGE_FAILED, "voltage_failed", STOP, ON_REARMING) \
    ROW(ESTOP, "estop", STOP, ON_REARMING)                   \
    ROW(ORDER_OFF, "order_off", LET_GO, ON_REARMING)         \
    ROW(HELD_LONG, "held_long", LET_GO, ON_REARMING)         \
    ROW(REFUSED, "refused", STOP, NEVER)                     \
    ROW(RELEASED, "released", LET_GO, ON_REARMING)           \
    ROW(NOT_ENERGISED, "not_energised", HOLD, BY_ITSELF)     \
    ROW(DEVICE_ERROR, "device_error", STOP, ON_REARMING)

#define AS_ROW(bit, word, leads_to, clears) \
    [__builtin_ctz(SP_CONDITION_##bit)] = {word, SP_ANSWER_##leads_to, SP_CLEARS_##clears},
static const sp_condition TABLE[SP_CONDITION_COUNT] = {CONDITIONS(AS_ROW)};

/* The bits whose answer is so, or, for STOPS, worse. */
#define IF_WAIT(bit, word, leads_to, clears) | (SP_ANSWER_##leads_to == SP_ANSWER_WAIT ? SP_CONDITION_##bit : 0)
#define IF_HOLD(bit, word, leads_to, clears) | (SP_ANSWER_##leads_to == SP_ANSWER_HOLD ? SP_CONDITION_##bit : 0)
#define IF_STOP(bit, word, leads_to, clears) | (SP_ANSWER_##leads_to >= SP_ANSWER_STOP ? SP_CONDITION_##bit : 0)
enum { WAITS = 0 CONDITIONS(IF_WAIT), HOLDS = 0 CONDITIONS(IF_HOLD), STOPS = 0 CONDITIONS(IF_STOP) };

#define IF_LATCHED(bit, word, leads_to, clears) | (SP_CLEARS_##clears != SP_CLEARS_BY_ITSELF ? SP_CONDITION_##bit : 0)
enum { LATCHED = 0 CONDITIONS(IF_LATCHED) };

static const sp_edge EDGES[] = {
    {SP_MODE_OFF, SP_MODE_READY, "arm", 0, WAITS | STOPS | SP_CONDITION_JOINT_SILENT | SP_CONDITION_LINE_LOST},
    {SP_MODE_READY, SP_MODE_STOPPED, "stop", STOPS, 0},
    {SP_MODE_READY, SP_MODE_RUNNING, "begin", 0, HOLDS},
    {SP_MODE_RUNNING, SP_MODE_STOPPED, "stop", STOPS, 0},
    {SP_MODE_RUNNING, SP_MODE_HOLDING, "hold", HOLDS, 0},
    {SP_MODE_HOLDING, SP_MODE_STOPPED, "stop", STOPS, 0},
    {SP_MODE_HOLDING, SP_MODE_RUNNING, "go_on", 0, HOLDS},
    {SP_MODE_STOPPED, SP_MODE_OFF, "release", SP_CONDITION_RELEASED, 0},
};
enum { EDGE_COUNT = sizeof EDGES / sizeof EDGES[0] };

const sp_edge *sp_mode_edge(sp_mode mode, uint32_t conditions)
{
    for (int i = 0; i < EDGE_COUNT; i++) {
        const sp_edge *edge = &EDGES[i];
        if (edge->from == mode && (edge->when == 0 || (conditions & edge->when)) && !(conditions & edge->unless))
            return edge;
    }
    return NULL;
}

int sp_edge_index(const sp_edge *edge)
{
    return (int)(edge - EDGES);
}

const sp_edge *sp_edge_at(int index)
{
    return index >= 0 && index < EDGE_COUNT ? &EDGES[index] : NULL;
}

const sp_condition *sp_condition_at(int bit)
{
    return bit >= 0 && bit < SP_CONDITION_COUNT ? &TABLE[bit] : NULL;
}

uint32_t sp_conditions_latched(uint32_t conditions)
{
    return conditions & LATCHED;
}

int sp_conditions_answer(uint32_t conditions, sp_answer answer)
{
    for (int bit = 0; bit < SP_CONDITION_COUNT && conditions >> bit; bit++)
        if (conditions >> bit & 1 && TABLE[bit].answer >= answer)
            return 1;
    return 0;
}

const char *sp_mode_name(sp_mode mode)
{
    static const char *const names[] = {"off", "ready", "running", "holding", "stopped"};
    return mode <= SP_MODE_STOPPED ? names[mode] : "?";
}

const char *sp_rung_name(sp_rung rung)
{
    static const char *const names[] = {"fresh", "tail", "to_rest", "hold", "damp", "off"};
    return rung <= SP_RUNG_OFF ? names[rung] : "?";
}
