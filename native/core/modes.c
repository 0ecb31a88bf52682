#include "modes.h"

#include <stddef.h>

/* An edge is taken when all `needs` conditions are absent and any of `when` is present (0: always). Edges of
 * a mode stand in order of care: the first that holds wins. */
typedef struct {
    sp_mode from, to;
    uint32_t when;   /* any of these */
    uint32_t unless; /* none of these */
} edge;

#define HOLDS                                                                                                \
    (SP_CONDITION_NO_TRAJECTORY | SP_CONDITION_ORDER_HOLD | SP_CONDITION_ORDER_STALE | SP_CONDITION_BUS_SILENT | \
     SP_CONDITION_LATE)

static const edge EDGES[] = {
    {SP_MODE_OFF, SP_MODE_READY, 0, SP_CONDITION_NOT_ARMED | SP_CONDITION_ORDER_STOP},
    {SP_MODE_READY, SP_MODE_STOPPED, SP_CONDITION_ORDER_STOP, 0},
    {SP_MODE_READY, SP_MODE_RUNNING, 0, HOLDS},
    {SP_MODE_RUNNING, SP_MODE_STOPPED, SP_CONDITION_ORDER_STOP, 0},
    {SP_MODE_RUNNING, SP_MODE_HOLDING, HOLDS, 0},
    {SP_MODE_HOLDING, SP_MODE_STOPPED, SP_CONDITION_ORDER_STOP, 0},
    {SP_MODE_HOLDING, SP_MODE_RUNNING, 0, HOLDS},
};

sp_mode sp_mode_next(sp_mode mode, uint32_t conditions)
{
    for (size_t i = 0; i < sizeof EDGES / sizeof EDGES[0]; i++) {
        const edge *e = &EDGES[i];
        if (e->from == mode && (e->when == 0 || (conditions & e->when)) && !(conditions & e->unless))
            return e->to;
    }
    return mode;
}

const char *sp_mode_name(sp_mode mode)
{
    static const char *const names[] = {"off", "ready", "running", "holding", "stopped"};
    return mode <= SP_MODE_STOPPED ? names[mode] : "?";
}
