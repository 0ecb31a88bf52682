/* A newest-value mailbox in shared memory: one writer, any number of readers that only look.
 *
 * Why native: processes hand values over without a lock, a system call or a copy in the interpreter. A
 * sequence lock over several slots: the writer fills the next slot and then publishes its number; a reader
 * copies a slot and checks that its number did not change. With four slots or more, a reader fails only if
 * the writer publishes three times during one copy. Slots double as a short history for sensor streams.
 *
 * Thread contract: exactly one writer. Readers may map the memory read-only. Payloads are copied as relaxed
 * 64-bit words, so their size is a multiple of 8.
 */
#ifndef SPINAL_MAILBOX_H
#define SPINAL_MAILBOX_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sp_mailbox {
    _Atomic uint64_t sequence; /* of the newest published value; 0: none yet */
    uint32_t slot_bytes;       /* payload capacity, a multiple of 8 */
    uint32_t slot_count;
    uint8_t pad[48];
} sp_mailbox;

size_t sp_mailbox_size(size_t payload_bytes, uint32_t slot_count);
void sp_mailbox_init(sp_mailbox *box, size_t payload_bytes, uint32_t slot_count);
/* `bytes` is rounded up to a multiple of 8 and must fit into a slot. Returns the new sequence number. */
uint64_t sp_mailbox_publish(sp_mailbox *box, const void *payload, size_t bytes);
/* For large payloads: fill the slot in place, then commit. */
void *sp_mailbox_begin(sp_mailbox *box);
uint64_t sp_mailbox_commit(sp_mailbox *box);

uint64_t sp_mailbox_latest(const sp_mailbox *box);
/* Copies the first `bytes` of value number `sequence`. Returns 1, or 0 when it is gone or was never there. */
int sp_mailbox_read(const sp_mailbox *box, uint64_t sequence, void *payload, size_t bytes);
/* Copies the newest value; tries a few times. Returns its number, or 0 when there is none. */
uint64_t sp_mailbox_read_latest(const sp_mailbox *box, void *payload, size_t bytes);

#endif
