#include "loop_parts.h"

#include <math.h>

#define MISSED_SHARE 0.005 /* beyond what a joint sags under its load */
#define SETTLED_SHARE 0.01 /* of the velocity limit */
#define ARMING_SHARE 0.002 /* of a joint's range: 8 mrad of a turn and a quarter */

/* Commands begin at the measured pose: looked at anew in each tick until the arm is armed, so that one that was moved
 * by hand does not jump. A joint that stands outside its range, by more than an encoder's noise, is not armed:
 * bringing it back is a person's decision. Within that it begins at the end of the range, or the limiter would brake
 * as hard as it may for a hair. Nor is one that moves by itself. A gripper that has held on all the while goes on with
 * its command: at its measured pose it would let go of the force by which it holds. */
void sp_loop_arm(sp_loop *loop)
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
            loop->culprit = i;
            return;
        }
    }
    for (int i = 0; i < config->joint_count; i++) {
        int grips = config->kinds[i] == SP_JOINT_GRIPPER && isfinite(config->grips[i]);
        double position = fmax(grips ? config->grips[i] : loop->samples[i].position, limits[i].position_min);
        sp_limiter_rest(&loop->joints[i], fmin(position, limits[i].position_max));
    }
    loop->armed = 1;
    if (config->fence)
        sp_fence_leave_begin(&loop->leave, config->fence, loop->joints);
}

/* A tick is whole when every joint answered and no slot was missed. Nothing is written meanwhile. */
void sp_loop_test_itself(sp_loop *loop, int64_t skipped)
{
    int whole = skipped == 0;
    for (int i = 0; i < loop->config.joint_count; i++)
        whole = whole && loop->samples[i].fresh;
    if (loop->tested < loop->config.self_test_ticks)
        loop->tested = whole ? loop->tested + 1 : 0;
}

/* Limits at a share of their velocity; computed again only when it changes. */
void sp_loop_scale(sp_loop *loop, double scale)
{
    if (scale == loop->speed_scale)
        return;
    loop->speed_scale = scale;
    for (int i = 0; i < loop->config.joint_count; i++)
        loop->scaled[i] = sp_limits_scaled(&loop->config.limits[i], scale);
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
        double share = order.speed >= 0 ? order.speed : 0; /* NaN too */
        speed = share < speed ? share : speed;
        if (order.kind == SP_ORDER_OFF)
            conditions |= SP_CONDITION_ORDER_OFF;
        else if (order.kind == SP_ORDER_STOP)
            conditions |= SP_CONDITION_ORDER_STOP; /* a stop does not expire */
        else if (order.valid_until_ns < tick_ns)
            conditions |= SP_CONDITION_ORDER_STALE;
        else if (order.kind != SP_ORDER_RUN)
            conditions |= SP_CONDITION_ORDER_HOLD;
    }
    int slowly = loop->easing || (loop->leave.count && loop->config.ease_speed > 0);
    sp_loop_scale(loop, slowly ? fmin(speed, loop->config.ease_speed) : speed);
    if (atomic_load_explicit(&loop->hold, memory_order_relaxed))
        conditions |= SP_CONDITION_ORDER_HOLD;
    for (int i = 0; i < loop->config.stop_line_count; i++)
        if (atomic_load_explicit(loop->config.stop_lines[i], memory_order_acquire))
            conditions |= SP_CONDITION_ESTOP;
    return conditions;
}

/* A joint that was silent for too long may have been unplugged, and stands where it stood then. Its command begins
 * there again once the arm is at rest and the joint stands: else it would leap to where the others have braked to.
 * One that heard everything, and only could not answer, has moved on: it is nearer to its command than to where it
 * answered last. */
static void welcome_back(sp_loop *loop, int i)
{
    const sp_limits *limits = &loop->config.limits[i];
    const sp_joint_sample *sample = &loop->samples[i];
    int stands = loop->mode == SP_MODE_HOLDING || loop->mode == SP_MODE_STOPPED;
    if (!sample->fresh || !stands || !sp_loop_at_rest(loop) || !isfinite(sample->position) ||
        !(fabs(sample->velocity) <= SETTLED_SHARE * limits->velocity))
        return;
    loop->missed[i] = 0;
    double missed = fabs(sample->position - loop->joints[i].position);
    if (missed <= MISSED_SHARE * (limits->position_max - limits->position_min) ||
        fabs(sample->position - loop->heard[i]) > 0.5 * missed)
        return;
    sp_limiter_rest(&loop->joints[i], fmin(fmax(sample->position, limits->position_min), limits->position_max));
    sp_reflex_begin(&loop->reflexes[i]);
    loop->anew[i] = 1;
}

/* What the joints themselves say. The first joint with something new to complain of is the culprit of the tick. */
static uint32_t joint_conditions(sp_loop *loop, int64_t tick_ns)
{
    const sp_loop_config *config = &loop->config;
    const sp_joint_health *health = loop->bus.health;
    uint32_t conditions = 0;
    for (int i = 0; i < config->joint_count; i++) {
        if (loop->mode == SP_MODE_RUNNING)
            loop->missed[i] = 0;
        if (loop->missed[i])
            welcome_back(loop, i);
        else if (loop->samples[i].fresh)
            loop->heard[i] = loop->joints[i].position;
        uint32_t own = sp_reflex_tick(&loop->reflexes[i], &config->reflexes[i], &loop->samples[i],
                                      health ? &health[i] : NULL, &loop->joints[i], tick_ns,
                                      loop->energised && !loop->fade_start_ns);
        if (tick_ns - loop->samples[i].stamp_ns > config->joint_age_limit_ns)
            own |= SP_CONDITION_JOINT_SILENT;
        loop->missed[i] |= own & SP_CONDITION_JOINT_SILENT && config->kinds[i] == SP_JOINT_ARM;
        if (health && loop->energised && !loop->fade_start_ns && health[i].stamp_ns > loop->energised_ns &&
            !health[i].torque)
            own |= SP_CONDITION_MOTOR_OFF;
        if (own & ~loop->conditions && loop->culprit < 0)
            loop->culprit = i;
        conditions |= own;
    }
    return conditions;
}

/* Of the trajectory that is in force, or would be in this tick. */
static uint32_t trajectory_conditions(const sp_loop *loop, int64_t tick_ns)
{
    if (loop->in_force < 0 && !loop->pending)
        return SP_CONDITION_NO_TRAJECTORY;
    const sp_trajectory *path = &loop->paths[loop->pending ? loop->in_force == 0 : loop->in_force].path;
    if (sp_trajectory_end_ns(path) <= tick_ns)
        return SP_CONDITION_NO_TRAJECTORY;
    return tick_ns - path->observation_stamp_ns > loop->config.tail_limit_ns ? SP_CONDITION_CHUNK_OLD : 0;
}

uint32_t sp_loop_judge(sp_loop *loop, int64_t tick_ns, int64_t skipped)
{
    const sp_loop_config *config = &loop->config;
    uint32_t conditions = loop->latched | order_conditions(loop, tick_ns) | joint_conditions(loop, tick_ns) |
                          trajectory_conditions(loop, tick_ns);
    if (!loop->armed)
        conditions |= SP_CONDITION_NOT_ARMED;
    if (loop->tested < config->self_test_ticks)
        conditions |= SP_CONDITION_NOT_TESTED;
    if (loop->mode != SP_MODE_OFF && !loop->energised)
        conditions |= SP_CONDITION_NOT_ENERGISED;
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
void sp_loop_change_mode(sp_loop *loop, int64_t tick_ns, uint32_t conditions)
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
