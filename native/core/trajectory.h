/* Timed waypoints, taken by the tick at a switch instant and joined to the motion under way.
 *
 * Why native: the hand-off starts from the limiter's last commanded motion, which only the tick knows at the
 * instant of the switch; sampling runs in every tick.
 *
 * A trajectory is one of two kinds of spline for the arm joints. Cubic: values and second derivatives at equally
 * spaced waypoints, so it has the full bandwidth of the chunk. B-spline: clamped and uniform, degree 1 to 5, by its
 * control points, as a decoder answered with them (BEAST, arXiv 2506.06072): nothing is sampled anew. Below degree 3
 * it has corners of its own between control points; the hand-off is the same. At the switch, the mismatch between the commanded motion and the new
 * spline in position, velocity and acceleration decays as a quintic over a blend time, so the sum is twice
 * continuously differentiable whatever the decoder, the delay or the boundary. The blend time is as short as
 * a share of the limits allows. Gripper channels are steps: no spline, no blend.
 *
 * Thread contract: the tick's thread alone.
 */
#ifndef SPINAL_TRAJECTORY_H
#define SPINAL_TRAJECTORY_H

#include "limiter.h"

#include <stddef.h>
#include <stdint.h>

#define SP_MAX_JOINTS 64
#define SP_MAX_WAYPOINTS 128
#define SP_MAX_DEGREE 5
#define SP_MAX_CONTROLS (SP_MAX_WAYPOINTS - 1 + SP_MAX_DEGREE) /* a span between any two waypoints */

typedef enum { SP_PATH_CUBIC = 0, SP_PATH_BSPLINE = 1 } sp_path_kind;

/* How a chunk crosses from the policy to the tick. All instants CLOCK_MONOTONIC. */
typedef struct sp_trajectory {
    uint64_t id;                  /* rises by one with each trajectory of an epoch */
    int64_t observation_stamp_ns; /* the instant that it answers */
    int64_t sensor_stamp_ns;      /* capture of the oldest external sample that it used */
    int64_t published_ns;
    int64_t origin_ns; /* instant of waypoint 0 */
    int64_t step_ns;   /* between waypoints */
    int64_t fresh_for_ns; /* after observation_stamp_ns; older than that, a running tick is starved */
    int64_t blend_min_ns;
    int64_t blend_max_ns;
    int32_t waypoint_count; /* 2 to SP_MAX_WAYPOINTS */
    int32_t joint_count;
    int32_t kind;          /* sp_path_kind */
    int32_t degree;        /* of a B-spline, 1 to SP_MAX_DEGREE */
    int32_t control_count; /* of a B-spline, degree + 1 to SP_MAX_CONTROLS; from waypoint 0 to the last */
    int32_t spare;
    double blend_share; /* of acceleration and jerk limits that the blend may use, 0 to 1 */
    /* position[waypoint * joint_count + joint], then as many second derivatives of a cubic, or
     * control[control * joint_count + joint] of a B-spline. A gripper has its positions alone; the others' are
     * not read beside control points. */
    double values[(SP_MAX_WAYPOINTS + SP_MAX_CONTROLS) * SP_MAX_JOINTS];
} sp_trajectory;

typedef enum { SP_JOINT_ARM = 0, SP_JOINT_GRIPPER = 1 } sp_joint_kind;

/* A trajectory in force: the waypoints and how the mismatch at its switch decays. */
typedef struct sp_active {
    sp_trajectory path;
    int64_t switch_ns;
    int64_t blend_ns;
    double decay[6][SP_MAX_JOINTS]; /* quintic in (t - switch) / blend, coefficient by joint */
} sp_active;

enum {
    SP_TRAJECTORY_OK = 0,
    SP_TRAJECTORY_BAD_SHAPE = 1,
    SP_TRAJECTORY_NOT_FINITE = 2,
    SP_TRAJECTORY_STALE = 3,
    SP_TRAJECTORY_FUTURE = 4,
};

/* Whether the head's counts are those of a path for `joint_count` joints that fits: what says how much there is to
 * copy. */
int sp_trajectory_fits(const sp_trajectory *path, int joint_count);

/* Bytes in use of a trajectory that fits. */
size_t sp_trajectory_bytes(const sp_trajectory *path);

/* Whether `path` may be executed by a robot of `joint_count` joints at `now_ns`. */
int sp_trajectory_check(const sp_trajectory *path, int joint_count, int64_t now_ns);

/* Solves the hand-off: `active->path` is set, `motion[joint]` is what was commanded for `switch_ns`. */
void sp_trajectory_hand_off(sp_active *active, const sp_motion *motion, const sp_limits *limits,
                            const sp_joint_kind *kinds, int64_t switch_ns);

/* Goes on with a hand-off that is under way: `motion[joint]` is what was commanded for `at_ns`, and the mismatch
 * is gone at `blend_end_ns`. Follows what is executed exactly, for whoever looks ahead. */
void sp_trajectory_resume(sp_active *active, const sp_motion *motion, const sp_joint_kind *kinds, int64_t at_ns,
                          int64_t blend_end_ns);

/* The spline alone, without the decaying mismatch. */
sp_motion sp_trajectory_spline(const sp_trajectory *path, int joint, int64_t t_ns);

/* What is asked of `joint` at `t_ns`, from switch_ns to the last waypoint. Behind that it extrapolates the
 * last piece: the tick brings the arm to rest instead. */
sp_motion sp_trajectory_sample(const sp_active *active, int joint, sp_joint_kind kind, int64_t t_ns);

int64_t sp_trajectory_end_ns(const sp_trajectory *path);

#endif
