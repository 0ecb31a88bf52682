#define _GNU_SOURCE
#include "loop.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SLOW_TICKS = 64, FADE_STEPS = 50, EASE_AHEAD_NS = 100000000, EASE_CLEAR_NS = 200000000 };

#define ARMING_SHARE 0.002 /* of a joint's range: 8 mrad of a turn and a quarter */

/* Limits at a share of their velocity; computed again only when it changes. */
static void scale_limits(sp_loop *loop, double scale)
{
    if (scale == loop->speed_scale)
        return;
    loop->speed_scale = scale;
    for (int i = 0; i < loop->config.joint_count; i++)
        loop->scaled[i] = sp_limits_scaled(&loop->config.limits[i], scale);
}

void sp_loop_init(sp_loop *loop, const sp_loop_config *config, sp_clock clock, sp_bus bus)
{
    memset(loop, 0, sizeof *loop);
    loop->config = *config;
    loop->clock = clock;
    loop->bus = bus;
    loop->in_force = -1;
    loop->culprit = -1;
    loop->first_minor_faults = -1;
    scale_limits(loop, 1);
    for (int i = 0; i < config->joint_count; i++)
        sp_reflex_begin(&loop->reflexes[i]);
    if (config->trajectories) /* what was published before this loop began is not ours to execute */
        loop->trajectory_sequence = sp_mailbox_latest(config->trajectories);
}

static int64_t now(const sp_loop *loop)
{
    return loop->clock.now_ns(loop->clock.context);
}

static sp_active *active_path(sp_loop *loop)
{
    return loop->in_force < 0 ? NULL : &loop->paths[loop->in_force];
}

static sp_active *spare_path(sp_loop *loop)
{
    return &loop->paths[loop->in_force == 0 ? 1 : 0];
}

/* Commands begin at the measured pose: looked at anew in each tick until the arm is armed, so that one that was moved
 * by hand does not jump. A joint that stands outside its range, by more than an encoder's noise, is not armed:
 * bringing it back is a person's decision. Within that it begins at the end of the range, or the limiter would brake
 * as hard as it may for a hair. Nor is one that moves by itself. */
static void arm(sp_loop *loop)
{
    const sp_loop_config *config = &loop->config;
    const sp_limits *limits = config->limits;
    loop->armed = 0;
    for (int i = 0; i < config->joint_count; i++) {
        double position = loop->samples[i].position;
        double outside = fmax(limits[i].position_min - position, position - limits[i].position_max);
        int still = config->kinds[i] != SP_JOINT_ARM || config->arming_speed <= 0 ||
                    fabs(loop->samples[i].velocity) <= config->arming_speed * limits[i].velocity;
        if (loop->samples[i].stamp_ns == 0 || !still || !isfinite(position) ||
            outside > ARMING_SHARE * (limits[i].position_max - limits[i].position_min)) {
            loop->culprit = loop->culprit < 0 ? i : loop->culprit;
            return;
        }
    }
    for (int i = 0; i < config->joint_count; i++) {
        double position = fmax(loop->samples[i].position, limits[i].position_min);
        sp_limiter_rest(&loop->joints[i], fmin(position, limits[i].position_max));
    }
    loop->armed = 1;
}

/* A tick is whole when every joint answered and no slot was missed. Nothing is written meanwhile. */
static void test_itself(sp_loop *loop, int64_t skipped)
{
    int whole = skipped == 0;
    for (int i = 0; i < loop->config.joint_count; i++)
        whole = whole && loop->samples[i].fresh;
    if (loop->tested < loop->config.self_test_ticks)
        loop->tested = whole ? loop->tested + 1 : 0;
}

static int at_rest(const sp_loop *loop)
{
    for (int i = 0; i < loop->config.joint_count; i++)
        if (fabs(loop->joints[i].velocity) > 1e-9 || fabs(loop->joints[i].acceleration) > 1e-6)
            return 0;
    return 1;
}

static void publish_state(sp_loop *loop, int64_t tick_ns)
{
    const sp_active *active = active_path(loop);
    sp_state *state = &loop->state;
    state->tick = loop->tick;
    state->command_ns = state->tick_ns; /* the last command belongs to the slot before */
    state->tick_ns = tick_ns;
    state->mode = loop->mode;
    state->trajectory_id = active ? active->path.id : 0;
    state->observation_stamp_ns = active ? active->path.observation_stamp_ns : 0;
    state->in_force_ns = active ? active->switch_ns + loop->config.dt_ns : 0;
    state->blend_end_ns = active ? active->switch_ns + active->blend_ns : 0;
    state->at_rest = at_rest(loop);
    state->latched = loop->latched;
    state->energised = loop->energised;
    state->speed_scale = loop->speed_scale;
    state->joint_count = loop->config.joint_count;
    for (int i = 0; i < loop->config.joint_count; i++)
        state->joints[i] = (sp_joint_state){loop->samples[i], loop->joints[i].setpoint};
    sp_mailbox_publish(loop->config.state, state,
                       offsetof(sp_state, joints) + sizeof(sp_joint_state) * (size_t)state->joint_count);
}

static void publish_health(sp_loop *loop, int64_t tick_ns)
{
    sp_health *health = &loop->health;
    if (!loop->config.healths || !loop->bus.health)
        return;
    size_t bytes = sizeof(sp_joint_health) * (size_t)loop->config.joint_count;
    health->tick = loop->tick;
    health->tick_ns = tick_ns;
    health->joint_count = loop->config.joint_count;
    memcpy(health->joints, loop->bus.health, bytes);
    sp_mailbox_publish(loop->config.healths, health, offsetof(sp_health, joints) + bytes);
}

/* Copies the newest trajectory beside the one in force and judges it. */
static void receive_trajectory(sp_loop *loop, int64_t tick_ns)
{
    const sp_mailbox *box = loop->config.trajectories;
    sp_trajectory *path = &spare_path(loop)->path;
    if (loop->pending && sp_trajectory_end_ns(path) <= tick_ns)
        loop->pending = 0;
    uint64_t newest = box ? sp_mailbox_latest(box) : 0;
    if (newest == loop->trajectory_sequence)
        return;
    loop->pending = 0; /* even a copy that fails writes over what waited there */
    /* The head first: it says how much there is to copy. */
    if (!sp_mailbox_read(box, newest, path, offsetof(sp_trajectory, values)))
        return; /* overtaken by a newer one: next tick */
    int reason = SP_TRAJECTORY_BAD_SHAPE;
    if (path->joint_count == loop->config.joint_count && path->waypoint_count >= 2 &&
        path->waypoint_count <= SP_MAX_WAYPOINTS) {
        if (!sp_mailbox_read(box, newest, path, sp_trajectory_bytes(path->waypoint_count, path->joint_count)))
            return;
        reason = sp_trajectory_check(path, loop->config.joint_count, tick_ns);
    }
    loop->trajectory_sequence = newest;
    const sp_active *active = active_path(loop);
    if (reason == SP_TRAJECTORY_OK && active && path->observation_stamp_ns <= active->path.observation_stamp_ns)
        reason = SP_TRAJECTORY_STALE;
    loop->config.stats->verdicts[reason]++;
    loop->pending = reason == SP_TRAJECTORY_OK;
}

static uint32_t order_conditions(sp_loop *loop, int64_t tick_ns)
{
    uint32_t conditions = 0;
    double speed = 1;
    for (int i = 0; i < loop->config.order_count; i++) {
        sp_order order;
        if (!sp_mailbox_read_latest(loop->config.orders[i], &order, sizeof order)) {
            conditions |= SP_CONDITION_ORDER_STALE;
            continue;
        }
        speed = order.speed < speed ? order.speed : speed;
        if (order.kind >= SP_ORDER_OFF)
            conditions |= SP_CONDITION_ORDER_OFF;
        else if (order.kind == SP_ORDER_STOP)
            conditions |= SP_CONDITION_ORDER_STOP; /* a stop does not expire */
        else if (order.valid_until_ns < tick_ns)
            conditions |= SP_CONDITION_ORDER_STALE;
        else if (order.kind != SP_ORDER_RUN)
            conditions |= SP_CONDITION_ORDER_HOLD;
    }
    scale_limits(loop, loop->easing ? fmin(speed, loop->config.ease_speed) : speed);
    for (int i = 0; i < loop->config.stop_line_count; i++)
        if (atomic_load_explicit(loop->config.stop_lines[i], memory_order_acquire))
            conditions |= SP_CONDITION_ESTOP;
    return conditions;
}

/* What the joints themselves say. The first joint that complains is the culprit of the tick. */
static uint32_t joint_conditions(sp_loop *loop, int64_t tick_ns)
{
    const sp_loop_config *config = &loop->config;
    const sp_joint_health *health = loop->bus.health;
    double dt_s = config->dt_ns * 1e-9;
    uint32_t conditions = 0;
    for (int i = 0; i < config->joint_count; i++) {
        uint32_t own = sp_reflex_tick(&loop->reflexes[i], &config->reflexes[i], &loop->samples[i],
                                      health ? &health[i] : NULL, &loop->joints[i], dt_s, tick_ns,
                                      loop->energised && !loop->fade_start_ns);
        if (tick_ns - loop->samples[i].stamp_ns > config->joint_age_limit_ns)
            own |= SP_CONDITION_JOINT_SILENT;
        if (health && loop->energised && !loop->fade_start_ns && health[i].stamp_ns > loop->energised_ns &&
            !health[i].torque)
            own |= SP_CONDITION_MOTOR_OFF;
        if (own && loop->culprit < 0)
            loop->culprit = i;
        conditions |= own;
    }
    return conditions;
}

static uint32_t trajectory_conditions(const sp_loop *loop, int64_t tick_ns)
{
    const sp_active *active = &loop->paths[loop->in_force < 0 ? 0 : loop->in_force];
    if (loop->pending)
        return 0;
    if (loop->in_force < 0 || sp_trajectory_end_ns(&active->path) <= tick_ns)
        return SP_CONDITION_NO_TRAJECTORY;
    int64_t age_ns = tick_ns - active->path.observation_stamp_ns;
    return age_ns > loop->config.tail_limit_ns ? SP_CONDITION_CHUNK_OLD : 0;
}

static uint32_t judge(sp_loop *loop, int64_t tick_ns, int64_t skipped)
{
    const sp_loop_config *config = &loop->config;
    uint32_t conditions = loop->latched | order_conditions(loop, tick_ns) | joint_conditions(loop, tick_ns) |
                          trajectory_conditions(loop, tick_ns);
    if (!loop->armed)
        conditions |= SP_CONDITION_NOT_ARMED;
    if (loop->tested < config->self_test_ticks)
        conditions |= SP_CONDITION_NOT_TESTED;
    if (skipped > config->missed_to_hold)
        conditions |= SP_CONDITION_LATE;
    if (loop->lost_ns && tick_ns - loop->lost_ns > config->joint_age_limit_ns)
        conditions |= SP_CONDITION_LINE_LOST;
    if (config->let_go_after_ns > 0 && loop->rest_ns && tick_ns - loop->rest_ns > config->let_go_after_ns)
        conditions |= SP_CONDITION_HELD_LONG;
    if (loop->mode != SP_MODE_OFF) /* nothing is stopped that has not begun */
        loop->latched |= sp_conditions_latched(conditions);
    return conditions;
}

/* Takes the edge that the conditions ask for, and tells who reads transitions why. */
static void change_mode(sp_loop *loop, int64_t tick_ns, uint32_t conditions)
{
    const sp_edge *edge = sp_mode_edge(loop->mode, conditions);
    uint32_t risen = conditions & ~loop->conditions;
    for (uint32_t rest = risen; rest; rest &= rest - 1)
        loop->config.stats->risen[__builtin_ctz(rest)]++;
    loop->conditions = conditions;
    if (!edge)
        return;
    loop->config.stats->holds += edge->from == SP_MODE_RUNNING && edge->to == SP_MODE_HOLDING;
    loop->mode = edge->to;
    if (loop->config.transitions) {
        sp_transition change = {
            .tick = loop->tick,
            .tick_ns = tick_ns,
            .edge = sp_edge_index(edge),
            .from = edge->from,
            .to = edge->to,
            .conditions = conditions,
            .risen = risen,
            .joint = loop->culprit,
        };
        sp_mailbox_publish(loop->config.transitions, &change, sizeof change);
    }
}

/* A start whose trajectory is soon further away than the limits can bring the arm is eased into: at a share of the
 * speed, until it has not been so for a while. */
static void ease(sp_loop *loop, int64_t tick_ns, int begins)
{
    const sp_loop_config *config = &loop->config;
    const sp_active *active = active_path(loop);
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

static void take_trajectory(sp_loop *loop, int64_t tick_ns, int again)
{
    if (loop->pending) {
        loop->in_force = loop->in_force == 0 ? 1 : 0;
        loop->pending = 0;
        switch_to(loop, active_path(loop), tick_ns);
        loop->record.switched = 1;
    } else if (again) {
        switch_to(loop, active_path(loop), tick_ns);
        loop->record.switched = 1;
    }
}

static void count_running_tick(sp_loop *loop, int64_t tick_ns, const sp_limiter *before)
{
    sp_loop_stats *stats = loop->config.stats;
    const sp_active *active = active_path(loop);
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

/* Takes back the steps of the arm joints when the fence refuses where they lead, and brakes in their place: the brake
 * from here was found clear a tick ago. */
static void keep_inside_fence(sp_loop *loop, const sp_limits *limits, const sp_limiter *before)
{
    const sp_loop_config *config = &loop->config;
    uint32_t refused = sp_fence_judge(config->fence, before, loop->joints, limits, config->emergency,
                                      config->dt_ns * 1e-9);
    if (!refused)
        return;
    config->stats->fenced_ticks++;
    for (int i = 0; i < config->joint_count; i++) {
        if (config->kinds[i] != SP_JOINT_ARM)
            continue;
        loop->joints[i] = before[i];
        loop->record.joints[i].limited = refused | step_joint(loop, i, limits, NULL);
        loop->record.joints[i].applied = loop->joints[i].position;
    }
}

static void command_joints(sp_loop *loop, int64_t tick_ns)
{
    const sp_loop_config *config = &loop->config;
    const sp_active *active = loop->mode == SP_MODE_RUNNING ? active_path(loop) : NULL;
    const sp_limits *limits = loop->mode == SP_MODE_STOPPED ? config->emergency : loop->scaled;
    sp_limiter before[SP_MAX_JOINTS];
    for (int i = 0; i < config->joint_count; i++) {
        sp_limiter *joint = &loop->joints[i];
        before[i] = *joint;
        sp_motion request = {.position = joint->position};
        if (active)
            request = sp_trajectory_sample(active, i, config->kinds[i], tick_ns);
        uint32_t limited = step_joint(loop, i, limits, active ? &request : NULL);
        loop->record.joints[i] =
            (sp_joint_record){loop->samples[i].position, request.position, joint->position, limited};
    }
    if (!active)
        return;
    if (config->fence)
        keep_inside_fence(loop, limits, before);
    count_running_tick(loop, tick_ns, before);
}

/* Torque comes with the first goals, so that a motor is never switched on towards an old one. */
static void energise(sp_loop *loop)
{
    if (loop->bus.torque)
        loop->bus.torque(loop->bus.context, 1);
    loop->energised = 1;
    loop->energised_ns = now(loop);
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
    if (loop->bus.torque)
        loop->bus.torque(loop->bus.context, share);
    if (share == 0) {
        loop->energised = 0;
        loop->latched |= SP_CONDITION_RELEASED;
    }
}

static void command_bus(sp_loop *loop, int64_t tick_ns)
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
    if (loop->bus.write(loop->bus.context, loop->joints) == -EINVAL)
        loop->latched |= SP_CONDITION_REFUSED;
    if (!loop->energised)
        energise(loop);
    if (loop->mode == SP_MODE_STOPPED && sp_conditions_answer(loop->conditions, SP_ANSWER_LET_GO))
        let_go(loop, tick_ns);
}

static void take_rung(sp_loop *loop, int64_t tick_ns)
{
    const sp_active *active = active_path(loop);
    int rest = at_rest(loop), stands = loop->mode == SP_MODE_HOLDING || loop->mode == SP_MODE_STOPPED;
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

static void record_tick(sp_loop *loop, int64_t tick_ns, uint32_t conditions)
{
    const sp_active *active = active_path(loop);
    sp_tick_record *record = &loop->record;
    record->tick = loop->tick;
    record->tick_ns = tick_ns;
    record->mode = loop->mode;
    record->conditions = conditions;
    record->trajectory_id = active ? active->path.id : 0;
    record->observation_stamp_ns = active ? active->path.observation_stamp_ns : 0;
    record->sensor_stamp_ns = active ? active->path.sensor_stamp_ns : 0;
    record->joint_count = loop->config.joint_count;
    void *slot = loop->config.records ? sp_ring_begin(loop->config.records, loop->config.record_tail) : NULL;
    if (slot) {
        memcpy(slot, record,
               offsetof(sp_tick_record, joints) + sizeof(sp_joint_record) * (size_t)record->joint_count);
        sp_ring_commit(loop->config.records);
    }
}

static void count_page_faults(sp_loop *loop)
{
    struct rusage usage;
    if (getrusage(RUSAGE_THREAD, &usage))
        return;
    if (loop->first_minor_faults < 0) {
        loop->first_minor_faults = usage.ru_minflt;
        loop->first_major_faults = usage.ru_majflt;
    }
    loop->config.stats->minor_faults = (uint64_t)(usage.ru_minflt - loop->first_minor_faults);
    loop->config.stats->major_faults = (uint64_t)(usage.ru_majflt - loop->first_major_faults);
}

void sp_loop_tick(sp_loop *loop, int64_t tick_ns, int64_t skipped)
{
    const sp_loop_config *config = &loop->config;
    sp_loop_stats *stats = config->stats;
    sp_tick_record *record = &loop->record;

    record->woke_ns = now(loop);
    loop->bus.ask(loop->bus.context);
    int answered = loop->bus.read(loop->bus.context, loop->samples, record->woke_ns + config->read_budget_ns);
    record->read_ns = now(loop);
    loop->lost_ns = answered >= 0 ? 0 : loop->lost_ns ? loop->lost_ns : tick_ns;
    loop->culprit = -1;
    if (loop->mode == SP_MODE_OFF) {
        test_itself(loop, skipped);
        arm(loop);
    }
    publish_state(loop, tick_ns);

    receive_trajectory(loop, tick_ns);
    uint32_t conditions = judge(loop, tick_ns, skipped);
    sp_mode before = loop->mode;
    change_mode(loop, tick_ns, conditions);
    loop->state.conditions = conditions;
    record->switched = 0;
    if (loop->mode == SP_MODE_RUNNING) {
        take_trajectory(loop, tick_ns, skipped > 0 || before != SP_MODE_RUNNING);
        ease(loop, tick_ns, before != SP_MODE_RUNNING);
    }

    record->planned_ns = record->computed_ns = record->written_ns = now(loop);
    if (loop->mode != SP_MODE_OFF) {
        command_joints(loop, tick_ns);
        record->computed_ns = now(loop);
        command_bus(loop, tick_ns);
        record->written_ns = now(loop);
        sp_histogram_record(&stats->compute, record->computed_ns - record->read_ns);
        sp_histogram_record(&stats->bus_cycle,
                            record->read_ns - record->woke_ns + record->written_ns - record->computed_ns);
    }
    take_rung(loop, tick_ns);
    record_tick(loop, tick_ns, conditions);
    stats->bus = *loop->bus.counts;
    stats->skipped_slots += (uint64_t)skipped;
    stats->ticks = ++loop->tick;
    if (loop->tick % SLOW_TICKS == 1) {
        count_page_faults(loop);
        publish_health(loop, tick_ns);
    }
    if (config->heartbeat_ns)
        atomic_store_explicit(config->heartbeat_ns, now(loop), memory_order_release);
}

void sp_loop_run(sp_loop *loop, int64_t start_ns)
{
    sp_realtime_enter(&loop->config.realtime, &loop->realtime);
    atomic_store(&loop->thread_id, (int64_t)syscall(SYS_gettid));
    atomic_store(&loop->entered, 1);

    /* Entering (locking memory) takes tens of ms: the first slot is the first that is still ahead. */
    const int64_t dt_ns = loop->config.dt_ns;
    int64_t passed_ns = now(loop) - start_ns;
    int64_t next_ns = passed_ns > 0 ? start_ns + (passed_ns / dt_ns + 1) * dt_ns : start_ns;
    while (!atomic_load_explicit(&loop->stop, memory_order_acquire)) {
        loop->clock.sleep_until(loop->clock.context, next_ns);
        int64_t late_ns = now(loop) - next_ns;
        sp_histogram_record_late(&loop->config.stats->late, late_ns, dt_ns);
        int64_t skipped = late_ns / dt_ns;
        next_ns += skipped * dt_ns;
        sp_loop_tick(loop, next_ns, skipped);
        next_ns += dt_ns;
    }
}
