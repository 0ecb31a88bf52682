#include "reflex.h"

#include "modes.h"

#include <math.h>
#include <string.h>

/* Of the observer: long against a sample's noise, short against a person. */
#define OBSERVER_S 0.02
/* More than any impact: a number that is no motor's does not stay for long. */
#define TORQUE_MOST 100.0
/* In which `rest` follows: slower than a push, quick enough for gravity to change with the pose. */
#define REST_S 0.4
/* How much of the room above contact_hold `rest` may take. */
#define REST_SHARE 0.8
/* How far below its threshold a first grade begins to clear. */
#define MARGIN_SHARE 0.2
#define MARGIN_CELSIUS 3.0
#define MARGIN_VOLT 0.2
/* Of the motor's limit; load is read in permille. */
#define SATURATED_SHARE 0.98

static double clamp(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

/* Not "above": whatever cannot be compared is beyond. */
static int beyond(double size, double threshold)
{
    return threshold != 0 && !(size <= threshold);
}

/* The share of a first-order step of `time_s` that passes in `elapsed_s`, by the backward rule: stable, exact for
 * `time_s` 0, and without a call. */
static double share(double elapsed_s, double time_s)
{
    return elapsed_s > 0 ? elapsed_s / (time_s + elapsed_s) : 0;
}

/* Judges one cause at `now_ns`. Once raised, the first grade clears when `size` has been below the threshold by
 * `margin` for so long. */
static void judge(sp_reflex_watch *watch, double size, double hold, double stop, double margin, int64_t lasting_ns,
                  int64_t clear_ns, int64_t now_ns)
{
    int broken = !isfinite(size);
    int holds = broken || beyond(size, hold), stops = broken || beyond(size, stop);
    int unclean = broken || (hold != 0 && !(size <= hold - margin));
    watch->hold_ns = !holds ? 0 : watch->hold_ns ? watch->hold_ns : now_ns;
    watch->stop_ns = !stops ? 0 : watch->stop_ns ? watch->stop_ns : now_ns;
    watch->unclean_ns = unclean ? now_ns : watch->unclean_ns;
    if (holds && now_ns - watch->hold_ns >= lasting_ns)
        watch->held = 1;
    else if (now_ns - watch->unclean_ns >= clear_ns)
        watch->held = 0;
    watch->stop = stops && now_ns - watch->stop_ns >= lasting_ns;
}

static uint32_t bits(const sp_reflex_watch *watch, uint32_t hold, uint32_t stop)
{
    return (watch->held ? hold : 0) | (watch->stop ? stop : 0);
}

static void judge_following(sp_reflex *reflex, const sp_reflex_limits *limits, const sp_joint_sample *sample,
                            int64_t tick_ns)
{
    judge(&reflex->following, fabs(reflex->lagged - sample->position), limits->following_hold,
          limits->following_stop, MARGIN_SHARE * limits->following_hold, limits->following_ns, limits->clear_ns,
          tick_ns);
}

static double middle(double a, double b, double c)
{
    double low = a < b ? a : b, high = a < b ? b : a;
    return clamp(c, low, high);
}

static void judge_contact(sp_reflex *reflex, const sp_reflex_limits *limits, const sp_joint_sample *sample,
                          int64_t tick_ns)
{
    double elapsed_s = (double)(tick_ns - reflex->fresh_ns) * 1e-9;
    double speed = middle(reflex->earlier_velocity, reflex->velocity, sample->velocity);
    double change = elapsed_s > 0 ? (speed - reflex->speed) / elapsed_s : 0;
    double torque = clamp(sample->load, -1, 1) - limits->contact_drag * speed - limits->contact_inertia * change;
    double size = NAN;
    if (isfinite(sample->load) && isfinite(sample->velocity) && isfinite(torque)) {
        reflex->outside += share(elapsed_s, OBSERVER_S) * (clamp(torque, -TORQUE_MOST, TORQUE_MOST) - reflex->outside);
        reflex->speed = speed;
        size = fabs(reflex->outside - reflex->rest);
    }
    sp_reflex_watch *watch = &reflex->contact;
    judge(watch, size, limits->contact_hold, limits->contact_stop, MARGIN_SHARE * limits->contact_hold,
          limits->contact_ns, limits->clear_ns, tick_ns);
    /* An impact is over soon, and was filtered already: it counts at once. */
    watch->stop = watch->stop_ns || (limits->contact_long_ns > 0 && watch->hold_ns &&
                                     tick_ns - watch->hold_ns >= limits->contact_long_ns);
    if (watch->hold_ns || watch->held)
        return;
    double room = REST_SHARE * (limits->load_limit - limits->contact_hold);
    room = room > 0 ? room : 0;
    reflex->rest = clamp(reflex->rest + share(elapsed_s, REST_S) * (reflex->outside - reflex->rest), -room, room);
}

static void judge_frozen(sp_reflex *reflex, const sp_reflex_limits *limits, const sp_joint_sample *sample,
                         int64_t tick_ns)
{
    int same = sample->position == reflex->position && sample->velocity == reflex->velocity &&
               sample->load == reflex->load;
    int pushes = sample->velocity == 0 && fabs(sample->load) >= SATURATED_SHARE * limits->load_limit;
    if (!same || pushes) {
        reflex->moved_from = reflex->lagged;
        reflex->moved_ns = 0;
    }
    if (!reflex->moved_ns && !(fabs(reflex->lagged - reflex->moved_from) <= limits->frozen_travel))
        reflex->moved_ns = tick_ns;
    reflex->frozen = limits->frozen_ns != 0 && reflex->moved_ns && tick_ns - reflex->moved_ns >= limits->frozen_ns;
}

/* Readings are told apart by their stamps: a second one that is beyond is later than the first. */
static void judge_health(sp_reflex *reflex, const sp_reflex_limits *limits, const sp_joint_health *health)
{
    const int64_t again_ns = 1;
    reflex->health_ns = health->stamp_ns;
    if (health->temperature != 0)
        judge(&reflex->temperature, health->temperature, limits->temperature_hold, limits->temperature_stop,
              MARGIN_CELSIUS, again_ns, limits->clear_ns, health->stamp_ns);
    if (health->voltage != 0)
        judge(&reflex->voltage, -health->voltage, -limits->voltage_hold, -limits->voltage_stop, MARGIN_VOLT,
              again_ns, limits->clear_ns, health->stamp_ns);
}

static void judge_device(sp_reflex *reflex, const sp_reflex_limits *limits, const sp_joint_sample *sample,
                         int64_t tick_ns)
{
    if (!(sample->error & limits->device_bits))
        reflex->device_since_ns = 0;
    else if (!reflex->device_since_ns)
        reflex->device_since_ns = tick_ns;
    reflex->device = reflex->device_since_ns && tick_ns - reflex->device_since_ns >= limits->device_ns;
}

static void judge_sample(sp_reflex *reflex, const sp_reflex_limits *limits, const sp_joint_sample *sample,
                         int64_t tick_ns)
{
    judge_following(reflex, limits, sample, tick_ns);
    judge_contact(reflex, limits, sample, tick_ns);
    judge_frozen(reflex, limits, sample, tick_ns);
    judge_device(reflex, limits, sample, tick_ns);
    reflex->fresh_ns = tick_ns;
    reflex->position = sample->position;
    reflex->load = sample->load;
    if (isfinite(sample->velocity)) { /* the next change counts from one that is a number */
        reflex->earlier_velocity = reflex->velocity;
        reflex->velocity = sample->velocity;
    }
}

/* The first tick with torque on: the servo stands where it was told to, and every past is forgotten but that of the
 * readings, which do not depend on torque. */
static void begin_energised(sp_reflex *reflex, const sp_joint_sample *sample, const sp_limiter *commanded)
{
    sp_reflex before = *reflex;
    double velocity = isfinite(sample->velocity) ? sample->velocity : 0;
    *reflex = (sp_reflex){
        .temperature = before.temperature,
        .voltage = before.voltage,
        .health_ns = before.health_ns,
        .lagged = commanded->position,
        .position = NAN, /* whatever comes first has changed */
        .velocity = velocity,
        .earlier_velocity = velocity,
        .speed = velocity,
    };
}

void sp_reflex_begin(sp_reflex *reflex)
{
    memset(reflex, 0, sizeof *reflex);
}

uint32_t sp_reflex_tick(sp_reflex *reflex, const sp_reflex_limits *limits, const sp_joint_sample *sample,
                        const sp_joint_health *health, const sp_limiter *commanded, int64_t tick_ns, int energised)
{
    if (health && health->stamp_ns && health->stamp_ns != reflex->health_ns)
        judge_health(reflex, limits, health);
    uint32_t conditions = bits(&reflex->temperature, SP_CONDITION_HOT, SP_CONDITION_OVERHEATED) |
                          bits(&reflex->voltage, SP_CONDITION_VOLTAGE_LOW, SP_CONDITION_VOLTAGE_FAILED);
    if (!energised) {
        reflex->tick_ns = 0;
        return conditions;
    }
    if (!reflex->tick_ns) {
        begin_energised(reflex, sample, commanded);
        reflex->fresh_ns = tick_ns;
    } else {
        double elapsed_s = (double)(tick_ns - reflex->tick_ns) * 1e-9;
        reflex->lagged += share(elapsed_s, limits->lag_s) * (commanded->position - reflex->lagged);
    }
    reflex->tick_ns = tick_ns;
    if (sample->fresh)
        judge_sample(reflex, limits, sample, tick_ns);
    return conditions | bits(&reflex->following, SP_CONDITION_FOLLOWING, SP_CONDITION_FOLLOWING_LOST) |
           bits(&reflex->contact, SP_CONDITION_CONTACT, SP_CONDITION_COLLISION) |
           (reflex->frozen ? SP_CONDITION_FROZEN : 0) | (reflex->device ? SP_CONDITION_DEVICE_ERROR : 0);
}
