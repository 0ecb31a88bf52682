/* Why native and the thread contract: emulator_server.h. */
#define _GNU_SOURCE /* ppoll */
#include "emulator_server.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { STACK_BYTES = 256 * 1024, AWAY_NS = 5000000 };

static void line_is(sp_emulator_server *server, sp_emulator_line state, int error)
{
    atomic_store(&server->report.line_error, error);
    atomic_store(&server->report.line, state);
}

/* Writes what is through; one reply a turn, so that each lateness is of its own due instant. */
static void write_due(sp_emulator_server *server)
{
    uint8_t bytes[SP_FEETECH_MAX_FRAME];
    for (;;) {
        int64_t due_ns = sp_emulator_next_due_ns(server->emulator);
        if (due_ns > sp_monotonic_ns())
            return;
        size_t size = sp_emulator_take(server->emulator, due_ns, bytes, sizeof bytes);
        size_t sent = 0;
        while (sent < size) {
            ssize_t wrote = write(server->fd, bytes + sent, size - sent);
            if (wrote < 0 && errno == EINTR)
                continue;
            if (wrote < 0)
                break; /* full or nobody there: a wire does not wait, the bytes are lost */
            sent += (size_t)wrote;
        }
        if (sent < size)
            atomic_fetch_add(&server->report.unwritten, size - sent);
        else
            sp_histogram_record(&server->report.late, sp_monotonic_ns() - due_ns);
    }
}

static void read_requests(sp_emulator_server *server)
{
    uint8_t bytes[512];
    ssize_t got = read(server->fd, bytes, sizeof bytes);
    if (got > 0) {
        line_is(server, SP_EMULATOR_LINE_OPEN, 0);
        sp_emulator_receive(server->emulator, bytes, (size_t)got, sp_monotonic_ns());
    } else if (got == 0) {
        line_is(server, SP_EMULATOR_LINE_CLOSED, 0);
    } else if (errno == EIO) {
        line_is(server, SP_EMULATOR_LINE_AWAY, EIO); /* a pty's master with no slave open */
    } else if (errno == EAGAIN) {
        line_is(server, SP_EMULATOR_LINE_OPEN, 0); /* somebody has it open and is quiet */
    } else if (errno != EINTR) {
        line_is(server, SP_EMULATOR_LINE_FAILED, errno);
    }
}

/* Sleeps until a request, the next due reply, or a stop. */
static void wait_for_work(sp_emulator_server *server)
{
    struct pollfd wait[2] = {
        {.fd = server->wake_fd, .events = POLLIN},
        {.fd = server->fd, .events = POLLIN},
    };
    int64_t due_ns = sp_emulator_next_due_ns(server->emulator);
    struct timespec left, *timeout = NULL;
    nfds_t count = 2;
    int64_t left_ns = -1;
    if (atomic_load(&server->report.line) == SP_EMULATOR_LINE_AWAY) {
        count = 1; /* POLLHUP would be there at once, for ever */
        left_ns = AWAY_NS;
    } else if (due_ns != SP_EMULATOR_NEVER) {
        left_ns = due_ns - sp_monotonic_ns();
        if (left_ns < 0)
            left_ns = 0;
    }
    if (left_ns >= 0) {
        left = (struct timespec){.tv_sec = left_ns / 1000000000, .tv_nsec = left_ns % 1000000000};
        timeout = &left;
    }
    int ready = ppoll(wait, count, timeout, NULL);
    if (ready > 0 && wait[0].revents != 0) {
        uint64_t asked;
        if (read(server->wake_fd, &asked, sizeof asked) > 0)
            sp_emulator_take_power(server->emulator);
    }
    if (ready < 0 && errno != EINTR)
        line_is(server, SP_EMULATOR_LINE_FAILED, errno);
    else if (count == 1 || (ready > 0 && wait[1].revents != 0))
        read_requests(server);
}

static void *serve(void *context)
{
    sp_emulator_server *server = context;
    prctl(PR_SET_TIMERSLACK, 1UL); /* ordinary threads wake up to 50 us late otherwise */
    while (!atomic_load(&server->stopping) &&
           atomic_load(&server->report.line) < SP_EMULATOR_LINE_CLOSED) {
        write_due(server);
        wait_for_work(server);
    }
    return NULL;
}

static int spawn(sp_emulator_server *server)
{
    pthread_attr_t attributes;
    struct sched_param parameter = {.sched_priority = server->priority};
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    /* Explicit either way: a caller that is real-time itself must not hand its priority down by accident. */
    pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
    int failure = EPERM;
    if (server->priority > 0) {
        pthread_attr_setschedpolicy(&attributes, SCHED_FIFO);
        failure = pthread_attr_setschedparam(&attributes, &parameter);
        if (failure == 0)
            failure = pthread_create(&server->thread, &attributes, serve, server);
        atomic_store(&server->report.realtime_error, failure);
        atomic_store(&server->report.fifo, failure == 0);
    }
    if (failure != 0) {
        parameter.sched_priority = 0;
        pthread_attr_setschedpolicy(&attributes, SCHED_OTHER);
        pthread_attr_setschedparam(&attributes, &parameter);
        failure = pthread_create(&server->thread, &attributes, serve, server);
    }
    pthread_attr_destroy(&attributes);
    return -failure;
}

int sp_emulator_server_start(sp_emulator_server *server, sp_emulator *emulator, int fd, int priority)
{
    if (priority < 0 || priority > 99)
        return -EINVAL;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    memset(server, 0, sizeof *server);
    server->emulator = emulator;
    server->fd = fd;
    server->priority = priority;
    server->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (server->wake_fd < 0)
        return -errno;

    sigset_t all, before; /* the new thread inherits the mask: signals are for the owner's threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = spawn(server);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure < 0)
        close(server->wake_fd);
    server->running = failure == 0;
    return failure;
}

static void wake(const sp_emulator_server *server)
{
    uint64_t one = 1;
    while (write(server->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

int sp_emulator_server_power_cycle(sp_emulator_server *server, int index)
{
    int failure = sp_emulator_lose_power(server->emulator, index);
    if (!failure)
        wake(server);
    return failure;
}

int sp_emulator_server_stop(sp_emulator_server *server)
{
    if (!server->running)
        return 0;
    atomic_store(&server->stopping, true);
    wake(server);
    int failure = pthread_join(server->thread, NULL);
    server->running = false;
    close(server->wake_fd);
    return -failure;
}
