"""The start suite and the demo it starts: what it reads from lines and memory, and that nothing stays behind."""

import os
import sys
import time

import pytest

from spinal.bench.live import demo_robot, processes
from spinal.bench.live.demo_robot import DemoRobot
from spinal.bench.suites import start
from spinal.bench.suites.start import Light
from spinal.native.shared import Segment
from spinal.runtime.errors import ProcessError
from spinal.runtime.segments import Writer, create

MS = 1_000_000


def stand_in(monkeypatch, program):
    """In the demo's place: a Python program, whose words are the demo's lines."""
    monkeypatch.setattr(demo_robot, "COMMAND", (sys.executable, "-c", program))


def test_lines_are_kept_with_their_instants(monkeypatch):
    words = "for word in ('one', 'two'): print(word, file=sys.stderr, flush=True)"
    stand_in(monkeypatch, f"import sys, time\n{words}\ntime.sleep(60)")
    with DemoRobot(1.0) as robot:
        robot.until(lambda: robot.said_ns("two") is not None, "two", 10.0)
        assert [text for _, text in robot.lines] == ["one", "two"]
        assert robot.began_ns < robot.said_ns("one") <= robot.said_ns("two")
        assert robot.said_ns("three") is None


def test_a_demo_that_ends_is_told_with_its_last_words(monkeypatch):
    stand_in(monkeypatch, "import sys; sys.exit('no such arm')")
    with DemoRobot(1.0) as robot:
        with pytest.raises(ProcessError, match="ended with 1: no such arm") as raised:
            robot.until(lambda: False, "anything", 10.0)
        assert raised.value.hint


def test_what_does_not_come_in_time_is_told(monkeypatch):
    stand_in(monkeypatch, "import time; time.sleep(60)")
    with DemoRobot(1.0) as robot:
        with pytest.raises(ProcessError, match="the moon: not within 0 s"):
            robot.until(lambda: False, "the moon", 0.2)


def test_whatever_happens_the_demo_and_its_folder_are_gone(monkeypatch):
    monkeypatch.setattr(demo_robot, "ENDING_S", 0.3)
    stand_in(
        monkeypatch,
        "import signal, sys, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "print('deaf', file=sys.stderr, flush=True)\ntime.sleep(60)",
    )
    robots = []

    def interrupted():
        with DemoRobot(1.0) as robot:
            robots.append(robot)
            robot.until(lambda: robot.said_ns("deaf") is not None, "deaf", 10.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    (robot,) = robots
    assert robot.process.poll() is not None
    assert not os.path.exists(robot._folder.name)


def test_the_folder_is_the_demos_own(monkeypatch):
    stand_in(
        monkeypatch,
        "import os, sys, time; print(os.environ['TMPDIR'], file=sys.stderr, flush=True); time.sleep(9)",
    )
    with DemoRobot(1.0) as one, DemoRobot(1.0) as other:
        for robot in (one, other):
            robot.until(lambda robot=robot: bool(robot.lines), "a line", 10.0)
        assert one.lines[0][1] != other.lines[0][1]


def test_shared_memory_is_found_in_another_process():
    made = create(Writer.CONTROLLER, 6)

    class Here(DemoRobot):
        def __init__(self):
            self.process = type("P", (), {"pid": os.getpid()})()

    try:
        found = Here().segment(Writer.CONTROLLER.value)
        assert isinstance(found, Segment)
        assert not found.writable
        found.close()
    finally:
        made.close()


def test_each_stage_ends_where_the_next_begins_and_is_the_median_of_starts():
    names = [name for name, _ in start.LINES] + list(start.MOTIONS)
    starts = [{name: (at + 1) * 100 * MS * factor for at, name in enumerate(names)} for factor in (1, 2, 30)]
    metrics, waterfall = start.of_starts(starts)
    assert [metric.value for metric in metrics] == [200.0 * (at + 1) for at in range(len(names))]
    assert [stage.name for stage in waterfall.stages] == names
    assert waterfall.stages[0].begin_us == 0
    assert waterfall.stages[-1].end_us == 200e3 * len(names)


def test_light_commands_stand_beside_an_empty_interpreter():
    light = (
        Light("python", start.BARE),
        Light("slow", (sys.executable, "-c", "import time; time.sleep(0.2)")),
    )
    took = start.commands(light, 2)
    assert {name: len(times) for name, times in took.items()} == {"python": 2, "slow": 2}
    metrics = {metric.name: metric for metric in start.of_commands(took)}
    assert metrics["slow_ms"].value > 200
    assert metrics["slow_ms"].floor == metrics["python_ms"].value
    assert metrics["python_ms"].floor is None


def test_a_light_command_that_fails_is_told_by_name():
    bad = Light("broken", (sys.executable, "-c", "import sys; sys.exit('out of order')"))
    with pytest.raises(ProcessError, match="broken: out of order"):
        start.commands((bad,), 1)


def test_a_real_start_comes_to_move_and_ends(monkeypatch):
    seen = []
    children = DemoRobot.stop

    def stop(robot):
        seen.extend(robot.roles())
        return children(robot)

    monkeypatch.setattr(DemoRobot, "stop", stop)
    stages, stopped_s = start.start()
    ends = [stages[name] for name, _ in start.LINES]
    assert ends == sorted(ends)
    assert stages["controller"] < stages["running"] <= stages["moving"]
    assert stopped_s < demo_robot.ENDING_S
    deadline = time.monotonic() + 5
    while any(processes.use(pid) for pid in seen) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(processes.use(pid) for pid in seen)
