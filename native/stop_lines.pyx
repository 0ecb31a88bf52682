# cython: language_level=3
"""Emergency stops: the words that the loop reads, and what presses them. See ``core/stop_lines.h``."""

from libc.errno cimport EBUSY
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free

from spinal.native.clock cimport sp_monotonic_ns
from spinal.native.loop cimport sp_realtime_request
from spinal.native.shared cimport Segment

import os
import time
from collections import namedtuple

cdef extern from *:
    """
    #include "stop_lines.h"
    #include <sys/ioctl.h>

    static int64_t sp_stop_read(sp_stop_word *word) { return atomic_load(word); }
    static void sp_stop_release(sp_stop_word *word) { atomic_store(word, 0); }

    static void sp_wired_init(sp_wired_line *line, int fd, int modem, int active_high, size_t control, void *word)
    {
        line->fd = fd;
        line->modem = modem;
        line->active_high = active_high;
        line->control = control ? (int (*)(int, unsigned long, ...))control : ioctl;
        line->word = word;
        atomic_store(&line->says, SP_WIRED_UNKNOWN);
    }
    static int sp_wired_says_now(sp_wired_line *line) { return atomic_load(&line->says); }
    static int sp_wired_error(sp_wired_line *line) { return atomic_load(&line->error); }
    static int sp_wired_pressed_by(sp_wired_line *line) { return atomic_load(&line->pressed_by); }
    static int sp_wired_pressed_error(sp_wired_line *line) { return atomic_load(&line->pressed_error); }
    static uint64_t sp_wired_reads(sp_wired_line *line) { return atomic_load(&line->reads); }
    """
    ctypedef struct sp_stop_word:
        pass
    ctypedef struct sp_wired_line:
        pass
    ctypedef struct sp_line_watch:
        int count
        int64_t period_ns
        int silent_polls
        sp_realtime_request realtime
        sp_wired_line lines[4]
    enum: SP_MAX_WIRED_LINES
    enum: TIOCM_CTS
    enum: TIOCM_DSR
    enum: TIOCM_CD
    enum: TIOCM_RI
    enum: SP_WIRED_UNKNOWN
    int sp_stop_press(sp_stop_word *, int64_t) noexcept nogil
    int64_t sp_stop_read(sp_stop_word *) noexcept nogil
    void sp_stop_release(sp_stop_word *) noexcept nogil
    int sp_stop_on_signal(int, sp_stop_word *) noexcept nogil
    void sp_stop_off_signal(int) noexcept nogil
    int64_t sp_stop_signal_sender(int) noexcept nogil
    void sp_wired_init(sp_wired_line *, int, int, int, size_t, void *) noexcept nogil
    int sp_wired_says_now(sp_wired_line *) noexcept nogil
    int sp_wired_error(sp_wired_line *) noexcept nogil
    int sp_wired_pressed_by(sp_wired_line *) noexcept nogil
    int sp_wired_pressed_error(sp_wired_line *) noexcept nogil
    uint64_t sp_wired_reads(sp_wired_line *) noexcept nogil
    int sp_line_watch_start(sp_line_watch *) noexcept nogil
    int sp_line_watch_stop(sp_line_watch *, int64_t) noexcept nogil

WORD_BYTES = sizeof(int64_t)
MAX_WIRED_LINES = SP_MAX_WIRED_LINES
MODEM_LINES = {"cts": TIOCM_CTS, "dsr": TIOCM_DSR, "dcd": TIOCM_CD, "ri": TIOCM_RI}
IDLE, ACTIVE, UNREADABLE, SILENT, UNKNOWN = range(5)
"""What a wired line says (SP_WIRED_*)."""

PERIOD_NS = 1_000_000
SILENT_POLLS = 100
FIRST_READING_S = 1.0
STOP_LIMIT_NS = 1_000_000_000

WiredLine = namedtuple("WiredLine", ["fd", "kind", "active_high", "line"])
"""A line to watch: its descriptor (-1: it could not be opened), cts, dsr, dcd, ri or gpio, whether set (or 1) is
pressed, and the StopLine that it presses."""

Reading = namedtuple("Reading", ["says", "error", "pressed_by", "pressed_error", "reads"])
"""What a wired line says now, the errno behind it, and the same two for when it pressed its line last."""


cdef class StopLine:
    """Word ``index`` of ``part``: when that emergency stop was pressed. Has the ``address`` that a loop reads.

    Raises ValueError for a word that is not there or a segment that was closed, PermissionError from ``press`` and
    ``release`` where the segment is mapped read-only.
    """

    cdef Segment segment
    cdef int part
    cdef int index
    cdef readonly size_t address

    def __init__(self, Segment segment not None, int part, int index):
        if index < 0:
            raise ValueError(f"there is no stop line {index}")
        self.segment, self.part, self.index = segment, part, index
        self.address = <size_t>segment.part(part, WORD_BYTES * (index + 1)) + WORD_BYTES * index

    cdef sp_stop_word *word(self) except NULL:
        self.segment.part(self.part, WORD_BYTES * (self.index + 1))
        return <sp_stop_word *>self.address

    def press(self, now_ns=None):
        """Pressed at ``now_ns`` (CLOCK_MONOTONIC; by default now). The first instant stays; True when this is it."""
        self.segment.require_writable()
        return bool(sp_stop_press(self.word(), sp_monotonic_ns() if now_ns is None else now_ns))

    def release(self):
        """A person has released it. Whatever still presses it does so again."""
        self.segment.require_writable()
        sp_stop_release(self.word())

    @property
    def pressed_ns(self):
        """Since when it is pressed; 0: it is not."""
        return sp_stop_read(self.word())


_pressed_by_signal = {}


def press_on_signal(int number, StopLine line not None):
    """From now on signal ``number`` presses ``line``, whatever the interpreter does at that moment.

    Undo it with ``off_signal`` before the line's segment is closed. Raises RuntimeError when the signal presses a
    line already, OSError for a signal that cannot be caught.
    """
    line.segment.require_writable()
    failure = sp_stop_on_signal(number, line.word())
    if failure == -EBUSY:
        raise RuntimeError(f"signal {number} presses another stop line already")
    if failure:
        raise OSError(-failure, os.strerror(-failure))
    _pressed_by_signal[number] = line


def off_signal(int number):
    """Signal ``number`` does again what it did before ``press_on_signal``."""
    sp_stop_off_signal(number)
    _pressed_by_signal.pop(number, None)


def signal_sender(int number):
    """The process that sent signal ``number`` last; 0: none yet."""
    return sp_stop_signal_sender(number)


cdef class LineWatch:
    """Reads wired lines every ``period_ns`` on native threads, one each, and presses their stop lines while they are
    active, cannot be read, or have not been read for ``silent_polls`` periods.

    ``control``: address of what is called in place of ioctl, for tests. It takes the descriptors over and closes
    them. Thread contract: one thread makes, starts and closes it; ``readings`` from any.
    """

    cdef sp_line_watch *watch
    cdef object owners
    cdef object fds
    cdef bint running

    def __init__(self, lines, int64_t period_ns=PERIOD_NS, int silent_polls=SILENT_POLLS, int fifo_priority=0,
                 size_t control=0):
        lines = [WiredLine(*line) for line in lines]
        if not 0 < len(lines) <= SP_MAX_WIRED_LINES:
            raise ValueError(f"a watch has 1 to {SP_MAX_WIRED_LINES} lines, not {len(lines)}")
        if period_ns <= 0 or silent_polls <= 0:
            raise ValueError("a period and a patience are above 0")
        cdef StopLine target
        if self.watch != NULL:
            raise RuntimeError("a watch is made once")
        self.watch = <sp_line_watch *>calloc(1, sizeof(sp_line_watch))
        if self.watch == NULL:
            raise MemoryError()
        self.watch.count = <int>len(lines)
        self.watch.period_ns = period_ns
        self.watch.silent_polls = silent_polls
        self.watch.realtime = sp_realtime_request(fifo_priority, 0, -1)
        for i, line in enumerate(lines):
            target = line.line
            target.segment.require_writable()
            sp_wired_init(&self.watch.lines[i], line.fd, 0 if line.kind == "gpio" else MODEM_LINES[line.kind],
                          line.active_high, control, target.word())
        self.owners = [line.line for line in lines]
        self.fds = [line.fd for line in lines if line.fd >= 0]

    def __dealloc__(self):
        if self.watch != NULL and not self.running:
            free(self.watch)
        elif self.running and sp_line_watch_stop(self.watch, STOP_LIMIT_NS) == 0:
            free(self.watch)

    def start(self):
        """Returns once every line was read, or was given up as silent. Raises OSError when a thread cannot be made."""
        if self.running or self.watch == NULL:
            raise RuntimeError("it runs already, or was closed")
        failure = sp_line_watch_start(self.watch)
        if failure:
            raise OSError(failure, "a thread of the emergency stop could not be made")
        self.running = True
        deadline = time.monotonic() + FIRST_READING_S
        while any(reading.says == UNKNOWN for reading in self.readings()) and time.monotonic() < deadline:
            time.sleep(0.0005)

    def readings(self):
        """What each line says, in the order given."""
        if self.watch == NULL:
            return []
        return [
            Reading(sp_wired_says_now(&self.watch.lines[i]), sp_wired_error(&self.watch.lines[i]),
                    sp_wired_pressed_by(&self.watch.lines[i]), sp_wired_pressed_error(&self.watch.lines[i]),
                    sp_wired_reads(&self.watch.lines[i]))
            for i in range(self.watch.count)
        ]

    def close(self):
        """Ends the threads and closes the descriptors. One that is stuck in a driver keeps its own, and never
        presses again."""
        cdef int away = 0
        cdef int64_t limit_ns = STOP_LIMIT_NS
        if self.watch == NULL:
            return
        if self.running:
            with nogil:
                away = sp_line_watch_stop(self.watch, limit_ns)
            self.running = False
        if away == 0:
            for fd in self.fds:
                os.close(fd)
            free(self.watch)
        self.watch = NULL
        self.fds = []
