"""A real guard beside a real controller: killed, stopped, hung, ended; each frame on the line says who wrote it."""

import ctypes
import os
import signal
import threading

import numpy as np
import pytest
from guard_rig import DT_S, LiveGuard, brake_from, goals, stop, stopped
from loop_rig import EMERGENCY, MS, RAD_PER_COUNT
from waiting import until

from spinal.native.clock import now_ns


@pytest.fixture
def live():
    rigs = []

    def make(**changes):
        rigs.append(LiveGuard(**changes))
        return rigs[-1]

    yield make
    for one in rigs:
        one.close()


def assert_braked_alone(one, done, cause):
    """The guard's frames, all behind the controller's, are the brake from the last command."""
    assert (done.cause, done.outcome, done.failed_writes) == (cause, "braked", 0)
    assert done.detected_ns <= done.dead_ns < done.first_frame_ns < done.first_brake_ns <= done.at_rest_ns
    frames, writers = one.frames(), one.line.recorder.writers
    mine = writers.index("guard")
    assert set(writers[mine:]) == {"guard"}, "two writers on one line"
    assert len(writers) - mine == done.frames
    path = brake_from(one.last_command())
    assert frames[mine : mine + len(path)].tolist() == [goals(p) for p in path]
    assert (frames[mine + len(path) :] == frames[-1]).all()
    steps = np.abs(np.diff(frames[mine - 1 :, :2], axis=0)) * RAD_PER_COUNT
    assert steps.max() <= EMERGENCY[2] * DT_S + RAD_PER_COUNT


def test_a_controller_that_is_killed_is_braked_for(live):
    one = live()
    child = one.controller()
    child.kill()
    assert_braked_alone(one, one.until_rest(), "died")
    assert one.guard.state == "at_rest"
    assert not one.guard.busy


def test_a_stopped_controller_is_dead_before_the_first_frame_and_cannot_be_continued(live):
    one = live()
    child = one.controller()
    stop(child)
    done = one.until_rest()
    os.kill(child.pid, signal.SIGCONT)  # it is not reaped, so that this is no stranger
    assert child.wait() == -signal.SIGKILL
    assert_braked_alone(one, done, "stopped")
    quiet = len(one.frames())
    awake_ns = one.guard.awake_ns
    until(lambda: one.guard.awake_ns > awake_ns + 100 * MS, "the guard has been awake for a while")
    assert len(one.frames()) == quiet


@pytest.mark.parametrize("seed", range(6))
def test_a_stop_that_is_continued_around_the_limit_never_makes_two_writers(live, seed):
    one = live()
    child = one.controller()
    random = np.random.default_rng(seed)
    done = threading.Event()

    def tease():
        while not done.is_set():
            os.kill(child.pid, signal.SIGSTOP)
            done.wait(random.uniform(0.014, 0.026))
            os.kill(child.pid, signal.SIGCONT)
            done.wait(random.uniform(0.0, 0.008))

    teaser = threading.Thread(target=tease)
    teaser.start()
    try:
        done_by_guard = one.until_rest()
    finally:
        done.set()
        teaser.join()
    assert_braked_alone(one, done_by_guard, "stopped")


@pytest.mark.parametrize("how", ["busy", "sleep"])
def test_a_controller_that_runs_and_does_not_tick_is_ended(live, how):
    one = live(silent_ns=200 * MS)
    child = one.controller()
    one.tell(child, how)
    assert_braked_alone(one, one.until_rest(), "silent")
    assert child.wait() == -signal.SIGKILL


def test_one_that_dies_before_it_ticks_leaves_nothing_to_brake(live):
    one = live()
    child = one.controller(ticks=False)
    stop(child)
    until(lambda: stopped(child.pid), "it is stopped")
    awake_ns = one.guard.awake_ns
    until(lambda: one.guard.awake_ns > awake_ns + 200 * MS, "the guard sees it so")
    assert (one.guard.state, one.guard.taken_over) == ("watching", None)
    child.kill()
    assert one.until_rest().outcome == "nothing_commanded"
    assert not len(one.frames())


def test_one_without_torque_is_not_braked_for(live):
    one = live()
    child = one.controller()
    one.tell(child, "limp")
    seen = len(one.frames())
    until(lambda: len(one.frames()) > seen + 10, "it goes on without torque")
    child.kill()
    assert one.until_rest().outcome == "not_energised"
    assert "guard" not in one.line.recorder.writers


def test_an_orderly_end_is_no_take_over(live):
    one = live()
    child = one.controller()
    one.guard.leave()
    assert one.guard.state == "idle"
    child.stdin.close()
    child.wait()
    awake_ns = one.guard.awake_ns
    until(lambda: one.guard.awake_ns > awake_ns + 20 * MS, "the guard is awake")
    assert (one.guard.state, one.guard.taken_over) == ("idle", None)
    one.frames()
    assert "guard" not in one.line.recorder.writers


def test_the_next_controller_is_watched_from_its_own_first_tick(live):
    one = live()
    one.controller().kill()
    one.until_rest()
    second = one.controller()
    assert one.guard.taken_over is None
    assert one.line.recorder.writers[-1] == "controller"
    second.kill()
    one.until_rest()
    frames, writers = one.frames(), one.line.recorder.writers
    path = brake_from(one.last_command())
    mine = len(writers) - writers[::-1].index("controller")
    assert frames[mine : mine + len(path)].tolist() == [goals(p) for p in path]


def test_the_line_is_busy_from_the_death_on(live):
    """Whoever sees the death first, the supervisor or the guard: never a moment in which the line looks free."""
    one = live()
    child = one.controller()
    child.kill()
    child.wait()
    while one.guard.busy:
        pass
    assert one.guard.state == "at_rest"
    assert one.guard.taken_over.at_rest_ns


def test_a_line_that_fails_is_given_up(live):
    one = live()
    child = one.controller()
    stop(child)
    until(lambda: stopped(child.pid), "it is stopped")
    one.line.cut()
    done = one.until_rest()
    assert (one.guard.state, done.outcome, done.frames) == ("gave_up", "line_lost", 0)
    assert done.failed_writes > 1


def test_it_brakes_while_the_interpreter_stands_still(live):
    one = live()
    child = one.controller()
    hold = ctypes.PyDLL(None).usleep  # unlike CDLL's, it keeps the interpreter's lock
    holds = []
    os.kill(child.pid, signal.SIGKILL)
    while not holds or one.guard.busy:
        begin_ns = now_ns()
        hold(500_000)
        holds.append((begin_ns, now_ns()))
    done = one.guard.taken_over
    assert any(begin <= done.first_frame_ns and done.at_rest_ns <= end for begin, end in holds)
    assert_braked_alone(one, done, "died")


def test_a_thread_that_ends_is_seen_and_finishes_what_it_took_over(live):
    one = live()
    child = one.controller()
    child.kill()
    until(lambda: one.guard.state != "watching", "it takes over")
    one.guard.stop()
    assert one.guard.state == "at_rest"
    awake_ns = one.guard.awake_ns
    one.guard.start()
    until(lambda: one.guard.awake_ns > awake_ns, "it is awake again")
    with pytest.raises(RuntimeError, match="runs already"):
        one.guard.start()
    with pytest.raises(RuntimeError, match="by itself"):
        one.guard.wake()
    one.guard.stop()
    one.guard.stop()


def test_a_guard_that_is_ended_watches_nobody(live):
    one = live()
    one.controller()
    one.guard.stop()
    assert one.guard.state == "idle"


def test_a_guard_that_nobody_keeps_ends():
    before = set(os.listdir("/proc/self/task"))
    one = LiveGuard()
    (thread,) = set(os.listdir("/proc/self/task")) - before
    line = one.line
    del one
    until(lambda: thread not in os.listdir("/proc/self/task"), "its thread ends")
    line.close()
