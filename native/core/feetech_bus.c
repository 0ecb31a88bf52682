#include "feetech_bus.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* Position, speed and load lie side by side: one read. */
enum { READ_BYTES = 6, REPLY_BYTES = SP_FEETECH_OVERHEAD + READ_BYTES, BITS_PER_BYTE = 10, FULL_TORQUE = 1000 };

/* Goals, torque limits and enabling in one write: no more than three frames. */
enum { WRITE_CAPACITY = 3 * SP_FEETECH_MAX_FRAME };

/* 3 degrees: what a joint sinks in some ms without torque. */
#define NEAR_COUNTS 34.0

int sp_feetech_bus_init(sp_feetech_bus *bus, const sp_feetech_joint *joints, int count, int baud,
                        int health_every, sp_transport wire, sp_clock clock)
{
    if (count < 1 || count > SP_FEETECH_BUS_SERVOS || baud <= 0 || health_every < 0)
        return -EINVAL;
    memset(bus, 0, sizeof *bus);
    bus->wire = wire;
    bus->clock = clock;
    bus->count = count;
    bus->byte_ns = (int64_t)BITS_PER_BYTE * 1000000000 / baud;
    for (int i = 0; i < count; i++) {
        if (joints[i].id > SP_FEETECH_MAX_ID || !isfinite(joints[i].unit_per_count) || joints[i].unit_per_count == 0)
            return -EINVAL;
        if (!(joints[i].torque_limit > 0 && joints[i].torque_limit <= 1))
            return -EINVAL;
        bus->joints[i] = joints[i];
        bus->ids[i] = joints[i].id;
    }
    sp_feetech_health_init(&bus->health, bus->ids, count, health_every);
    bus->request_size = sp_feetech_sync_read(bus->request, sizeof bus->request, bus->ids, (size_t)count,
                                             SP_FEETECH_POSITION, READ_BYTES);
    return bus->request_size ? 0 : -EINVAL;
}

int64_t sp_feetech_bus_wire_ns(const sp_feetech_bus *bus)
{
    size_t write_bytes = 8 + (size_t)bus->count * (1 + SP_FEETECH_GOAL_WIDTH);
    size_t bytes = bus->request_size + (size_t)bus->count * REPLY_BYTES + write_bytes;
    return (int64_t)bytes * bus->byte_ns;
}

int64_t sp_feetech_bus_health_wire_ns(const sp_feetech_bus *bus)
{
    return (SP_FEETECH_HEALTH_REQUEST + SP_FEETECH_OVERHEAD + SP_FEETECH_HEALTH_PARAMS) * bus->byte_ns;
}

static int joint_of(const sp_feetech_bus *bus, uint8_t id)
{
    for (int i = 0; i < bus->count; i++)
        if (bus->ids[i] == id)
            return i;
    return -1;
}

static void decode(const sp_feetech_joint *joint, const sp_feetech_packet *packet, int64_t stamp_ns,
                   sp_joint_sample *sample, double *read_count)
{
    int count = sp_feetech_decode(sp_feetech_get16(packet->params), SP_FEETECH_SIGN_POSITION);
    int speed = sp_feetech_decode(sp_feetech_get16(packet->params + 2), SP_FEETECH_SIGN_POSITION);
    int load = sp_feetech_decode(sp_feetech_get16(packet->params + 4), SP_FEETECH_SIGN_LOAD);
    *read_count = count;
    sample->position = (count - joint->zero_count) * joint->unit_per_count;
    sample->velocity = speed * joint->unit_per_count;
    sample->load = copysign(load * 1e-3, load * joint->unit_per_count);
    sample->stamp_ns = stamp_ns;
    sample->error = packet->error;
    sample->fresh = 1;
}

/* Takes every whole reply out of the first `have` bytes; returns how many bytes stay. */
static size_t take_replies(sp_feetech_bus *bus, size_t have, sp_joint_sample *samples, int *answered)
{
    size_t used = 0;
    sp_feetech_packet packet;
    for (;;) {
        int found = sp_feetech_scan(bus->replies + used, have - used, READ_BYTES, false, &packet);
        used += packet.consumed;
        bus->counts.bad_packets += packet.bad_checksums;
        if (!found)
            break;
        int i = joint_of(bus, packet.id);
        if (i < 0 || packet.count != READ_BYTES || samples[i].fresh) {
            bus->counts.bad_packets++;
            continue;
        }
        /* The servo sampled between the end of the request and the end of its reply. */
        int64_t now_ns = bus->clock.now_ns(bus->clock.context);
        decode(&bus->joints[i], &packet, bus->sent_ns + (now_ns - bus->sent_ns) / 2, &samples[i],
               &bus->read_count[i]);
        (*answered)++;
    }
    memmove(bus->replies, bus->replies + used, have - used);
    return have - used;
}

/* Takes what a servo said about itself since the last write, and with it all that lies in the line. It is there by now,
 * or it is missed, except right behind a tick that came very late: who speaks into a reply loses that and his own
 * words, so it is let through, for what is left of its few hundred us. Returns 0 or -errno. */
static int take_health(sp_feetech_bus *bus)
{
    sp_feetech_health *health = &bus->health;
    size_t have = 0;
    int taken = 0, got = 0;
    while (!taken && have < sizeof bus->replies) {
        got = bus->wire.read(bus->wire.context, bus->replies + have, sizeof bus->replies - have, health->through_ns);
        if (got <= 0)
            break;
        have += (size_t)got;
        sp_feetech_packet packet;
        for (size_t used = 0; !taken; used += packet.consumed) {
            if (!sp_feetech_scan(bus->replies + used, have - used, SP_FEETECH_HEALTH_PARAMS, false, &packet))
                break;
            taken = sp_feetech_health_take(health, &packet);
        }
    }
    if (!taken)
        sp_feetech_health_miss(health);
    if (health->disobeyed && bus->switched)
        bus->torque_due = 1;
    health->disobeyed = 0;
    if (got < 0)
        return got;
    return have == sizeof bus->replies ? bus->wire.discard_input(bus->wire.context) : 0;
}

static int ask_joints(void *context)
{
    sp_feetech_bus *bus = context;
    bus->counts.cycles++;
    /* What a servo sent too late for its own cycle must not be taken for this one's. */
    bus->asked = bus->health.asked < 0 ? bus->wire.discard_input(bus->wire.context) : take_health(bus);
    if (!bus->asked)
        bus->asked = bus->wire.write(bus->wire.context, bus->request, bus->request_size);
    bus->sent_ns = bus->clock.now_ns(bus->clock.context) + (int64_t)bus->request_size * bus->byte_ns;
    return bus->asked;
}

static int read_joints(void *context, sp_joint_sample *samples, int64_t deadline_ns)
{
    sp_feetech_bus *bus = context;
    for (int i = 0; i < bus->count; i++)
        samples[i].fresh = 0;
    int failure = bus->asked;
    int answered = 0;
    size_t have = 0;
    while (!failure && answered < bus->count) {
        int got = bus->wire.read(bus->wire.context, bus->replies + have, sizeof bus->replies - have, deadline_ns);
        if (got <= 0) {
            failure = got;
            break;
        }
        have = take_replies(bus, have + (size_t)got, samples, &answered);
        if (have == sizeof bus->replies) /* nothing but garbage */
            have = 0;
    }
    bus->counts.missing_replies += (uint64_t)(bus->count - answered);
    return failure < 0 ? failure : answered;
}

/* The frames that switch torque of `count` motors from `first` on: limits first, so that no motor comes on with more
 * than it was given. */
static size_t torque_frames(const sp_feetech_bus *bus, int first, int count, int enables_too, uint8_t *frames,
                            size_t capacity)
{
    const sp_feetech_health *health = &bus->health;
    uint8_t limits[SP_FEETECH_TORQUE_LIMIT_WIDTH * SP_FEETECH_BUS_SERVOS], enables[SP_FEETECH_BUS_SERVOS];
    for (int i = 0; i < count; i++) {
        sp_feetech_put16(limits + SP_FEETECH_TORQUE_LIMIT_WIDTH * i, health->limits[first + i]);
        enables[i] = (uint8_t)health->on;
    }
    size_t size = 0;
    if (health->on)
        size = sp_feetech_sync_write(frames, capacity, bus->ids + first, (size_t)count, SP_FEETECH_TORQUE_LIMIT,
                                     SP_FEETECH_TORQUE_LIMIT_WIDTH, limits);
    if (enables_too)
        size += sp_feetech_sync_write(frames + size, capacity - size, bus->ids + first, (size_t)count,
                                      SP_FEETECH_TORQUE, SP_FEETECH_TORQUE_WIDTH, enables);
    return size;
}

static size_t all_torque_frames(const sp_feetech_bus *bus, uint8_t *frames, size_t capacity)
{
    return torque_frames(bus, 0, bus->count, !bus->health.on || !bus->enabled, frames, capacity);
}

/* To the one motor that did not hear that it is on. One that is away from its goal by now would leap: it stays off, and
 * health says so. */
static size_t repeated_frames(sp_feetech_bus *bus, uint8_t *frames, size_t capacity)
{
    sp_feetech_health *health = &bus->health;
    int i = health->unheard;
    if (fabs(bus->away[i]) > NEAR_COUNTS) {
        sp_feetech_health_give_up(health);
        return 0;
    }
    health->unheard = -1;
    health->repeats[i]++;
    bus->counts.torque_repeats++;
    return torque_frames(bus, i, 1, 1, frames, capacity);
}

static void torque_sent(sp_feetech_bus *bus)
{
    bus->torque_due = 0;
    bus->enabled = bus->health.on;
}

static int switch_torque(void *context, double share)
{
    sp_feetech_bus *bus = context;
    uint16_t limits[SP_FEETECH_BUS_SERVOS];
    if (!(share >= 0 && share <= 1))
        return -EINVAL;
    for (int i = 0; i < bus->count; i++)
        limits[i] = (uint16_t)lround(FULL_TORQUE * bus->joints[i].torque_limit * share);
    sp_feetech_health_expect(&bus->health, share > 0, limits);
    bus->torque_due = bus->switched = 1;
    if (bus->health.asked >= 0) /* a servo is speaking: behind the next goals, in place of a question */
        return 0;
    uint8_t frames[WRITE_CAPACITY];
    int failure = bus->wire.write(bus->wire.context, frames, all_torque_frames(bus, frames, sizeof frames));
    if (failure) /* and again behind the next goals */
        bus->counts.failed_writes++;
    else
        torque_sent(bus);
    return failure;
}

static int write_joints(void *context, const sp_limiter *commanded)
{
    sp_feetech_bus *bus = context;
    uint8_t goals[SP_FEETECH_GOAL_WIDTH * SP_FEETECH_BUS_SERVOS], frames[WRITE_CAPACITY];
    for (int i = 0; i < bus->count; i++) {
        const sp_feetech_joint *joint = &bus->joints[i];
        double count = joint->zero_count + commanded[i].position / joint->unit_per_count;
        if (!isfinite(count)) { /* cannot come from the limiter; the last goal stays */
            bus->counts.failed_writes++;
            return -EINVAL;
        }
        count = fmin(fmax(count, joint->count_min), joint->count_max);
        bus->away[i] = count - bus->read_count[i];
        sp_feetech_put16(goals + SP_FEETECH_GOAL_WIDTH * i,
                         sp_feetech_encode((int32_t)lround(count), SP_FEETECH_SIGN_POSITION));
    }
    size_t size = sp_feetech_sync_write(frames, sizeof frames, bus->ids, (size_t)bus->count, SP_FEETECH_GOAL,
                                        SP_FEETECH_GOAL_WIDTH, goals);
    size_t asks = 0;
    if (bus->torque_due)
        size += all_torque_frames(bus, frames + size, sizeof frames - size);
    else if (bus->health.unheard >= 0)
        size += repeated_frames(bus, frames + size, sizeof frames - size);
    else
        asks = sp_feetech_health_request(&bus->health, frames + size, sizeof frames - size);
    size += asks;
    int failure = bus->wire.write(bus->wire.context, frames, size);
    if (failure) {
        bus->counts.failed_writes++;
        bus->health.asked = -1;
    } else if (bus->torque_due) {
        torque_sent(bus);
    } else if (asks) {
        int64_t now_ns = bus->clock.now_ns(bus->clock.context);
        sp_feetech_health_sent(&bus->health, now_ns + (int64_t)size * bus->byte_ns, bus->byte_ns);
    }
    return failure;
}

sp_bus sp_feetech_bus_view(sp_feetech_bus *bus)
{
    return (sp_bus){
        .context = bus,
        .ask = ask_joints,
        .read = read_joints,
        .write = write_joints,
        .torque = switch_torque,
        .health = bus->health.every ? bus->health.joints : NULL,
        .counts = &bus->counts,
    };
}
