#include "stopwatch.h"

#include "clock.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define TURN 6.283185307179586
#define SWING 0.3     /* rad */
#define MISMATCH 0.01 /* rad; as much as two chunks of a policy differ where they meet */
#define FAR 1e3       /* rad; no blend can bridge that */

enum { STEP_NS = 20000000, ORIGIN_NS = 1000000000, SAMPLES_A_BLEND = 64 };

typedef void (*call)(sp_stopwatch *watch);

static void empty(sp_stopwatch *watch)
{
    (void)watch;
}

static void read_clock(sp_stopwatch *watch)
{
    watch->sink += (double)sp_monotonic_ns();
}

static void hand_off(sp_stopwatch *watch)
{
    sp_trajectory_hand_off(&watch->active, watch->near_motion, watch->all_limits, watch->kinds, ORIGIN_NS);
}

static void hand_off_far(sp_stopwatch *watch)
{
    sp_trajectory_hand_off(&watch->far, watch->far_motion, watch->all_limits, watch->kinds, ORIGIN_NS);
}

static void sample(sp_stopwatch *watch)
{
    watch->sample_ns += watch->active.blend_ns / SAMPLES_A_BLEND;
    if (watch->sample_ns >= ORIGIN_NS + watch->active.blend_ns)
        watch->sample_ns = ORIGIN_NS;
    for (int i = 0; i < watch->joint_count; i++)
        watch->sink += sp_trajectory_sample(&watch->active, i, watch->kinds[i], watch->sample_ns).position;
}

static void limit(sp_stopwatch *watch)
{
    const sp_motion *request = &watch->wave[++watch->wave_at % SP_STOPWATCH_WAVE];
    for (int i = 0; i < watch->joint_count; i++)
        watch->reasons += sp_limiter_step(&watch->joints[i], &watch->limits, watch->dt_s, request) != 0;
}

static void limit_at_stop(sp_stopwatch *watch)
{
    sp_motion request = {.position = watch->limits.position_max};
    for (int i = 0; i < watch->joint_count; i++)
        watch->sink += sp_limiter_step(&watch->stopped[i], &watch->limits, watch->dt_s, &request);
}

static void record(sp_stopwatch *watch)
{
    watch->random = watch->random * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
    sp_histogram_record(&watch->histogram, (int64_t)(watch->random >> 44));
}

static void read_mailbox(sp_stopwatch *watch)
{
    size_t bytes = sp_trajectory_bytes(&watch->active.path);
    watch->sink += (double)sp_mailbox_read_latest(watch->box, &watch->copy, bytes);
}

static const call CALLS[SP_STOPWATCH_PARTS] = {
    [SP_STOPWATCH_EMPTY] = empty,
    [SP_STOPWATCH_CLOCK] = read_clock,
    [SP_STOPWATCH_HAND_OFF] = hand_off,
    [SP_STOPWATCH_HAND_OFF_FAR] = hand_off_far,
    [SP_STOPWATCH_SAMPLE] = sample,
    [SP_STOPWATCH_LIMIT] = limit,
    [SP_STOPWATCH_LIMIT_AT_STOP] = limit_at_stop,
    [SP_STOPWATCH_RECORD] = record,
    [SP_STOPWATCH_MAILBOX] = read_mailbox,
};

/* A sine at rest in its turning point, each joint a little behind the one before. */
static void fill_path(sp_trajectory *path, int joint_count, int waypoint_count)
{
    path->id = 1;
    path->observation_stamp_ns = path->published_ns = path->origin_ns = ORIGIN_NS;
    path->step_ns = STEP_NS;
    path->fresh_for_ns = 3 * STEP_NS;
    path->blend_min_ns = 2 * STEP_NS;
    path->blend_max_ns = 8 * STEP_NS;
    path->blend_share = 0.5;
    path->waypoint_count = waypoint_count;
    path->joint_count = joint_count;
    for (int k = 0; k < waypoint_count; k++)
        for (int j = 0; j < joint_count; j++) {
            double angle = TURN / 2 * STEP_NS * 1e-9 * k + 0.1 * j, w = TURN / 2;
            path->values[k * joint_count + j] = SWING * sin(angle);
            path->values[(waypoint_count + k) * joint_count + j] = -SWING * w * w * sin(angle);
        }
}

/* A joint that followed `wave` until its first point. */
static sp_limiter following(const sp_motion *wave, double dt_s)
{
    double last = wave[SP_STOPWATCH_WAVE - 1].position, before = wave[SP_STOPWATCH_WAVE - 2].position;
    double velocity = (wave[0].position - last) / dt_s;
    return (sp_limiter){
        .position = wave[0].position,
        .velocity = velocity,
        .acceleration = (velocity - (last - before) / dt_s) / dt_s,
        .setpoint = wave[0],
    };
}

int sp_stopwatch_init(sp_stopwatch *watch, int joint_count, int waypoint_count, double dt_s, void *box_memory)
{
    if (joint_count < 1 || joint_count > SP_MAX_JOINTS || waypoint_count < 2 || waypoint_count > SP_MAX_WAYPOINTS ||
        !(dt_s > 0))
        return -EINVAL;
    memset(watch, 0, sizeof *watch);
    watch->joint_count = joint_count;
    watch->dt_s = dt_s;
    watch->limits = (sp_limits){-2.0, 2.0, 4.7, 80.0, 4000.0};
    watch->sample_ns = ORIGIN_NS;
    fill_path(&watch->active.path, joint_count, waypoint_count);
    watch->far.path = watch->active.path;
    for (int i = 0; i < joint_count; i++) {
        watch->all_limits[i] = watch->limits;
        watch->kinds[i] = SP_JOINT_ARM;
        watch->near_motion[i] = sp_trajectory_spline(&watch->active.path, i, ORIGIN_NS);
        watch->far_motion[i] = watch->near_motion[i];
        watch->near_motion[i].position += MISMATCH;
        sp_limiter_rest(&watch->stopped[i], watch->limits.position_max);
    }
    watch->far_motion[joint_count - 1].position += FAR; /* the last: every try goes through all of them */
    double w = TURN / (SP_STOPWATCH_WAVE * dt_s), swing = fmin(SWING, 0.25 * watch->limits.acceleration / (w * w));
    for (int k = 0; k < SP_STOPWATCH_WAVE; k++) {
        double angle = TURN * k / SP_STOPWATCH_WAVE;
        watch->wave[k] = (sp_motion){swing * sin(angle), swing * w * cos(angle), -swing * w * w * sin(angle)};
    }
    for (int i = 0; i < joint_count; i++)
        watch->joints[i] = following(watch->wave, dt_s);
    watch->box = box_memory;
    sp_mailbox_init(watch->box, sizeof(sp_trajectory), 4);
    sp_mailbox_publish(watch->box, &watch->active.path, sizeof(sp_trajectory));
    hand_off(watch);
    hand_off_far(watch);
    return 0;
}

static int64_t batch(sp_stopwatch *watch, call one, int64_t repeats)
{
    int64_t begin_ns = sp_monotonic_ns();
    for (int64_t i = 0; i < repeats; i++)
        one(watch);
    return sp_monotonic_ns() - begin_ns;
}

void sp_stopwatch_run(sp_stopwatch *watch, sp_stopwatch_part part, int64_t repeats, int batches, int64_t *part_ns,
                      int64_t *empty_ns)
{
    /* Through a volatile: the compiler may not see which function it calls, nor that one of them is empty. */
    call volatile hidden_part = CALLS[part], hidden_empty = empty;
    batch(watch, hidden_part, repeats); /* the first meets cold caches */
    for (int b = 0; b < batches; b++) {
        part_ns[b] = batch(watch, hidden_part, repeats);
        empty_ns[b] = batch(watch, hidden_empty, repeats);
    }
}
