/* Why native and the thread contract: feetech.h. */
#include "feetech.h"

#include <string.h>

enum { HEADER = 4, ERROR_AT = 4, PARAMS_AT = 5 };

uint16_t sp_feetech_encode(int32_t value, int sign_bit)
{
    uint32_t limit = (1u << sign_bit) - 1;
    uint32_t magnitude = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
    if (magnitude > limit)
        magnitude = limit;
    return (uint16_t)(value < 0 ? magnitude | 1u << sign_bit : magnitude);
}

int32_t sp_feetech_decode(uint16_t word, int sign_bit)
{
    int32_t magnitude = (int32_t)(word & ((1u << sign_bit) - 1));
    return word >> sign_bit & 1 ? -magnitude : magnitude;
}

static uint8_t checksum(const uint8_t *bytes, size_t count)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return (uint8_t)~sum;
}

/* Header and checksum around parameters that are already in place. */
static size_t close_frame(uint8_t *buffer, uint8_t id, uint8_t instruction, size_t count)
{
    buffer[0] = 0xFF;
    buffer[1] = 0xFF;
    buffer[2] = id;
    buffer[3] = (uint8_t)(count + 2);
    buffer[4] = instruction;
    buffer[PARAMS_AT + count] = checksum(buffer + 2, count + 3);
    return count + SP_FEETECH_OVERHEAD;
}

static bool fits(size_t capacity, uint8_t id, size_t count)
{
    return id <= SP_FEETECH_BROADCAST && count <= SP_FEETECH_MAX_PARAMS &&
           count + SP_FEETECH_OVERHEAD <= capacity;
}

static bool registers_exist(uint8_t address, size_t length)
{
    return length > 0 && address + length <= 256;
}

static bool all_ids(const uint8_t *ids, size_t n)
{
    if (n == 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (ids[i] > SP_FEETECH_MAX_ID)
            return false;
    return true;
}

size_t sp_feetech_frame(uint8_t *buffer, size_t capacity, uint8_t id, uint8_t instruction,
                        const uint8_t *params, size_t count)
{
    if (!fits(capacity, id, count))
        return 0;
    if (count > 0)
        memcpy(buffer + PARAMS_AT, params, count);
    return close_frame(buffer, id, instruction, count);
}

size_t sp_feetech_ping(uint8_t *buffer, size_t capacity, uint8_t id)
{
    return sp_feetech_frame(buffer, capacity, id, SP_FEETECH_PING, NULL, 0);
}

size_t sp_feetech_action(uint8_t *buffer, size_t capacity, uint8_t id)
{
    return sp_feetech_frame(buffer, capacity, id, SP_FEETECH_ACTION, NULL, 0);
}

size_t sp_feetech_read(uint8_t *buffer, size_t capacity, uint8_t id, uint8_t address, uint8_t length)
{
    if (!registers_exist(address, length) || length > SP_FEETECH_MAX_PARAMS)
        return 0;
    const uint8_t params[2] = {address, length};
    return sp_feetech_frame(buffer, capacity, id, SP_FEETECH_READ, params, 2);
}

static size_t write_frame(uint8_t *buffer, size_t capacity, uint8_t id, uint8_t instruction,
                          uint8_t address, const uint8_t *data, uint8_t length)
{
    if (!registers_exist(address, length) || !fits(capacity, id, (size_t)length + 1))
        return 0;
    buffer[PARAMS_AT] = address;
    memcpy(buffer + PARAMS_AT + 1, data, length);
    return close_frame(buffer, id, instruction, (size_t)length + 1);
}

size_t sp_feetech_write(uint8_t *buffer, size_t capacity, uint8_t id, uint8_t address,
                        const uint8_t *data, uint8_t length)
{
    return write_frame(buffer, capacity, id, SP_FEETECH_WRITE, address, data, length);
}

size_t sp_feetech_reg_write(uint8_t *buffer, size_t capacity, uint8_t id, uint8_t address,
                            const uint8_t *data, uint8_t length)
{
    return write_frame(buffer, capacity, id, SP_FEETECH_REG_WRITE, address, data, length);
}

size_t sp_feetech_sync_read(uint8_t *buffer, size_t capacity, const uint8_t *ids, size_t n,
                            uint8_t address, uint8_t length)
{
    if (n > SP_FEETECH_MAX_PARAMS - 2 || !fits(capacity, SP_FEETECH_BROADCAST, n + 2) ||
        !all_ids(ids, n) || !registers_exist(address, length) || length > SP_FEETECH_MAX_PARAMS)
        return 0;
    buffer[PARAMS_AT] = address;
    buffer[PARAMS_AT + 1] = length;
    memcpy(buffer + PARAMS_AT + 2, ids, n);
    return close_frame(buffer, SP_FEETECH_BROADCAST, SP_FEETECH_SYNC_READ, n + 2);
}

size_t sp_feetech_sync_write(uint8_t *buffer, size_t capacity, const uint8_t *ids, size_t n,
                             uint8_t address, uint8_t length, const uint8_t *data)
{
    if (n > SP_FEETECH_MAX_PARAMS)
        return 0; /* before the product below can be large */
    size_t count = 2 + n * ((size_t)length + 1);
    if (!fits(capacity, SP_FEETECH_BROADCAST, count) || !all_ids(ids, n) ||
        !registers_exist(address, length))
        return 0;
    uint8_t *out = buffer + PARAMS_AT;
    *out++ = address;
    *out++ = length;
    for (size_t i = 0; i < n; i++) {
        *out++ = ids[i];
        memcpy(out, data + i * length, length);
        out += length;
    }
    return close_frame(buffer, SP_FEETECH_BROADCAST, SP_FEETECH_SYNC_WRITE, count);
}

size_t sp_feetech_status(uint8_t *buffer, size_t capacity, uint8_t id, uint8_t error,
                         const uint8_t *params, size_t count)
{
    if (id > SP_FEETECH_MAX_ID)
        return 0;
    return sp_feetech_frame(buffer, capacity, id, error, params, count);
}

size_t sp_feetech_replies_size(size_t n, uint8_t length)
{
    return n * ((size_t)length + SP_FEETECH_OVERHEAD);
}

bool sp_feetech_scan(const uint8_t *bytes, size_t count, size_t max_params, bool last,
                     sp_feetech_packet *packet)
{
    if (max_params > SP_FEETECH_MAX_PARAMS)
        max_params = SP_FEETECH_MAX_PARAMS;
    memset(packet, 0, sizeof *packet);
    size_t at = 0;
    for (; at < count; at++) {
        const uint8_t *frame = bytes + at;
        size_t left = count - at;
        /* What is not there yet cannot rule a frame out. A third FF is no id: the header is later. */
        bool possible = frame[0] == 0xFF && (left < 2 || frame[1] == 0xFF) &&
                        (left < 3 || frame[2] != 0xFF) &&
                        (left < HEADER || (frame[3] >= 2 && frame[3] - 2u <= max_params));
        if (!possible)
            continue;
        if (left < HEADER || left < HEADER + (size_t)frame[3]) {
            if (last)
                continue;
            break;
        }
        size_t params = frame[3] - 2u;
        if (frame[PARAMS_AT + params] != checksum(frame + 2, params + 3)) {
            packet->bad_checksums++;
            continue;
        }
        packet->id = frame[2];
        packet->error = frame[ERROR_AT];
        packet->count = (uint8_t)params;
        packet->params = frame + PARAMS_AT;
        packet->garbage = at;
        packet->consumed = at + params + SP_FEETECH_OVERHEAD;
        return true;
    }
    packet->garbage = at;
    packet->consumed = at;
    return false;
}
