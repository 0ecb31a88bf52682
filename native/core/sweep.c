#include "sweep.h"

#include <math.h>

/* What a change from the normal to the emergency brake may add beyond both while acceleration turns the joint round:
 * less than the emergency brake's own release of it. */
static double late_change(double a)
{
    double n = ceil(fabs(a));
    return n * (n + 1) * (n + 2) / 6;
}

void sp_sweep_begin(sp_sweep *sweep, double before, const sp_limiter *joint, const sp_limits *limits,
                    const sp_limits *emergency, double dt)
{
    *sweep = (sp_sweep){.before = before, .position = joint->position, .low = fmin(before, joint->position),
                        .high = fmax(before, joint->position)};
    if (joint->velocity == 0 && joint->acceleration == 0) {
        sweep->ticks = before != joint->position;
        return;
    }
    const double jerk[2] = {limits->jerk, fmax(limits->jerk, emergency->jerk)};
    const double top[2] = {limits->acceleration, fmax(limits->acceleration, emergency->acceleration)};
    for (int k = 0; k < 2; k++) {
        double step = jerk[k] * dt, unit = step * dt * dt;
        double v = joint->velocity / (step * dt), a = joint->acceleration / step;
        double sign = comes_to_move_down(v, a) ? -1 : 1;
        sweep->scale[k] = sign * unit;
        sweep->course[k] = course_upwards(sign * v, sign * a, top[k] / step);
        sweep->turns |= sign * v < 0;
        double depth = sign * v < 0 ? sign * unit * lowest_on_turning(sign * v, sign * a) : 0;
        double rest = sp_sweep_at(sweep, k, INFINITY), slack = k && sweep->turns ? late_change(a) * unit : 0;
        sweep->low = fmin(fmin(sweep->low, rest), joint->position + depth) - slack;
        sweep->high = fmax(fmax(sweep->high, rest), joint->position + depth) + slack;
    }
    sweep->ticks = fmax(1, course_ticks(&sweep->course[0]));
}

double sp_sweep_at(const sp_sweep *sweep, int brake, double tick)
{
    return sweep->position + sweep->scale[brake] * course_at(&sweep->course[brake], tick);
}

void sp_sweep_span(const sp_sweep *sweep, double first, double last, double *low, double *high)
{
    if (sweep->turns) {
        *low = sweep->low;
        *high = sweep->high;
        return;
    }
    double slowest = sp_sweep_at(sweep, 1, first), furthest = sp_sweep_at(sweep, 0, last);
    *low = fmin(slowest, furthest);
    *high = fmax(slowest, furthest);
    if (first == 0) {
        *low = fmin(*low, sweep->before);
        *high = fmax(*high, sweep->before);
    }
}
