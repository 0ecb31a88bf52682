#define _GNU_SOURCE
#include "loop.h"

#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FAULT_CHECK_TICKS = 64 };

#define ARMING_SHARE 0.002 /* of a joint's range: 8 mrad of a turn and a quarter */

void sp_loop_init(sp_loop *loop, const sp_loop_config *config, sp_clock clock, sp_bus bus)
{
    memset(loop, 0, sizeof *loop);
    loop->config = *config;
    loop->clock = clock;
    loop->bus = bus;
    loop->in_force = -1;
    loop->first_minor_faults = -1;
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

/* Commands begin at the measured pose. A joint that stands outside its range, by more than an encoder's noise, is
 * not armed: bringing it back is a person's decision. Within that it begins at the end of the range, or the
 * limiter would brake as hard as it may for a hair. */
static void arm(sp_loop *loop)
{
    const sp_limits *limits = loop->config.limits;
    for (int i = 0; i < loop->config.joint_count; i++) {
        double position = loop->samples[i].position;
        double outside = fmax(limits[i].position_min - position, position - limits[i].position_max);
        if (loop->samples[i].stamp_ns == 0 || outside > ARMING_SHARE * (limits[i].position_max - limits[i].position_min))
            return;
    }
    for (int i = 0; i < loop->config.joint_count; i++) {
        double position = fmax(loop->samples[i].position, limits[i].position_min);
        sp_limiter_rest(&loop->joints[i], fmin(position, limits[i].position_max));
    }
    loop->armed = 1;
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
    state->joint_count = loop->config.joint_count;
    for (int i = 0; i < loop->config.joint_count; i++)
        state->joints[i] = (sp_joint_state){loop->samples[i], loop->joints[i].setpoint};
    sp_mailbox_publish(loop->config.state, state,
                       offsetof(sp_state, joints) + sizeof(sp_joint_state) * (size_t)state->joint_count);
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

static uint32_t order_conditions(const sp_loop *loop, int64_t tick_ns)
{
    uint32_t conditions = 0;
    for (int i = 0; i < loop->config.order_count; i++) {
        sp_order order;
        if (!sp_mailbox_read_latest(loop->config.orders[i], &order, sizeof order))
            conditions |= SP_CONDITION_ORDER_STALE;
        else if (order.kind >= SP_ORDER_STOP)
            conditions |= SP_CONDITION_ORDER_STOP; /* a stop does not expire */
        else if (order.valid_until_ns < tick_ns)
            conditions |= SP_CONDITION_ORDER_STALE;
        else if (order.kind != SP_ORDER_RUN)
            conditions |= SP_CONDITION_ORDER_HOLD;
    }
    return conditions;
}

static uint32_t judge(sp_loop *loop, int64_t tick_ns, int64_t skipped)
{
    uint32_t conditions = order_conditions(loop, tick_ns);
    const sp_active *active = active_path(loop);
    int has_tail = active && sp_trajectory_end_ns(&active->path) > tick_ns;
    if (!loop->pending && !has_tail)
        conditions |= SP_CONDITION_NO_TRAJECTORY;
    if (!loop->armed)
        conditions |= SP_CONDITION_NOT_ARMED;
    if (skipped > loop->config.missed_to_hold)
        conditions |= SP_CONDITION_LATE;
    for (int i = 0; i < loop->config.joint_count; i++)
        if (tick_ns - loop->samples[i].stamp_ns > loop->config.joint_age_limit_ns)
            conditions |= SP_CONDITION_BUS_SILENT;
    return conditions;
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

static void count_running_tick(sp_loop *loop, int64_t tick_ns, int limited, const double *accelerations)
{
    sp_loop_stats *stats = loop->config.stats;
    const sp_active *active = active_path(loop);
    int64_t age_ns = tick_ns - active->path.observation_stamp_ns;
    sp_histogram_record(&stats->age, age_ns);
    stats->running_ticks++;
    stats->limited_ticks += limited ? 1 : 0;
    stats->starved_ticks += age_ns > active->path.fresh_for_ns ? 1 : 0;
    double dt_s = loop->config.dt_ns * 1e-9;
    for (int i = 0; i < loop->config.joint_count; i++) {
        if (loop->config.kinds[i] != SP_JOINT_ARM)
            continue;
        double jerk = (loop->joints[i].acceleration - accelerations[i]) / dt_s;
        stats->jerk_square_sum += jerk * jerk;
        stats->jerk_count++;
    }
}

static void command_joints(sp_loop *loop, int64_t tick_ns)
{
    const sp_loop_config *config = &loop->config;
    const sp_active *active = loop->mode == SP_MODE_RUNNING ? active_path(loop) : NULL;
    const sp_limits *limits = loop->mode == SP_MODE_STOPPED ? config->emergency : config->limits;
    double dt_s = config->dt_ns * 1e-9, before[SP_MAX_JOINTS];
    int limited = 0;
    for (int i = 0; i < config->joint_count; i++) {
        sp_limiter *joint = &loop->joints[i];
        before[i] = joint->acceleration;
        sp_motion request = {.position = joint->position};
        uint32_t reasons;
        if (active) {
            request = sp_trajectory_sample(active, i, config->kinds[i], tick_ns);
            reasons = config->kinds[i] == SP_JOINT_ARM
                          ? sp_limiter_step_or_return(joint, &limits[i], &config->emergency[i], dt_s, &request)
                          : sp_limiter_step_gripper(joint, &limits[i], dt_s, request.position);
        } else {
            reasons = config->kinds[i] == SP_JOINT_ARM
                          ? sp_limiter_brake_or_return(joint, &limits[i], &config->emergency[i], dt_s)
                          : sp_limiter_step_gripper(joint, &limits[i], dt_s, joint->position);
        }
        limited |= reasons != 0 && config->kinds[i] == SP_JOINT_ARM;
        loop->record.joints[i] =
            (sp_joint_record){loop->samples[i].position, request.position, joint->position, reasons};
    }
    if (active)
        count_running_tick(loop, tick_ns, limited, before);
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
    loop->bus.read(loop->bus.context, loop->samples, record->woke_ns + config->read_budget_ns);
    record->read_ns = now(loop);
    if (!loop->armed)
        arm(loop);
    publish_state(loop, tick_ns);

    receive_trajectory(loop, tick_ns);
    uint32_t conditions = judge(loop, tick_ns, skipped);
    sp_mode before = loop->mode;
    loop->mode = sp_mode_next(before, conditions);
    loop->state.conditions = conditions;
    record->switched = 0;
    stats->holds += before == SP_MODE_RUNNING && loop->mode == SP_MODE_HOLDING;
    if (loop->mode == SP_MODE_RUNNING)
        take_trajectory(loop, tick_ns, skipped > 0 || before != SP_MODE_RUNNING);

    record->planned_ns = record->computed_ns = record->written_ns = now(loop);
    if (loop->mode != SP_MODE_OFF) {
        command_joints(loop, tick_ns);
        record->computed_ns = now(loop);
        loop->bus.write(loop->bus.context, loop->joints);
        record->written_ns = now(loop);
        sp_histogram_record(&stats->compute, record->computed_ns - record->read_ns);
        sp_histogram_record(&stats->bus_cycle,
                            record->read_ns - record->woke_ns + record->written_ns - record->computed_ns);
    }
    record_tick(loop, tick_ns, conditions);
    stats->bus = *loop->bus.counts;
    stats->skipped_slots += (uint64_t)skipped;
    stats->ticks = ++loop->tick;
    if (loop->tick % FAULT_CHECK_TICKS == 1)
        count_page_faults(loop);
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
