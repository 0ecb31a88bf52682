#include "trajectory.h"

#include <math.h>
#include <stddef.h>

#define NS 1e-9

size_t sp_trajectory_bytes(int waypoint_count, int joint_count)
{
    return offsetof(sp_trajectory, values) + sizeof(double) * 2 * (size_t)waypoint_count * (size_t)joint_count;
}

int64_t sp_trajectory_end_ns(const sp_trajectory *path)
{
    return path->origin_ns + (path->waypoint_count - 1) * path->step_ns;
}

int sp_trajectory_check(const sp_trajectory *path, int joint_count, int64_t now_ns)
{
    if (path->joint_count != joint_count || path->waypoint_count < 2 ||
        path->waypoint_count > SP_MAX_WAYPOINTS || path->step_ns < 1000000 || path->step_ns > 1000000000 ||
        path->fresh_for_ns <= 0 || path->blend_min_ns < 0 || path->blend_max_ns < path->blend_min_ns ||
        path->blend_max_ns > 10000000000 || !(path->blend_share > 0 && path->blend_share <= 1))
        return SP_TRAJECTORY_BAD_SHAPE;
    /* The tick's instant is its scheduled one: an observation may be a little younger than that. */
    if (path->origin_ns - now_ns > path->step_ns || path->observation_stamp_ns - now_ns > path->step_ns)
        return SP_TRAJECTORY_FUTURE;
    if (sp_trajectory_end_ns(path) <= now_ns)
        return SP_TRAJECTORY_STALE;
    int values = 2 * path->waypoint_count * path->joint_count;
    for (int i = 0; i < values; i++)
        if (!isfinite(path->values[i]))
            return SP_TRAJECTORY_NOT_FINITE;
    return SP_TRAJECTORY_OK;
}

sp_motion sp_trajectory_spline(const sp_trajectory *path, int joint, int64_t t_ns)
{
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

/* As short as `share` of the limits allows. The terms bound the peaks of a quintic that takes a mismatch
 * (d, v, a) to zero in T: acceleration 5.78 d/T^2 + 3.95 v/T, jerk 60 d/T^3 + 36 v/T^2 + 9 a/T. Each term gets
 * its part of the share, so the sum stays inside it. */
static double blend_seconds(double d, double v, double a, const sp_limits *limits, double share)
{
    double jerk = share * limits->jerk / 3, acceleration = share * limits->acceleration / 2;
    double longest = cbrt(60 * fabs(d) / jerk);
    longest = fmax(longest, sqrt(36 * fabs(v) / jerk));
    longest = fmax(longest, 9 * fabs(a) / jerk);
    longest = fmax(longest, sqrt(5.78 * fabs(d) / acceleration));
    return fmax(longest, 3.95 * fabs(v) / acceleration);
}

void sp_trajectory_hand_off(sp_active *active, const sp_motion *motion, const sp_limits *limits,
                            const sp_joint_kind *kinds, int64_t switch_ns)
{
    const sp_trajectory *path = &active->path;
    double blend_s = 0;
    for (int joint = 0; joint < path->joint_count; joint++) {
        if (kinds[joint] != SP_JOINT_ARM)
            continue;
        sp_motion goal = sp_trajectory_spline(path, joint, switch_ns);
        double d = motion[joint].position - goal.position, v = motion[joint].velocity - goal.velocity;
        double a = motion[joint].acceleration - goal.acceleration;
        active->decay[0][joint] = d;
        active->decay[1][joint] = v;
        active->decay[2][joint] = a;
        blend_s = fmax(blend_s, blend_seconds(d, v, a, &limits[joint], path->blend_share));
    }
    int64_t blend_ns = blend_s < 10 ? (int64_t)(blend_s / NS) : path->blend_max_ns;
    if (blend_ns < path->blend_min_ns)
        blend_ns = path->blend_min_ns;
    if (blend_ns > path->blend_max_ns)
        blend_ns = path->blend_max_ns;
    if (blend_ns < 1)
        blend_ns = 1;
    active->switch_ns = switch_ns;
    active->blend_ns = blend_ns;

    double T = blend_ns * NS;
    for (int joint = 0; joint < path->joint_count; joint++) {
        if (kinds[joint] != SP_JOINT_ARM)
            continue;
        double d = active->decay[0][joint];
        double v = active->decay[1][joint] * T;
        double a = active->decay[2][joint] * T * T;
        active->decay[1][joint] = v;
        active->decay[2][joint] = a / 2;
        active->decay[3][joint] = -10 * d - 6 * v - 1.5 * a;
        active->decay[4][joint] = 15 * d + 8 * v + 1.5 * a;
        active->decay[5][joint] = -6 * d - 3 * v - 0.5 * a;
    }
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
