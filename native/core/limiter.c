#include "limiter.h"

#include <math.h>

/* A brake is predicted with a little less jerk and acceleration than it may use, which covers what a tick
 * of finite length rounds away. */
#define PREDICTED_JERK 0.85
#define PREDICTED_ACCELERATION 0.95
/* The tracking law, active only while a request cannot pass, asks for half the limits so that it can turn
 * around in time. */
#define TRACKING_SHARE 0.5
#define HALVINGS 12
#define ROUNDING 1e-9

typedef struct {
    double low, high;
} interval;

static double clamp(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

void sp_limiter_rest(sp_limiter *joint, double position)
{
    *joint = (sp_limiter){.position = position, .setpoint = {.position = position}};
}

/* Distance from (v, a = 0), v >= 0, to rest. */
static double distance_to_rest(double v, double acceleration, double jerk)
{
    if (v * jerk >= acceleration * acceleration)
        return 0.5 * v * (v / acceleration + acceleration / jerk);
    return v * sqrt(v / jerk);
}

static double stop_distance(double v, double a, double acceleration, double jerk)
{
    if (a > 0) { /* first take the acceleration off */
        double t = a / jerk;
        double v_then = v + 0.5 * a * t;
        double travelled = t * (v + a * t / 3);
        if (v_then <= 0)
            return 0;
        return fmax(0, travelled + distance_to_rest(v_then, acceleration, jerk));
    }
    if (v <= 0)
        return 0;
    double b = fmin(-a, acceleration); /* already braking */
    if (2 * jerk * v <= b * b) {       /* stops while the brake is being released */
        double t = (b - sqrt(b * b - 2 * jerk * v)) / jerk;
        return t * (v - t * (b / 2 - jerk * t / 6));
    }
    /* The same as a brake that began earlier, from a higher speed with no acceleration. */
    double t = b / jerk;
    double v_start = v + 0.5 * b * t;
    return distance_to_rest(v_start, acceleration, jerk) - t * (v_start - b * t / 6);
}

double sp_stop_position_max(const sp_limits *limits, double position, double velocity, double acceleration)
{
    return position + stop_distance(velocity, acceleration, limits->acceleration, limits->jerk);
}

/* The furthest upward excursion if braking starts after a tick with acceleration `next`. A discrete brake ends
 * a little earlier than the continuous one that is predicted, since its first jerk step is a whole one. */
static double excursion_up(const sp_limits *limits, double dt, double position, double velocity, double next)
{
    double v = velocity + next * dt;
    return position + v * dt +
           stop_distance(v, next, PREDICTED_ACCELERATION * limits->acceleration, PREDICTED_JERK * limits->jerk);
}

/* The largest next acceleration in [low, high] after which a brake still ends below `bound`; low if none. */
static double highest_stoppable(const sp_limits *limits, double dt, double position, double velocity,
                                double bound, double low, double high)
{
    if (excursion_up(limits, dt, position, velocity, high) <= bound)
        return high;
    double good = low, bad = high;
    for (int i = 0; i < HALVINGS; i++) {
        double middle = 0.5 * (good + bad);
        if (excursion_up(limits, dt, position, velocity, middle) <= bound)
            good = middle;
        else
            bad = middle;
    }
    return good;
}

/* The largest next acceleration from which the velocity can still be kept below the limit: exact for the
 * discrete sequence. Taking one jerk step off in each of n ticks raises the velocity, in jerk steps, by
 * next + (next - 1) + ... = n next - n (n - 1) / 2, which may be no more than the room that is left. */
static double highest_for_velocity(const sp_limits *limits, double dt, double velocity)
{
    double step = limits->jerk * dt;
    double room = (limits->velocity - velocity) / (step * dt);
    if (room <= 1)
        return step * room;
    double n = ceil((sqrt(1 + 8 * room) - 1) / 2);
    return step * (room / n + (n - 1) / 2);
}

/* Narrows `allowed`; where nothing is left, keeps the point nearest to what was asked for. */
static uint32_t narrow(interval *allowed, double low, double high, double wanted, uint32_t reason)
{
    uint32_t hit = (wanted > high && allowed->high > high) || (wanted < low && allowed->low < low) ? reason : 0;
    interval next = {fmax(allowed->low, low), fmin(allowed->high, high)};
    if (next.low > next.high) {
        double nearest = low > allowed->high ? allowed->high : allowed->low;
        next = (interval){nearest, nearest};
        hit = reason;
    }
    *allowed = next;
    return hit;
}

static interval allowed_accelerations(const sp_limiter *joint, const sp_limits *limits, double dt,
                                      double wanted, uint32_t *reasons)
{
    double step = limits->jerk * dt;
    interval allowed = {joint->acceleration - step, joint->acceleration + step};
    *reasons = wanted > allowed.high || wanted < allowed.low ? SP_LIMITED_JERK : 0;
    *reasons |= narrow(&allowed, -limits->acceleration, limits->acceleration, wanted, SP_LIMITED_ACCELERATION);
    *reasons |= narrow(&allowed, -highest_for_velocity(limits, dt, -joint->velocity),
                       highest_for_velocity(limits, dt, joint->velocity), wanted, SP_LIMITED_VELOCITY);
    double high = highest_stoppable(limits, dt, joint->position, joint->velocity, limits->position_max,
                                    allowed.low, allowed.high);
    double low = -highest_stoppable(limits, dt, -joint->position, -joint->velocity, -limits->position_min,
                                    -allowed.high, -allowed.low);
    *reasons |= narrow(&allowed, low, high, wanted, SP_LIMITED_POSITION);
    return allowed;
}

static void emit(sp_limiter *joint, double dt, double next)
{
    joint->acceleration = next;
    joint->velocity += next * dt;
    joint->position += joint->velocity * dt;
    /* The differences lag: velocity by half a tick, acceleration by one. */
    joint->setpoint = (sp_motion){joint->position, joint->velocity + 0.5 * next * dt, next};
}

/* Whether going to the request now leaves accelerations that can be followed in the next two ticks. */
static int can_capture(const sp_limiter *joint, const sp_limits *limits, double dt, const sp_motion *request)
{
    double first = ((request->position - joint->position) / dt - joint->velocity) / dt;
    double arrival = (request->position - joint->position) / dt;
    double second = (request->velocity + 0.5 * request->acceleration * dt - arrival) / dt;
    double step = limits->jerk * dt * (1 + ROUNDING);
    double top = limits->acceleration * (1 + ROUNDING);
    return fabs(second - first) <= step && fabs(second) <= top &&
           fabs(request->acceleration - second) <= step && fabs(request->acceleration) <= top &&
           fabs(request->velocity) <= limits->velocity * (1 + ROUNDING);
}

/* Towards a moving target: close the distance at a speed from which the rest can be braked, and reach that
 * speed with an acceleration that jerk can take off in time. */
static double tracking_acceleration(const sp_limiter *joint, const sp_limits *limits, double dt,
                                    const sp_motion *request)
{
    double settle_s = fmax(2.5 * dt, 0.5 * limits->acceleration / limits->jerk);
    double error = request->position - request->velocity * dt - joint->position;
    double closing = fmin(fabs(error) / (4 * settle_s),
                          sqrt(2 * TRACKING_SHARE * limits->acceleration * fabs(error)));
    double wanted = clamp(request->velocity + copysign(closing, error), -limits->velocity, limits->velocity);
    double slip = wanted - joint->velocity;
    double reach = fmin(fabs(slip) / settle_s, sqrt(2 * TRACKING_SHARE * limits->jerk * fabs(slip)));
    return copysign(reach, slip);
}

uint32_t sp_limiter_brake(sp_limiter *joint, const sp_limits *limits, double dt)
{
    /* Towards a velocity limit of 0, from below: as late as jerk allows, and never past it. */
    sp_limits still = *limits;
    still.velocity = 0;
    double wanted = copysign(highest_for_velocity(&still, dt, -fabs(joint->velocity)), -joint->velocity);
    uint32_t reasons;
    interval allowed = allowed_accelerations(joint, limits, dt, wanted, &reasons);
    emit(joint, dt, clamp(wanted, allowed.low, allowed.high));
    return reasons;
}

uint32_t sp_limiter_step(sp_limiter *joint, const sp_limits *limits, double dt, const sp_motion *request)
{
    if (!isfinite(request->position) || !isfinite(request->velocity) || !isfinite(request->acceleration)) {
        sp_limiter_brake(joint, limits, dt);
        return SP_LIMITED_INVALID;
    }
    /* A far request must not overflow the arithmetic: beyond the range it asks for the range's end. */
    sp_motion target = *request;
    uint32_t reasons = 0;
    if (target.position < limits->position_min || target.position > limits->position_max) {
        target = (sp_motion){.position = clamp(target.position, limits->position_min, limits->position_max)};
        reasons = SP_LIMITED_POSITION;
    }
    double direct = ((target.position - joint->position) / dt - joint->velocity) / dt;
    uint32_t clipped;
    interval allowed = allowed_accelerations(joint, limits, dt, direct, &clipped);
    double slack = ROUNDING * limits->acceleration;
    if (direct >= allowed.low - slack && direct <= allowed.high + slack &&
        can_capture(joint, limits, dt, &target)) {
        double velocity = (target.position - joint->position) / dt;
        joint->acceleration = (velocity - joint->velocity) / dt;
        joint->velocity = velocity;
        joint->position = target.position;
        joint->setpoint = target;
        return reasons;
    }
    target.velocity = clamp(target.velocity, -limits->velocity, limits->velocity);
    double wanted = tracking_acceleration(joint, limits, dt, &target);
    emit(joint, dt, clamp(wanted, allowed.low, allowed.high));
    return reasons | (clipped ? clipped : SP_LIMITED_JERK);
}

uint32_t sp_limiter_step_gripper(sp_limiter *joint, const sp_limits *limits, double dt, double position)
{
    if (!isfinite(position)) {
        sp_limiter_rest(joint, joint->position);
        return SP_LIMITED_INVALID;
    }
    double bounded = clamp(position, limits->position_min, limits->position_max);
    uint32_t reasons = bounded != position ? SP_LIMITED_POSITION : 0;
    double reach = limits->velocity * dt;
    double next = clamp(bounded, joint->position - reach, joint->position + reach);
    if (next != bounded)
        reasons |= SP_LIMITED_VELOCITY;
    sp_limiter_rest(joint, next);
    return reasons;
}
