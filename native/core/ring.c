#include "ring.h"

#include <string.h>

static uint8_t *slot_at(const sp_ring *ring, uint64_t index)
{
    return (uint8_t *)(uintptr_t)(ring + 1) + (size_t)(index % ring->slot_count) * ring->slot_bytes;
}

static size_t rounded(size_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

size_t sp_ring_size(size_t record_bytes, uint32_t slot_count)
{
    return sizeof(sp_ring) + rounded(record_bytes) * slot_count;
}

void sp_ring_init(sp_ring *ring, size_t record_bytes, uint32_t slot_count)
{
    ring->slot_bytes = (uint32_t)rounded(record_bytes);
    ring->slot_count = slot_count;
    atomic_store(&ring->dropped, 0);
    atomic_store(&ring->head, 0);
}

void *sp_ring_begin(sp_ring *ring, const _Atomic uint64_t *tail)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t taken = atomic_load_explicit(tail, memory_order_acquire);
    if (head - taken >= ring->slot_count) {
        atomic_fetch_add_explicit(&ring->dropped, 1, memory_order_relaxed);
        return NULL;
    }
    /* Who follows and sees a word of the new record must also see the head that allows it; free on x86. */
    atomic_thread_fence(memory_order_release);
    return slot_at(ring, head);
}

void sp_ring_commit(sp_ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

size_t sp_ring_take(const sp_ring *ring, _Atomic uint64_t *tail, void *records, size_t capacity)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint64_t next = atomic_load_explicit(tail, memory_order_relaxed);
    size_t count = 0;
    for (; next < head && count < capacity; next++, count++)
        memcpy((uint8_t *)records + count * ring->slot_bytes, slot_at(ring, next), ring->slot_bytes);
    atomic_store_explicit(tail, next, memory_order_release);
    return count;
}

uint64_t sp_ring_head(const sp_ring *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_acquire);
}

/* Of `head` records, the first that is whole: the producer may be writing over the one `slot_count` behind. */
static uint64_t oldest_whole(const sp_ring *ring, uint64_t head)
{
    return head < ring->slot_count ? 0 : head - ring->slot_count + 1;
}

static void copy_words(void *to, const void *from, size_t bytes)
{
    uint64_t *into = to;
    const _Atomic uint64_t *words = from;
    for (size_t i = 0; i < bytes / 8; i++)
        into[i] = atomic_load_explicit(&words[i], memory_order_relaxed);
}

size_t sp_ring_follow(const sp_ring *ring, uint64_t *next, void *records, size_t capacity, uint64_t *lost)
{
    const size_t bytes = ring->slot_bytes;
    uint64_t head = sp_ring_head(ring), first = oldest_whole(ring, head);
    if (*next > head)
        *next = head;
    if (first < *next)
        first = *next;
    size_t count = head - first < capacity ? (size_t)(head - first) : capacity;
    for (size_t i = 0; i < count; i++)
        copy_words((uint8_t *)records + i * bytes, slot_at(ring, first + i), bytes);

    atomic_thread_fence(memory_order_acquire);
    uint64_t whole = oldest_whole(ring, atomic_load_explicit(&ring->head, memory_order_relaxed));
    size_t torn = whole <= first ? 0 : whole - first < count ? (size_t)(whole - first) : count;
    memmove(records, (uint8_t *)records + torn * bytes, (count - torn) * bytes);
    *lost += first + torn - *next;
    *next = first + count;
    return count - torn;
}
