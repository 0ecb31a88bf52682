#include "fence.h"

#include "distance.h"
#include "fence_leave.h"
#include "sweep.h"

#include <math.h>
#include <string.h>

enum { SIDES = SP_FENCE_SIDES, PLACES = SP_FENCE_PLACES, SAMPLES = 4, PROBES = 5 };

#define ANYTHING (SP_LIMITED_WORKSPACE | SP_LIMITED_KEEP_OUT | SP_LIMITED_SELF)
/* What moves along a barrier must not be caught by what doubles round away. */
#define ROUNDING_M 1e-9

/* One joint's step, as the fence sees it. */
typedef struct {
    double before[SP_FENCE_LINKS];
    sp_limiter next[SP_FENCE_LINKS];
} motion;

/* One judgement. */
typedef struct {
    const sp_fence *fence;
    const sp_fence_leave *leave; /* NULL: nothing */
    sp_sweep sweeps[SP_FENCE_LINKS];
    double ticks;
    /* Of the stretch under way: how far each joint may be from the pose, and a capsule from its own. */
    sp_fence_figure at;
    double half[SP_FENCE_LINKS];
    double loose[SP_FENCE_CAPSULES];
    double spread[SP_FENCE_CAPSULES][2][3];
    uint32_t spread_known;
    /* Where the arm stands, and what it touches there and comes no deeper into; only found out when asked. */
    int start_known;
    sp_fence_figure start;
    uint64_t excused[SP_FENCE_BARRIERS / 64 + 1];
} judgement;

/* ---- the description ---- */

static double length(const double v[3])
{
    return sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
}

void sp_fence_prepare(sp_fence *fence)
{
    for (int i = 0; i < fence->link_count; i++)
        sp_link_prepare(&fence->links[i]);
    for (int i = 0; i < fence->capsule_count; i++) {
        sp_capsule *capsule = &fence->capsules[i];
        capsule->chain = 0;
        double lever = fmax(length(capsule->from), length(capsule->to));
        for (int link = capsule->link; link >= 0; link = fence->links[link].parent) {
            if (fence->links[link].joint >= 0)
                capsule->chain |= 1u << link;
            capsule->lever[link] = lever;
            lever += length(fence->links[link].origin);
        }
    }
}

/* ---- a stretch of the braking path ---- */

static void stand_amid(judgement *j, double first, double last)
{
    const sp_fence *fence = j->fence;
    for (int i = 0; i < fence->link_count; i++) {
        double low = 0, high = 0;
        if (fence->links[i].joint >= 0)
            sp_sweep_span(&j->sweeps[i], first, last, &low, &high);
        j->half[i] = 0.5 * (high - low);
        sp_fence_stand(fence, &j->at, i, 0.5 * (low + high));
    }
    sp_fence_place_capsules(fence, &j->at);
    for (int i = 0; i < fence->capsule_count; i++) {
        const sp_capsule *capsule = &fence->capsules[i];
        j->loose[i] = 0;
        for (uint32_t chain = capsule->chain; chain; chain &= chain - 1) {
            int link = __builtin_ctz(chain);
            j->loose[i] += j->half[link] * capsule->lever[link];
        }
    }
    j->spread_known = 0;
}

/* How far the ends of a capsule can move, axis by axis, by the joints of `chain`: the derivative by each joint, and
 * what its change can add. The second derivative by two joints is no longer than the further one's lever. */
static void spread_of(const judgement *j, int i, uint32_t chain, double spread[2][3])
{
    const sp_fence *fence = j->fence;
    const sp_capsule *capsule = &fence->capsules[i];
    double bend = 0, turned = 0;
    memset(spread, 0, sizeof(double[2][3]));
    for (; chain; chain &= chain - 1) { /* from the root: a parent comes before its child */
        int link = __builtin_ctz(chain);
        double axis[3], half = j->half[link];
        if (half == 0)
            continue;
        bend += half * capsule->lever[link] * (0.5 * half + turned);
        turned += half;
        sp_pose_direction(&j->at.poses[link], fence->links[link].axis, axis);
        for (int end = 0; end < 2; end++) {
            double arm[3];
            for (int k = 0; k < 3; k++)
                arm[k] = j->at.ends[i][end][k] - j->at.poses[link].origin[k];
            spread[end][0] += half * fabs(axis[1] * arm[2] - axis[2] * arm[1]);
            spread[end][1] += half * fabs(axis[2] * arm[0] - axis[0] * arm[2]);
            spread[end][2] += half * fabs(axis[0] * arm[1] - axis[1] * arm[0]);
        }
    }
    for (int k = 0; k < 3; k++) {
        spread[0][k] += bend;
        spread[1][k] += bend;
    }
}

static const double (*spread_in_world(judgement *j, int i))[3]
{
    if (!(j->spread_known & 1u << i)) {
        spread_of(j, i, j->fence->capsules[i].chain, j->spread[i]);
        j->spread_known |= 1u << i;
    }
    return (const double(*)[3])j->spread[i];
}

/* Of a whole stretch: no less than this is free of one side of the workspace, */
static double side_bound(judgement *j, int i, int side)
{
    double free = sp_fence_side_clearance(j->fence, &j->at, i, side), most = free;
    if (free >= j->loose[i] + SP_FENCE_RESERVE_M)
        return INFINITY;
    const double(*spread)[3] = spread_in_world(j, i);
    int axis = side % 3;
    for (int end = 0; end < 2; end++) {
        double x = j->at.ends[i][end][axis];
        double room = side < 3 ? x - j->fence->workspace.low[axis] : j->fence->workspace.high[axis] - x;
        most = fmin(most, room - j->fence->capsules[i].radius - j->fence->margin - spread[end][axis]);
    }
    return most;
}

/* Whether a capsule, made larger by `more`, and a box are parted by a plane of the box. */
static int are_parted(const judgement *j, int i, const sp_box *box, double more)
{
    const double *from = j->at.ends[i][0], *to = j->at.ends[i][1];
    for (int k = 0; k < 3; k++)
        if (fmin(from[k], to[k]) - box->high[k] >= more || box->low[k] - fmax(from[k], to[k]) >= more)
            return 1;
    return 0;
}

/* of a keep-out box: to move by up to `spread` along each axis is to meet a box that is larger by it, */
static double box_bound(judgement *j, int i, const sp_box *box)
{
    double reach = j->fence->capsules[i].radius + j->fence->margin;
    if (are_parted(j, i, box, reach + j->loose[i] + SP_FENCE_RESERVE_M))
        return INFINITY;
    const double(*spread)[3] = spread_in_world(j, i);
    sp_box larger;
    for (int k = 0; k < 3; k++) {
        double more = fmax(spread[0][k], spread[1][k]);
        larger.low[k] = box->low[k] - more;
        larger.high[k] = box->high[k] + more;
    }
    return sp_segment_box_distance(j->at.ends[i][0], j->at.ends[i][1], larger.low, larger.high) - reach;
}

/* What moves both alike does not bring them nearer. */
static double spread_against(const judgement *j, int a, int b)
{
    double spread[2][3];
    spread_of(j, a, j->fence->capsules[a].chain & ~j->fence->capsules[b].chain, spread);
    return fmax(length(spread[0]), length(spread[1]));
}

/* between two capsules. */
static double pair_bound(const judgement *j, int pair)
{
    const sp_fence *fence = j->fence;
    int a = fence->pairs[pair][0], b = fence->pairs[pair][1];
    const double(*p)[3] = j->at.ends[a], (*q)[3] = j->at.ends[b];
    double reach = fence->capsules[a].radius + fence->capsules[b].radius + fence->self_margin;
    double apart[3], along_a[3], along_b[3];
    for (int k = 0; k < 3; k++) {
        apart[k] = 0.5 * (p[0][k] + p[1][k] - q[0][k] - q[1][k]);
        along_a[k] = 0.5 * (p[1][k] - p[0][k]);
        along_b[k] = 0.5 * (q[1][k] - q[0][k]);
    }
    double far = reach + j->loose[a] + j->loose[b] + SP_FENCE_RESERVE_M;
    if (length(apart) >= far + length(along_a) + length(along_b))
        return INFINITY;
    return sp_segments_distance(p[0], p[1], q[0], q[1]) - reach - spread_against(j, a, b) - spread_against(j, b, a);
}

/* ---- an arm that is near already ---- */

/* Whether one of the brakes leads nearer than `now` at one of so many instants. */
static int comes_nearer(const judgement *j, int barrier, double now)
{
    for (int k = 0; k < 2 * SAMPLES; k++) {
        double tick = ceil(j->ticks * (k / 2 + 1) / SAMPLES);
        sp_fence_figure there;
        for (int i = 0; i < j->fence->link_count; i++)
            sp_fence_stand(j->fence, &there, i, sp_sweep_at(&j->sweeps[i], k % 2, tick));
        sp_fence_place_capsules(j->fence, &there);
        if (!(sp_fence_barrier_clearance(j->fence, &there, barrier) >= now - ROUNDING_M))
            return 1;
    }
    return 0;
}

/* Whether no less than `bound` is enough. An arm that stands at a barrier may move where it comes no nearer: one that
 * is clear only while it is sure to stay so, one that is in touch anyhow. */
static int is_enough(judgement *j, int barrier, double bound)
{
    if (bound >= SP_FENCE_RESERVE_M || (j->leave && j->leave->least[barrier] < 0 && bound >= j->leave->least[barrier]))
        return 1;
    if (!j->start_known) {
        for (int i = 0; i < j->fence->link_count; i++)
            sp_fence_stand(j->fence, &j->start, i, j->sweeps[i].before);
        sp_fence_place_capsules(j->fence, &j->start);
        j->start_known = 1;
    }
    double now = sp_fence_barrier_clearance(j->fence, &j->start, barrier);
    if (now >= 2 * SP_FENCE_RESERVE_M || (now >= 0 && !(bound >= 0)))
        return 0;
    uint64_t *word = &j->excused[barrier / 64], bit = 1ull << barrier % 64;
    if (*word & bit)
        return 1;
    if (comes_nearer(j, barrier, now))
        return 0;
    *word |= bit;
    return 1;
}

/* ---- the judgement ---- */

/* What is not clear somewhere between two ticks; the first of it where not all is asked for. */
static uint32_t look(judgement *j, double first, double last, int all)
{
    const sp_fence *fence = j->fence;
    uint32_t refused = 0;
    stand_amid(j, first, last);
    for (int i = 0; i < fence->capsule_count && (all || !refused); i++) {
        if (!fence->capsules[i].chain)
            continue;
        for (int side = 0; side < SIDES && fence->bounded; side++)
            if (!is_enough(j, i * PLACES + side, side_bound(j, i, side)))
                refused |= SP_LIMITED_WORKSPACE;
        for (int k = 0; k < fence->box_count; k++)
            if (!is_enough(j, i * PLACES + SIDES + k, box_bound(j, i, &fence->boxes[k])))
                refused |= SP_LIMITED_KEEP_OUT;
    }
    for (int k = 0; k < fence->pair_count && (all || !refused); k++)
        if (!is_enough(j, SP_FENCE_CAPSULES * PLACES + k, pair_bound(j, k)))
            refused |= SP_LIMITED_SELF;
    return refused;
}

static uint32_t search(judgement *j, double first, double last, int halvings)
{
    double middle = floor(0.5 * (first + last));
    int whole = halvings == 0 || middle == first;
    uint32_t refused = look(j, first, last, whole);
    if (!refused || whole)
        return refused;
    refused = search(j, middle, last, halvings - 1); /* what is met is mostly met in the end */
    return refused ? refused : search(j, first, middle, halvings - 1);
}

static uint32_t judge(const sp_fence *fence, const sp_fence_leave *leave, const motion *step, const sp_limits *limits,
                      const sp_limits *emergency, double dt)
{
    judgement j;
    j.fence = fence;
    j.leave = leave;
    j.ticks = 0;
    j.start_known = 0;
    memset(j.excused, 0, sizeof j.excused);
    for (int i = 0; i < fence->link_count; i++) {
        int joint = fence->links[i].joint;
        if (joint < 0) {
            memset(&j.sweeps[i], 0, sizeof j.sweeps[i]);
            continue;
        }
        const sp_limiter *next = &step->next[i];
        if (!isfinite(step->before[i] + next->position + next->velocity + next->acceleration))
            return ANYTHING;
        sp_sweep_begin(&j.sweeps[i], step->before[i], next, &limits[joint], &emergency[joint], dt);
        j.ticks = fmax(j.ticks, j.sweeps[i].ticks);
    }
    return j.ticks > 0 ? search(&j, 0, j.ticks, SP_FENCE_HALVINGS) : 0;
}

/* The step that lies at this share of the way between two. */
static void between(const sp_fence *fence, const sp_limiter *before, const sp_limiter *brake, const sp_limiter *step,
                    double share, double dt, motion *there)
{
    for (int i = 0; i < fence->link_count; i++) {
        int joint = fence->links[i].joint;
        if (joint < 0)
            continue;
        there->before[i] = before[joint].position;
        there->next[i] = sp_limiter_between(&before[joint], &brake[joint], &step[joint], share, dt);
    }
}

uint32_t sp_fence_judge(const sp_fence *fence, const sp_fence_leave *leave, const sp_limiter *before,
                        const sp_limiter *next, const sp_limits *limits, const sp_limits *emergency, double dt)
{
    motion step;
    for (int i = 0; i < fence->link_count; i++) {
        int joint = fence->links[i].joint;
        if (joint < 0)
            continue;
        step.before[i] = before[joint].position;
        step.next[i] = next[joint];
    }
    return judge(fence, leave, &step, limits, emergency, dt);
}

double sp_fence_share(const sp_fence *fence, const sp_fence_leave *leave, const sp_limiter *before,
                      const sp_limiter *brake, const sp_limiter *step, const sp_limits *limits,
                      const sp_limits *emergency, double dt)
{
    double clear = 0, refused = 1;
    for (int probe = 0; probe < PROBES; probe++) {
        motion there;
        double share = 0.5 * (clear + refused);
        between(fence, before, brake, step, share, dt, &there);
        if (judge(fence, leave, &there, limits, emergency, dt))
            refused = share;
        else
            clear = share;
    }
    return clear;
}
