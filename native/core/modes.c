#include "modes.h"

#include <stddef.h>

#define BY_ITSELF SP_CLEARS_BY_ITSELF
#define ON_REARMING SP_CLEARS_ON_REARMING

static const sp_condition CONDITIONS[SP_CONDITION_COUNT] = {
    {"no_trajectory", SP_ANSWER_HOLD, BY_ITSELF},
    {"order_hold", SP_ANSWER_HOLD, BY_ITSELF},
    {"order_stale", SP_ANSWER_HOLD, BY_ITSELF},
    {"joint_silent", SP_ANSWER_HOLD, BY_ITSELF},
    {"late", SP_ANSWER_HOLD, BY_ITSELF},
    {"order_stop", SP_ANSWER_STOP, ON_REARMING},
    {"not_armed", SP_ANSWER_WAIT, BY_ITSELF},
    {"not_tested", SP_ANSWER_WAIT, BY_ITSELF},
    {"chunk_old", SP_ANSWER_HOLD, BY_ITSELF},
    {"line_lost", SP_ANSWER_HOLD, BY_ITSELF},
    {"motor_off", SP_ANSWER_STOP, ON_REARMING},
    {"frozen", SP_ANSWER_STOP, ON_REARMING},
    {"following", SP_ANSWER_HOLD, BY_ITSELF},
    {"following_lost", SP_ANSWER_STOP, ON_REARMING},
    {"contact", SP_ANSWER_HOLD, BY_ITSELF},
    {"collision", SP_ANSWER_STOP, ON_REARMING},
    {"hot", SP_ANSWER_HOLD, BY_ITSELF},
    {"overheated", SP_ANSWER_STOP, ON_REARMING},
    {"voltage_low", SP_ANSWER_HOLD, BY_ITSELF},
    {"voltage_failed", SP_ANSWER_STOP, ON_REARMING},
    {"estop", SP_ANSWER_STOP, ON_REARMING},
    {"order_off", SP_ANSWER_LET_GO, ON_REARMING},
    {"held_long", SP_ANSWER_LET_GO, ON_REARMING},
    {"refused", SP_ANSWER_STOP, SP_CLEARS_NEVER},
    {"released", SP_ANSWER_LET_GO, ON_REARMING},
};

#define WAITS (SP_CONDITION_NOT_ARMED | SP_CONDITION_NOT_TESTED)
#define HOLDS                                                                                                \
    (SP_CONDITION_NO_TRAJECTORY | SP_CONDITION_ORDER_HOLD | SP_CONDITION_ORDER_STALE | SP_CONDITION_JOINT_SILENT | \
     SP_CONDITION_LATE | SP_CONDITION_CHUNK_OLD | SP_CONDITION_LINE_LOST | SP_CONDITION_FOLLOWING |           \
     SP_CONDITION_CONTACT | SP_CONDITION_HOT | SP_CONDITION_VOLTAGE_LOW)
#define STOPS                                                                                                \
    (SP_CONDITION_ORDER_STOP | SP_CONDITION_MOTOR_OFF | SP_CONDITION_FROZEN | SP_CONDITION_FOLLOWING_LOST |   \
     SP_CONDITION_COLLISION | SP_CONDITION_OVERHEATED | SP_CONDITION_VOLTAGE_FAILED | SP_CONDITION_ESTOP |    \
     SP_CONDITION_REFUSED | SP_CONDITION_ORDER_OFF | SP_CONDITION_HELD_LONG | SP_CONDITION_RELEASED)

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
    return bit >= 0 && bit < SP_CONDITION_COUNT ? &CONDITIONS[bit] : NULL;
}

uint32_t sp_conditions_latched(uint32_t conditions)
{
    uint32_t latched = 0;
    for (int bit = 0; bit < SP_CONDITION_COUNT && conditions >> bit; bit++)
        if (conditions >> bit & 1 && CONDITIONS[bit].clearing != SP_CLEARS_BY_ITSELF)
            latched |= 1u << bit;
    return latched;
}

int sp_conditions_answer(uint32_t conditions, sp_answer answer)
{
    for (int bit = 0; bit < SP_CONDITION_COUNT && conditions >> bit; bit++)
        if (conditions >> bit & 1 && CONDITIONS[bit].answer >= answer)
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
