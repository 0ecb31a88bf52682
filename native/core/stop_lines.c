#define _GNU_SOURCE
#include "stop_lines.h"

#include "clock.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int sp_stop_press(sp_stop_word *word, int64_t now_ns)
{
    int64_t idle = 0;
    return atomic_compare_exchange_strong(word, &idle, now_ns > 0 ? now_ns : 1);
}

/* The signal road. */

static struct {
    _Atomic(sp_stop_word *) word;
    _Atomic int inside; /* handlers that are under way */
    _Atomic int64_t sender;
    struct sigaction before;
} roads[NSIG];

static void press_by_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    int error = errno;
    atomic_fetch_add(&roads[number].inside, 1);
    sp_stop_word *word = atomic_load(&roads[number].word);
    if (word) {
        atomic_store(&roads[number].sender, (int64_t)info->si_pid);
        sp_stop_press(word, sp_monotonic_ns());
    }
    atomic_fetch_sub(&roads[number].inside, 1);
    errno = error;
}

int sp_stop_on_signal(int number, sp_stop_word *word)
{
    if (number <= 0 || number >= NSIG)
        return -EINVAL;
    if (atomic_load(&roads[number].word))
        return -EBUSY;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = press_by_signal;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigfillset(&action.sa_mask);
    atomic_store(&roads[number].sender, 0);
    atomic_store(&roads[number].word, word);
    if (sigaction(number, &action, &roads[number].before)) {
        atomic_store(&roads[number].word, NULL);
        return -errno;
    }
    return 0;
}

void sp_stop_off_signal(int number)
{
    if (number <= 0 || number >= NSIG || !atomic_load(&roads[number].word))
        return;
    sigaction(number, &roads[number].before, NULL);
    atomic_store(&roads[number].word, NULL);
    while (atomic_load(&roads[number].inside)) /* on another thread, for a few instructions more */
        sp_sleep_until_ns(sp_monotonic_ns() + 10000);
}

int64_t sp_stop_signal_sender(int number)
{
    return number > 0 && number < NSIG ? atomic_load(&roads[number].sender) : 0;
}

/* The hardware road. */

static int read_modem(const sp_wired_line *line)
{
    int bits = 0;
    if (line->control(line->fd, TIOCMGET, &bits) < 0)
        return -errno;
    return (bits & line->modem) != 0;
}

/* The descriptor stays open: a file that was removed or replaced would go on saying what it said last. */
static int read_value(const sp_wired_line *line)
{
    struct stat about;
    if (fstat(line->fd, &about))
        return -errno;
    if (about.st_nlink == 0)
        return -ENOENT;
    char text[4];
    ssize_t got = pread(line->fd, text, sizeof text, 0);
    if (got < 0)
        return -errno;
    int whole = got == 1 || (got == 2 && text[1] == '\n');
    return whole && (text[0] == '0' || text[0] == '1') ? text[0] == '1' : -EBADMSG;
}

int sp_wired_line_read(const sp_wired_line *line)
{
    if (line->fd < 0)
        return -EBADF;
    int high = line->modem ? read_modem(line) : read_value(line);
    return high < 0 ? high : line->active_high ? high : !high;
}

static void press_wired(sp_wired_line *line, int says, int error)
{
    if (sp_stop_press(line->word, sp_monotonic_ns())) {
        atomic_store(&line->pressed_error, error);
        atomic_store(&line->pressed_by, says);
    }
}

static void *run_reader(void *argument)
{
    sp_line_reader *reader = argument;
    sp_line_watch *watch = reader->watch;
    sp_wired_line *line = &watch->lines[reader->index];
    sp_realtime_report report;
    sp_realtime_enter(&watch->realtime, &report);
    int64_t next_ns = sp_monotonic_ns();
    for (;;) {
        int reading = sp_wired_line_read(line);
        if (atomic_load(&watch->stop)) /* even one that was away for long: the word may be gone */
            return NULL;
        int says = reading < 0 ? SP_WIRED_UNREADABLE : reading ? SP_WIRED_ACTIVE : SP_WIRED_IDLE;
        int error = reading < 0 ? -reading : 0;
        if (error)
            atomic_store(&line->error, error);
        atomic_store(&line->says, says);
        if (says != SP_WIRED_IDLE)
            press_wired(line, says, error);
        atomic_fetch_add(&line->reads, 1);
        int64_t now_ns = sp_monotonic_ns();
        next_ns += watch->period_ns;
        if (next_ns < now_ns)
            next_ns = now_ns + watch->period_ns;
        sp_sleep_until_ns(next_ns);
    }
}

/* Silence is counted in turns of the judge's own, so that a machine that stood still presses nothing. */
static void *run_judge(void *argument)
{
    sp_line_watch *watch = argument;
    sp_realtime_report report;
    sp_realtime_enter(&watch->realtime, &report);
    uint64_t seen[SP_MAX_WIRED_LINES] = {0};
    int away[SP_MAX_WIRED_LINES] = {0};
    while (!atomic_load(&watch->stop)) {
        for (int i = 0; i < watch->count; i++) {
            sp_wired_line *line = &watch->lines[i];
            uint64_t reads = atomic_load(&line->reads);
            away[i] = reads == seen[i] ? away[i] + 1 : 0;
            seen[i] = reads;
            if (away[i] > watch->silent_polls) {
                atomic_store(&line->says, SP_WIRED_SILENT);
                press_wired(line, SP_WIRED_SILENT, 0);
            }
        }
        sp_sleep_until_ns(sp_monotonic_ns() + watch->period_ns);
    }
    return NULL;
}

int sp_line_watch_start(sp_line_watch *watch)
{
    pthread_attr_t attributes;
    atomic_store(&watch->stop, 0);
    watch->started = 0;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 512 * 1024); /* sp_realtime_enter touches 128 KiB of it */
    int failure = 0;
    for (int i = 0; i <= watch->count && !failure; i++) {
        int judge = i == watch->count;
        if (!judge)
            watch->readers[i] = (sp_line_reader){watch, i};
        failure = pthread_create(&watch->threads[i], &attributes, judge ? run_judge : run_reader,
                                 judge ? (void *)watch : (void *)&watch->readers[i]);
        watch->started += failure ? 0 : 1;
    }
    pthread_attr_destroy(&attributes);
    if (failure)
        sp_line_watch_stop(watch, 1000000000);
    return failure;
}

int sp_line_watch_stop(sp_line_watch *watch, int64_t limit_ns)
{
    int away = 0;
    struct timespec limit;
    atomic_store(&watch->stop, 1);
    clock_gettime(CLOCK_MONOTONIC, &limit);
    int64_t until_ns = limit.tv_sec * INT64_C(1000000000) + limit.tv_nsec + limit_ns;
    limit.tv_sec = until_ns / 1000000000;
    limit.tv_nsec = until_ns % 1000000000;
    for (int i = 0; i < watch->started; i++) {
        if (pthread_clockjoin_np(watch->threads[i], NULL, CLOCK_MONOTONIC, &limit)) {
            pthread_detach(watch->threads[i]);
            away++;
        }
    }
    watch->started = 0;
    return away;
}
