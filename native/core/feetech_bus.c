#include "feetech_bus.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* Position, speed and load lie side by side: one read. */
enum { READ_BYTES = 6, REPLY_BYTES = SP_FEETECH_OVERHEAD + READ_BYTES, BITS_PER_BYTE = 10 };

int sp_feetech_bus_init(sp_feetech_bus *bus, const sp_feetech_joint *joints, int count, int baud,
                        sp_transport wire, sp_clock clock)
{
    if (count < 1 || count > SP_FEETECH_BUS_SERVOS || baud <= 0)
        return -EINVAL;
    memset(bus, 0, sizeof *bus);
    bus->wire = wire;
    bus->clock = clock;
    bus->count = count;
    bus->byte_ns = (int64_t)BITS_PER_BYTE * 1000000000 / baud;
    for (int i = 0; i < count; i++) {
        if (joints[i].id > SP_FEETECH_MAX_ID || !isfinite(joints[i].unit_per_count) || joints[i].unit_per_count == 0)
            return -EINVAL;
        bus->joints[i] = joints[i];
        bus->ids[i] = joints[i].id;
    }
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

static int joint_of(const sp_feetech_bus *bus, uint8_t id)
{
    for (int i = 0; i < bus->count; i++)
        if (bus->ids[i] == id)
            return i;
    return -1;
}

static void decode(const sp_feetech_joint *joint, const sp_feetech_packet *packet, int64_t stamp_ns,
                   sp_joint_sample *sample)
{
    int count = sp_feetech_decode(sp_feetech_get16(packet->params), SP_FEETECH_SIGN_POSITION);
    int speed = sp_feetech_decode(sp_feetech_get16(packet->params + 2), SP_FEETECH_SIGN_POSITION);
    int load = sp_feetech_decode(sp_feetech_get16(packet->params + 4), SP_FEETECH_SIGN_LOAD);
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
        decode(&bus->joints[i], &packet, bus->sent_ns + (now_ns - bus->sent_ns) / 2, &samples[i]);
        (*answered)++;
    }
    memmove(bus->replies, bus->replies + used, have - used);
    return have - used;
}

static int ask_joints(void *context)
{
    sp_feetech_bus *bus = context;
    bus->counts.cycles++;
    /* What a servo sent too late for its own cycle must not be taken for this one's. */
    bus->asked = bus->wire.discard_input(bus->wire.context);
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

static int write_joints(void *context, const sp_limiter *commanded)
{
    sp_feetech_bus *bus = context;
    uint8_t goals[SP_FEETECH_GOAL_WIDTH * SP_FEETECH_BUS_SERVOS], frame[SP_FEETECH_MAX_FRAME];
    for (int i = 0; i < bus->count; i++) {
        const sp_feetech_joint *joint = &bus->joints[i];
        double count = joint->zero_count + commanded[i].position / joint->unit_per_count;
        if (!isfinite(count)) { /* cannot come from the limiter; the last goal stays */
            bus->counts.failed_writes++;
            return -EINVAL;
        }
        count = fmin(fmax(count, joint->count_min), joint->count_max);
        sp_feetech_put16(goals + SP_FEETECH_GOAL_WIDTH * i,
                         sp_feetech_encode((int32_t)lround(count), SP_FEETECH_SIGN_POSITION));
    }
    size_t size = sp_feetech_sync_write(frame, sizeof frame, bus->ids, (size_t)bus->count, SP_FEETECH_GOAL,
                                        SP_FEETECH_GOAL_WIDTH, goals);
    int failure = size ? bus->wire.write(bus->wire.context, frame, size) : -EINVAL;
    if (failure)
        bus->counts.failed_writes++;
    return failure;
}

sp_bus sp_feetech_bus_view(sp_feetech_bus *bus)
{
    return (sp_bus){
        .context = bus,
        .ask = ask_joints,
        .read = read_joints,
        .write = write_joints,
        .counts = &bus->counts,
    };
}
