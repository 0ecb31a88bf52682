"""`spinal demo` as a process: what it writes, how it ends, and that nothing of it stays."""

import json
import signal
import subprocess
import sys

import pytest
from spinal_process import ROOT, Started, ended
from waiting import until

from spinal.runtime.link.endpoints import in_directory

SECONDS = 5


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """One headless run to its end: (process, what it wrote)."""
    folder = tmp_path_factory.mktemp("demo")
    with Started(folder, "demo", "--headless", "--seconds", SECONDS, "--json", folder / "out.json") as run:
        assert run.exit_code() == 0, run.said

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return run, json.loads((folder / "out.json").read_text(), parse_constant=refuse)


def test_what_it_says(demo):
    run, _ = demo
    assert "Traceback" not in run.said
    lines = run.said.splitlines()
    order = ["sim", "policy", "link", "controller", "planner"]
    assert [line for line in lines if line.startswith("starting")] == [f"starting {name}" for name in order]
    assert "bringing the arm to rest" in lines
    assert "blocks picked" in run.printed or "loop 250 Hz" in run.printed
    assert list(run.temporary.iterdir()) == []


def test_the_keys_are_the_stable_ones(demo):
    _, result = demo
    quantiles = {"p50", "p99", "max"}
    wanted = {
        "servo": {"hz", "ticks", "missed", "late_us"},
        "policy": {"hz", "runs", "inference_us", "starved_ticks", "providers"},
        "reaction_ms": {*quantiles, "n"},
        "response_ms": {"visible", "p10", "p50", "p90"},
        "command": {"limited_ticks", "max_seam", "rms_jerk"},
        "bus": {"protocol", "cycles", "errors", "wire_us", "measured_us"},
        "planner": {"messages", "rejected", "round_trip_us"},
        "realtime": {"fifo", "mlock"},
    }
    assert {"ok", "seconds", "task", "episodes", "successes", *wanted} <= result.keys()
    for section, keys in wanted.items():
        assert keys <= result[section].keys(), section
    assert {*quantiles, "p999"} <= result["servo"]["late_us"].keys()
    for section, name in [("policy", "inference_us"), ("bus", "measured_us"), ("planner", "round_trip_us")]:
        assert quantiles <= result[section][name].keys(), name
    assert result["command"]["max_seam"].keys() == {"position", "velocity", "acceleration"}


def test_the_figures_are_of_a_robot_that_ran(demo):
    _, result = demo
    assert result["ok"] is True
    assert result["seconds"] >= SECONDS
    assert (result["task"], result["servo"]["hz"], result["policy"]["hz"]) == ("cartpick", 250, 50)
    assert 0 <= result["successes"] <= result["episodes"]
    assert result["policy"]["providers"] == ["CPUExecutionProvider"]
    assert result["policy"]["runs"] > 0
    assert result["servo"]["ticks"] == result["bus"]["cycles"] > 0
    assert result["command"]["switches"] > 0
    assert result["reaction_ms"]["n"] > 0
    assert result["planner"]["messages"] > 0
    assert all(isinstance(result["realtime"][name], bool) for name in ("fifo", "mlock"))


def test_seams_are_continuous_to_rounding(demo):
    _, result = demo
    assert max(result["command"]["max_seam"].values()) <= 1e-9


def test_ctrl_c_ends_it_in_order(tmp_path):
    with Started(tmp_path, "demo", "--headless", "--json", tmp_path / "out.json") as run:
        run.until_said("accepted")
        children = run.children
        assert len(children) == 5
        run.process.send_signal(signal.SIGINT)
        run.process.send_signal(signal.SIGINT)  # an impatient person: the arm still comes to rest first
        assert run.exit_code() == 0, run.said
        assert "bringing the arm to rest" in run.said
        assert ended(children)
        assert "Traceback" not in run.said
        assert list(run.temporary.iterdir()) == []
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["ok"] is True
    assert set(result["response_ms"].values()) == {None}  # who wants to leave waits for no more measuring


def test_sigterm_while_it_starts(tmp_path):
    with Started(tmp_path, "demo", "--headless") as run:
        run.until_said("starting policy")
        run.process.send_signal(signal.SIGTERM)
        assert run.exit_code() == 0, run.said
        assert "starting planner" not in run.said
        assert "Traceback" not in run.said
        assert list(run.temporary.iterdir()) == []


FOSTER = """
import os, subprocess, sys
module = ["-m", "spinal.runtime.link.planner", "--command-endpoint", sys.argv[1], "--state-endpoint", sys.argv[2]]
child = subprocess.Popen([sys.executable, *module, "--parent", str(os.getpid())], stderr=subprocess.DEVNULL)
print(child.pid, flush=True)
child.wait()
"""


def test_a_planner_that_nobody_listens_to_ends_with_its_parent(tmp_path):
    place = in_directory(tmp_path)
    command = [sys.executable, "-c", FOSTER, place.command, place.state]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as parent:
        planner = int(parent.stdout.readline())
        assert not ended([planner])
        parent.kill()
    until(lambda: ended([planner]), "the planner ends by itself")


@pytest.mark.parametrize("moment", ["starting policy", "accepted"])
def test_children_end_with_a_parent_that_is_killed(tmp_path, moment):
    with Started(tmp_path, "demo", "--headless") as run:
        run.until_said(moment)
        children = run.children
        assert len(children) == (5 if moment == "accepted" else 2)
        run.process.kill()
        run.process.wait()
        until(lambda: ended(children), "the children end by themselves")
        assert not [path for path in run.temporary.rglob("*") if path.is_socket()]
