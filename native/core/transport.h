/* Bytes to and from a bus: what a protocol needs of a wire, whatever carries it.
 *
 * A transport never blocks past a deadline and never allocates. Implementations: a serial line, pty
 * or socketpair (serial.h), and an emulator in the same process (emulator.h) for lock-step.
 *
 * Thread contract: one thread owns a transport.
 */
#ifndef SPINAL_TRANSPORT_H
#define SPINAL_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>

typedef struct sp_transport {
    void *context;
    /* Hands all bytes to the wire. Returns 0, or -errno; a full line is -EAGAIN, never a wait. */
    int (*write)(void *context, const uint8_t *bytes, size_t count);
    /* Waits for at least one byte until the absolute deadline (CLOCK_MONOTONIC, or the manual clock).
     * Returns how many were read, 0 when the deadline came first, or -errno. */
    int (*read)(void *context, uint8_t *bytes, size_t capacity, int64_t deadline_ns);
    /* Throws away what has arrived and was not read. Returns 0 or -errno. */
    int (*discard_input)(void *context);
} sp_transport;

#endif
