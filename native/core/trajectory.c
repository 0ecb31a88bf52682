#include "trajectory.h"

#include <math.h>
#include <stddef.h>

#define NS 1e-9
#define BLENDS 64

int sp_trajectory_fits(const sp_trajectory *path, int joint_count)
{
    if (path->joint_count != joint_count || path->waypoint_count < 2 || path->waypoint_count > SP_MAX_WAYPOINTS)
        return 0;
    if (path->kind == SP_PATH_CUBIC)
        return 1;
    return path->kind == SP_PATH_BSPLINE && path->degree >= 1 && path->degree <= SP_MAX_DEGREE &&
           path->control_count > path->degree && path->control_count <= SP_MAX_CONTROLS;
}

/* How many values there are: waypoints, and behind them what belongs to the kind. */
static int value_count(const sp_trajectory *path)
{
    int behind = path->kind == SP_PATH_BSPLINE ? path->control_count : path->waypoint_count;
    return (path->waypoint_count + behind) * path->joint_count;
}

size_t sp_trajectory_bytes(const sp_trajectory *path)
{
    return offsetof(sp_trajectory, values) + sizeof(double) * (size_t)value_count(path);
}

int64_t sp_trajectory_end_ns(const sp_trajectory *path)
{
    return path->origin_ns + (path->waypoint_count - 1) * path->step_ns;
}

int sp_trajectory_check(const sp_trajectory *path, int joint_count, int64_t now_ns)
{
    if (!sp_trajectory_fits(path, joint_count) || path->step_ns < 1000000 || path->step_ns > 1000000000 ||
        path->fresh_for_ns <= 0 || path->blend_min_ns < 0 || path->blend_max_ns < path->blend_min_ns ||
        path->blend_max_ns > 10000000000 || !(path->blend_share > 0 && path->blend_share <= 1) ||
        path->origin_ns < 0 || path->observation_stamp_ns < 0)
        return SP_TRAJECTORY_BAD_SHAPE;
    /* The tick's instant is its scheduled one: an observation may be a little younger than that. */
    int64_t latest_ns = now_ns + path->step_ns; /* differences of unchecked stamps could overflow */
    if (path->origin_ns > latest_ns || path->observation_stamp_ns > latest_ns)
        return SP_TRAJECTORY_FUTURE;
    if (sp_trajectory_end_ns(path) <= now_ns)
        return SP_TRAJECTORY_STALE;
    int values = value_count(path);
    for (int i = 0; i < values; i++)
        if (!isfinite(path->values[i]))
            return SP_TRAJECTORY_NOT_FINITE;
    return SP_TRAJECTORY_OK;
}

/* De Boor's triangle over the degree + 1 control points of one span (C. de Boor, "A Practical Guide to Splines",
 * ch. X). Knots are counted in spans: whole numbers from 0 to `spans`, each end degree + 1 times, so the width of
 * what a row divides by is a whole number up to the degree. Of a row of two the difference is the velocity, of a
 * row of three the second difference is the acceleration. */
static sp_motion bspline(const sp_trajectory *path, int joint, int64_t t_ns)
{
    static const double per[SP_MAX_DEGREE + 1] = {0, 1, 1.0 / 2, 1.0 / 3, 1.0 / 4, 1.0 / 5};
    int n = path->joint_count, degree = path->degree, spans = path->control_count - degree;
    double duration = (double)((path->waypoint_count - 1) * path->step_ns), rate = spans / (duration * NS);
    double x = (double)(t_ns - path->origin_ns) / duration * spans;
    int span = x < 1 ? 0 : x < spans - 1 ? (int)x : spans - 1;
    double d[SP_MAX_DEGREE + 1] = {0}, slope = 0, bend = 0;
    const double *control = path->values + (path->waypoint_count + span) * n + joint;
    for (int j = 0; j <= degree; j++)
        d[j] = control[j * n];
    for (int row = 1; row <= degree; row++) {
        if (row == degree)
            slope = d[degree] - d[degree - 1];
        if (row == degree - 1) {
            int before = span > 0 ? span - 1 : 0, behind = span + 2 < spans ? span + 2 : spans;
            bend = (d[degree] - d[degree - 1]) * per[behind - span] -
                   (d[degree - 1] - d[degree - 2]) * per[span + 1 - before];
        }
        for (int j = degree; j >= row; j--) {
            int low = span + j - degree, high = span + j + 1 - row;
            low = low > 0 ? low : 0;
            high = high < spans ? high : spans;
            d[j] = d[j - 1] + (x - low) * per[high - low] * (d[j] - d[j - 1]);
        }
    }
    return (sp_motion){d[degree], degree * slope * rate, degree * (degree - 1) * bend * rate * rate};
}

sp_motion sp_trajectory_spline(const sp_trajectory *path, int joint, int64_t t_ns)
{
    if (path->kind == SP_PATH_BSPLINE)
        return bspline(path, joint, t_ns);
    int64_t since_ns = t_ns - path->origin_ns;
    int segment = since_ns < 0 ? 0 : (int)(since_ns / path->step_ns);
    if (segment > path->waypoint_count - 2)
        segment = path->waypoint_count - 2;
    int n = path->joint_count;
    const double *q = path->values + segment * n + joint;
    const double *m = q + path->waypoint_count * n;
    double h = path->step_ns * NS;
    double b = (double)(since_ns - segment * path->step_ns) / (double)path->step_ns, a = 1 - b;
    return (sp_motion){
        .position = a * q[0] + b * q[n] + ((a * a - 1) * a * m[0] + (b * b - 1) * b * m[n]) * h * h / 6,
        .velocity = (q[n] - q[0]) / h + ((3 * b * b - 1) * m[n] - (3 * a * a - 1) * m[0]) * h / 6,
        .acceleration = a * m[0] + b * m[n],
    };
}

/* Whether a mismatch (d, v, a) can decay in T inside acceleration and jerk. The quintic's jerk is a parabola in
 * x = t / T, so its peak is at an end or at the vertex; its acceleration peaks where the jerk crosses zero. What
 * acceleration is there at the switch cannot be helped: it may fade, and the rest comes on top. */
static int decays_inside(double d, double v, double a, double T, double acceleration, double jerk)
{
    double T2 = T * T, vT = v * T, aT2 = a * T2, top = jerk * T2 * T;
    double p = -360 * d - 180 * vT - 30 * aT2; /* jerk T^3: p x^2 + q x + r */
    double q = 360 * d + 192 * vT + 36 * aT2;
    double r = -60 * d - 36 * vT - 9 * aT2;
    if (fabs(r) > top || fabs(p + q + r) > top)
        return 0;
    if (q * (q + 2 * p) < 0 && fabs(r - q * q / (4 * p)) > top)
        return 0;
    double under = q * q - 4 * p * r;
    if (under < 0 || p == 0)
        return 1;
    for (int sign = -1; sign <= 1; sign += 2) {
        double x = (-q + sign * sqrt(under)) / (2 * p);
        double allowed = acceleration * T2 + fabs(aT2) * (1 - x);
        if (x > 0 && x < 1 && fabs(aT2 + x * (r + x * (q / 2 + x * p / 3))) > allowed)
            return 0;
    }
    return 1;
}

/* What is commanded less what the new spline wants, at `at_ns`. Grippers have none. */
static void find_mismatch(const sp_trajectory *path, const sp_motion *motion, const sp_joint_kind *kinds,
                          int64_t at_ns, sp_motion *mismatch)
{
    for (int joint = 0; joint < path->joint_count; joint++) {
        if (kinds[joint] != SP_JOINT_ARM)
            continue;
        sp_motion goal = sp_trajectory_spline(path, joint, at_ns);
        mismatch[joint] = (sp_motion){motion[joint].position - goal.position, motion[joint].velocity - goal.velocity,
                                      motion[joint].acceleration - goal.acceleration};
    }
}

/* The shortest of BLENDS + 1 times from `shortest` to `longest`, evenly spaced as ratios, in which every joint's
 * mismatch can decay; the longest if none will do. A joint that refuses one time is the first to be asked about
 * the next, as it is the likeliest to refuse again; all are asked about the one that is taken, since a longer
 * time need not suit a joint that a shorter one did. */
static double blend_seconds(const sp_trajectory *path, const sp_motion *mismatch, const sp_limits *limits,
                            const sp_joint_kind *kinds)
{
    double blend = fmax(path->blend_min_ns, 1000) * NS, longest = fmax(path->blend_max_ns * NS, blend);
    double ratio = pow(longest / blend, 1.0 / BLENDS);
    int left = BLENDS, joint = 0;
    for (int agreed = 0; agreed < path->joint_count && left > 0;) {
        const sp_motion *m = &mismatch[joint];
        if (kinds[joint] == SP_JOINT_ARM &&
            !decays_inside(m->position, m->velocity, m->acceleration, blend,
                           path->blend_share * limits[joint].acceleration, path->blend_share * limits[joint].jerk)) {
            blend *= ratio;
            left--;
            agreed = 0;
        } else {
            agreed++;
            joint = joint + 1 < path->joint_count ? joint + 1 : 0;
        }
    }
    return left > 0 ? blend : longest;
}

/* The quintic that takes the mismatch at `at_ns` to zero in `blend_ns`. */
static void solve_decay(sp_active *active, const sp_motion *mismatch, const sp_joint_kind *kinds, int64_t at_ns,
                        int64_t blend_ns)
{
    active->switch_ns = at_ns;
    active->blend_ns = blend_ns < 1 ? 1 : blend_ns;
    double T = active->blend_ns * NS;
    for (int joint = 0; joint < active->path.joint_count; joint++) {
        if (kinds[joint] != SP_JOINT_ARM)
            continue;
        double d = mismatch[joint].position, v = mismatch[joint].velocity * T, a = mismatch[joint].acceleration * T * T;
        active->decay[0][joint] = d;
        active->decay[1][joint] = v;
        active->decay[2][joint] = a / 2;
        active->decay[3][joint] = -10 * d - 6 * v - 1.5 * a;
        active->decay[4][joint] = 15 * d + 8 * v + 1.5 * a;
        active->decay[5][joint] = -6 * d - 3 * v - 0.5 * a;
    }
}

void sp_trajectory_hand_off(sp_active *active, const sp_motion *motion, const sp_limits *limits,
                            const sp_joint_kind *kinds, int64_t switch_ns)
{
    sp_motion mismatch[SP_MAX_JOINTS];
    find_mismatch(&active->path, motion, kinds, switch_ns, mismatch);
    double blend_s = blend_seconds(&active->path, mismatch, limits, kinds);
    solve_decay(active, mismatch, kinds, switch_ns, llrint(blend_s / NS));
}

void sp_trajectory_resume(sp_active *active, const sp_motion *motion, const sp_joint_kind *kinds, int64_t at_ns,
                          int64_t blend_end_ns)
{
    sp_motion mismatch[SP_MAX_JOINTS];
    find_mismatch(&active->path, motion, kinds, at_ns, mismatch);
    /* Less than a microsecond left: nothing to decay, and nothing to divide by. */
    int64_t left_ns = blend_end_ns - at_ns;
    solve_decay(active, mismatch, kinds, at_ns, left_ns < 1000 ? 1 : left_ns);
}

sp_motion sp_trajectory_sample(const sp_active *active, int joint, sp_joint_kind kind, int64_t t_ns)
{
    const sp_trajectory *path = &active->path;
    if (kind == SP_JOINT_GRIPPER) { /* a step to the waypoint that comes next */
        int64_t next = (t_ns - path->origin_ns + path->step_ns - 1) / path->step_ns;
        if (next < 0)
            next = 0;
        if (next > path->waypoint_count - 1)
            next = path->waypoint_count - 1;
        return (sp_motion){.position = path->values[next * path->joint_count + joint]};
    }
    sp_motion motion = sp_trajectory_spline(path, joint, t_ns);
    int64_t since_ns = t_ns - active->switch_ns;
    if (since_ns >= active->blend_ns)
        return motion;
    double T = active->blend_ns * NS, x = since_ns > 0 ? (double)since_ns / (double)active->blend_ns : 0;
    double c0 = active->decay[0][joint], c1 = active->decay[1][joint], c2 = active->decay[2][joint];
    double c3 = active->decay[3][joint], c4 = active->decay[4][joint], c5 = active->decay[5][joint];
    motion.position += c0 + x * (c1 + x * (c2 + x * (c3 + x * (c4 + x * c5))));
    motion.velocity += (c1 + x * (2 * c2 + x * (3 * c3 + x * (4 * c4 + x * 5 * c5)))) / T;
    motion.acceleration += (2 * c2 + x * (6 * c3 + x * (12 * c4 + x * 20 * c5))) / (T * T);
    return motion;
}
