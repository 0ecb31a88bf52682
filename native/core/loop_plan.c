#include "loop_parts.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

enum { EASE_AHEAD_NS = 100000000, EASE_CLEAR_NS = 200000000, HEAD_BYTES = offsetof(sp_trajectory, values) };

static sp_active *spare_path(sp_loop *loop)
{
    return &loop->paths[loop->in_force == 0 ? 1 : 0];
}

/* Copies the newest trajectory beside the one in force and judges it. */
void sp_loop_receive(sp_loop *loop, int64_t tick_ns)
{
    const sp_mailbox *box = loop->config.trajectories;
    sp_trajectory *path = &spare_path(loop)->path;
    if (loop->pending && sp_trajectory_end_ns(path) <= tick_ns)
        loop->pending = 0;
    uint64_t newest = box ? sp_mailbox_latest(box) : 0;
    if (newest == loop->trajectory_sequence)
        return;
    /* The head first: it says how much there is to copy, and whether it is newer than what waits to be taken. */
    unsigned char waiting[HEAD_BYTES];
    int64_t waiting_stamp_ns = path->observation_stamp_ns;
    memcpy(waiting, path, HEAD_BYTES);
    if (!sp_mailbox_read(box, newest, path, HEAD_BYTES)) {
        loop->pending = 0; /* a copy that fails writes over what waited there, too */
        return;            /* overtaken by a newer one: next tick */
    }
    if (loop->pending && path->observation_stamp_ns <= waiting_stamp_ns) {
        memcpy(path, waiting, HEAD_BYTES);
        loop->trajectory_sequence = newest;
        loop->config.stats->verdicts[SP_TRAJECTORY_STALE]++;
        return;
    }
    loop->pending = 0;
    int reason = SP_TRAJECTORY_BAD_SHAPE;
    if (sp_trajectory_fits(path, loop->config.joint_count)) {
        if (!sp_mailbox_read(box, newest, path, sp_trajectory_bytes(path)))
            return;
        reason = sp_trajectory_check(path, loop->config.joint_count, tick_ns);
    }
    loop->trajectory_sequence = newest;
    const sp_active *active = sp_loop_active(loop);
    if (reason == SP_TRAJECTORY_OK && active && path->observation_stamp_ns <= active->path.observation_stamp_ns)
        reason = SP_TRAJECTORY_STALE;
    loop->config.stats->verdicts[reason]++;
    loop->pending = reason == SP_TRAJECTORY_OK;
}

/* A start whose trajectory is soon further away than the limits can bring the arm is eased into: at a share of the
 * speed, until it has not been so for a while. */
void sp_loop_ease(sp_loop *loop, int64_t tick_ns, int begins)
{
    const sp_loop_config *config = &loop->config;
    const sp_active *active = sp_loop_active(loop);
    if (config->ease_speed <= 0 || (!begins && !loop->easing))
        return;
    int64_t ahead_ns = tick_ns + EASE_AHEAD_NS, end_ns = sp_trajectory_end_ns(&active->path);
    ahead_ns = ahead_ns < end_ns ? ahead_ns : end_ns;
    for (int i = 0; i < config->joint_count; i++) {
        if (config->kinds[i] != SP_JOINT_ARM)
            continue;
        double travel = fabs(sp_trajectory_spline(&active->path, i, ahead_ns).position - loop->joints[i].position);
        double reach = config->ease_travel + config->limits[i].velocity * EASE_AHEAD_NS * 1e-9;
        if (travel > reach) {
            loop->easing = 1;
            loop->ease_ns = tick_ns;
        }
    }
    if (loop->easing && tick_ns - loop->ease_ns > EASE_CLEAR_NS)
        loop->easing = 0;
}

static double relative(double a, double b)
{
    return fabs(a - b) / fmax(1, fmax(fabs(a), fabs(b)));
}

/* Puts a trajectory in force from what was commanded one slot ago. */
static void switch_to(sp_loop *loop, sp_active *active, int64_t tick_ns)
{
    const sp_loop_config *config = &loop->config;
    sp_loop_stats *stats = config->stats;
    sp_motion last[SP_MAX_JOINTS];
    for (int i = 0; i < config->joint_count; i++)
        last[i] = loop->joints[i].setpoint;
    int64_t switch_ns = tick_ns - config->dt_ns;
    sp_trajectory_hand_off(active, last, config->limits, config->kinds, switch_ns);
    for (int i = 0; i < config->joint_count; i++) {
        if (config->kinds[i] != SP_JOINT_ARM)
            continue;
        sp_motion now = sp_trajectory_sample(active, i, SP_JOINT_ARM, switch_ns);
        stats->seam_position = fmax(stats->seam_position, relative(now.position, last[i].position));
        stats->seam_velocity = fmax(stats->seam_velocity, relative(now.velocity, last[i].velocity));
        stats->seam_acceleration = fmax(stats->seam_acceleration, relative(now.acceleration, last[i].acceleration));
    }
    stats->switches++;
    sp_histogram_record(&stats->blend, active->blend_ns);
}

void sp_loop_take(sp_loop *loop, int64_t tick_ns, int again)
{
    if (loop->pending) {
        loop->in_force = loop->in_force == 0 ? 1 : 0;
        loop->pending = 0;
        switch_to(loop, sp_loop_active(loop), tick_ns);
        loop->record.switched = 1;
    } else if (again) {
        switch_to(loop, sp_loop_active(loop), tick_ns);
        loop->record.switched = 1;
    }
}
