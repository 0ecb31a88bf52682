"""A robot's processes under trouble: real processes on the simulated robot, killed, stopped and given up.

One robot is started for most tests: each finds it running and leaves it running.
"""

import os
import signal

import numpy as np
import pytest
from supervised import assert_inside_limits, supervised

from spinal.native import layout
from spinal.runtime.link.client import PlannerClient


@pytest.fixture(scope="module")
def robot(tmp_path_factory):
    with supervised(tmp_path_factory.mktemp("robot")) as started:
        yield started


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
