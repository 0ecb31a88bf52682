# cython: language_level=3
"""Time: CLOCK_MONOTONIC nanoseconds, and a clock that only a test or lock-step moves."""


def now_ns():
    """CLOCK_MONOTONIC, ns."""
    return sp_monotonic_ns()


def sleep_until_ns(int64_t deadline_ns):
    """Sleep to an absolute CLOCK_MONOTONIC instant (ns), without the interpreter's lock."""
    cdef int failure
    with nogil:
        failure = sp_sleep_until_ns(deadline_ns)
    if failure:
        raise OSError(-failure, "clock_nanosleep failed")


cdef class ManualClock:
    """A clock at rest: ``now_ns`` moves only when it is set, or when somebody sleeps on it."""

    def __init__(self, int64_t now_ns=0):
        self.clock.now_ns = now_ns

    @property
    def now_ns(self):
        return self.clock.now_ns

    @now_ns.setter
    def now_ns(self, int64_t value):
        self.clock.now_ns = value

    @property
    def address(self):
        """Where the C struct lies, for native neighbours."""
        return <size_t>&self.clock
