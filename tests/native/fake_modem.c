/* A serial adapter's modem lines for tests, in place of ioctl: what it answers is set from outside. */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <time.h>

_Atomic int modem_bits;    /* TIOCM_* that are set */
_Atomic int modem_error;   /* errno to fail with; 0: answers */
_Atomic int modem_stuck;   /* while set, an answer does not come */
_Atomic int modem_calls;

int modem_control(int fd, unsigned long request, ...)
{
    (void)fd;
    atomic_fetch_add(&modem_calls, 1);
    va_list arguments;
    va_start(arguments, request);
    int *bits = va_arg(arguments, int *);
    va_end(arguments);
    while (atomic_load(&modem_stuck))
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    if (request != TIOCMGET || atomic_load(&modem_error)) {
        errno = request != TIOCMGET ? EINVAL : atomic_load(&modem_error);
        return -1;
    }
    *bits = atomic_load(&modem_bits);
    return 0;
}
