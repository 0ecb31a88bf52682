/* The limiter: the only maker of commands. Numbers in, numbers out; it knows no robot, socket or clock.
 *
 * Why native: it stands in the tick, for every joint, every time. Closed form except for one bisection of
 * fixed length that runs only while a position limit is near.
 *
 * What is promised: of the emitted positions p[k] at nominal dt, the backward differences
 *     v = (p[k] - p[k-1]) / dt,  a = (v[k] - v[k-1]) / dt,  j = (a[k] - a[k-1]) / dt
 * stay within velocity, acceleration and jerk, and p within its range, from any state from which braking
 * inside the limits is possible, for any request, NaN and infinities included. The state IS these
 * differences, so nothing can drift between what is promised and what is checked.
 *
 * Thread contract: pure functions of their arguments; one thread owns a joint's state.
 */
#ifndef SPINAL_LIMITER_H
#define SPINAL_LIMITER_H

#include <stdint.h>

typedef struct sp_limits {
    double position_min; /* rad or m */
    double position_max;
    double velocity;     /* per second, > 0 */
    double acceleration; /* per second^2, > 0 */
    double jerk;         /* per second^3, > 0 */
} sp_limits;

/* Position, velocity and acceleration of one joint at one instant. */
typedef struct sp_motion {
    double position;
    double velocity;
    double acceleration;
} sp_motion;

/* What kept a request from being applied as it was. */
enum {
    SP_LIMITED_POSITION = 1,
    SP_LIMITED_VELOCITY = 2,
    SP_LIMITED_ACCELERATION = 4,
    SP_LIMITED_JERK = 8,
    SP_LIMITED_INVALID = 16, /* the request was not finite; the joint is brought to rest */
};

/* The last emitted position and its backward differences. `setpoint` is the analytic motion that the last
 * command stands for: equal to the request when it passed unchanged, else estimated from the differences.
 * A trajectory is handed off from it. */
typedef struct sp_limiter {
    double position;
    double velocity;
    double acceleration;
    sp_motion setpoint;
} sp_limiter;

/* Puts a joint at rest at `position`. */
void sp_limiter_rest(sp_limiter *joint, double position);

/* One tick towards `request`. Returns SP_LIMITED_* bits, 0 when the request passed unchanged. */
uint32_t sp_limiter_step(sp_limiter *joint, const sp_limits *limits, double dt_s, const sp_motion *request);

/* One tick of bringing the joint to rest. Returns SP_LIMITED_* bits of the brake itself. */
uint32_t sp_limiter_brake(sp_limiter *joint, const sp_limits *limits, double dt_s);

/* One tick of a gripper: a step that is bounded in position and speed only. */
uint32_t sp_limiter_step_gripper(sp_limiter *joint, const sp_limits *limits, double dt_s, double position);

/* Where a brake from rest of command (position, velocity, acceleration) ends at the latest, upwards.
 * Continuous time, closed form; public for tests and for prediction. */
double sp_stop_position_max(const sp_limits *limits, double position, double velocity, double acceleration);

#endif
