# cython: language_level=3
"""The hard loop, seen from Python: made, started and stopped here; it runs without the interpreter."""

from libc.stdlib cimport calloc, free
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from spinal.native.bus cimport Bus
from spinal.native.clock cimport ManualClock, sp_clock_manual, sp_clock_monotonic, sp_monotonic_ns
from spinal.native.histogram cimport bucket_counts, quantiles, sp_histogram
from spinal.native.shared cimport Mailbox, Ring, Segment
from spinal.native.trajectory cimport SP_JOINT_ARM, SP_JOINT_GRIPPER

import os
import time

from collections import namedtuple

cdef extern from *:
    """
    #include "loop.h"
    #include <pthread.h>
    #include <stddef.h>

    typedef struct sp_loop_thread {
        pthread_t handle;
        sp_loop *loop;
        int64_t start_ns;
    } sp_loop_thread;

    static void *sp_loop_thread_main(void *argument)
    {
        sp_loop_thread *thread = argument;
        sp_loop_run(thread->loop, thread->start_ns);
        return NULL;
    }

    static int sp_loop_thread_start(sp_loop_thread *thread)
    {
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, 512 * 1024);
        int failure = pthread_create(&thread->handle, &attributes, sp_loop_thread_main, thread);
        pthread_attr_destroy(&attributes);
        return failure;
    }

    static void sp_loop_request_stop(sp_loop *loop) { atomic_store(&loop->stop, 1); }
    static void sp_loop_request_hold(sp_loop *loop) { atomic_store(&loop->hold, 1); }
    static void sp_loop_allow_start(sp_loop *loop) { atomic_store(&loop->stop, 0); atomic_store(&loop->entered, 0); }
    static int sp_loop_entered(sp_loop *loop) { return atomic_load(&loop->entered); }
    static int64_t sp_loop_thread_id(sp_loop *loop) { return atomic_load(&loop->thread_id); }
    static void sp_loop_thread_join(sp_loop_thread *thread) { pthread_join(thread->handle, NULL); }

    #ifdef __clang__
    #define SP_COMPILER_NAME "clang " __clang_version__
    #else
    #define SP_COMPILER_NAME "gcc " __VERSION__
    #endif
    #ifdef __OPTIMIZE__
    #define SP_COMPILER SP_COMPILER_NAME ", optimised"
    #else
    #define SP_COMPILER SP_COMPILER_NAME ", not optimised"
    #endif

    enum {
        SP_STATE_HEAD = offsetof(sp_state, joints),
        SP_RECORD_HEAD = offsetof(sp_tick_record, joints),
        SP_HEARTBEAT_OFFSET = offsetof(sp_segment, heartbeat_ns),
    };
    """
    ctypedef struct sp_loop_thread:
        sp_loop *loop
        int64_t start_ns
    int sp_loop_thread_start(sp_loop_thread *) nogil
    void sp_loop_thread_join(sp_loop_thread *) noexcept nogil
    void sp_loop_request_stop(sp_loop *) noexcept nogil
    void sp_loop_request_hold(sp_loop *) noexcept nogil
    void sp_loop_allow_start(sp_loop *) noexcept nogil
    int sp_loop_entered(sp_loop *) noexcept nogil
    int64_t sp_loop_thread_id(sp_loop *) noexcept nogil
    const char *SP_COMPILER
    enum: SP_STATE_HEAD
    enum: SP_RECORD_HEAD
    enum: SP_HEARTBEAT_OFFSET

STATE_HEAD_BYTES = SP_STATE_HEAD
JOINT_STATE_BYTES = sizeof(sp_joint_state)
RECORD_HEAD_BYTES = SP_RECORD_HEAD
JOINT_RECORD_BYTES = sizeof(sp_joint_record)
STATS_BYTES = sizeof(sp_loop_stats)
ORDER_BYTES = sizeof(sp_order)
COMMAND_BYTES = sizeof(sp_command)
TRANSITION_BYTES = sizeof(sp_transition)
HEALTH_BYTES = sizeof(sp_health)
MAX_STOP_LINES = 8
ENTER_LIMIT_S = 5.0
COMPILER = SP_COMPILER.decode()
"""What built the native core, and whether it optimised."""


ReflexLimits = namedtuple("ReflexLimits", [
    "following_hold", "following_stop", "contact_hold", "contact_stop", "contact_drag", "contact_inertia",
    "temperature_hold", "temperature_stop", "voltage_hold", "voltage_stop", "lag_s", "load_limit", "frozen_travel",
    "frozen_ns", "following_ns", "contact_ns", "contact_long_ns", "device_bits", "device_ns", "clear_ns",
])
"""Thresholds of one joint's reflexes, as in ``core/reflex.h``."""


def mode_name(int mode):
    """off, ready, running, holding or stopped."""
    return sp_mode_name(<sp_mode>mode).decode()


def rung_name(int rung):
    """fresh, tail, to_rest, hold, damp or off."""
    return sp_rung_name(<sp_rung>rung).decode()


def edge(int index):
    """One row of the table of modes: (from, to, name, when any of these bits, unless any of these); None past it."""
    cdef const sp_edge *row = sp_edge_at(index)
    if row == NULL:
        return None
    return (sp_mode_name(row.from_).decode(), sp_mode_name(row.to).decode(), row.name.decode(), row.when, row.unless)


def edges():
    """The table of modes, in order of care; see ``edge``."""
    rows = []
    while (row := edge(len(rows))) is not None:
        rows.append(row)
    return rows


def condition(int bit):
    """One row of the table of conditions: (name, answer, clearing), see ``core/modes.h``; None past it."""
    cdef const sp_condition *row = sp_condition_at(bit)
    if row == NULL:
        return None
    return (row.name.decode(), ("wait", "hold", "stop", "let_go")[row.answer],
            ("by_itself", "on_rearming", "never")[row.clearing])


def conditions():
    """The table of conditions, one row a bit; see ``condition``."""
    return [condition(bit) for bit in range(SP_CONDITION_COUNT)]


def next_mode(int mode, uint32_t conditions):
    """The mode behind ``mode`` under ``conditions``, and the edge's name; (mode, None) to stay."""
    cdef const sp_edge *edge = sp_mode_edge(<sp_mode>mode, conditions)
    return (mode, None) if edge == NULL else (<int>edge.to, edge.name.decode())


def edge_index(int mode, uint32_t conditions):
    """Which row of the table of modes is taken, as transitions record it; None to stay."""
    cdef const sp_edge *row = sp_mode_edge(<sp_mode>mode, conditions)
    return None if row == NULL else sp_edge_index(row)


def latched(uint32_t conditions):
    """Those of ``conditions`` that stay once they were raised."""
    return sp_conditions_latched(conditions)


def leads_to(uint32_t conditions, str answer):
    """Whether any of ``conditions`` leads to ``answer`` (wait, hold, stop, let_go) or worse."""
    return bool(sp_conditions_answer(conditions, ("wait", "hold", "stop", "let_go").index(answer)))


cdef class Loop:
    """One native thread for the joints of a bus, or of a group of them.

    ``plan``: a LoopPlan (periods, joint kinds, limits, safety). ``segment``: the controller's, mapped to write, with
    parts ``stats_part``, and mailbox ``state``, ring ``records``. ``orders``: mailboxes of orders, all of
    which must say run. ``trajectories``: where the policy publishes. ``clock``: a ManualClock for lock-step.
    ``commands``, ``transitions``, ``healths``: mailboxes for what a guard goes on from, for changes of mode, and
    for what the motors say about themselves.
    ``stop_lines``: whatever has an ``address`` of an int64 that is not 0 while an emergency stop is pressed.

    Thread contract: one thread makes, starts and stops it; ``tick`` only while it is not started.
    """

    cdef sp_loop *loop
    cdef sp_loop_thread thread
    cdef bint running
    cdef object owners

    def __init__(self, plan, Bus bus not None, Segment segment not None, int stats_part,
                 Mailbox state not None, Ring records, orders, Mailbox trajectories, ManualClock clock=None,
                 Mailbox commands=None, Mailbox transitions=None, Mailbox healths=None, stop_lines=()):
        cdef sp_loop_config config
        cdef Mailbox order
        if not 1 <= len(orders) <= 4:
            raise ValueError(f"a loop obeys 1 to 4 givers of orders, not {len(orders)}")
        if len(plan.limits) != bus.joint_count or not len(plan.grippers) == len(plan.emergency) == len(plan.limits):
            raise ValueError("plan and bus disagree about how many joints there are")
        if len(stop_lines) > MAX_STOP_LINES:
            raise ValueError(f"a loop watches at most {MAX_STOP_LINES} stop lines, not {len(stop_lines)}")
        safety = plan.safety
        if safety.reflexes and len(safety.reflexes) != len(plan.limits):
            raise ValueError("reflexes are those of each joint, or none")
        if safety.grips and len(safety.grips) != len(plan.limits):
            raise ValueError("grips are those of each joint, or none")
        segment.require_writable()
        memset(&config, 0, sizeof(config))
        config.tail_limit_ns = safety.tail_limit_ns
        config.let_go_after_ns = safety.let_go_after_ns
        config.fade_ns = safety.fade_ns
        config.self_test_ticks = safety.self_test_ticks
        config.arming_speed = safety.arming_speed
        config.ease_travel = safety.ease_travel
        config.ease_speed = safety.ease_speed
        for j, reflex in enumerate(safety.reflexes):
            config.reflexes[j] = reflex._asdict()
        config.fence = NULL if safety.fence is None else <sp_fence *><size_t>safety.fence.address
        config.stop_line_count = len(stop_lines)
        for j, line in enumerate(stop_lines):
            config.stop_lines[j] = <const void *><size_t>line.address
        config.commands = NULL if commands is None else commands.box
        config.healths = NULL if healths is None else healths.box
        config.transitions = NULL if transitions is None else transitions.box
        config.dt_ns = plan.dt_ns
        config.read_budget_ns = plan.read_budget_ns
        config.joint_age_limit_ns = plan.joint_age_limit_ns
        config.missed_to_hold = plan.missed_to_hold
        config.joint_count = bus.joint_count
        config.order_count = len(orders)
        for j, ((low, high, v, a, jerk), (elow, ehigh, ev, ea, ejerk), gripper) in enumerate(
            zip(plan.limits, plan.emergency, plan.grippers)
        ):
            config.limits[j] = sp_limits(low, high, v, a, jerk)
            config.emergency[j] = sp_limits(elow, ehigh, ev, ea, ejerk)
            config.kinds[j] = SP_JOINT_GRIPPER if gripper else SP_JOINT_ARM
            config.grips[j] = safety.grips[j] if safety.grips else float("nan")
        for i, giver in enumerate(orders):
            order = giver
            config.orders[i] = order.box
        config.trajectories = NULL if trajectories is None else trajectories.box
        config.state = state.box
        config.records = NULL if records is None else records.ring
        config.record_tail = NULL if records is None else records.tail
        config.stats = <sp_loop_stats *>segment.part(stats_part, sizeof(sp_loop_stats))
        config.heartbeat_ns = <void *>(<uint8_t *>segment.memory + SP_HEARTBEAT_OFFSET)
        config.realtime = sp_realtime_request(plan.fifo_priority, plan.lock_memory, plan.cpu)
        if self.loop == NULL:
            self.loop = <sp_loop *>calloc(1, sizeof(sp_loop))
            if self.loop == NULL:
                raise MemoryError()
        sp_loop_init(self.loop, &config, sp_clock_monotonic() if clock is None else sp_clock_manual(&clock.clock),
                     bus.view)
        self.owners = (bus, segment, state, records, orders, trajectories, clock, commands, transitions,
                       healths, stop_lines, safety)

    def __dealloc__(self):
        if self.running:
            sp_loop_request_stop(self.loop)
            with nogil:
                sp_loop_thread_join(&self.thread)
        free(self.loop)

    def tick(self, int64_t tick_ns, int64_t skipped=0):
        """One tick for the slot at ``tick_ns``, here and now. For lock-step; not while it is started."""
        if self.running:
            raise RuntimeError("the loop runs by itself")
        with nogil:
            sp_loop_tick(self.loop, tick_ns, skipped)

    def start(self, start_ns=None):
        """Starts the thread; its first tick is at ``start_ns``. Returns once real time was asked for."""
        if self.running:
            raise RuntimeError("the loop runs already")
        sp_loop_allow_start(self.loop)
        self.thread.loop = self.loop
        self.thread.start_ns = sp_monotonic_ns() + 2_000_000 if start_ns is None else start_ns
        failure = sp_loop_thread_start(&self.thread)
        if failure:
            raise OSError(failure, "the loop's thread could not be made")
        self.running = True
        deadline = time.monotonic() + ENTER_LIMIT_S
        while not sp_loop_entered(self.loop):
            if time.monotonic() > deadline:
                raise TimeoutError("the loop's thread did not start")
            time.sleep(0.0005)

    def hold(self):
        """Brings the arm to rest inside its limits, whoever orders what; for good."""
        sp_loop_request_hold(self.loop)

    def stop(self):
        """Ends the thread after its tick. The motors keep their last goal."""
        if self.running:
            sp_loop_request_stop(self.loop)
            with nogil:
                sp_loop_thread_join(&self.thread)
            self.running = False

    @property
    def mode(self):
        return sp_mode_name(self.loop.mode).decode()

    @property
    def thread_id(self):
        """The kernel's id of the loop's thread, once started."""
        return sp_loop_thread_id(self.loop)

    @property
    def realtime(self):
        """What the kernel granted: name -> None (granted), "not asked", or the reason in words."""
        cdef sp_realtime_report report = self.loop.realtime
        words = {0: None, -1: "not asked"}
        return {
            name: words[code] if code in words else os.strerror(code)
            for name, code in (("fifo", report.fifo), ("mlock", report.memory_lock),
                               ("affinity", report.affinity), ("timer_slack", report.timer_slack))
        }


cdef class LoopStats:
    """The controller's counters and histograms in part ``part`` of its segment, read from anywhere."""

    cdef Segment segment
    cdef const sp_loop_stats *stats

    def __init__(self, Segment segment not None, int part):
        self.segment = segment
        self.stats = <const sp_loop_stats *>segment.part(part, sizeof(sp_loop_stats))

    def counts(self, str name):
        """The buckets of one histogram: late, bus_cycle, compute, age or blend; see ``histogram.UPPER_EDGES_NS``."""
        cdef const sp_histogram *found
        if name == "late":
            found = &self.stats.late
        elif name == "bus_cycle":
            found = &self.stats.bus_cycle
        elif name == "compute":
            found = &self.stats.compute
        elif name == "age":
            found = &self.stats.age
        elif name == "blend":
            found = &self.stats.blend
        else:
            raise KeyError(name)
        return bucket_counts(found)

    def read(self):
        """Counts, and histograms as quantiles in ns."""
        cdef const sp_loop_stats *s = self.stats
        return {
            "ticks": s.ticks,
            "skipped_slots": s.skipped_slots,
            "running_ticks": s.running_ticks,
            "limited_ticks": s.limited_ticks,
            "starved_ticks": s.starved_ticks,
            "fenced_ticks": s.fenced_ticks,
            "rungs": {sp_rung_name(<sp_rung>rung).decode(): s.rung_ticks[rung] for rung in range(SP_RUNG_COUNT)},
            "risen": {sp_condition_at(bit).name.decode(): s.risen[bit] for bit in range(SP_CONDITION_COUNT)},
            "switches": s.switches,
            "accepted": s.verdicts[0],
            "rejected": {"bad_shape": s.verdicts[1], "not_finite": s.verdicts[2], "stale": s.verdicts[3],
                         "future": s.verdicts[4]},
            "holds": s.holds,
            "minor_faults": s.minor_faults,
            "major_faults": s.major_faults,
            "bus_cycles": s.bus.cycles,
            "missing_replies": s.bus.missing_replies,
            "bad_packets": s.bus.bad_packets,
            "failed_writes": s.bus.failed_writes,
            "torque_repeats": s.bus.torque_repeats,
            "seam": {"position": s.seam_position, "velocity": s.seam_velocity, "acceleration": s.seam_acceleration},
            "jerk_square_sum": s.jerk_square_sum,
            "jerk_count": s.jerk_count,
            "late": quantiles(&s.late),
            "bus_cycle": quantiles(&s.bus_cycle),
            "compute": quantiles(&s.compute),
            "age": quantiles(&s.age),
            "blend": quantiles(&s.blend),
        }
