"""Emergency stops of a real robot: every process of it, the real loop, the simulated servos."""

import os
import signal

import numpy as np
import pytest
from supervised import SIMULATED, supervised

from spinal.native import layout
from spinal.runtime.link.client import PlannerClient
from spinal.runtime.supervisor.chronicle import Chronicle

ESTOP = layout.Condition.ESTOP


def wired(tmp_path):
    """The shipped robot with a door."""
    pin = tmp_path / "value"
    pin.write_text("0\n")
    policy = SIMULATED.parent.parent / "policies"
    text = SIMULATED.read_text().replace("../policies", str(policy))
    line = f'{{ name = "door", kind = "gpio", path = "{pin}", active = "high" }}'
    file = tmp_path / "robot.toml"
    file.write_text(f"{text}\n[estop]\nlines = [{line}]\n")
    return file, pin


class Notes:
    """A journal that is kept here."""

    def __init__(self):
        self.entries = []

    def write(self, event, mono_ns=None, **fields):
        self.entries.append({"event": event, **fields})

    def of(self, event):
        return [entry for entry in self.entries if entry["event"] == event]


def test_a_moving_arm_is_stopped_in_the_next_tick_by_every_road_and_armed_again_by_a_person(tmp_path):
    file, pin = wired(tmp_path)
    notes = Notes()
    write_pin(pin, "1")
    with supervised(tmp_path / "run", file) as robot:
        stops = robot.supervisor.stops
        chronicle = Chronicle(robot.supervisor, notes)
        watch = robot.supervisor.watch
        robot.supervisor.watch = lambda: (watch(), chronicle.watch())  # as a session does
        keep_the_door_open_at_the_start(robot, pin)
        roads = {
            "signal": lambda: os.kill(os.getpid(), signal.SIGUSR1),
            "door": lambda: write_pin(pin, "1"),
            "command": stops.press,
        }
        with PlannerClient(robot.endpoints, src="person") as person:
            for road, press in roads.items():
                robot.until(robot.moving, "the arm moves")
                robot.begin()
                press()
                assert_stopped(robot, stops, road)
                if road == "signal":
                    kill_the_controller(robot)
                if road == "door":
                    assert robot.supervisor.arm().startswith("still pressed: door: pressed")
                    write_pin(pin, "0")
                    robot.until(lambda: not stops.pressed()[0].still, "the door is shut")
                assert person.send_goal("arm", valid_for_ms=5000, timeout_ms=5000).accepted
                robot.until(lambda: not stops.pressed(), "every line is released")
            robot.until(robot.running, "it runs again")
    modes = [(entry["from"], entry["to"], entry["why"]) for entry in notes.of("mode")]
    assert modes.count(("running", "stopped", "emergency stop")) == 3
    lines = [(entry["name"], entry["what"]) for entry in notes.of("stop_line")]
    assert lines == [(road, what) for road in ("door", *roads) for what in ("pressed", "released")]
    assert [entry["count"] for entry in notes.of("arming")] == [1, 2, 3]
    causes = [entry["why"] for entry in notes.of("latched")]
    assert len(causes) == 3
    assert all(f"{road}: " in cause for road, cause in zip(roads, causes, strict=True))
    assert len(notes.of("unlatched")) == 3
    assert "controller" in {entry["name"] for entry in notes.of("process") if entry["what"] == "dead"}
    assert "took over" in {entry["what"] for entry in notes.of("guard")}


def kill_the_controller(robot):
    """The one that comes back stays stopped: the word is the supervisor's, and so is the latch."""
    robot.kill("controller")
    robot.until(lambda: robot.child("controller").deaths, "its death is noticed")
    robot.until(lambda: robot.supervisor.all_ready and robot.state.tick > 100, "it is back")
    assert robot.in_mode(layout.MODE_OFF)
    assert int(robot.state.conditions) & ESTOP


def keep_the_door_open_at_the_start(robot, pin):
    robot.until(lambda: robot.state is not None and robot.state.tick > 100, "the loop ticks")
    assert robot.in_mode(layout.MODE_OFF)
    write_pin(pin, "0")
    robot.until(lambda: not robot.supervisor.stops.pressed()[0].still, "the door is shut")
    assert robot.in_mode(layout.MODE_OFF), "that alone does not arm it"
    assert robot.supervisor.arm() is None


def assert_stopped(robot, stops, road):
    robot.until(lambda: robot.in_mode(layout.MODE_STOPPED), "the arm stops")
    robot.until(lambda: robot.state.at_rest, "it is at rest")
    (pressed,) = stops.pressed()
    assert pressed.name == road
    records = robot.records()
    later = records[records["read_ns"] > pressed.since_ns]
    assert (later["mode"] == layout.MODE_STOPPED).all(), "whatever was judged after it is a stop"
    assert (records["mode"] == layout.MODE_RUNNING).any()
    assert int(robot.state.latched) & ESTOP
    assert robot.state.energised, "it holds"
    assert np.ptp(records["joints"]["applied"][-3:], axis=0).max() < 1e-9


def write_pin(pin, text):
    with open(pin, "r+") as out:
        out.write(text)


def test_over_the_link_a_robot_is_stopped_slowed_and_told_of(tmp_path):
    with supervised(tmp_path / "run") as robot, PlannerClient(robot.endpoints, src="person") as person:

        def send(kind, **parameters):
            return person.send_goal(kind, parameters, valid_for_ms=5000, timeout_ms=5000)

        robot.until(robot.running, "it runs")
        refused = send("arm")
        assert (refused.accepted, refused.reason) == (False, "not_now")
        assert "the robot is running" in refused.detail
        assert send("speed").reason == "bad_parameter"
        assert send("speed", percent=30).accepted
        robot.until(lambda: robot.state.speed_scale == 0.3, "it is slower")
        assert send("estop").accepted
        robot.until(lambda: robot.in_mode(layout.MODE_STOPPED), "it stops")
        report = robot.until(
            lambda: (found := person.latest_state(100)) and found.mode == "stopped" and found, "it tells so"
        )
        assert "order_stop" in report.latched
        assert report.speed == pytest.approx(0.3)
        assert (report.goal_status, report.energised) == ("stopped", True)
        assert send("go_on").accepted
        assert robot.in_mode(layout.MODE_STOPPED)
        assert send("arm").accepted
        robot.until(lambda: robot.link["status"] != "stopped", "the link's own stop is withdrawn")
        robot.until(robot.running, "it is armed again, and the planner asks anew")
