/* The wire side of the emulator: bytes in, instructions, reply times, bytes out.
 * Why native and the thread contract: emulator.h. */
#include "emulator_servo.h"
#include "emulator_tap.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static void count(_Atomic uint64_t *counter, uint64_t by)
{
    /* One writer, so no read-modify-write is needed. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
                          memory_order_relaxed);
}

int sp_emulator_init(sp_emulator *e, const uint8_t *ids, int n, int baud)
{
    int baud_index = sp_emulator_baud_index(baud);
    if (n < 1 || n > SP_EMULATOR_MAX_SERVOS || baud_index < 0)
        return -EINVAL;
    for (int i = 0; i < n; i++) {
        if (ids[i] > SP_FEETECH_MAX_ID || memchr(ids, ids[i], (size_t)i) != NULL)
            return -EINVAL;
    }
    memset(e, 0, sizeof *e);
    e->n = n;
    e->baud = baud;
    e->in_end_ns = INT64_MIN;
    for (int i = 0; i < n; i++)
        sp_emulator_servo_factory(&e->servos[i], ids[i], (uint8_t)baud_index);
    return 0;
}

static bool has(const sp_emulator *e, int index)
{
    return index >= 0 && index < e->n;
}

int sp_emulator_place(sp_emulator *e, int index, double position_counts)
{
    if (!has(e, index) || !(fabs(position_counts) < 1e9))
        return -EINVAL;
    sp_emulator_servo_place(&e->servos[index], position_counts);
    return 0;
}

int sp_emulator_register_get(sp_emulator *e, int index, uint8_t address)
{
    if (!has(e, index))
        return -EINVAL;
    sp_emulator_servo_refresh(&e->servos[index]);
    return e->servos[index].registers[address];
}

int sp_emulator_register_put(sp_emulator *e, int index, uint8_t address, uint8_t value)
{
    if (!has(e, index))
        return -EINVAL;
    sp_emulator_servo *servo = &e->servos[index];
    servo->registers[address] = value;
    if (address < SP_FEETECH_EEPROM_SIZE)
        servo->eeprom[address] = value;
    sp_emulator_servo_publish(servo);
    return 0;
}

int sp_emulator_power_cycle(sp_emulator *e, int index)
{
    if (!has(e, index))
        return -EINVAL;
    sp_emulator_servo_reboot(&e->servos[index]);
    return 0;
}

void sp_emulator_take_power(sp_emulator *e)
{
    for (int i = 0; i < e->n; i++)
        if (atomic_load_explicit(&e->servos[i].faults.power_cycles, memory_order_relaxed) &&
            atomic_exchange(&e->servos[i].faults.power_cycles, 0))
            sp_emulator_servo_reboot(&e->servos[i]);
}

int sp_emulator_lose_replies(sp_emulator *e, int index, int32_t drop, int32_t corrupt)
{
    if (!has(e, index) || drop < 0 || corrupt < 0)
        return -EINVAL;
    atomic_fetch_add(&e->servos[index].faults.drop_replies, drop);
    atomic_fetch_add(&e->servos[index].faults.corrupt_replies, corrupt);
    return 0;
}

int sp_emulator_lose_power(sp_emulator *e, int index)
{
    if (!has(e, index))
        return -EINVAL;
    atomic_fetch_add(&e->servos[index].faults.power_cycles, 1);
    return 0;
}

/* Time ------------------------------------------------------------------------------------------------ */

/* 10 bits a byte: start, eight, stop. */
static int64_t wire_ns(const sp_emulator *e, int64_t bytes)
{
    return bytes * 10 * 1000000000 / e->baud;
}

static sp_emulator_reply *reply_at(sp_emulator *e, uint32_t position)
{
    return &e->replies[(e->first + position) % SP_EMULATOR_MAX_REPLIES];
}

/* A byte of the host starts: replies that are not through yet are garbled. */
static void collide(sp_emulator *e, int64_t start_ns)
{
    uint32_t through = 0;
    while (through < e->pending && reply_at(e, through)->due_ns <= start_ns)
        through++;
    if (through < e->pending) {
        count(&e->stats.collisions, 1);
        count(&e->stats.lost_replies, e->pending - through);
        e->pending = through;
    }
}

/* One servo's reply, its turn beginning at `turn_ns`. Returns when the line is free for the next: a reply
 * that is lost keeps its slot. */
static int64_t reply(sp_emulator *e, sp_emulator_servo *servo, const uint8_t *params, size_t n, int64_t turn_ns)
{
    uint8_t errors = sp_emulator_servo_refresh(servo);
    int64_t size_ns = wire_ns(e, (int64_t)n + SP_FEETECH_OVERHEAD);
    int64_t due_ns = turn_ns + 2000 * (int64_t)servo->registers[SP_FEETECH_RETURN_DELAY] +
                     atomic_load(&servo->faults.extra_delay_ns) + size_ns;
    int32_t drops = atomic_load(&servo->faults.drop_replies);
    if (drops > 0)
        atomic_fetch_sub(&servo->faults.drop_replies, 1);
    if (drops > 0 || atomic_load(&servo->faults.silent) || e->pending == SP_EMULATOR_MAX_REPLIES) {
        count(&e->stats.lost_replies, 1);
        return due_ns;
    }
    sp_emulator_reply *out = reply_at(e, e->pending++);
    uint8_t id = servo->registers[SP_FEETECH_ID];
    out->size = (uint16_t)sp_feetech_status(out->bytes, sizeof out->bytes, id, errors, params, n);
    out->taken = 0;
    out->due_ns = due_ns;
    if (atomic_load(&servo->faults.corrupt_replies) > 0) {
        atomic_fetch_sub(&servo->faults.corrupt_replies, 1);
        out->bytes[(uint32_t)atomic_load(&servo->faults.corrupt_byte) % out->size] ^= 0xFF;
    }
    count(&e->stats.replies, 1);
    count(&e->stats.busy_ns, (uint64_t)size_ns);
    return due_ns;
}

/* Instructions ---------------------------------------------------------------------------------------- */

static bool hears(const sp_emulator *e, const sp_emulator_servo *servo)
{
    return !atomic_load(&servo->faults.unplugged) &&
           sp_emulator_baud_of(servo->registers[SP_FEETECH_BAUD]) == e->baud;
}

/* The servo with this id, or NULL. Two with the same id answer over each other. */
static sp_emulator_servo *find(sp_emulator *e, uint8_t id, bool *twice)
{
    sp_emulator_servo *found = NULL;
    *twice = false;
    for (int i = 0; i < e->n; i++) {
        sp_emulator_servo *servo = &e->servos[i];
        if (servo->registers[SP_FEETECH_ID] != id || !hears(e, servo))
            continue;
        *twice = found != NULL;
        if (found == NULL)
            found = servo;
    }
    return found;
}

static bool is_range(const sp_feetech_packet *request)
{
    return request->count >= 2 && request->params[1] > 0 && request->params[1] <= SP_FEETECH_MAX_PARAMS &&
           request->params[0] + request->params[1] <= 256;
}

/* One servo obeys one instruction. Returns false when it makes no sense of it. */
static bool obey(sp_emulator *e, sp_emulator_servo *servo, const sp_feetech_packet *request, bool answers,
                 int64_t end_ns)
{
    const uint8_t *params = request->params;
    const uint8_t *data = NULL;
    size_t n = 0;
    bool acknowledges = servo->registers[SP_FEETECH_STATUS_LEVEL] != 0;
    switch (request->error) {
    case SP_FEETECH_PING:
        acknowledges = true;
        break;
    case SP_FEETECH_READ:
        if (!is_range(request))
            return false;
        sp_emulator_servo_refresh(servo);
        data = servo->registers + params[0];
        n = params[1];
        acknowledges = true;
        break;
    case SP_FEETECH_WRITE:
        if (request->count < 2)
            return false;
        if (answers && acknowledges) /* before the write: a new id or baud answers as the old one */
            reply(e, servo, NULL, 0, end_ns);
        sp_emulator_servo_write(servo, params[0], params + 1, request->count - 1u);
        return true;
    case SP_FEETECH_REG_WRITE:
        if (request->count < 2)
            return false;
        memcpy(servo->held, params, request->count);
        servo->held_count = request->count;
        break;
    case SP_FEETECH_ACTION:
        if (servo->held_count > 0)
            sp_emulator_servo_write(servo, servo->held[0], servo->held + 1, servo->held_count - 1u);
        servo->held_count = 0;
        break;
    default:
        return false;
    }
    if (answers && acknowledges)
        reply(e, servo, data, n, end_ns);
    return true;
}

static bool sync_read(sp_emulator *e, const sp_feetech_packet *request, int64_t end_ns)
{
    if (request->count < 3 || !is_range(request))
        return false;
    uint8_t address = request->params[0], length = request->params[1];
    int64_t turn_ns = end_ns;
    for (int i = 2; i < request->count; i++) {
        bool twice;
        sp_emulator_servo *servo = find(e, request->params[i], &twice);
        if (servo == NULL || twice) {
            if (twice)
                count(&e->stats.collisions, 1);
            turn_ns += wire_ns(e, length + SP_FEETECH_OVERHEAD);
            continue;
        }
        sp_emulator_servo_refresh(servo);
        turn_ns = reply(e, servo, servo->registers + address, length, turn_ns);
    }
    return true;
}

static bool sync_write(sp_emulator *e, const sp_feetech_packet *request)
{
    if (!is_range(request))
        return false;
    size_t length = request->params[1];
    if (request->count < 2 + length + 1 || (request->count - 2u) % (length + 1) != 0)
        return false;
    for (size_t at = 2; at < request->count; at += length + 1)
        for (int i = 0; i < e->n; i++)
            if (e->servos[i].registers[SP_FEETECH_ID] == request->params[at] && hears(e, &e->servos[i])) {
                sp_emulator_servo_write(&e->servos[i], request->params[0], request->params + at + 1, length);
                e->written |= 1u << i;
            }
    return true;
}

/* Every servo answers a broadcast ping, one after the other in the order of their ids. */
static void ping_all(sp_emulator *e, int64_t end_ns)
{
    int64_t turn_ns = end_ns;
    for (int id = 0; id <= SP_FEETECH_MAX_ID; id++) {
        bool twice;
        sp_emulator_servo *servo = find(e, (uint8_t)id, &twice);
        if (twice)
            count(&e->stats.collisions, 1);
        else if (servo != NULL)
            turn_ns = reply(e, servo, NULL, 0, turn_ns);
    }
}

static bool broadcast(sp_emulator *e, const sp_feetech_packet *request, int64_t end_ns)
{
    switch (request->error) {
    case SP_FEETECH_PING:
        ping_all(e, end_ns);
        return true;
    case SP_FEETECH_SYNC_READ:
        return sync_read(e, request, end_ns);
    case SP_FEETECH_SYNC_WRITE:
        return sync_write(e, request);
    case SP_FEETECH_READ:
        return false;
    default:
        break;
    }
    bool obeyed = true;
    for (int i = 0; i < e->n; i++)
        if (hears(e, &e->servos[i])) {
            e->written |= 1u << i;
            obeyed &= obey(e, &e->servos[i], request, false, end_ns);
        }
    return obeyed;
}

static void obey_request(sp_emulator *e, const sp_feetech_packet *request, int64_t end_ns)
{
    if (request->id == SP_FEETECH_BROADCAST) {
        if (!broadcast(e, request, end_ns))
            count(&e->stats.instruction_errors, 1);
        return;
    }
    bool twice;
    if (find(e, request->id, &twice) == NULL)
        return;
    if (twice)
        count(&e->stats.collisions, 1);
    bool obeyed = true;
    for (int i = 0; i < e->n; i++) {
        sp_emulator_servo *servo = &e->servos[i];
        if (servo->registers[SP_FEETECH_ID] == request->id && hears(e, servo)) {
            e->written |= 1u << i;
            obeyed &= obey(e, servo, request, !twice, end_ns);
        }
    }
    if (!obeyed)
        count(&e->stats.instruction_errors, 1);
}

static void execute(sp_emulator *e, const sp_feetech_packet *request, int64_t end_ns)
{
    count(&e->stats.packets, 1);
    e->written = 0;
    obey_request(e, request, end_ns);
    if (request->error == SP_FEETECH_WRITE || request->error == SP_FEETECH_SYNC_WRITE)
        sp_emulator_record(e, request->count > 0 ? request->params[0] : 0, end_ns);
    else if (request->error == SP_FEETECH_ACTION)
        sp_emulator_record(e, 0, end_ns);
}

/* Bytes ----------------------------------------------------------------------------------------------- */

void sp_emulator_receive(sp_emulator *e, const uint8_t *bytes, size_t n, int64_t now_ns)
{
    if (n == 0)
        return;
    if (now_ns > e->in_end_ns) {
        if (e->held > 0 && now_ns - e->in_end_ns > SP_EMULATOR_FRAME_GAP_NS) {
            count(&e->stats.garbage_bytes, e->held);
            e->held = 0;
        }
        e->in_start_ns = now_ns;
        e->in_bytes = 0;
    }
    count(&e->stats.busy_ns, (uint64_t)(wire_ns(e, e->in_bytes + (int64_t)n) - wire_ns(e, e->in_bytes)));
    for (size_t i = 0; i < n; i++) {
        collide(e, e->in_start_ns + wire_ns(e, e->in_bytes));
        /* Never full: a frame is taken out at 250 bytes at the latest, garbage at once. */
        e->input[e->held++] = bytes[i];
        e->in_end_ns = e->in_start_ns + wire_ns(e, ++e->in_bytes);
        sp_feetech_packet request;
        bool found;
        do {
            found = sp_feetech_scan(e->input, e->held, SP_FEETECH_MAX_PARAMS, false, &request);
            count(&e->stats.bad_checksums, request.bad_checksums);
            count(&e->stats.garbage_bytes, request.garbage);
            if (found)
                execute(e, &request, e->in_end_ns);
            e->held -= request.consumed;
            memmove(e->input, e->input + request.consumed, e->held);
        } while (found);
    }
}

int64_t sp_emulator_next_due_ns(const sp_emulator *e)
{
    return e->pending > 0 ? e->replies[e->first].due_ns : SP_EMULATOR_NEVER;
}

size_t sp_emulator_take(sp_emulator *e, int64_t now_ns, uint8_t *out, size_t capacity)
{
    size_t taken = 0;
    while (e->pending > 0 && taken < capacity) {
        sp_emulator_reply *next = reply_at(e, 0);
        if (next->due_ns > now_ns)
            break;
        size_t left = (size_t)(next->size - next->taken);
        size_t part = left < capacity - taken ? left : capacity - taken;
        memcpy(out + taken, next->bytes + next->taken, part);
        taken += part;
        next->taken = (uint16_t)(next->taken + part);
        if (next->taken == next->size) {
            e->first = (e->first + 1) % SP_EMULATOR_MAX_REPLIES;
            e->pending--;
        }
    }
    return taken;
}

void sp_emulator_discard(sp_emulator *e, int64_t now_ns)
{
    uint8_t scratch[SP_FEETECH_MAX_FRAME];
    while (sp_emulator_take(e, now_ns, scratch, sizeof scratch) > 0)
        ;
}
