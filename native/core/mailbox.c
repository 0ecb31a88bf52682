#include "mailbox.h"

typedef struct {
    _Atomic uint64_t sequence; /* 0 while it is being written */
    uint64_t pad;
    _Atomic uint64_t words[];
} slot;

enum { TRIES = 4 };

static size_t slot_stride(size_t payload_bytes)
{
    return (sizeof(slot) + payload_bytes + 63) / 64 * 64;
}

static size_t rounded(size_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

static slot *slot_at(const sp_mailbox *box, uint64_t sequence)
{
    size_t offset = slot_stride(box->slot_bytes) * (size_t)(sequence % box->slot_count);
    return (slot *)((uint8_t *)(uintptr_t)(box + 1) + offset);
}

size_t sp_mailbox_size(size_t payload_bytes, uint32_t slot_count)
{
    return sizeof(sp_mailbox) + slot_count * slot_stride(rounded(payload_bytes));
}

void sp_mailbox_init(sp_mailbox *box, size_t payload_bytes, uint32_t slot_count)
{
    box->slot_bytes = (uint32_t)rounded(payload_bytes);
    box->slot_count = slot_count;
    for (uint32_t i = 0; i < slot_count; i++)
        atomic_store_explicit(&slot_at(box, i)->sequence, 0, memory_order_relaxed);
    atomic_store_explicit(&box->sequence, 0, memory_order_release);
}

void *sp_mailbox_begin(sp_mailbox *box)
{
    uint64_t next = atomic_load_explicit(&box->sequence, memory_order_relaxed) + 1;
    slot *to = slot_at(box, next);
    atomic_store_explicit(&to->sequence, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    return (void *)to->words;
}

uint64_t sp_mailbox_commit(sp_mailbox *box)
{
    uint64_t next = atomic_load_explicit(&box->sequence, memory_order_relaxed) + 1;
    atomic_store_explicit(&slot_at(box, next)->sequence, next, memory_order_release);
    atomic_store_explicit(&box->sequence, next, memory_order_release);
    return next;
}

uint64_t sp_mailbox_publish(sp_mailbox *box, const void *payload, size_t bytes)
{
    const uint64_t *from = payload;
    _Atomic uint64_t *to = sp_mailbox_begin(box);
    size_t words = rounded(bytes) / 8, capacity = box->slot_bytes / 8;
    for (size_t i = 0; i < words && i < capacity; i++)
        atomic_store_explicit(&to[i], from[i], memory_order_relaxed);
    return sp_mailbox_commit(box);
}

uint64_t sp_mailbox_latest(const sp_mailbox *box)
{
    return atomic_load_explicit(&box->sequence, memory_order_acquire);
}

int sp_mailbox_read(const sp_mailbox *box, uint64_t sequence, void *payload, size_t bytes)
{
    if (sequence == 0 || rounded(bytes) > box->slot_bytes)
        return 0;
    slot *from = slot_at(box, sequence);
    if (atomic_load_explicit(&from->sequence, memory_order_acquire) != sequence)
        return 0;
    uint64_t *to = payload;
    for (size_t i = 0; i < rounded(bytes) / 8; i++)
        to[i] = atomic_load_explicit(&from->words[i], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&from->sequence, memory_order_relaxed) == sequence;
}

uint64_t sp_mailbox_read_latest(const sp_mailbox *box, void *payload, size_t bytes)
{
    for (int i = 0; i < TRIES; i++) {
        uint64_t sequence = sp_mailbox_latest(box);
        if (sequence == 0)
            return 0;
        if (sp_mailbox_read(box, sequence, payload, bytes))
            return sequence;
    }
    return 0;
}
