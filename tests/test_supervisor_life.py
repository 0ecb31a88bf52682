"""A robot's life in its supervisor, and an arm behind a port: ended, given up, unplugged, stopped, armed again."""

import os
import signal

import numpy as np
import pytest
from pty_arm import PtyArm
from supervised import assert_inside_limits, descriptors, gone, supervised

from spinal.native import layout
from spinal.runtime.errors import ProcessError
from spinal.runtime.link.client import PlannerClient
from spinal.runtime.supervisor import children, supervisor
from spinal.runtime.supervisor.table import ProcessRow


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
        assert "spinal plan arm" in robot.supervisor.arm()
        with PlannerClient(robot.endpoints, src="person") as person:
            assert person.send_goal("arm", valid_for_ms=1000, timeout_ms=5000).accepted
        robot.until(lambda: robot.in_mode(layout.MODE_READY), "it is armed again")
        assert robot.supervisor.latch is None
        assert any(line.startswith("armed again by a person") for line in robot.said)


def test_a_button_stops_the_robot_and_only_a_person_who_has_released_it_arms_again(tmp_path, arm):
    with supervised(tmp_path / "robot", arm.file, with_planner=False) as robot:
        robot.until(lambda: robot.in_mode(layout.MODE_READY), "it is armed")
        os.kill(os.getpid(), signal.SIGUSR1)
        robot.until(lambda: robot.in_mode(layout.MODE_STOPPED), "it is stopped")
        robot.until(lambda: robot.supervisor.latch is not None, "the stop is seen")
        assert robot.supervisor.latch.cause.startswith("emergency stop (signal: SIGUSR1 from process")
        robot.until(lambda: robot.supervisor.arm() is None, "it may be armed again")
        robot.until(lambda: robot.in_mode(layout.MODE_READY), "it is armed again")
        assert [torque for torque, _ in arm.drives()] == [True, True]


def test_an_arm_that_was_let_go_and_moved_by_hand_is_armed_where_it_stands(tmp_path, arm):
    with supervised(tmp_path / "robot", arm.file, with_planner=False) as robot:
        robot.until(lambda: robot.in_mode(layout.MODE_READY), "it is armed")
        with PlannerClient(robot.endpoints, src="person") as person:
            assert person.send_goal("relax", valid_for_ms=1000, timeout_ms=5000).accepted
        robot.until(lambda: robot.in_mode(layout.MODE_OFF), "it has let go")
        assert [torque for torque, _ in arm.drives()] == [False, False]
        arm.move_by_hand(2200, 2600)
        robot.begin()
        with PlannerClient(robot.endpoints, src="person") as person:
            assert person.send_goal("arm", valid_for_ms=1000, timeout_ms=5000).accepted
        robot.until(lambda: robot.in_mode(layout.MODE_READY), "it is armed again")
        assert arm.drives() == [(True, 2200), (True, 2600)], "where it stands, not where it was"
