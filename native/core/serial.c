#define _GNU_SOURCE
#include "serial.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

int sp_serial_init(sp_serial *line, int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    line->fd = fd;
    return 0;
}

static int serial_write(void *context, const uint8_t *bytes, size_t count)
{
    const sp_serial *line = context;
    size_t sent = 0;
    while (sent < count) {
        ssize_t wrote = write(line->fd, bytes + sent, count - sent);
        if (wrote < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        sent += (size_t)wrote;
    }
    return 0;
}

static int serial_read(void *context, uint8_t *bytes, size_t capacity, int64_t deadline_ns)
{
    const sp_serial *line = context;
    for (int gone = 0;;) {
        ssize_t got = read(line->fd, bytes, capacity);
        if (got > 0)
            return (int)got;
        if (got == 0)
            return -EPIPE; /* the other end closed: an unplugged adapter looks like this */
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return -errno;

        if (gone) /* the line said so, and nothing is left in it: poll would say it again and again, at once */
            return -EIO;
        int64_t left_ns = deadline_ns - sp_monotonic_ns();
        if (left_ns <= 0)
            return 0;
        struct pollfd wait = {.fd = line->fd, .events = POLLIN};
        struct timespec left = {.tv_sec = left_ns / 1000000000, .tv_nsec = left_ns % 1000000000};
        int ready = ppoll(&wait, 1, &left, NULL);
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready == 0)
            return 0;
        gone = ready > 0 && wait.revents & (POLLERR | POLLHUP | POLLNVAL);
    }
}

static int serial_discard(void *context)
{
    const sp_serial *line = context;
    uint8_t scratch[256];
    for (int round = 0; round < 64; round++) { /* bounded: a babbling line must not hold the tick */
        ssize_t got = read(line->fd, scratch, sizeof scratch);
        if (got == 0)
            return -EPIPE;
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
        }
    }
    return 0;
}

sp_transport sp_serial_transport(sp_serial *line)
{
    return (sp_transport){
        .context = line,
        .write = serial_write,
        .read = serial_read,
        .discard_input = serial_discard,
    };
}
