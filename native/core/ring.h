/* A single-producer ring in shared memory, for records that must not be lost while somebody reads, and must
 * not delay the producer when nobody does: full, it drops the newest and counts.
 *
 * Each mapping has one writer, so the two ends lie apart: `head` in the producer's mapping with the slots,
 * `tail` in the consumer's, which the producer only reads.
 *
 * Thread contract: one producer, one consumer. Any number may follow besides: a follower keeps its own place,
 * moves no tail, and is overtaken when it is slower than the consumer.
 */
#ifndef SPINAL_RING_H
#define SPINAL_RING_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sp_ring {
    _Atomic uint64_t head; /* records ever pushed */
    _Atomic uint64_t dropped;
    uint32_t slot_bytes;
    uint32_t slot_count; /* a power of two */
    uint8_t pad[40];
} sp_ring;

size_t sp_ring_size(size_t record_bytes, uint32_t slot_count);
void sp_ring_init(sp_ring *ring, size_t record_bytes, uint32_t slot_count);
/* Returns the place of the next record, or NULL when the ring is full (counted). */
void *sp_ring_begin(sp_ring *ring, const _Atomic uint64_t *tail);
void sp_ring_commit(sp_ring *ring);
/* Copies records from `*tail` on; returns how many, and moves `*tail` behind them. */
size_t sp_ring_take(const sp_ring *ring, _Atomic uint64_t *tail, void *records, size_t capacity);
/* Copies records from `*next` on and returns how many; moves `*next` behind them, and nothing in the ring. Records
 * that were overwritten before or while they were copied are skipped and added to `*lost`. */
size_t sp_ring_follow(const sp_ring *ring, uint64_t *next, void *records, size_t capacity, uint64_t *lost);
/* The number of the next record. */
uint64_t sp_ring_head(const sp_ring *ring);

#endif
