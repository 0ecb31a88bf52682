"""The guard on a manual clock: what it does when, and every frame that it writes."""

import array
import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import tty

import numpy as np
import pytest
from guard_rig import DT_NS, DT_S, PLAN, SteppedGuard, brake_from, goals, stopped
from hypothesis import given, settings
from hypothesis import strategies as st
from limiter_rig import excess
from loop_rig import EMERGENCY, MS
from waiting import until

from spinal.native import layout
from spinal.native.feetech_bus import FeetechBus, SerialLine
from spinal.native.guard import Guard
from spinal.runtime.config import load_robot
from spinal.runtime.controller.guard_plan import guard_plan
from spinal.runtime.segments import CONTROLLER_COMMAND, CONTROLLER_STATS

MOVING = [(0.4, 1.5, 10.0), (-0.2, -0.8, 0.0), (0.012, 0.0, 0.0)]
REST_FRAMES = 6
"""The first frame at rest, and five more."""


@pytest.fixture
def rig():
    rigs = []

    def make(**changes):
        rigs.append(SteppedGuard(**changes))
        return rigs[-1]

    yield make
    for one in rigs:
        one.close()


def taken_over(rig, motions=MOVING, **command):
    """Behind the death of a controller that last commanded ``motions``."""
    rig.dead_child()
    rig.commands.publish(motions, **command)
    rig.wake_until("at_rest")
    return rig.guard.taken_over


def test_the_brake_goes_on_exactly_from_the_last_command(rig):
    one = rig()
    done = taken_over(one)
    path = brake_from(MOVING)
    expected = [goals(positions) for positions in [*path, *[path[-1]] * (REST_FRAMES - 1)]]
    assert one.frames().tolist() == expected
    assert (done.cause, done.outcome) == ("died", "braked")
    assert done.frames == len(expected)
    assert done.largest_step == pytest.approx(np.abs(np.diff(path[:, :2], axis=0)).max(), rel=1e-12)


@settings(max_examples=60)
@given(st.data())
def test_every_brake_is_inside_the_emergency_limits_and_never_turns_back(data):
    one = SteppedGuard()
    try:
        motions = [data.draw(viable()) for _ in range(2)] + [(0.01, 0.0, 0.0)]
        taken_over(one, motions)
        path = brake_from(motions)
        assert one.frames().tolist() == [goals(p) for p in [*path, *[path[-1]] * (REST_FRAMES - 1)]]
        for j, (position, velocity, acceleration) in enumerate(motions[:2]):
            led = [position - velocity * DT_S, *path[:, j]]
            velocities = np.diff(led) / DT_S
            changes = np.diff([velocity - acceleration * DT_S, *velocities]) / DT_S
            assert np.abs(velocities).max() <= EMERGENCY[2] * (1 + 1e-6)
            assert np.abs(changes).max() <= EMERGENCY[3] * (1 + 1e-6)
            assert EMERGENCY[0] - 1e-9 <= path[:, j].min() <= path[:, j].max() <= EMERGENCY[1] + 1e-9
            turns = np.diff(np.sign(velocities[np.abs(velocities) > 1e-9]))
            assert np.count_nonzero(turns) <= 1, "only acceleration that was under way may turn a joint"
    finally:
        one.close()


@st.composite
def viable(draw):
    position = draw(st.floats(-1.0, 1.0))
    velocity = draw(st.floats(-3.0, 3.0))
    return position, velocity, draw(st.floats(-60.0, 60.0))


def test_a_resting_arm_gets_its_pose_again_and_nothing_else(rig):
    one = rig()
    resting = [(0.4, 0.0, 0.0), (-0.2, 0.0, 0.0), (0.012, 0.0, 0.0)]
    done = taken_over(one, resting)
    assert {tuple(frame) for frame in one.frames()} == {tuple(goals([p for p, _, _ in resting]))}
    assert done.largest_step == 0.0
    assert excess(brake_from(resting)[:, 0], EMERGENCY, DT_S)["velocity"] <= 0


def test_its_instants_stand_in_order_and_frames_come_one_a_period(rig):
    one = rig()
    done = taken_over(one)
    assert done.detected_ns <= done.dead_ns
    assert done.first_frame_ns == done.dead_ns + PLAN.frame_gap_ns
    assert done.first_brake_ns == done.first_frame_ns + DT_NS
    assert done.at_rest_ns == done.first_frame_ns + (len(brake_from(MOVING)) - 1) * DT_NS
    assert one.frames().shape[0] == (one.clock.now_ns - done.first_frame_ns) // DT_NS + 1
    quiet = len(one.frames())
    one.wake(100)
    assert len(one.frames()) == quiet


def test_a_late_wake_up_skips_whole_periods_and_bursts_nothing(rig):
    one = rig()
    one.dead_child()
    one.commands.publish(MOVING)
    one.wake_until("braking")
    one.wake(3)
    one.wake(1, late_ns=10 * DT_NS + MS)
    assert one.guard.next_ns > one.clock.now_ns
    assert one.guard.next_ns % DT_NS == one.guard.taken_over.first_frame_ns % DT_NS, "phase is kept"
    one.wake_until("at_rest")
    path = brake_from(MOVING)
    assert one.frames()[: len(path)].tolist() == [goals(p) for p in path]


@pytest.mark.parametrize(
    ("command", "outcome"),
    [
        ({"energised": 0}, "not_energised"),
        ({"mode": layout.MODE_OFF}, "not_energised"),
        ({"joint_count": 2}, "unusable"),
        ({"motions": [(np.nan, 0, 0), *MOVING[1:]]}, "unusable"),
        ({"motions": [(0.1, np.inf, 0), *MOVING[1:]]}, "unusable"),
        ({"motions": [(0.1, np.nan, 0), *MOVING[1:]]}, "unusable"),
        ({"motions": [(0.1, 0.1, np.nan), *MOVING[1:]]}, "unusable"),
        ({"motions": [*MOVING[:2], (np.nan, 0, 0)]}, "unusable"),
        ({"motions": [(0.1, 1e9, 0), *MOVING[1:]]}, "unusable"),
        ({"motions": [(6.1, 0.0, 0), *MOVING[1:]]}, "unusable"),
        ({"motions": [(-6.1, 0.0, 0), *MOVING[1:]]}, "unusable"),
        ({"motions": [*MOVING[:2], (1.0, 0.0, 0.0)]}, "unusable"),
    ],
)
def test_what_is_no_motion_of_this_arm_is_not_braked(rig, command, outcome):
    one = rig()
    done = taken_over(one, **command)
    assert (done.outcome, done.frames, done.first_frame_ns) == (outcome, 0, 0)
    assert not len(one.frames())


def test_a_controller_that_dies_before_its_first_command_leaves_nothing_to_brake(rig):
    one = rig()
    one.commands.publish(MOVING)  # of the one before
    one.dead_child()
    one.wake_until("at_rest")
    assert one.guard.taken_over.outcome == "nothing_commanded"
    assert not len(one.frames())


def test_it_kills_for_certain_and_writes_nothing_before_the_death(rig):
    one = rig()
    child = one.child()
    one.commands.publish(MOVING)
    one.beat()
    one.wake()
    os.kill(child.pid, signal.SIGSTOP)
    until(lambda: stopped(child.pid), "it is stopped")
    while one.guard.state == "watching":
        assert not one.guard.busy
        one.wake()
    assert one.guard.busy
    one.wake_until("at_rest")
    assert child.wait() == -signal.SIGKILL
    done = one.guard.taken_over
    assert (done.cause, done.outcome, done.kill_error) == ("stopped", "braked", None)
    assert done.heartbeat_ns == 1
    assert 15 * MS <= done.silent_ns <= 24 * MS


def test_what_is_watched_may_die_before_others_run(rig):
    """It frees its memory at its own priority: a busy machine would keep the arm waiting."""
    one = rig(fifo_priority=46)
    assert one.guard.realtime["controller_nice"] == "not asked"
    child = one.child()
    refused = one.guard.realtime["controller_nice"]
    assert os.getpriority(os.PRIO_PROCESS, child.pid) == (
        os.getpriority(os.PRIO_PROCESS, 0) if refused else -20
    )
    other = rig()
    assert os.getpriority(os.PRIO_PROCESS, other.child().pid) == os.getpriority(os.PRIO_PROCESS, 0)


def test_nothing_is_written_before_the_kernel_says_that_it_is_dead(rig):
    """A process with much memory takes a while to die."""
    one = rig()
    hog = "much = bytearray(b'x') * (192 << 20); print('ready', flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", hog], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    one.keep(child)
    assert child.stdout.readline() == b"ready\n"
    pidfd = os.pidfd_open(child.pid)
    one.commands.publish(MOVING)
    one.beat()
    one.wake(60)
    seen = set()
    while one.guard.state not in {"braking", "at_rest"}:
        one.wake()
        state = one.guard.state
        dead = bool(select.select([pidfd], [], [], 0)[0])
        seen.add(state)
        assert dead or state in {"watching", "ending_it"}
    os.close(pidfd)
    assert "ending_it" in seen, "it was waited for"
    assert one.guard.taken_over.cause == "silent"


def test_old_heartbeats_are_not_its_own(rig):
    one = rig()
    one.beat()
    one.child()
    one.wake(500)
    assert (one.guard.state, one.guard.longest_silence_ns) == ("watching", 0)


def test_a_machine_that_stands_still_is_no_silence(rig):
    """Each wake-up comes a second late, and the controller has not ticked in any of them so far."""
    one = rig()
    one.child()
    one.commands.publish(MOVING)
    one.beat()
    one.wake()
    for _ in range(49):
        one.wake(late_ns=1000 * MS)
        assert one.guard.state == "watching"
    assert one.guard.longest_silence_ns == 49 * PLAN.poll_ns
    one.beat()
    one.wake(late_ns=1000 * MS)
    one.wake(49)
    assert (one.guard.state, one.guard.taken_over) == ("watching", None)
    one.wake()
    assert one.guard.taken_over.cause == "silent"


def test_frames_that_the_line_does_not_take_are_written_later_in_the_same_order(rig):
    one = rig()
    one.dead_child()
    one.commands.publish(MOVING)
    one.wake_until("braking")
    one.wake(4)
    path = brake_from(MOVING)
    assert one.frames().tolist() == [goals(p) for p in path[:4]]
    stuffed = stuff(one.line.fd)
    one.wake(30)
    done = one.guard.taken_over
    assert (done.failed_writes, done.frames, done.at_rest_ns) == (30, 4, 0)
    unstuff(one.line.far_fd, stuffed)
    one.wake_until("at_rest")
    assert one.frames()[: len(path)].tolist() == [goals(p) for p in path]
    assert one.guard.taken_over.failed_writes == 30


def stuff(fd):
    """Fills the line until it takes nothing; returns how many bytes that were."""
    sent = 0
    while True:
        try:
            sent += os.write(fd, bytes(256))
        except BlockingIOError:
            return sent


def unstuff(fd, count):
    while count:
        count -= len(os.read(fd, count))


def test_a_line_that_stumbles_again_and_again_is_not_given_up(rig):
    one = rig()
    one.dead_child()
    one.commands.publish(MOVING)
    one.wake_until("braking")
    for _ in range(3):
        stuffed = stuff(one.line.fd)
        one.wake(800 * MS // DT_NS)
        unstuff(one.line.far_fd, stuffed)
        one.wake(1)
        one.frames()  # so that they do not stand before what is stuffed next
    one.wake_until("at_rest", "gave_up")
    path = brake_from(MOVING)
    assert one.frames()[: len(path)].tolist() == [goals(p) for p in path]


def test_a_line_that_is_gone_is_given_up_after_a_second(rig):
    one = rig()
    one.dead_child()
    one.commands.publish(MOVING)
    one.wake_until("braking")
    one.wake(2)
    one.line.cut()
    began_ns = one.clock.now_ns
    one.wake_until("gave_up")
    assert 1000 * MS < one.clock.now_ns - began_ns < 1020 * MS
    assert not one.guard.busy
    assert (one.guard.taken_over.outcome, one.guard.taken_over.at_rest_ns) == ("line_lost", 0)


def test_leaving_looks_once_more_and_then_does_nothing(rig):
    one = rig()
    child = one.child()
    one.commands.publish(MOVING)
    one.beat()
    one.wake(3)
    one.guard.leave()
    child.kill()
    child.wait()
    one.wake(500)
    assert (one.guard.state, one.guard.taken_over, one.guard.busy) == ("idle", None, False)
    assert not len(one.frames())


def test_who_leaves_a_controller_that_has_just_died_has_it_braked_first(rig):
    one = rig()
    one.dead_child()
    one.commands.publish(MOVING)
    assert one.guard.busy, "it is dead, and the line is about to be the guard's"
    with pytest.raises(TimeoutError, match="still braking"):
        one.guard.leave()
    one.wake_until("idle")
    assert one.guard.taken_over.outcome == "braked"
    assert len(one.frames()) == one.guard.taken_over.frames
    one.guard.leave()


def test_it_watches_the_next_one_when_it_is_done(rig):
    one = rig()
    first = taken_over(one)
    seen = len(one.frames())
    child = one.child()
    assert one.guard.taken_over is None
    one.wake(100)
    with pytest.raises(RuntimeError, match="one controller at a time"):
        one._watch(child)
    child.kill()
    one.wake_until("at_rest")
    assert one.guard.taken_over.outcome == "nothing_commanded", "the commands were those of the first"
    assert len(one.frames()) == seen == first.frames


def test_a_controller_that_was_reaped_before_the_watch_is_dead(rig):
    one = rig()
    child = one.child(watched=False)
    pidfd = os.pidfd_open(child.pid)
    child.kill()
    child.wait()
    one.guard.watch(pidfd)
    os.close(pidfd)
    one.wake()
    assert one.guard.taken_over.cause == "died"


def test_a_descriptor_that_is_no_pidfd_is_refused(rig):
    one = rig()
    with pytest.raises(ValueError, match="no pidfd"):
        one.guard.watch(one.line.fd)
    assert one.guard.state == "idle"


def test_what_lies_on_a_terminal_is_flushed(rig):
    master, slave = pty.openpty()
    try:
        tty.setraw(slave)
        one = rig(line_fd=slave)
        one.dead_child()
        one.commands.publish(MOVING)
        os.write(master, b"replies to the dead")
        until(lambda: pending(slave), "they have arrived")
        one.wake_until("braking")
        assert pending(slave) == 0
    finally:
        os.close(master)
        os.close(slave)


def pending(fd):
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


def test_what_lies_on_a_socket_is_drained(rig):
    one = rig()
    one.dead_child()
    one.commands.publish(MOVING)
    os.write(one.line.far_fd, bytes(1000))
    one.wake_until("braking")
    assert pending(one.line.fd) == 0


def test_a_guard_of_another_arm_is_refused(rig):
    one = rig()
    bus = FeetechBus([(1, 0.0, 1.0, 0.0, 4095.0, 1.0)], 1_000_000, SerialLine(one.line.fd))
    with pytest.raises(ValueError, match="disagree"):
        Guard(PLAN, bus, one.line.fd, one.segment, CONTROLLER_COMMAND)
    whole = FeetechBus(
        [(i, 0.0, 1.0, 0.0, 4095.0, 1.0) for i in (1, 2, 3)], 1_000_000, SerialLine(one.line.fd)
    )
    for part in (CONTROLLER_STATS, 42):
        with pytest.raises(ValueError, match="segment controller"):
            Guard(PLAN, whole, one.line.fd, one.segment, part)


def test_on_a_manual_clock_there_is_no_thread(rig):
    with pytest.raises(RuntimeError, match="manual clock"):
        rig().guard.start()


def test_the_plan_is_the_robot_files():
    robot = load_robot("launch/robots/so101_sim.toml")
    plan = guard_plan(robot)
    assert plan.dt_ns == robot.control.period_ns
    assert plan.stopped_ns == robot.safety.guard_stopped_ms * MS
    assert plan.silent_ns == robot.safety.guard_silent_ms * MS
    assert plan.frame_gap_ns >= 1 * MS
    assert len(plan.emergency) == len(plan.grippers) == len(robot.joints)
    assert plan.fifo_priority == (0 if robot.control.realtime == "off" else robot.control.fifo_priority + 1)
