/* The limiter: the only maker of commands. Numbers in, numbers out; it knows no robot, socket or clock.
 *
 * Why native: it stands in the tick, for every joint, every time. Closed form: no search, no loop.
 *
 * The state is the last emitted position p and its backward differences at nominal dt,
 *     v = (p[k] - p[k-1]) / dt,  a = (v[k] - v[k-1]) / dt,  j = (a[k] - a[k-1]) / dt
 * so nothing can drift between what is promised and what is checked.
 *
 * The brake is one sequence, wholly given by the state: as much jerk and acceleration against the motion as the
 * limits hold, released as late as jerk allows, so that it ends at rest and never turns back (unless acceleration
 * already under way will turn the joint round; then that turn is braked). Of all sequences that do not turn back
 * it stops first and soonest. Where it passes is known in closed form, tick by tick, without rounding to
 * continuous time. A state is VIABLE when p, v, a are inside and its brake stays inside.
 *
 * Promise 1, inside: from a viable state and for any request, NaN and infinities included, the step's position,
 * velocity, acceleration and jerk are inside, and the next state is viable. (The brake's own next tick is always
 * among the allowed ones, and after it the rest of the same brake is still inside.)
 *
 * Promise 2, outside (a pushed arm, limits or speed scale lowered live): position goes before velocity,
 * velocity before acceleration, acceleration before jerk, and each that is outside is named by a bit.
 *   - Position: while the brake inside `limits` leaves the range, the step brakes with the acceleration and jerk of
 *     `emergency`, or harder where the request wants to come back. So |p outside| never passes what an emergency
 *     brake from the first state would reach (one whose acceleration is not above that of `emergency`). A sequence
 *     that turns back could spare A^3 / (6 J^2) of it and a tick at most, at the price of throwing the arm back.
 *   - Velocity above `limits` falls as fast as normal acceleration and jerk allow, and above emergency->velocity as
 *     fast as those of `emergency` allow, once the acceleration under way is taken off: a person who lowers the
 *     speed scale gets a normal brake, a runaway does not.
 *   - Acceleration above `limits` falls with emergency jerk. It is never above that of `emergency`.
 *   - Jerk is above that of `emergency` only where the state's own acceleration was above that of `emergency`.
 *   - Position is emitted without a jump: always the last one plus velocity times dt.
 *   - A finite request brings the joint back into the set, a brake brings it to rest where it stops, outside the
 *     range too: nothing moves that was not asked to. Once viable it stays so (promise 1): no chatter.
 * Of `emergency`, position_min and position_max are not read; its others count as at least those of `limits`.
 *
 * No state can become NaN: a step whose result would not be finite is refused, and leaves the joint as it was.
 *
 * Thread contract: pure functions of their arguments; one thread owns a joint's state.
 */
#ifndef SPINAL_LIMITER_H
#define SPINAL_LIMITER_H

#include <stdint.h>

typedef struct sp_limits {
    double position_min; /* rad or m */
    double position_max;
    double velocity;     /* per second, >= 0; 0 comes to rest and stays */
    double acceleration; /* per second^2, > 0 */
    double jerk;         /* per second^3, > 0 */
} sp_limits;

/* Position, velocity and acceleration of one joint at one instant. */
typedef struct sp_motion {
    double position;
    double velocity;
    double acceleration;
} sp_motion;

enum {
    /* What kept a request from being applied as it was. */
    SP_LIMITED_POSITION = 1,
    SP_LIMITED_VELOCITY = 2,
    SP_LIMITED_ACCELERATION = 4,
    SP_LIMITED_JERK = 8,
    SP_LIMITED_INVALID = 16, /* the request was not finite; the joint is brought to rest */
    /* The state was not viable and the step is one of the return into the set (promise 2). */
    SP_LIMITED_EMERGENCY = 32,
    /* What of the emitted step is outside `limits`; only ever beside SP_LIMITED_EMERGENCY. */
    SP_OUTSIDE_POSITION = 64,
    SP_OUTSIDE_VELOCITY = 128,
    SP_OUTSIDE_ACCELERATION = 256,
    SP_OUTSIDE_JERK = 512,
    /* What the fence would not allow (fence.h); the joint brakes in place of the request. */
    SP_LIMITED_WORKSPACE = 1024,
    SP_LIMITED_KEEP_OUT = 2048,
    SP_LIMITED_SELF = 4096,
    /* No limit: the joint begins anew at its measured pose in this tick, since it had not heard what came before. */
    SP_BEGINS_ANEW = 8192,
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

/* Where a brake passes: its lowest and highest position from now on, and where it comes to rest. */
typedef struct sp_brake_path {
    double lowest;
    double highest;
    double rest;
} sp_brake_path;

/* Puts a joint at rest at `position`; 0 and the joint as it was when `position` is not finite. */
int sp_limiter_rest(sp_limiter *joint, double position);

/* Whether the joint can be armed as it is: limits are usable (finite, not crossed, dt > 0) and the state viable.
 * Anything that is not finite is not. */
int sp_limiter_is_viable(const sp_limiter *joint, const sp_limits *limits, double dt_s);

/* Where the brake inside `limits` passes; a velocity above the limit does not matter. Exact, closed form. */
sp_brake_path sp_limiter_brake_path(const sp_limiter *joint, const sp_limits *limits, double dt_s);

/* One tick towards `request`. Returns the bits above, 0 when the request passed unchanged. */
uint32_t sp_limiter_step_or_return(sp_limiter *joint, const sp_limits *limits, const sp_limits *emergency,
                                   double dt_s, const sp_motion *request);

/* One tick of bringing the joint to rest. Returns the bits of the brake itself. */
uint32_t sp_limiter_brake_or_return(sp_limiter *joint, const sp_limits *limits, const sp_limits *emergency,
                                    double dt_s);

/* The same where there are no emergency limits: outside, the return has the normal ones. */
uint32_t sp_limiter_step(sp_limiter *joint, const sp_limits *limits, double dt_s, const sp_motion *request);
uint32_t sp_limiter_brake(sp_limiter *joint, const sp_limits *limits, double dt_s);

/* One tick of a gripper: a step that is bounded in position and speed only. */
uint32_t sp_limiter_step_gripper(sp_limiter *joint, const sp_limits *limits, double dt_s, double position);

/* The step between two steps from `before`: at share 0 the one, at 1 the other. What a joint may do next is an interval
 * of accelerations, so what lies between two that are allowed is; and the set that a brake stays inside is convex
 * between a brake's own step and any other allowed one. */
sp_limiter sp_limiter_between(const sp_limiter *before, const sp_limiter *one, const sp_limiter *other, double share,
                              double dt_s);

/* `limits` at a speed scale of 0 to 1; beyond is clamped, NaN is 0. Velocity alone is scaled. Acceleration and jerk
 * stay, because they are what a joint stops with: so a scale that is lowered in motion takes no state out of the
 * set but by its velocity, and the distance to rest falls with the square of the scale. Scaled in proportion it
 * would fall only with the scale itself, and a moving joint near an end of its range could not stop any more. */
sp_limits sp_limits_scaled(const sp_limits *limits, double scale);

#endif
