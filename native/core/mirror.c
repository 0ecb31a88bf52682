#include "mirror.h"

#include <errno.h>
#include <string.h>

/* Offsets in a frame: header, header, id, length, instruction, first register, width, then the servos. */
enum { ID = 2, LENGTH = 3, INSTRUCTION = 4, REGISTER = 5, WIDTH = 6, SERVOS = 7, MOST_BYTES = 16 };

/* What every servo says of itself: 12 V and 30 degrees. */
enum { DECIVOLTS = 120, CELSIUS = 30, FULL_TORQUE = 1000 };

void sp_mirror_init(sp_mirror *mirror, uint16_t count)
{
    memset(mirror, 0, sizeof *mirror);
    for (int id = 0; id < 256; id++)
        mirror->counts[id] = count;
    for (int id = 0; id < 256; id++)
        mirror->limits[id] = FULL_TORQUE;
}

static int reply(sp_mirror *mirror, uint8_t id, const uint8_t *values, size_t width)
{
    size_t size = sp_feetech_status(mirror->replies + mirror->filled, sizeof mirror->replies - mirror->filled, id, 0,
                                    values, width);
    mirror->filled += size;
    return size ? 0 : -EAGAIN;
}

static int answer(sp_mirror *mirror, const uint8_t *bytes, size_t count)
{
    uint8_t values[MOST_BYTES] = {0};
    size_t width = bytes[WIDTH];
    if (bytes[REGISTER] != SP_FEETECH_POSITION || width < SP_FEETECH_POSITION_WIDTH || width > MOST_BYTES)
        return -EINVAL;
    for (size_t i = SERVOS; i + 1 < count; i++) {
        sp_feetech_put16(values, mirror->counts[bytes[i]]);
        int failure = reply(mirror, bytes[i], values, width);
        if (failure)
            return failure;
    }
    return 0;
}

/* One servo's registers, those that are known here; the rest read 0. */
static int tell(sp_mirror *mirror, const uint8_t *bytes)
{
    uint8_t registers[256] = {0}, id = bytes[ID];
    size_t width = bytes[WIDTH];
    if (width < 1 || width > MOST_BYTES || bytes[REGISTER] + width > sizeof registers)
        return -EINVAL;
    registers[SP_FEETECH_TORQUE] = mirror->torque[id];
    sp_feetech_put16(registers + SP_FEETECH_GOAL, mirror->counts[id]);
    sp_feetech_put16(registers + SP_FEETECH_TORQUE_LIMIT, mirror->limits[id]);
    sp_feetech_put16(registers + SP_FEETECH_POSITION, mirror->counts[id]);
    registers[SP_FEETECH_VOLTAGE] = DECIVOLTS;
    registers[SP_FEETECH_TEMPERATURE] = CELSIUS;
    return reply(mirror, id, registers + bytes[REGISTER], width);
}

static int obey(sp_mirror *mirror, const uint8_t *bytes, size_t count)
{
    size_t width = bytes[WIDTH], least = bytes[REGISTER] == SP_FEETECH_TORQUE ? 1 : 2;
    if (width < least)
        return -EINVAL;
    for (size_t i = SERVOS; i + width + 1 < count; i += 1 + width) {
        const uint8_t *value = bytes + i + 1;
        switch (bytes[REGISTER]) {
        case SP_FEETECH_GOAL:
            mirror->counts[bytes[i]] = sp_feetech_get16(value);
            break;
        case SP_FEETECH_TORQUE_LIMIT:
            mirror->limits[bytes[i]] = sp_feetech_get16(value);
            break;
        case SP_FEETECH_TORQUE:
            mirror->torque[bytes[i]] = value[0];
            break;
        default:
            return -EINVAL;
        }
    }
    return 0;
}

static int take_frame(sp_mirror *mirror, const uint8_t *bytes, size_t count)
{
    switch (bytes[INSTRUCTION]) {
    case SP_FEETECH_READ:
        return tell(mirror, bytes);
    case SP_FEETECH_SYNC_READ:
        return answer(mirror, bytes, count);
    case SP_FEETECH_SYNC_WRITE:
        return obey(mirror, bytes, count);
    default:
        return -EINVAL;
    }
}

static int mirror_write(void *context, const uint8_t *bytes, size_t count)
{
    int failure = count ? 0 : -EINVAL;
    while (count && !failure) {
        size_t size = count > SERVOS ? bytes[LENGTH] + 4u : 0; /* the length counts what stands behind it */
        failure = size > SERVOS && size <= count ? take_frame(context, bytes, size) : -EINVAL;
        bytes += size;
        count -= size;
    }
    return failure;
}

static int mirror_read(void *context, uint8_t *bytes, size_t capacity, int64_t deadline_ns)
{
    (void)deadline_ns; /* everything is there at once, or never */
    sp_mirror *mirror = context;
    size_t count = mirror->filled < capacity ? mirror->filled : capacity;
    memcpy(bytes, mirror->replies, count);
    memmove(mirror->replies, mirror->replies + count, mirror->filled - count);
    mirror->filled -= count;
    return (int)count;
}

static int mirror_discard(void *context)
{
    ((sp_mirror *)context)->filled = 0;
    return 0;
}

sp_transport sp_mirror_transport(sp_mirror *mirror)
{
    return (sp_transport){
        .context = mirror,
        .write = mirror_write,
        .read = mirror_read,
        .discard_input = mirror_discard,
    };
}
