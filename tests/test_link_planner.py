"""The stand-in planner as a process, and the hand tool."""

import argparse
import json
import signal
import subprocess
import sys
import threading
import time

import msgspec
import pytest
from link_frames import publishing, report, serving

from spinal.runtime.cli import plan
from spinal.runtime.errors import LinkError
from spinal.runtime.link.endpoints import in_directory
from spinal.runtime.link.planner import _next_slot, choose_goal
from spinal.runtime.link.server import LinkServer

BOUND_S = 20.0


@pytest.fixture
def place(tmp_path):
    return in_directory(tmp_path)


def parse(*words):
    parser = argparse.ArgumentParser()
    plan.add_parser(parser.add_subparsers())
    return parser.parse_args(["plan", *words])


@pytest.mark.parametrize(
    ("goal_id", "state", "expected"),
    [
        (0, None, 0),
        (7, None, 7),
        (7, report(goal_id=7, goal_status="active"), 7),
        (7, report(goal_id=7, goal_status="done"), 0),
        (7, report(goal_id=3, goal_status="done"), 7),
    ],
)
def test_a_goal_is_renewed_until_it_is_done(goal_id, state, expected):
    assert choose_goal(goal_id, state) == expected


def test_a_stopped_robot_is_left_alone():
    values = report()
    stopped = type(values)("stopped", 1, 1, values.position, values.velocity, values.command_position)
    assert choose_goal(7, stopped) is None


def test_a_late_thought_keeps_the_grid():
    assert _next_slot(1.0, 0.5, 1.1) == 1.5
    assert _next_slot(1.0, 0.5, 2.6) == 3.0
    assert _next_slot(1.0, 0.5, 0.9) == 1.5


def test_the_planner_renews_its_goal_and_leaves_on_sigterm(place):
    command = [sys.executable, "-m", "spinal.runtime.link.planner", "--think-ms", "50"]
    command += ["--command-endpoint", place.command, "--state-endpoint", place.state]
    with LinkServer(place) as server:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            goals = []
            end_s = time.monotonic() + BOUND_S
            while len(goals) < 3 and time.monotonic() < end_s:
                goals += server.poll(100)
            process.send_signal(signal.SIGTERM)
            while process.poll() is None and time.monotonic() < end_s:
                server.poll(20)
        finally:
            process.kill()
            _, said = process.communicate()
    assert process.returncode == 0
    assert len(goals) >= 3
    assert {goal.goal.kind for goal in goals} == {"pick"}
    assert len({goal.goal.goal_id for goal in goals}) == 1, "a goal under way is renewed, not replaced"
    assert all(goal.deadline_ns - goal.received_ns <= 200_000_000 for goal in goals)
    assert said.count("\n") == said.count("accepted") == 1, "one line per change"


@pytest.mark.parametrize("action", ["pick", "pause", "go-on", "stop", "estop", "relax"])
def test_a_goal_by_hand(action, place, tmp_path, capsys):
    with LinkServer(place) as server, serving(server) as goals:
        assert plan.run(parse(action, "--robot-dir", str(tmp_path))) == 0
    assert [goal.goal.kind for goal in goals] == [action.replace("-", "_")]
    assert capsys.readouterr().out == f"{action}: accepted\n"


def test_a_speed_by_hand(place, capsys):
    with LinkServer(place) as server, serving(server) as goals:
        assert plan.run(parse("speed", "50", "--endpoint", place.command, place.state)) == 0
    assert (goals[0].goal.kind, goals[0].goal.parameters) == ("speed", {"percent": 50.0})
    for wrong in ("101", "-1", "nan", "fast", ""):
        with pytest.raises(SystemExit):
            parse("speed", wrong)


@pytest.mark.parametrize(
    ("mode", "conditions", "said"),
    [
        ("ready", (), "the robot is ready"),
        ("stopped", ("estop", "newer_word"), "still stopped: emergency stop; newer_word."),
    ],
)
def test_arming_by_hand_says_what_came_of_it(mode, conditions, said, place, capsys, monkeypatch):
    monkeypatch.setattr(plan, "ARM_S", 0.3)
    state = msgspec.structs.replace(report(5), mode=mode, conditions=conditions)
    with LinkServer(place) as server, serving(server) as goals, publishing(server, state):
        assert plan.run(parse("arm", "--endpoint", place.command, place.state)) == 0
    assert [goal.goal.kind for goal in goals] == ["arm"]
    assert capsys.readouterr().out.startswith(f"arm: accepted\n{said}")


def test_parameters_and_json(place, capsys):
    words = ["--parameter", "speed=0.5", "--parameter", "part=bolt", "--parameter", "fast=true", "--json"]
    with LinkServer(place) as server, serving(server) as goals:
        assert plan.run(parse("pick", "--endpoint", place.command, place.state, *words)) == 0
    assert goals[0].goal.parameters == {"speed": 0.5, "part": "bolt", "fast": True}
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_a_refusal_is_an_exit_code_and_a_reason(place, tmp_path, capsys):
    with LinkServer(place) as server, serving(server):
        assert plan.run(parse("pause", "--robot-dir", str(tmp_path), "--valid-for", "3600")) == 1
    assert "refused (deadline_too_far)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["--parameter", "speed"], ["--parameter", "speed=NaN"], ["--valid-for", "-1"]]
)
def test_bad_options_are_refused_before_anything_is_sent(words):
    with pytest.raises(SystemExit):
        parse("pick", *words)


@pytest.mark.parametrize("action", ["stop", "watch"])
def test_no_robot_is_a_clear_error(action, tmp_path):
    with pytest.raises(LinkError, match=r"no robot answered on ipc://.* within 1 s") as caught:
        plan.run(parse(action, "--robot-dir", str(tmp_path)))
    assert caught.value.hint == "is `spinal run` running?"


def test_the_only_robot_needs_no_name(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(LinkError, match="no robot listens"):
        plan.find_endpoints(parse("stop"))
    for count, name in enumerate(("left", "right"), 1):
        (tmp_path / "spinal" / name).mkdir(parents=True)
        (tmp_path / "spinal" / name / "command").touch()
        if count == 1:
            assert plan.find_endpoints(parse("stop")) == in_directory(tmp_path / "spinal" / "left")
    with pytest.raises(LinkError, match="left, right"):
        plan.find_endpoints(parse("stop"))
    assert plan.find_endpoints(parse("stop", "--robot", "right")).state.endswith("/right/state")


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_watch_shows_the_state(words, place, tmp_path, capsys):
    stop = threading.Event()
    with LinkServer(place) as server:

        def publish():
            tick = 0
            while not stop.wait(0.01):
                tick += 1
                server.publish(report(tick, episodes=3, successes=2))

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            assert plan.run(parse("watch", "--robot-dir", str(tmp_path), "--seconds", "0.1", *words)) == 0
        finally:
            stop.set()
            thread.join()
    line = capsys.readouterr().out.splitlines()[0]
    if words:
        assert json.loads(line)["position"] == [0.0, 0.0, 0.0]
    else:
        assert line.startswith("running")
        assert "picked 2/3" in line
