/* A serial line, pty or socketpair as a transport: non-blocking, with ppoll to an absolute deadline.
 *
 * Why native: one write and its replies must fit into a tick. SO_RCVTIMEO and VTIME are rounded to
 * jiffies or tenths of a second, so the wait is a ppoll whose time-out is what is left of the deadline.
 */
#ifndef SPINAL_SERIAL_H
#define SPINAL_SERIAL_H

#include "transport.h"

typedef struct sp_serial {
    int fd;
} sp_serial;

/* Puts an open descriptor into non-blocking mode. The caller keeps it open and sets line speed before. */
int sp_serial_init(sp_serial *line, int fd);
sp_transport sp_serial_transport(sp_serial *line);

#endif
