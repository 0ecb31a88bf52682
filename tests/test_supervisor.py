"""A robot's processes under trouble: real processes on the simulated robot, killed, stopped and given up.

One robot is started for most tests: each finds it running and leaves it running.
"""

import os
import signal

import numpy as np
import pytest
from pty_arm import PtyArm
from supervised import descriptors, gone, supervised

from spinal.native import layout
from spinal.runtime.config.limits import command_limits
from spinal.runtime.errors import ProcessError
from spinal.runtime.link.client import PlannerClient
from spinal.runtime.supervisor import children, supervisor
from spinal.runtime.supervisor.table import ProcessRow

MARGIN = 1.001
"""For rounding: third differences of positions are taken over 4 ms cubed."""


@pytest.fixture(scope="module")
def robot(tmp_path_factory):
    with supervised(tmp_path_factory.mktemp("robot")) as started:
        yield started


def assert_inside_limits(robot, records):
    """Finite differences of consecutive commands against the robot file; nominal time between ticks."""
    dt_s = 1 / robot.supervisor.robot.control.servo_hz
    commands = records["joints"]["applied"]
    for index, joint in enumerate(robot.joints):
        low, high, *rates = command_limits(joint)
        motion = commands[:, index]
        assert (motion >= low - 1e-9).all(), joint.name
        assert (motion <= high + 1e-9).all(), joint.name
        for order, limit in enumerate(rates if joint.kind == "arm" else rates[:1], 1):
            worst = np.abs(np.diff(motion, order)).max(initial=0) / dt_s**order
            assert worst <= limit * MARGIN, (joint.name, order, worst, limit)


def test_it_runs_and_picks(robot):
    robot.begin()
    robot.until(lambda: robot.sim.get("success", 0) > 0, "a block is picked")
    records = robot.records()
    assert records["trajectory_id"].max() > 1
    (life,) = robot.lives()
    assert_inside_limits(robot, life)


@pytest.mark.parametrize("victim", ["policy", "link", "sim", "controller", "planner"])
def test_a_killed_process_is_held_for_and_restarted(robot, victim):
    robot.until(robot.moving, "the arm moves")
    deaths, pid, spoken = robot.child(victim).deaths, robot.pid(victim), len(robot.said)
    robot.begin()
    robot.kill(victim)
    robot.until(lambda: robot.child(victim).deaths == deaths + 1, f"the death of {victim} is noticed")
    assert robot.child(victim).last_words.startswith("ended by signal SIGKILL")
    robot.until(lambda: robot.child(victim).process is not None, f"{victim} is restarted")
    robot.until(lambda: robot.supervisor.all_ready and robot.running(), "it runs again")
    assert robot.pid(victim) != pid
    assert f"{victim} restarted" in robot.said[spoken:]

    *_, last = lives = robot.lives()
    held = [life for life in lives if np.isin([layout.MODE_HOLDING, layout.MODE_READY], life["mode"]).any()]
    assert held or victim == "planner"
    assert layout.MODE_RUNNING in last["mode"]
    for life in lives:
        assert_inside_limits(robot, life)
    # A simulator's servos come back limp: the controller is armed anew behind it.
    assert len(lives) == (2 if victim in ("sim", "controller") else 1)
    if len(lives) == 2:
        pose = last[0]["joints"]
        assert np.abs(pose["applied"] - pose["measured"]).max() < 0.05
    robot.begin()
    robot.until(robot.travelled, "the arm moves again")


def test_a_policy_that_hangs_for_a_while_is_waited_for(robot):
    robot.until(robot.moving, "the arm moves")
    deaths, pid = robot.child("policy").deaths, robot.pid("policy")
    robot.begin()
    os.kill(pid, signal.SIGSTOP)
    try:
        robot.until(robot.holding, "the arm holds at the end of its chunk")
    finally:
        os.kill(pid, signal.SIGCONT)
    robot.until(robot.running, "it runs again")
    assert (robot.child("policy").deaths, robot.pid("policy")) == (deaths, pid)
    (life,) = robot.lives()
    assert_inside_limits(robot, life)


def test_a_controller_that_hangs_is_replaced(robot):
    robot.until(robot.moving, "the arm moves")
    deaths = robot.child("controller").deaths
    robot.kill("controller", signal.SIGSTOP)
    pid = robot.pid("controller")
    robot.until(lambda: robot.child("controller").deaths == deaths + 1, "the hang is noticed")
    assert "was stopped by a signal, and the guard has ended it" in robot.child("controller").last_words
    assert not os.path.exists(f"/proc/{pid}"), "a signal to go on finds nobody who could write"
    robot.until(robot.moving, "it moves again")


def test_a_pause_outlives_the_link_that_took_it(robot):
    robot.until(robot.running, "it runs")
    with PlannerClient(robot.endpoints, src="person") as person:
        assert person.send_goal("pause", valid_for_ms=1000, timeout_ms=5000).accepted
        robot.until(robot.holding, "the arm holds")
        deaths = robot.child("link").deaths
        robot.kill("link")
        robot.until(lambda: robot.child("link").deaths == deaths + 1, "the death of the link is noticed")
        robot.until(lambda: robot.supervisor.all_ready, "the link is back")
        robot.begin()
        goals = robot.link["goals"]
        robot.until(lambda: robot.link["goals"] > goals, "the planner renews its goal")
        robot.until(lambda: len(robot.records()) > 50, "the loop goes on")
        assert not (robot.records()["mode"] == layout.MODE_RUNNING).any()
        assert robot.link["status"] == "paused"
    with PlannerClient(robot.endpoints, src="person") as person:
        assert person.send_goal("go_on", valid_for_ms=1000, timeout_ms=5000).accepted
    robot.until(robot.running, "it runs again")


def test_stopping_brings_the_arm_to_rest_and_leaves_nothing_behind(tmp_path):
    before, shared = descriptors(), set(os.listdir("/dev/shm"))
    seen = []
    with supervised(tmp_path) as robot:
        robot.until(robot.moving, "the arm moves")
        robot.begin()
        pids = robot.pids
        end_last = robot.child("sim").end  # behind the controller; the memory is still open
        robot.child("sim").end = lambda: (seen.append(robot.records()), end_last())
        end_first = robot.child("planner").end
        robot.child("planner").end = lambda: (seen.append(robot.state), end_first())
    state, records = seen
    assert state.at_rest, "before any process is ended"
    assert state.mode == layout.MODE_HOLDING
    assert len(pids) == 5
    assert records["mode"][-1] == layout.MODE_HOLDING
    assert np.ptp(records["joints"]["applied"][-3:], axis=0).max() < 1e-9  # at rest before it ended
    assert_inside_limits(robot, records)
    assert (np.diff(records["tick"].astype(np.int64)) == 1).all()
    assert (records["written_ns"] > records["read_ns"]).all()  # a command in every tick until then
    assert gone(pids)
    assert {path.name for path in tmp_path.iterdir()} <= {"lock"}
    assert descriptors() == before
    assert set(os.listdir("/dev/shm")) <= shared


def test_a_process_that_dies_again_and_again_ends_the_robot_at_rest(tmp_path, monkeypatch):
    doomed = ProcessRow("doomed", "spinal.no_such_module", ())
    rows = supervisor.rows
    monkeypatch.setattr(supervisor, "rows", lambda *arguments: [*rows(*arguments), doomed])
    monkeypatch.setattr(children, "BACK_OFF_S", (0.01,))
    before, seen = descriptors(), []
    with pytest.raises(ProcessError) as raised, supervised(tmp_path) as robot:  # noqa: PT012
        pids = robot.pids
        end_first = robot.child("planner").end
        robot.child("planner").end = lambda: (seen.append(robot.state), end_first())
        robot.until(lambda: False, "it is given up")
    assert raised.value.message.startswith("doomed was restarted too often, last: ended with exit code 1")
    assert "No module named spinal.no_such_module" in raised.value.message
    assert raised.value.hint
    assert raised.value.exit_code == 6
    assert robot.said.count("doomed restarted") == children.RESTARTS_PER_MINUTE - 1
    (state,) = seen
    assert state.at_rest
    assert state.mode != layout.MODE_RUNNING
    assert gone(pids)
    assert descriptors() == before


def test_asked_to_end_while_it_starts(tmp_path):
    with supervised(tmp_path, ending=lambda said: "starting policy" in said) as robot:
        assert list(robot.supervisor.children) == ["sim", "policy"]
        pids = robot.pids
    assert gone(pids)


@pytest.fixture
def arm(tmp_path):
    arm = PtyArm(tmp_path)
    yield arm
    arm.unplug()


def test_torque_stays_on_through_a_restart_and_a_stop(tmp_path, arm):
    assert [torque for torque, _ in arm.drives()] == [False, False]
    with supervised(tmp_path / "robot", arm.file, with_planner=False) as robot:
        robot.until(lambda: robot.in_mode(layout.MODE_READY), "it is armed")
        assert arm.drives() == [(True, 2300), (True, 2500)]
        robot.kill("controller")
        robot.until(lambda: robot.child("controller").deaths == 1, "the death is noticed")
        robot.until(lambda: robot.in_mode(layout.MODE_READY), "it is armed again")
        assert arm.drives() == [(True, 2300), (True, 2500)]
    assert arm.drives() == [(True, 2300), (True, 2500)]


def test_motors_that_are_silent_when_the_controller_comes_back_are_asked_again(tmp_path, arm):
    with supervised(tmp_path / "robot", arm.file, with_planner=False) as robot:
        arm.silence(True)
        robot.kill("controller")
        robot.until(lambda: "no answer" in robot.said[-1], "the set-up has failed")
        assert "controller waits: no answer from elbow (id 1), gripper (id 2)" in robot.said[-1]
        arm.silence(False)
        robot.until(lambda: robot.in_mode(layout.MODE_READY), "it is armed again")


def test_a_line_that_is_unplugged_is_opened_again_under_its_new_name(tmp_path, arm):
    with supervised(tmp_path / "robot", arm.file, with_planner=False) as robot:
        robot.until(lambda: robot.in_mode(layout.MODE_READY), "it is armed")
        arm.unplug()
        robot.until(lambda: "gone" in robot.said[-1], "it is missed")
        assert "is opened when it is back" in robot.said[-1]
        assert robot.supervisor.bus.line is None
        arm.plug_in()
        robot.until(lambda: robot.in_mode(layout.MODE_READY), "it is armed again")
        assert robot.child("controller").deaths == 0, "an unplugged line is nobody's crash"
        assert [torque for torque, _ in arm.drives()] == [True, True]
        assert any("is back" in line for line in robot.said)


def test_a_stop_outlives_the_controller_until_a_person_arms_again(tmp_path, arm):
    with supervised(tmp_path / "robot", arm.file, with_planner=False) as robot:
        robot.until(lambda: robot.in_mode(layout.MODE_READY), "it is armed")
        assert robot.supervisor.arm() == "nothing keeps the robot stopped"
        with PlannerClient(robot.endpoints, src="person") as person:
            assert person.send_goal("stop", valid_for_ms=1000, timeout_ms=5000).accepted
        robot.until(lambda: robot.supervisor.latch is not None, "the stop is seen")
        assert robot.supervisor.latch.cause == "ordered to stop"
        assert robot.in_mode(layout.MODE_STOPPED)
        robot.kill("controller")
        robot.until(lambda: robot.child("controller").deaths == 1, "the death is noticed")
        robot.until(lambda: robot.child("controller").ready, "it is back")
        robot.begin()
        robot.until(lambda: len(robot.records()) > 100, "it ticks")
        assert set(robot.records()["mode"]) == {layout.MODE_OFF}, "nothing is armed by itself"
        assert [torque for torque, _ in arm.drives()] == [True, True], "stopped is not limp"
