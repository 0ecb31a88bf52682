#include "limiter.h"

#include "brake.h"

#include <float.h>
#include <math.h>

/* The tracking law, active only while a request cannot pass, asks for half the limits so that it can turn
 * around in time. */
#define TRACKING_SHARE 0.5
/* What doubles round away, as a share. */
#define ROUNDING 1e-9

/* Limits in the units of the brake (brake.h): one tick of full jerk is 1. */
typedef struct {
    double acceleration, velocity, position; /* of one unit, in rad and s */
    double top, speed;                       /* the limits */
    double hard_jerk, hard_top, hard_speed;  /* those of the emergency, never below the normal ones */
    double slack, speed_slack;               /* of position and velocity: what doubles round away */
} bounds;

/* A joint in these units; its position as the room that is left to both ends of the range. */
typedef struct {
    double above, below, v, a;
} place;

typedef struct {
    double low, high;
} interval;

static bounds bounds_of(const sp_limits *limits, const sp_limits *emergency, double dt)
{
    double step = limits->jerk * dt, speed = limits->velocity / (step * dt), slack = ROUNDING * (speed + 1);
    return (bounds){
        .acceleration = step,
        .velocity = step * dt,
        .position = step * dt * dt,
        .top = limits->acceleration / step,
        .speed = speed,
        .hard_jerk = fmax(1, emergency->jerk / limits->jerk),
        .hard_top = fmax(limits->acceleration, emergency->acceleration) / step,
        .hard_speed = fmax(speed, emergency->velocity / (step * dt)) + 2 * slack,
        .slack = ROUNDING * (limits->position_max - limits->position_min) / (step * dt * dt),
        .speed_slack = slack,
    };
}

static place place_of(const bounds *b, const sp_limits *limits, double position, double velocity, double acceleration)
{
    return (place){
        .above = (limits->position_max - position) / b->position,
        .below = (position - limits->position_min) / b->position,
        .v = velocity / b->velocity,
        .a = acceleration / b->acceleration,
    };
}

/* ---- the set ---- */

static int path_fits(const bounds *b, const place *at, const sp_brake_path *path)
{
    return path->highest <= at->above + b->slack && -path->lowest <= at->below + b->slack;
}

static int is_viable(const bounds *b, const place *at, const sp_brake_path *path)
{
    double most = b->speed + b->speed_slack;
    return fabs(at->a) <= b->top * (1 + ROUNDING) && at->v + taken_off(at->a - 1) <= most &&
           taken_off(-at->a - 1) - at->v <= most && path_fits(b, at, path);
}

/* ---- the next acceleration, upwards; the lower side is the same of the mirrored joint ---- */

/* The largest after which the velocity can still be kept below `speed`; past that, the brake down to it. `back` is
 * the jerk with which an acceleration comes back that brakes harder than the limit. */
static double highest_for_speed(double v, double a, double speed, double top, double back)
{
    return fmax(switching_curve(v - speed), fmax(a - 1, fmin(-top, a + back)));
}

static double highest_for_velocity(const bounds *b, double v, double a)
{
    double j = b->hard_jerk;
    return fmin(highest_for_speed(v, a, b->speed, b->top, j),
                j * highest_for_speed(v / j, a / j, b->hard_speed / j, b->hard_top / j, 1));
}

/* Where the joint passes after a tick with `next` and a brake of this jerk and acceleration limit. */
static double reach(double v, double next, double jerk, double top)
{
    v += next;
    return v + jerk * brake_path(v / jerk, next / jerk, top / jerk).highest;
}

/* The largest, up to `high`, after which the brake still fits in `room`; from here it does, and passes `furthest`.
 * Its own next step reaches no further. From there on the reach is convex, being the least of a linear program, so
 * the chord lies above it: where the chord meets the room, the brake fits. */
static double highest_inside(const bounds *b, double v, double a, double room, double furthest, double high)
{
    double reached = reach(v, high, 1, b->top);
    if (reached <= room + b->slack)
        return high;
    double brake = towards(switching_curve(v), a, b->top);
    double spare = fmax(0, room - furthest);
    double chord = brake + (high - brake) * spare / (spare + reached - room);
    return reach(v, chord, 1, b->top) <= room + b->slack ? chord : brake;
}

static double emergency_brake(const bounds *b, double v, double a)
{
    double j = b->hard_jerk;
    return j * towards(switching_curve(v / j), a / j, b->hard_top / j);
}

/* The largest, up to `high`, after which neither brake reaches further beyond `room` than it does from here. */
static double highest_outside(const bounds *b, double v, double a, double room, double furthest, double high)
{
    double hard = emergency_brake(b, v, a), j = b->hard_jerk;
    if (furthest > room + b->slack)
        return fmin(hard, towards(switching_curve(v), a, b->top));
    double unavoidable = fmax(room + b->slack, j * brake_path(v / j, a / j, b->hard_top / j).highest);
    return reach(v, high, j, b->hard_top) <= unavoidable ? high : hard;
}

/* Projects `allowed` onto a set that goes before it: what both share, else the nearest of the set. */
static uint32_t narrow(interval *allowed, double low, double high, double wanted, uint32_t reason)
{
    int hit = (wanted > high && allowed->high > high) || (wanted < low && allowed->low < low);
    *allowed = (interval){clamp(allowed->low, low, high), clamp(allowed->high, low, high)};
    return hit ? reason : 0;
}

/* From the least to the most important, so that each is kept where it can be and the last always. */
static interval allowed_accelerations(const bounds *b, const place *at, const sp_brake_path *path, double wanted,
                                      uint32_t *reasons)
{
    double v = at->v, a = at->a;
    interval allowed = {a - 1, a + 1};
    *reasons = wanted > allowed.high || wanted < allowed.low ? SP_LIMITED_JERK : 0;
    *reasons |= narrow(&allowed, fmin(-b->top, a + b->hard_jerk), fmax(b->top, a - b->hard_jerk), wanted,
                       SP_LIMITED_ACCELERATION);
    *reasons |= narrow(&allowed, -highest_for_velocity(b, -v, -a), highest_for_velocity(b, v, a), wanted,
                       SP_LIMITED_VELOCITY);
    double (*highest)(const bounds *, double, double, double, double, double) =
        path_fits(b, at, path) ? highest_inside : highest_outside;
    double high = highest(b, v, a, at->above, path->highest, allowed.high);
    double low = -highest(b, -v, -a, at->below, -path->lowest, -allowed.low);
    if (low > high && highest == highest_outside) /* both ends are in the way */
        low = high = emergency_brake(b, v, a);
    *reasons |= narrow(&allowed, low, high, wanted, SP_LIMITED_POSITION);
    return (interval){clamp(allowed.low, -b->hard_top, b->hard_top), clamp(allowed.high, -b->hard_top, b->hard_top)};
}

/* ---- one tick ---- */

int sp_limiter_rest(sp_limiter *joint, double position)
{
    if (!isfinite(position))
        return 0;
    *joint = (sp_limiter){.position = position, .setpoint = {.position = position}};
    return 1;
}

static uint32_t emit(sp_limiter *joint, const bounds *b, const sp_limits *limits, double dt, double next, int outside)
{
    double before = joint->acceleration / b->acceleration, acceleration = next * b->acceleration;
    double velocity = joint->velocity + acceleration * dt, position = joint->position + velocity * dt;
    if (!isfinite(position))
        return SP_LIMITED_INVALID;
    /* The differences lag: velocity by half a tick, acceleration by one. */
    *joint = (sp_limiter){position, velocity, acceleration,
                          {position, velocity + 0.5 * acceleration * dt, acceleration}};
    if (!outside)
        return 0;
    place at = place_of(b, limits, position, velocity, acceleration);
    uint32_t bits = SP_LIMITED_EMERGENCY;
    bits |= fmin(at.above, at.below) < -b->slack ? SP_OUTSIDE_POSITION : 0;
    bits |= fabs(at.v) > b->speed + b->speed_slack ? SP_OUTSIDE_VELOCITY : 0;
    bits |= fabs(at.a) > b->top * (1 + ROUNDING) ? SP_OUTSIDE_ACCELERATION : 0;
    bits |= fabs(at.a - before) > 1 + ROUNDING ? SP_OUTSIDE_JERK : 0;
    return bits;
}

/* Whether going to the request now leaves accelerations that can be followed in the next two ticks. */
static int can_capture(const sp_limiter *joint, const sp_limits *limits, double dt, const sp_motion *request)
{
    double arrival = (request->position - joint->position) / dt;
    double first = (arrival - joint->velocity) / dt;
    double second = (request->velocity + 0.5 * request->acceleration * dt - arrival) / dt;
    double step = limits->jerk * dt * (1 + ROUNDING);
    double top = limits->acceleration * (1 + ROUNDING);
    return fabs(second - first) <= step && fabs(second) <= top &&
           fabs(request->acceleration - second) <= step && fabs(request->acceleration) <= top &&
           fabs(request->velocity) <= limits->velocity * (1 + ROUNDING);
}

/* Goes to the request when that is inside and can be followed from there. */
static int pass(sp_limiter *joint, const bounds *b, const sp_limits *limits, double dt, const sp_motion *request)
{
    double velocity = (request->position - joint->position) / dt;
    double acceleration = (velocity - joint->velocity) / dt;
    double slack = ROUNDING + 8 * DBL_EPSILON * fabs(joint->position) / b->position;
    if (!(fabs(acceleration - joint->acceleration) <= b->acceleration * (1 + slack)) ||
        !can_capture(joint, limits, dt, request))
        return 0;
    place there = place_of(b, limits, request->position, velocity, acceleration);
    sp_brake_path path = brake_path(there.v, there.a, b->top);
    if (!is_viable(b, &there, &path))
        return 0;
    *joint = (sp_limiter){request->position, velocity, acceleration, *request};
    return 1;
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

uint32_t sp_limiter_brake_or_return(sp_limiter *joint, const sp_limits *limits, const sp_limits *emergency, double dt)
{
    bounds b = bounds_of(limits, emergency, dt);
    place at = place_of(&b, limits, joint->position, joint->velocity, joint->acceleration);
    sp_brake_path path = brake_path(at.v, at.a, b.top);
    double wanted = switching_curve(at.v);
    uint32_t reasons;
    interval allowed = allowed_accelerations(&b, &at, &path, wanted, &reasons);
    return reasons | emit(joint, &b, limits, dt, clamp(wanted, allowed.low, allowed.high), !is_viable(&b, &at, &path));
}

uint32_t sp_limiter_step_or_return(sp_limiter *joint, const sp_limits *limits, const sp_limits *emergency, double dt,
                                   const sp_motion *request)
{
    if (!isfinite(request->position) || !isfinite(request->velocity) || !isfinite(request->acceleration))
        return SP_LIMITED_INVALID |
               (sp_limiter_brake_or_return(joint, limits, emergency, dt) & ~(uint32_t)(SP_LIMITED_EMERGENCY - 1));
    /* A far request must not overflow the arithmetic: beyond the range it asks for the range's end. */
    sp_motion target = *request;
    uint32_t reasons = 0;
    if (target.position < limits->position_min || target.position > limits->position_max) {
        target = (sp_motion){.position = clamp(target.position, limits->position_min, limits->position_max)};
        reasons = SP_LIMITED_POSITION;
    }
    bounds b = bounds_of(limits, emergency, dt);
    if (pass(joint, &b, limits, dt, &target))
        return reasons;
    place at = place_of(&b, limits, joint->position, joint->velocity, joint->acceleration);
    sp_brake_path path = brake_path(at.v, at.a, b.top);
    double direct = ((target.position - joint->position) / dt - joint->velocity) / dt;
    uint32_t clipped;
    interval allowed = allowed_accelerations(&b, &at, &path, direct / b.acceleration, &clipped);
    target.velocity = clamp(target.velocity, -limits->velocity, limits->velocity);
    double wanted = tracking_acceleration(joint, limits, dt, &target) / b.acceleration;
    return reasons | (clipped ? clipped : SP_LIMITED_JERK) |
           emit(joint, &b, limits, dt, clamp(wanted, allowed.low, allowed.high), !is_viable(&b, &at, &path));
}

uint32_t sp_limiter_step(sp_limiter *joint, const sp_limits *limits, double dt, const sp_motion *request)
{
    return sp_limiter_step_or_return(joint, limits, limits, dt, request);
}

uint32_t sp_limiter_brake(sp_limiter *joint, const sp_limits *limits, double dt)
{
    return sp_limiter_brake_or_return(joint, limits, limits, dt);
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

sp_limiter sp_limiter_between(const sp_limiter *before, const sp_limiter *one, const sp_limiter *other, double share,
                              double dt)
{
    double acceleration = one->acceleration + share * (other->acceleration - one->acceleration);
    double velocity = before->velocity + acceleration * dt, position = before->position + velocity * dt;
    return (sp_limiter){position, velocity, acceleration,
                        {position, velocity + 0.5 * acceleration * dt, acceleration}};
}

/* ---- before arming, and for prediction ---- */

static int are_usable(const sp_limits *limits, double dt)
{
    return isfinite(limits->position_max - limits->position_min) && limits->position_max >= limits->position_min &&
           isfinite(limits->velocity) && limits->velocity >= 0 && isfinite(limits->acceleration) &&
           limits->acceleration > 0 && isfinite(limits->jerk) && limits->jerk > 0 && isfinite(dt) && dt > 0;
}

int sp_limiter_is_viable(const sp_limiter *joint, const sp_limits *limits, double dt)
{
    if (!are_usable(limits, dt))
        return 0;
    bounds b = bounds_of(limits, limits, dt);
    place at = place_of(&b, limits, joint->position, joint->velocity, joint->acceleration);
    sp_brake_path path = brake_path(at.v, at.a, b.top);
    return is_viable(&b, &at, &path);
}

sp_brake_path sp_limiter_brake_path(const sp_limiter *joint, const sp_limits *limits, double dt)
{
    bounds b = bounds_of(limits, limits, dt);
    sp_brake_path path = brake_path(joint->velocity / b.velocity, joint->acceleration / b.acceleration, b.top);
    return (sp_brake_path){joint->position + path.lowest * b.position, joint->position + path.highest * b.position,
                           joint->position + path.rest * b.position};
}

sp_limits sp_limits_scaled(const sp_limits *limits, double scale)
{
    sp_limits scaled = *limits;
    scaled.velocity *= scale > 0 ? fmin(scale, 1) : 0; /* NaN too */
    return scaled;
}
