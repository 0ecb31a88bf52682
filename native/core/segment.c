#include "segment.h"

#include "mailbox.h"
#include "ring.h"

#include <stddef.h>

/* FNV-1a over sizes and a few offsets: processes built from different sources refuse each other's memory. */
uint64_t sp_layout_hash(void)
{
    const uint64_t facts[] = {
        SP_SEGMENT_VERSION,        sizeof(sp_segment),      sizeof(sp_state),
        sizeof(sp_joint_state),    sizeof(sp_tick_record),  sizeof(sp_joint_record),
        sizeof(sp_loop_stats),     sizeof(sp_histogram),    sizeof(sp_trajectory),
        sizeof(sp_order),          sizeof(sp_mailbox),      sizeof(sp_ring),
        sizeof(sp_command),        sizeof(sp_transition),   sizeof(sp_health),
        offsetof(sp_state, joints), offsetof(sp_trajectory, values), offsetof(sp_loop_stats, late),
        SP_MAX_JOINTS,             SP_MAX_WAYPOINTS,        SP_MAX_CONTROLS,
    };
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
        hash = (hash ^ facts[i]) * 0x100000001b3ULL;
    return hash;
}
