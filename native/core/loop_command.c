#include "loop_parts.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { FADE_STEPS = 50 };

static void count_running_tick(sp_loop *loop, int64_t tick_ns, const sp_limiter *before)
{
    sp_loop_stats *stats = loop->config.stats;
    const sp_active *active = sp_loop_active(loop);
    int64_t age_ns = tick_ns - active->path.observation_stamp_ns;
    sp_histogram_record(&stats->age, age_ns);
    stats->running_ticks++;
    stats->starved_ticks += age_ns > active->path.fresh_for_ns ? 1 : 0;
    double dt_s = loop->config.dt_ns * 1e-9;
    uint64_t limited = 0;
    for (int i = 0; i < loop->config.joint_count; i++) {
        if (loop->config.kinds[i] != SP_JOINT_ARM)
            continue;
        double jerk = (loop->joints[i].acceleration - before[i].acceleration) / dt_s;
        stats->jerk_square_sum += jerk * jerk;
        stats->jerk_count++;
        limited |= loop->record.joints[i].limited;
    }
    stats->limited_ticks += limited ? 1 : 0;
}

/* One joint's step towards its request, or its brake. */
static uint32_t step_joint(sp_loop *loop, int i, const sp_limits *limits, const sp_motion *request)
{
    const sp_loop_config *config = &loop->config;
    sp_limiter *joint = &loop->joints[i];
    double dt_s = config->dt_ns * 1e-9;
    if (config->kinds[i] != SP_JOINT_ARM)
        return sp_limiter_step_gripper(joint, &limits[i], dt_s, request ? request->position : joint->position);
    return request ? sp_limiter_step_or_return(joint, &limits[i], &config->emergency[i], dt_s, request)
                   : sp_limiter_brake_or_return(joint, &limits[i], &config->emergency[i], dt_s);
}

/* Takes back the steps of the arm joints when the fence refuses where they lead. In their place comes what lies as near
 * to them as the fence allows on the way from the brake, which was found clear a tick ago. */
static void keep_inside_fence(sp_loop *loop, const sp_limits *limits, const sp_limiter *before)
{
    const sp_loop_config *config = &loop->config;
    double dt_s = config->dt_ns * 1e-9;
    uint32_t refused = sp_fence_judge(config->fence, &loop->leave, before, loop->joints, limits, config->emergency, dt_s);
    if (!refused)
        return;
    sp_limiter stepped[SP_MAX_JOINTS];
    memcpy(stepped, loop->joints, sizeof stepped);
    config->stats->fenced_ticks++;
    for (int i = 0; i < config->joint_count; i++) {
        if (config->kinds[i] != SP_JOINT_ARM)
            continue;
        loop->joints[i] = before[i];
        loop->record.joints[i].limited = refused | step_joint(loop, i, limits, NULL);
    }
    double share = sp_fence_share(config->fence, &loop->leave, before, loop->joints, stepped, limits,
                                  config->emergency, dt_s);
    for (int i = 0; i < config->joint_count; i++) {
        if (config->kinds[i] != SP_JOINT_ARM)
            continue;
        if (share > 0)
            loop->joints[i] = sp_limiter_between(&before[i], &loop->joints[i], &stepped[i], share, dt_s);
        loop->record.joints[i].applied = loop->joints[i].position;
    }
}

void sp_loop_command_joints(sp_loop *loop, int64_t tick_ns)
{
    const sp_loop_config *config = &loop->config;
    const sp_active *active = loop->mode == SP_MODE_RUNNING ? sp_loop_active(loop) : NULL;
    const sp_limits *limits = loop->mode == SP_MODE_STOPPED ? config->emergency : loop->scaled;
    sp_limiter before[SP_MAX_JOINTS];
    for (int i = 0; i < config->joint_count; i++) {
        sp_limiter *joint = &loop->joints[i];
        before[i] = *joint;
        sp_motion request = {.position = joint->position};
        if (active)
            request = sp_trajectory_sample(active, i, config->kinds[i], tick_ns);
        uint32_t limited = step_joint(loop, i, limits, active ? &request : NULL);
        if (loop->anew[i]) {
            loop->anew[i] = 0;
            limited |= SP_BEGINS_ANEW;
        }
        loop->record.joints[i] =
            (sp_joint_record){loop->samples[i].position, request.position, joint->position, limited};
    }
    if (!active)
        return;
    if (config->fence) {
        keep_inside_fence(loop, limits, before);
        sp_fence_leave_go_on(&loop->leave, config->fence, loop->joints);
    }
    count_running_tick(loop, tick_ns, before);
}

/* Torque comes with the first goals, so that a motor is never switched on towards an old one. */
static void energise(sp_loop *loop)
{
    if (loop->bus.torque && loop->bus.torque(loop->bus.context, 1))
        return; /* again in the next tick; nothing begins meanwhile */
    loop->energised = 1;
    loop->energised_ns = sp_loop_now(loop);
}

/* An arm at rest that is to let go does so slowly: it sinks, and does not drop. */
static void let_go(sp_loop *loop, int64_t tick_ns)
{
    const sp_loop_config *config = &loop->config;
    if (!loop->fade_start_ns) {
        if (!loop->rest_ns)
            return;
        loop->fade_start_ns = loop->fade_step_ns = tick_ns;
    }
    double share = fmax(0, 1 - (double)(tick_ns - loop->fade_start_ns) / (double)config->fade_ns);
    if (share > 0 && tick_ns < loop->fade_step_ns)
        return;
    loop->fade_step_ns = tick_ns + config->fade_ns / FADE_STEPS;
    int failure = loop->bus.torque ? loop->bus.torque(loop->bus.context, share) : 0;
    if (share == 0 && !failure) {
        loop->energised = 0;
        loop->latched |= SP_CONDITION_RELEASED;
    }
}

void sp_loop_command_bus(sp_loop *loop, int64_t tick_ns)
{
    if (loop->config.commands) {
        sp_command *command = &loop->command;
        command->tick = loop->tick;
        command->tick_ns = tick_ns;
        command->mode = loop->mode;
        command->energised = loop->energised;
        command->joint_count = loop->config.joint_count;
        size_t bytes = sizeof(sp_limiter) * (size_t)loop->config.joint_count;
        memcpy(command->joints, loop->joints, bytes);
        sp_mailbox_publish(loop->config.commands, command, offsetof(sp_command, joints) + bytes);
    }
    int failure = loop->bus.write(loop->bus.context, loop->joints);
    if (failure == -EINVAL)
        loop->latched |= SP_CONDITION_REFUSED;
    if (!failure && !loop->energised && loop->mode != SP_MODE_STOPPED)
        energise(loop);
    if (loop->mode == SP_MODE_STOPPED && sp_conditions_answer(loop->conditions, SP_ANSWER_LET_GO))
        let_go(loop, tick_ns);
}

void sp_loop_take_rung(sp_loop *loop, int64_t tick_ns)
{
    const sp_active *active = sp_loop_active(loop);
    int rest = sp_loop_at_rest(loop), stands = loop->mode == SP_MODE_HOLDING || loop->mode == SP_MODE_STOPPED;
    sp_rung rung = rest ? SP_RUNG_HOLD : SP_RUNG_TO_REST;
    if (!loop->energised)
        rung = SP_RUNG_OFF;
    else if (loop->fade_start_ns)
        rung = SP_RUNG_DAMP;
    else if (loop->mode == SP_MODE_RUNNING)
        rung = tick_ns - active->path.observation_stamp_ns > active->path.fresh_for_ns ? SP_RUNG_TAIL : SP_RUNG_FRESH;
    if (!rest || !stands)
        loop->rest_ns = 0;
    else if (!loop->rest_ns)
        loop->rest_ns = tick_ns;
    if (loop->state.rung != (int64_t)rung || !loop->state.rung_ns)
        loop->state.rung_ns = tick_ns;
    loop->state.rung = rung;
    loop->config.stats->rung_ticks[rung]++;
}
