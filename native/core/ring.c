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
