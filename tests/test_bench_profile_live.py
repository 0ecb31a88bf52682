"""A real robot that is profiled: planted delays are named, and it does not notice."""

import json
import os
import signal
import subprocess
from pathlib import Path

import msgspec
import numpy as np
import pytest
from spinal_process import COMMAND, ROOT, Started, children_of
from supervised import SIMULATED
from waiting import until

from spinal.bench.profile.attach import attach, find
from spinal.bench.profile.findings import Profile
from spinal.bench.profile.watch import Watcher
from spinal.native.clock import now_ns, sleep_until_ns
from spinal.runtime.cli.main import main

MS = 1_000_000


def maps_of(pid):
    """Its mappings of a robot's memory."""
    return [line for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if "memfd:spinal" in line]


def robot_file(folder):
    """The shipped simulated robot as a file that nobody else runs. Its guard has patience with what is planted."""
    shipped = SIMULATED.read_text().replace("[policy]", PATIENT + "[policy]", 1)
    model = '"../policies/cartpick/cartpick.onnx"'
    assert model in shipped
    file = folder / "robot.toml"
    file.write_text(shipped.replace(model, json.dumps(str(ROOT / "launch/policies/cartpick/cartpick.onnx"))))
    return file


PATIENT = "[safety]\nguard_stopped_ms = 1000\nguard_silent_ms = 1000\n\n"
WATCH_S = 600
"""Until somebody ends it, however long the machine itself stands still."""


def spinal(*arguments):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(scope="module")
def robot(tmp_path_factory):
    """A running robot of a file that nobody else runs: (the process, the file)."""
    folder = tmp_path_factory.mktemp("profiled")
    file = robot_file(folder)
    with Started(folder / "run", "run", "--planner", file) as started:
        started.until_said("is ready")
        started.until_said("accepted")  # its planner's goal: it moves, and has touched what it touches
        yield started, file
        started.process.terminate()
        assert started.exit_code() == 0, started.said


def child(robot, name):
    """The process of the robot that runs this module."""
    return next(
        pid
        for pid in children_of(robot.process.pid)
        if name in Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    )


def pause(pid, ns):
    """A planted delay: the process does not run for so long."""
    os.kill(pid, signal.SIGSTOP)
    sleep_until_ns(now_ns() + ns)
    os.kill(pid, signal.SIGCONT)
    sleep_until_ns(now_ns() + 150 * MS)


@pytest.fixture(scope="module")
def watched(robot, tmp_path_factory):
    """One watch with planted delays, ended by Ctrl-C: (its process, its JSON, what it looked like meanwhile)."""
    running, file = robot
    folder = tmp_path_factory.mktemp("watch")
    output = folder / "found.json"
    arguments = ["bench", "profile", file, "--seconds", WATCH_S, "--worst", 300, "--json", output]
    controller, sim = (
        child(running, "spinal.runtime.controller.process"),
        child(running, "spinal.drivers.sim.process"),
    )
    with Started(folder / "profile", *arguments) as profiling:
        profiling.until_said("watching process")
        looks = look(profiling.process.pid, controller)
        for _ in range(2):
            pause(sim, 30 * MS)
        for _ in range(3):
            pause(controller, 100 * MS)
        profiling.process.send_signal(signal.SIGINT)
        assert profiling.exit_code() == 0, profiling.said
        return profiling, json.loads(output.read_text()), looks


def look(pid, controller):
    """What the kernel says of the one who watches, and of who is watched."""
    opened = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if "memfd:spinal" in os.readlink(link):
            opened.append(int(word_of(f"/proc/{pid}/fdinfo/{link.name}", "flags"), 8) & os.O_ACCMODE)
    return {
        "nice": os.getpriority(os.PRIO_PROCESS, pid),
        "policy": os.sched_getscheduler(pid),
        "locked": word_of(f"/proc/{pid}/status", "VmLck"),
        "maps": maps_of(pid),
        "opened": opened,
        "tracers": {
            word_of(task / "status", "TracerPid") for task in Path(f"/proc/{controller}/task").iterdir()
        },
    }


def word_of(file, key):
    """The first word behind ``key:`` in a file of /proc."""
    return next(line.split()[1] for line in Path(file).read_text().splitlines() if line.startswith(f"{key}:"))


def test_silence_of_the_servos_is_the_buss(watched):
    _, found, _ = watched
    silent = [tick for tick in found["worst"] if tick["cause"] == "bus" and tick["joints_silent"] == 6]
    assert silent, found["sentence"]
    unanswered = [tick for tick in silent if "6 joints did not answer" in tick["detail"]]
    assert unanswered
    assert all(tick["stage"] in ("read", "behind") for tick in unanswered)
    assert found["counters"]["missing_replies"] >= 6 * len(silent)


def test_a_stopped_controller_is_named_and_never_ours(watched):
    _, found, _ = watched
    long = [tick for tick in found["worst"] if tick["total_us"] > 90_000]
    assert len(long) >= 3, found["sentence"]
    assert all(tick["skipped"] >= 20 for tick in long if tick["stage"] == "wake")
    assert not any(tick["cause"] in ("ours", "bus") for tick in long)
    assert any(tick["cause"] == "stopped" for tick in long)
    assert "stopped by a signal" in found["sentence"]


def test_the_report_is_whole(watched):
    process, found, _ = watched
    assert msgspec.json.decode(json.dumps(found), type=Profile)
    assert found["ticks"] > 100
    assert found["unseen"] == 0
    assert found["period_us"] == 4000.0
    assert found["notes"] == [f"ended by hand, before its {WATCH_S} s"]
    assert len(found["worst"]) == min(300, found["ticks"])
    assert process.printed.startswith(found["sentence"])
    assert "Traceback" not in process.said


def test_the_robot_does_not_notice(watched, robot):
    """Nothing of it is mapped to write, traced, locked or outranked; its loop faults no page, drops no record."""
    _, found, looks = watched
    running, _ = robot
    assert (looks["nice"], looks["policy"], looks["locked"]) == (19, os.SCHED_OTHER, "0")
    assert len(looks["maps"]) == 1
    assert "r--s" in looks["maps"][0]
    assert looks["opened"] == [os.O_RDONLY]
    assert looks["tracers"] == {"0"}
    assert found["counters"]["minor_faults"] + found["counters"]["major_faults"] == 0
    assert not any("dropped" in note for note in found["notes"])
    assert running.process.poll() is None
    assert "restarting" not in running.said


def test_bad_input_gets_one_clear_line(robot, tmp_path):
    _, file = robot
    absent = robot_file(tmp_path)
    for arguments, code, words in (
        ((absent,), 6, "is running here"),
        ((tmp_path / "none.toml",), 2, "is not there"),
        ((file, "--pid", 1), 6, "process 1 is no running robot"),
        ((file, "--json", tmp_path / "no" / "x.json"), 2, "is not a folder"),
    ):
        done = spinal("bench", "profile", *arguments)
        assert done.returncode == code, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [("--seconds", "nan", "0.1 to 600 s"), ("--seconds", "0", "0.1 to 600 s"), ("--worst", "0", "1 to 1000")],
)
def test_options_out_of_range_are_refused_before_anything_is_looked_for(option, value, words, capsys):
    with pytest.raises(SystemExit) as left:
        main(["bench", "profile", "robot.toml", option, value])
    assert left.value.code == 2
    assert words in capsys.readouterr().err


def test_the_supervisor_takes_every_record_all_the_same(robot):
    """Somebody who follows does not fill the ring: what is pushed is taken, while we look on."""
    running, file = robot
    segment = attach(find(file))
    try:
        follower = Watcher(segment)
        got = follower.watch(0.3, lambda *_: None)
        assert len(got.heads) > 10
        assert (got.lost, got.dropped) == (0, 0)
        assert (np.diff(got.heads["tick"].astype(np.int64)) == 1).all()
        assert {sample.thread for sample in got.samples} != {0}
    finally:
        segment.close()
    until(lambda: running.process.poll() is None, "the robot runs on")
