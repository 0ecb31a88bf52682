/* Fake servos behind the native loop's transport, honest ones and ones that break a rule of the loop.
 *
 * Each answers the loop's sync read with status packets of STS servos, and takes the goals of its sync write as
 * the new positions. What a dishonest one does besides, it does in every read. Tests turn each into an
 * sp_transport and prove that their check notices it.
 */
#define _GNU_SOURCE
#include "transport.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { SERVOS = 254, SYNC_READ = 0x82, SYNC_WRITE = 0x83, READ_BYTES = 6 };

typedef struct {
    uint16_t counts[SERVOS];
    uint8_t out[2048];
    size_t filled;
    _Atomic uint64_t cycles;
    int (*take_lock)(void); /* PyGILState_Ensure and _Release */
    void (*give_lock)(int);
} plant;

static plant servos;
static sp_transport transport = {.context = &servos};

static void reply(plant *p, uint8_t id)
{
    uint8_t *packet = p->out + p->filled;
    uint8_t sum = id + 2 + READ_BYTES;
    memset(packet, 0, 6 + READ_BYTES);
    packet[0] = packet[1] = 0xff;
    packet[2] = id;
    packet[3] = 2 + READ_BYTES;
    packet[5] = p->counts[id] & 0xff;
    packet[6] = p->counts[id] >> 8;
    for (int i = 5; i < 5 + READ_BYTES; i++)
        sum += packet[i];
    packet[5 + READ_BYTES] = ~sum;
    p->filled += 6 + READ_BYTES;
}

static int honest_write(void *context, const uint8_t *bytes, size_t count)
{
    plant *p = context;
    if (count < 8 || bytes[0] != 0xff || bytes[1] != 0xff)
        return -EINVAL;
    if (bytes[4] == SYNC_READ) {
        for (size_t i = 7; i + 1 < count; i++)
            reply(p, bytes[i]);
        p->cycles++;
    } else if (bytes[4] == SYNC_WRITE) {
        size_t width = bytes[6];
        for (size_t i = 7; i + width + 1 < count; i += 1 + width)
            p->counts[bytes[i]] = (uint16_t)(bytes[i + 1] | bytes[i + 2] << 8);
    }
    return 0;
}

static int honest_read(void *context, uint8_t *bytes, size_t capacity, int64_t deadline_ns)
{
    (void)deadline_ns;
    plant *p = context;
    size_t count = p->filled < capacity ? p->filled : capacity;
    memcpy(bytes, p->out, count);
    memmove(p->out, p->out + count, p->filled - count);
    p->filled -= count;
    return (int)count;
}

static int honest_discard(void *context)
{
    ((plant *)context)->filled = 0;
    return 0;
}

static int allocating_read(void *context, uint8_t *bytes, size_t capacity, int64_t deadline_ns)
{
    void *volatile memory = malloc(64);
    free(memory);
    return honest_read(context, bytes, capacity, deadline_ns);
}

static int locking_read(void *context, uint8_t *bytes, size_t capacity, int64_t deadline_ns)
{
    plant *p = context;
    int state = p->take_lock();
    p->give_lock(state);
    return honest_read(context, bytes, capacity, deadline_ns);
}

static int faulting_read(void *context, uint8_t *bytes, size_t capacity, int64_t deadline_ns)
{
    volatile char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED) {
        page[0] = 1;
        munmap((void *)page, 4096);
    }
    return honest_read(context, bytes, capacity, deadline_ns);
}

/* Sets the one plant of this library up; `kind`: 0 honest, 1 allocates, 2 takes a lock, 3 faults a page in. */
const sp_transport *plant_make(int kind, int (*take_lock)(void), void (*give_lock)(int))
{
    memset(&servos, 0, sizeof servos);
    for (int i = 0; i < SERVOS; i++)
        servos.counts[i] = 2048;
    servos.take_lock = take_lock;
    servos.give_lock = give_lock;
    transport.write = honest_write;
    transport.discard_input = honest_discard;
    transport.read = kind == 1 ? allocating_read : kind == 2 ? locking_read : kind == 3 ? faulting_read : honest_read;
    return &transport;
}

uint64_t plant_cycles(void)
{
    return servos.cycles;
}

/* Sleeps, and says by how much `counter` rose meanwhile. Whoever calls it through PyDLL keeps the GIL. */
uint64_t hold_and_count(const _Atomic uint64_t *counter, int64_t duration_ns)
{
    struct timespec duration = {.tv_sec = duration_ns / 1000000000, .tv_nsec = duration_ns % 1000000000};
    uint64_t before = *counter;
    while (nanosleep(&duration, &duration) && errno == EINTR)
        ;
    return *counter - before;
}
