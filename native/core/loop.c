#define _GNU_SOURCE
#include "loop.h"

#include "loop_parts.h"

#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SLOW_TICKS = 64 };

void sp_loop_init(sp_loop *loop, const sp_loop_config *config, sp_clock clock, sp_bus bus)
{
    memset(loop, 0, sizeof *loop);
    loop->config = *config;
    loop->clock = clock;
    loop->bus = bus;
    loop->in_force = -1;
    loop->culprit = -1;
    loop->first_minor_faults = -1;
    loop->state.rung = SP_RUNG_OFF;
    sp_loop_scale(loop, 1);
    for (int i = 0; i < config->joint_count; i++)
        sp_reflex_begin(&loop->reflexes[i]);
    if (config->trajectories) /* what was published before this loop began is not ours to execute */
        loop->trajectory_sequence = sp_mailbox_latest(config->trajectories);
}

int sp_loop_at_rest(const sp_loop *loop)
{
    for (int i = 0; i < loop->config.joint_count; i++)
        if (fabs(loop->joints[i].velocity) > 1e-9 || fabs(loop->joints[i].acceleration) > 1e-6)
            return 0;
    return 1;
}

static void publish_state(sp_loop *loop, int64_t tick_ns)
{
    const sp_active *active = sp_loop_active(loop);
    sp_state *state = &loop->state;
    state->tick = loop->tick;
    state->command_ns = state->tick_ns; /* the last command belongs to the slot before */
    state->tick_ns = tick_ns;
    state->mode = loop->mode;
    state->trajectory_id = active ? active->path.id : 0;
    state->observation_stamp_ns = active ? active->path.observation_stamp_ns : 0;
    state->in_force_ns = active ? active->switch_ns + loop->config.dt_ns : 0;
    state->blend_end_ns = active ? active->switch_ns + active->blend_ns : 0;
    state->at_rest = sp_loop_at_rest(loop);
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

static void record_tick(sp_loop *loop, int64_t tick_ns, uint32_t conditions)
{
    const sp_active *active = sp_loop_active(loop);
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

    record->woke_ns = sp_loop_now(loop);
    loop->bus.ask(loop->bus.context);
    int answered = loop->bus.read(loop->bus.context, loop->samples, record->woke_ns + config->read_budget_ns);
    record->read_ns = sp_loop_now(loop);
    loop->lost_ns = answered >= 0 ? 0 : loop->lost_ns ? loop->lost_ns : tick_ns;
    loop->culprit = -1;
    if (loop->mode == SP_MODE_OFF) {
        sp_loop_test_itself(loop, skipped);
        sp_loop_arm(loop);
    }
    publish_state(loop, tick_ns);

    sp_loop_receive(loop, tick_ns);
    uint32_t conditions = sp_loop_judge(loop, tick_ns, skipped);
    sp_mode before = loop->mode;
    sp_loop_change_mode(loop, tick_ns, conditions);
    loop->state.conditions = conditions;
    record->switched = 0;
    if (loop->mode == SP_MODE_RUNNING) {
        sp_loop_take(loop, tick_ns, skipped > 0 || before != SP_MODE_RUNNING);
        sp_loop_ease(loop, tick_ns, before != SP_MODE_RUNNING);
    }

    record->planned_ns = record->computed_ns = record->written_ns = sp_loop_now(loop);
    if (loop->mode != SP_MODE_OFF) {
        sp_loop_command_joints(loop, tick_ns);
        record->computed_ns = sp_loop_now(loop);
        sp_loop_command_bus(loop, tick_ns);
        record->written_ns = sp_loop_now(loop);
        sp_histogram_record(&stats->compute, record->computed_ns - record->read_ns);
        sp_histogram_record(&stats->bus_cycle,
                            record->read_ns - record->woke_ns + record->written_ns - record->computed_ns);
    }
    sp_loop_take_rung(loop, tick_ns);
    record_tick(loop, tick_ns, conditions);
    stats->bus = *loop->bus.counts;
    stats->skipped_slots += (uint64_t)skipped;
    stats->ticks = ++loop->tick;
    if (loop->tick % SLOW_TICKS == 1) {
        count_page_faults(loop);
        publish_health(loop, tick_ns);
    }
    if (config->heartbeat_ns)
        atomic_store_explicit(config->heartbeat_ns, sp_loop_now(loop), memory_order_release);
}

void sp_loop_run(sp_loop *loop, int64_t start_ns)
{
    sp_realtime_enter(&loop->config.realtime, &loop->realtime);
    atomic_store(&loop->thread_id, (int64_t)syscall(SYS_gettid));
    atomic_store(&loop->entered, 1);

    /* Entering (locking memory) takes tens of ms: the first slot is the first that is still ahead. */
    const int64_t dt_ns = loop->config.dt_ns;
    int64_t passed_ns = sp_loop_now(loop) - start_ns;
    int64_t next_ns = passed_ns > 0 ? start_ns + (passed_ns / dt_ns + 1) * dt_ns : start_ns;
    while (!atomic_load_explicit(&loop->stop, memory_order_acquire)) {
        loop->clock.sleep_until(loop->clock.context, next_ns);
        int64_t late_ns = sp_loop_now(loop) - next_ns;
        sp_histogram_record_late(&loop->config.stats->late, late_ns, dt_ns);
        int64_t skipped = late_ns / dt_ns;
        next_ns += skipped * dt_ns;
        sp_loop_tick(loop, next_ns, skipped);
        next_ns += dt_ns;
    }
}
