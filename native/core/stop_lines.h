/* Emergency stops: a word in shared memory for each line, and what presses it.
 *
 * A word is the CLOCK_MONOTONIC instant at which its line was pressed, 0 while it is not. It stays pressed until a
 * person releases it, whatever the button does meanwhile: the loop reads the words in each tick.
 *
 * Why native: a stop must not wait for an interpreter. The signal handler writes one word and returns; a wired line
 * is read by a thread of its own, so that a slow USB transfer delays nobody, and another thread presses for a reader
 * that does not come back. None takes the interpreter's lock, allocates, or waits without a deadline.
 *
 * Thread contract: sp_stop_press from anywhere, a signal handler too. The rest from one thread.
 */
#ifndef SPINAL_STOP_LINES_H
#define SPINAL_STOP_LINES_H

#include "realtime.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#define SP_MAX_WIRED_LINES 4

typedef _Atomic int64_t sp_stop_word;

/* Presses: the first instant stays. Returns 1 when it was not pressed before. */
int sp_stop_press(sp_stop_word *word, int64_t now_ns);

/* From now on signal `number` presses `word`; returns 0 or -errno (-EBUSY: it presses another word already). */
int sp_stop_on_signal(int number, sp_stop_word *word);
/* Gives the signal back to whoever had it. No handler touches the word once this has returned. */
void sp_stop_off_signal(int number);
/* The process that sent it last; 0: none yet. */
int64_t sp_stop_signal_sender(int number);

/* What a wired line says. Whatever cannot be read counts as pressed: a broken wire must not look like a robot that
 * may move. */
typedef enum {
    SP_WIRED_IDLE = 0,
    SP_WIRED_ACTIVE = 1,
    SP_WIRED_UNREADABLE = 2, /* `error` says why */
    SP_WIRED_SILENT = 3,     /* its reader has not come back in time */
    SP_WIRED_UNKNOWN = 4,    /* not read yet */
} sp_wired_says;

typedef struct sp_wired_line {
    int fd;
    int modem;       /* TIOCM_CTS, TIOCM_DSR, TIOCM_CD or TIOCM_RI; 0: a file that begins with 0 or 1 */
    int active_high; /* 1: set, or 1, is pressed; 0: the reverse, and so is a broken wire */
    int (*control)(int fd, unsigned long request, ...); /* ioctl, or a test's */
    sp_stop_word *word;
    _Atomic int says;   /* sp_wired_says, now */
    _Atomic int error;  /* errno of the newest reading that failed */
    _Atomic int pressed_by, pressed_error; /* the same two when it pressed the word last */
    _Atomic uint64_t reads;
} sp_wired_line;

/* One reading: 0 idle, 1 active, or -errno (-EBADMSG: neither 0 nor 1 stands there). */
int sp_wired_line_read(const sp_wired_line *line);

struct sp_line_watch;

typedef struct sp_line_reader {
    struct sp_line_watch *watch;
    int index;
} sp_line_reader;

typedef struct sp_line_watch {
    int count;
    int64_t period_ns;
    int silent_polls; /* a reader that is away for so many periods of the judge counts as pressed */
    sp_realtime_request realtime;
    sp_wired_line lines[SP_MAX_WIRED_LINES];
    _Atomic int stop;
    int started; /* threads that run: the readers, then the judge */
    pthread_t threads[SP_MAX_WIRED_LINES + 1];
    sp_line_reader readers[SP_MAX_WIRED_LINES];
} sp_line_watch;

/* 0, or the errno of a thread that could not be made; then none runs. */
int sp_line_watch_start(sp_line_watch *watch);
/* Ends the threads. Returns how many did not come back within `limit_ns`: they never press again, and the memory
 * of the watch and its descriptors must then outlive them. */
int sp_line_watch_stop(sp_line_watch *watch, int64_t limit_ns);

#endif
