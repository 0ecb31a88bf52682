#include "mirror.h"

#include <errno.h>
#include <string.h>

/* Offsets in a frame: header, header, id, length, instruction, first register, width, then the servos. */
enum { INSTRUCTION = 4, REGISTER = 5, WIDTH = 6, SERVOS = 7, MOST_BYTES = 16 };

void sp_mirror_init(sp_mirror *mirror, uint16_t count)
{
    memset(mirror, 0, sizeof *mirror);
    for (int id = 0; id < 256; id++)
        mirror->counts[id] = count;
}

static int answer(sp_mirror *mirror, const uint8_t *bytes, size_t count)
{
    uint8_t values[MOST_BYTES] = {0};
    size_t width = bytes[WIDTH];
    if (bytes[REGISTER] != SP_FEETECH_POSITION || width < SP_FEETECH_POSITION_WIDTH || width > MOST_BYTES)
        return -EINVAL;
    for (size_t i = SERVOS; i + 1 < count; i++) {
        sp_feetech_put16(values, mirror->counts[bytes[i]]);
        size_t size = sp_feetech_status(mirror->replies + mirror->filled, sizeof mirror->replies - mirror->filled,
                                        bytes[i], 0, values, width);
        if (!size)
            return -EAGAIN;
        mirror->filled += size;
    }
    return 0;
}

static int obey(sp_mirror *mirror, const uint8_t *bytes, size_t count)
{
    size_t width = bytes[WIDTH];
    if (bytes[REGISTER] != SP_FEETECH_GOAL || width < SP_FEETECH_GOAL_WIDTH)
        return -EINVAL;
    for (size_t i = SERVOS; i + width + 1 < count; i += 1 + width)
        mirror->counts[bytes[i]] = sp_feetech_get16(bytes + i + 1);
    return 0;
}

static int mirror_write(void *context, const uint8_t *bytes, size_t count)
{
    sp_mirror *mirror = context;
    if (count <= SERVOS)
        return -EINVAL;
    switch (bytes[INSTRUCTION]) {
    case SP_FEETECH_SYNC_READ:
        return answer(mirror, bytes, count);
    case SP_FEETECH_SYNC_WRITE:
        return obey(mirror, bytes, count);
    default:
        return -EINVAL;
    }
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
