# cython: language_level=3
"""The guard of a controller in another process: takes over when that one dies or does not tick. See ``core/guard.h``."""

cimport cython
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from posix.unistd cimport close as close_fd

from spinal.native.bus cimport Bus
from spinal.native.clock cimport ManualClock, sp_clock_manual, sp_clock_monotonic
from spinal.native.limiter cimport sp_limits
from spinal.native.loop cimport sp_realtime_report, sp_realtime_request
from spinal.native.shared cimport (
    Mailbox,
    Segment,
    sp_mailbox,
    sp_mailbox_init,
    sp_mailbox_latest,
    sp_mailbox_read_latest,
    sp_mailbox_size,
)
from spinal.native.trajectory cimport SP_JOINT_ARM, SP_JOINT_GRIPPER

import fcntl
import os
import select
import time

from collections import namedtuple

cdef extern from *:
    """
    #include "guard.h"
    #include <stddef.h>

    enum { SP_COMMAND_HEAD = offsetof(sp_command, joints) };
    static const void *sp_heartbeat_of(const sp_segment *segment) { return &segment->heartbeat_ns; }
    static int64_t sp_heartbeat_now(const sp_segment *segment)
    {
        return atomic_load(&((sp_segment *)segment)->heartbeat_ns);
    }
    static int sp_guard_state_now(sp_guard *guard) { return atomic_load(&guard->state); }
    static int64_t sp_guard_awake_ns(sp_guard *guard) { return atomic_load(&guard->awake_ns); }
    static int64_t sp_guard_longest_ns(sp_guard *guard) { return atomic_load(&guard->longest_silence_ns); }
    static int sp_guard_entered(sp_guard *guard) { return atomic_load(&guard->entered); }
    static int sp_guard_is_done(sp_guard *guard)
    {
        return atomic_load_explicit(&guard->done, memory_order_acquire) == atomic_load(&guard->asked);
    }
    """
    enum: SP_COMMAND_HEAD
    const void *sp_heartbeat_of(const void *) noexcept nogil
    int64_t sp_heartbeat_now(const void *) noexcept nogil
    int sp_guard_state_now(sp_guard *) noexcept nogil
    int64_t sp_guard_awake_ns(sp_guard *) noexcept nogil
    int64_t sp_guard_longest_ns(sp_guard *) noexcept nogil
    int sp_guard_entered(sp_guard *) noexcept nogil
    int sp_guard_is_done(sp_guard *) noexcept nogil

STATES = ("idle", "watching", "ending_it", "braking", "at_rest", "gave_up")
CAUSES = (None, "died", "stopped", "silent")
OUTCOMES = ("nothing_commanded", "not_energised", "unusable", "braked", "line_lost")
JOINT_BYTES = 6 * sizeof(double)
ANSWER_LIMIT_S = 5.0
BEST_NICE = -20
ASK_AGAIN_S = 0.0005


TakeOver = namedtuple("TakeOver", [
    "cause", "outcome", "detected_ns", "heartbeat_ns", "silent_ns", "kill_error", "dead_ns", "first_frame_ns",
    "first_brake_ns", "at_rest_ns", "frames", "failed_writes", "largest_step",
])
"""What the guard did, and when; see ``sp_takeover`` in ``core/guard.h``."""


def says_stopped(bytes stat not None):
    """Whether the beginning of a ``/proc/PID/stat`` says that a signal or a tracer has stopped the process."""
    return bool(sp_guard_says_stopped(stat, len(stat)))


cdef int patience_of(plan, sp_guard_patience *patience) except -1:
    if not 0 < plan.poll_ns <= plan.stopped_ns or plan.silent_ns < plan.stopped_ns or plan.dt_ns <= 0:
        raise ValueError("a guard's plan has 0 < poll_ns <= stopped_ns <= silent_ns, and dt_ns > 0")
    patience[0] = sp_guard_patience(plan.poll_ns, plan.dt_ns + plan.poll_ns, plan.stopped_ns, plan.silent_ns)
    return 0


cdef void close_both(int pidfd, int stat_fd) noexcept:
    if pidfd >= 0:
        close_fd(pidfd)
    if stat_fd >= 0:
        close_fd(stat_fd)


cdef class Judge:
    """The guard's judgement alone, for whoever wants to know what it would say. ``plan``: a GuardPlan.

    ``heartbeat_ns``: the one that the controller before left behind.
    """

    def __init__(self, plan, int64_t heartbeat_ns=0):
        patience_of(plan, &self.limits)
        memset(&self.judgement, 0, sizeof(self.judgement))
        self.judgement.heartbeat_ns = heartbeat_ns

    def looks(self, int64_t heartbeat_ns):
        """Whether a wake-up that finds ``heartbeat_ns`` has to look at the state of the process."""
        return bool(sp_guard_looks(&self.judgement, &self.limits, heartbeat_ns))

    def wake(self, int64_t heartbeat_ns, bint stopped=False, bint exited=False):
        """One wake-up: None, or "died", "stopped" or "silent"."""
        cdef sp_guard_sight sight = sp_guard_sight(exited, heartbeat_ns, stopped)
        return CAUSES[<int>sp_guard_judge(&self.judgement, &self.limits, &sight)]

    @property
    def silent_ns(self):
        """How long the controller has been silent, counted in wake-ups."""
        return self.judgement.silent_ns

    @property
    def longest_silence_ns(self):
        return self.judgement.longest_silence_ns


@cython.no_gc_clear
cdef class Guard:
    """Watches one controller at a time, and takes over its line when it is lost.

    ``plan``: a GuardPlan. ``bus``: a bus of the guard's own over the controller's line, whose descriptor is
    ``line_fd`` (-1: memory). ``controller``: the controller's segment, of which a read-only mapping is kept; its last
    command stands in part ``command_part``. ``clock``: a ManualClock for lock-step, where ``wake`` replaces the thread.
    The line stays the caller's, and open until ``stop``.
    Raises ValueError when plan, bus and segment do not belong together.

    Thread contract: one thread makes, starts, asks and stops it; properties may be read from any.
    """

    def __cinit__(self):
        self.pidfd = self.stat_fd = -1
        self.nice_refused = "not asked"

    def __init__(self, plan, Bus bus not None, int line_fd, Segment controller not None, int command_part,
                 ManualClock clock=None):
        cdef sp_guard_config config
        cdef Segment segment
        cdef Mailbox commands
        if self.guard != NULL:
            raise RuntimeError("a guard is made once")
        if not bus.joint_count == len(plan.emergency) == len(plan.grippers):
            raise ValueError("plan and bus disagree about how many joints there are")
        segment = Segment.attach_reader(controller.name, os.dup(controller.fd))
        commands = Mailbox(segment, command_part)
        if commands.box.slot_count == 0 or commands.box.slot_bytes < SP_COMMAND_HEAD + JOINT_BYTES * bus.joint_count:
            raise ValueError(f"part {command_part} of segment {controller.name} holds no commands of this arm")
        memset(&config, 0, sizeof(config))
        patience_of(plan, &config.patience)
        config.dt_ns = plan.dt_ns
        config.frame_gap_ns = plan.frame_gap_ns
        config.joint_count = bus.joint_count
        for j, ((low, high, v, a, jerk), gripper) in enumerate(zip(plan.emergency, plan.grippers)):
            config.emergency[j] = sp_limits(low, high, v, a, jerk)
            config.kinds[j] = SP_JOINT_GRIPPER if gripper else SP_JOINT_ARM
        config.line_fd = line_fd
        config.heartbeat_ns = sp_heartbeat_of(segment.memory)
        config.commands = commands.box
        config.realtime = sp_realtime_request(plan.fifo_priority, 0, -1)
        self.takeovers = <sp_mailbox *>calloc(1, sp_mailbox_size(sizeof(sp_takeover), 4))
        self.guard = <sp_guard *>calloc(1, sizeof(sp_guard))
        if self.takeovers == NULL or self.guard == NULL:
            raise MemoryError()
        sp_mailbox_init(self.takeovers, sizeof(sp_takeover), 4)
        config.takeovers = self.takeovers
        self.in_lock_step = clock is not None
        sp_guard_init(self.guard, &config,
                      sp_clock_monotonic() if clock is None else sp_clock_manual(&clock.clock), bus.view)
        self.owners = (bus, segment, commands, clock)

    def __dealloc__(self):
        if self.running:
            with nogil:
                sp_guard_stop(self.guard)
        close_both(self.pidfd, self.stat_fd)
        free(self.guard)
        free(self.takeovers)

    def start(self):
        """Starts the thread. Returns once real time was asked for."""
        if self.running or self.in_lock_step:
            raise RuntimeError("the guard runs already" if self.running else "on a manual clock it is woken by hand")
        failure = sp_guard_start(self.guard)
        if failure:
            raise OSError(failure, "the guard's thread could not be made")
        self.running = True
        deadline = time.monotonic() + ANSWER_LIMIT_S
        while not sp_guard_entered(self.guard):
            if time.monotonic() > deadline:
                raise TimeoutError("the guard's thread did not start")
            time.sleep(ASK_AGAIN_S)

    def stop(self):
        """Ends the thread; a take-over is finished first."""
        if self.running:
            with nogil:
                sp_guard_stop(self.guard)
            self.running = False

    def watch(self, int pidfd):
        """Watches the process behind ``pidfd`` (its own copy is kept) from here on. Call it right after its start:
        heartbeats and commands of before are not its own, and its threads inherit the niceness that it is given where
        the guard is real-time: a process frees its memory before it is dead, at its own priority, and the arm waits
        for that. A take-over of before is forgotten.

        Raises RuntimeError while another one is watched or taken over, ValueError when it is no pidfd.
        """
        if self.busy or self.state_now() == SP_GUARD_WATCHING:
            raise RuntimeError(f"the guard is {self.state}: it watches one controller at a time")
        cdef sp_guard_request request
        cdef int old_pidfd = self.pidfd, old_stat_fd = self.stat_fd
        request.pidfd, pid, request.stat_fd = open_process(pidfd)
        request.heartbeat_ns = sp_heartbeat_now((<Segment>self.owners[1]).memory)
        request.command_number = sp_mailbox_latest((<Mailbox>self.owners[2]).box)
        self.pidfd, self.stat_fd = request.pidfd, request.stat_fd
        if self.guard.config.realtime.fifo_priority > 0 and pid > 0:
            self.nice_refused = hurry(pid)
        self.carry_out(&request, ANSWER_LIMIT_S)
        close_both(old_pidfd, old_stat_fd)

    def leave(self, double limit_s=20.0):
        """Stops watching, for an orderly end. A take-over under way is finished first: once this returns, the guard
        neither kills nor writes.

        Raises TimeoutError when that takes longer than ``limit_s``; it then stays asked for.
        """
        cdef sp_guard_request request = sp_guard_request(-1, -1, 0, 0)
        self.carry_out(&request, limit_s)
        close_both(self.pidfd, self.stat_fd)
        self.pidfd = self.stat_fd = -1

    cdef int carry_out(self, sp_guard_request *request, double limit_s) except -1:
        deadline = time.monotonic() + limit_s
        self.until_done(deadline)  # an earlier one that took too long
        sp_guard_ask(self.guard, request)
        self.until_done(deadline)
        return 0

    cdef int until_done(self, double deadline) except -1:
        if not self.running and not sp_guard_is_done(self.guard):
            sp_guard_wake(self.guard)
        while not sp_guard_is_done(self.guard):
            if not self.running or time.monotonic() > deadline:
                raise TimeoutError(f"the guard is still {self.state}")
            time.sleep(ASK_AGAIN_S)
        return 0

    def wake(self):
        """One wake-up, here and now. For lock-step; not while it is started."""
        if self.running:
            raise RuntimeError("the guard runs by itself")
        with nogil:
            sp_guard_wake(self.guard)

    @property
    def next_ns(self):
        """When it wants to wake next, in lock-step."""
        return self.guard.next_ns

    cdef int state_now(self) noexcept:
        return sp_guard_state_now(self.guard)

    @property
    def state(self):
        """idle, watching, ending_it, braking, at_rest or gave_up (the line takes no frame)."""
        return STATES[self.state_now()]

    @property
    def busy(self):
        """Whether the line is the guard's, or about to be: from the death of the controller that it watches, or from
        the moment that it decides to end it, until the arm is at rest. Nobody else may touch the line meanwhile."""
        state = self.state_now()
        if state == SP_GUARD_WATCHING:
            return has_exited(self.pidfd)
        return state == SP_GUARD_ENDING_IT or state == SP_GUARD_BRAKING

    @property
    def taken_over(self):
        """The take-over since ``watch``, as far as it has come; None: there was none."""
        cdef sp_takeover t
        if not sp_mailbox_read_latest(self.takeovers, &t, sizeof(t)) or t.cause == 0:
            return None
        return TakeOver(CAUSES[t.cause], OUTCOMES[t.outcome] if t.dead_ns else None, t.detected_ns, t.heartbeat_ns,
                        t.silent_ns, os.strerror(t.kill_error) if t.kill_error else None, t.dead_ns,
                        t.first_frame_ns, t.first_brake_ns, t.at_rest_ns, t.frames, t.failed_writes, t.largest_step)

    @property
    def awake_ns(self):
        """Its last wake-up: one that stays behind by many poll_ns is no guard any more."""
        return sp_guard_awake_ns(self.guard)

    @property
    def longest_silence_ns(self):
        """The longest silence of the controller since ``watch``, counted in wake-ups: how near it came to a trip."""
        return sp_guard_longest_ns(self.guard)

    @property
    def realtime(self):
        """What the kernel granted: name -> None (granted), "not asked", or the reason in words."""
        cdef sp_realtime_report report = self.guard.realtime
        words = {0: None, -1: "not asked"}
        granted = {
            name: words[code] if code in words else os.strerror(code)
            for name, code in (("fifo", report.fifo), ("timer_slack", report.timer_slack))
        }
        return {**granted, "controller_nice": self.nice_refused}


def hurry(int pid):
    """Gives the process the best niceness; None, or why that was refused."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, BEST_NICE)
    except OSError as error:
        return os.strerror(error.errno)
    return None


def has_exited(int pidfd):
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def open_process(int pidfd):
    """A copy of ``pidfd``, its PID (0 when the process is gone), and ``/proc/PID/stat`` open to read (then -1)."""
    with open(f"/proc/self/fdinfo/{pidfd}") as info:
        pids = [line.split()[1] for line in info if line.startswith("Pid:")]
    if not pids:
        raise ValueError(f"descriptor {pidfd} is no pidfd")
    own, pid, stat = fcntl.fcntl(pidfd, fcntl.F_DUPFD_CLOEXEC, 0), int(pids[0]), -1
    try:
        if pid > 0:
            stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        pass
    except BaseException:
        os.close(own)
        raise
    if not has_exited(own):
        return own, pid, stat
    if stat >= 0:  # whoever has its number now may be another one
        os.close(stat)
    return own, 0, -1
