/* The brake of one joint in closed form: where it passes, and where it is after so many ticks.
 *
 * In units in which one tick of full jerk is 1: acceleration in J dt, velocity in J dt^2, position in J dt^3. A brake
 * is then made of whole steps, and its sums have a closed form, exact tick by tick. Everything is a displacement.
 *
 * Why native and a header: it stands in the tick several times a joint; it is inlined there.
 *
 * Thread contract: pure functions of their arguments.
 */
#ifndef SPINAL_BRAKE_H
#define SPINAL_BRAKE_H

#include "limiter.h"

#include <math.h>

/* The three phases of a brake of a joint that moves upwards in the end: ticks of full jerk, ticks at the acceleration
 * limit, ticks of release. */
typedef struct brake_course {
    double v, a, slope, top;
    double bend, flat, release; /* ticks */
    double bent, flat_velocity; /* behind the first phase */
    double flattened, last;     /* behind the second; the release's last acceleration */
    double rest;
} brake_course;

static inline double clamp(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

/* Below, v and a are the state's, x and r are magnitudes. */

/* The velocity that is taken off by an acceleration of x, x - 1, x - 2 ... for as long as it is above 0. */
static inline double taken_off(double x)
{
    if (x <= 0)
        return 0;
    double n = ceil(x);
    return n * x - 0.5 * n * (n - 1);
}

/* Ticks of the release that takes off r, r > 0. */
static inline double release_ticks(double r)
{
    return ceil(0.5 * (sqrt(1 + 8 * r) - 1));
}

/* The inverse of taken_off: the largest acceleration that can be released in time when r is left. */
static inline double releasable(double r)
{
    if (r <= 1)
        return r;
    double n = release_ticks(r);
    return r / n + 0.5 * (n - 1);
}

/* The acceleration from which release alone brings v to 0. */
static inline double switching_curve(double v)
{
    return -copysign(releasable(fabs(v)), v);
}

/* The next acceleration on the way to the switching curve. An acceleration above the limit comes back by jerk. */
static inline double towards(double curve, double a, double top)
{
    return clamp(clamp(curve, a - 1, a + 1), fmin(-top, a + 1), fmax(top, a - 1));
}

/* Whether release alone would leave the joint moving downwards. */
static inline int comes_to_move_down(double v, double a)
{
    return a > 0 ? v + taken_off(a - 1) < 0 : v < taken_off(-a - 1);
}

/* Displacements of n ticks with acceleration a + slope, a + 2 slope, ... from velocity v. */
static inline double travel(double v, double a, double slope, double n)
{
    return n * (v + 0.5 * (n + 1) * (a + slope * (n + 2) / 3));
}

static inline double gain(double a, double slope, double n)
{
    return n * (a + 0.5 * slope * (n + 1));
}

/* The distance that is left when so many ticks of release are. */
static inline double left_to_release(double n, double last)
{
    return n * (n - 1) * (0.5 * last + (n - 2) / 6);
}

/* Of a joint that will not come to move down. Each count is the first tick of the next phase, solved for. */
static inline brake_course course_upwards(double v, double a, double top)
{
    brake_course course = {.v = v, .a = a, .top = top};
    double n;
    if (a < -top) { /* braking harder than the limit: come back to it */
        course.slope = 1;
        n = floor(-a - top);
    } else {
        double lag = ceil(-a) + a;
        double until_release = a - 1 + sqrt(fmax(0, 0.5 * a * (a - 1) + v - 0.5 * lag * (1 - lag)));
        course.slope = -1;
        n = fmax(0, ceil(fmin(until_release, a + top - 1)));
    }
    course.bend = n;
    course.bent = travel(v, a, course.slope, n);
    course.flat_velocity = v += gain(a, course.slope, n);
    course.flat = n = fmax(0, ceil((v - taken_off(top)) / top));
    course.rest = course.flattened = course.bent + (n * v - 0.5 * top * n * (n + 1));
    v -= n * top;
    if (v > 1) {
        course.release = n = release_ticks(v);
        course.last = v / n - 0.5 * (n - 1);
        course.rest += left_to_release(n, course.last);
    }
    return course;
}

/* Where it is after n whole ticks. */
static inline double course_at(const brake_course *course, double n)
{
    if (n <= course->bend)
        return travel(course->v, course->a, course->slope, n);
    n -= course->bend;
    if (n <= course->flat)
        return course->bent + n * course->flat_velocity - 0.5 * course->top * n * (n + 1);
    n -= course->flat;
    return n < course->release ? course->rest - left_to_release(course->release - n, course->last) : course->rest;
}

static inline double course_ticks(const brake_course *course)
{
    return course->bend + course->flat + course->release;
}

/* The lowest of a joint that still moves down and that acceleration under way turns round: the last tick before
 * v > 0. */
static inline double lowest_on_turning(double v, double a)
{
    double n = ceil(a - 0.5 - 0.5 * sqrt(fmax(0, (2 * a - 1) * (2 * a - 1) + 8 * v))) - 1;
    return travel(v, a, -1, n);
}

static inline sp_brake_path path_upwards(double v, double a, double top)
{
    double lowest = v < 0 ? lowest_on_turning(v, a) : 0, rest = course_upwards(v, a, top).rest;
    return (sp_brake_path){.lowest = fmin(lowest, rest), .highest = fmax(0, rest), .rest = rest};
}

static inline sp_brake_path brake_path(double v, double a, double top)
{
    if (!comes_to_move_down(v, a))
        return path_upwards(v, a, top);
    sp_brake_path mirrored = path_upwards(-v, -a, top);
    return (sp_brake_path){-mirrored.highest, -mirrored.lowest, -mirrored.rest};
}

#endif
