"""The emergency stops of a robot file, who may release them, and `spinal stop`."""

import os
import signal
import subprocess
import sys

import msgspec
import pytest
from link_frames import publishing, report, serving
from robot_files import write_robot
from waiting import until

from spinal.runtime import segments
from spinal.runtime.cli import main, stop
from spinal.runtime.config import load_robot
from spinal.runtime.errors import ConfigError
from spinal.runtime.link import presence
from spinal.runtime.link.endpoints import in_directory
from spinal.runtime.link.server import LinkServer
from spinal.runtime.segments import SUPERVISOR_STOPS, Writer
from spinal.runtime.supervisor.stops import Stops


def robot_with(folder, *lines):
    rows = ",\n".join(lines)
    return load_robot(write_robot(folder, ("[link]", f"[estop]\nlines = [\n{rows}\n]\n[link]")))


@pytest.fixture
def segment():
    made = segments.create(Writer.SUPERVISOR, 2)
    yield made
    made.close()


@pytest.fixture
def door(tmp_path):
    file = tmp_path / "value"
    file.write_text("0\n")
    return file


def set_pin(file, text):
    with open(file, "r+") as pin:
        pin.write(text)


def line_of(door, active="high"):
    return f'{{ name = "door", kind = "gpio", path = "{door}", active = "{active}" }}'


def test_a_command_presses_until_a_person_releases(segment, tmp_path):
    with Stops(segment, load_robot(write_robot(tmp_path))) as stops:
        assert stops.pressed() == []
        stops.press("the space bar")
        stops.press("again")
        (pressed,) = stops.pressed()
        assert (pressed.name, pressed.why, pressed.still) == ("command", "the space bar", False)
        assert str(pressed) == "command: the space bar"
        assert stops.release() == []
        assert stops.pressed() == []
        stops.press("the space bar")
        assert len(stops.pressed()) == 1


def test_the_signal_says_who_sent_it_and_ends_with_the_stops(segment, tmp_path):
    before = signal.getsignal(signal.SIGUSR1)
    with Stops(segment, load_robot(write_robot(tmp_path))) as stops:
        os.kill(os.getpid(), signal.SIGUSR1)
        until(stops.pressed, "the signal presses")
        (pressed,) = stops.pressed()
        assert str(pressed) == f"signal: SIGUSR1 from process {os.getpid()}"
    assert signal.getsignal(signal.SIGUSR1) == before
    assert len(stops.pressed()) == 1, "it stays pressed"
    with Stops(segment, load_robot(write_robot(tmp_path))) as again:
        assert again.pressed()[0].name == "signal"


def test_an_open_door_is_not_released(segment, tmp_path, door):
    with Stops(segment, robot_with(tmp_path, line_of(door))) as stops:
        assert stops.pressed() == []
        set_pin(door, "1")
        until(stops.pressed, "the door stops the robot")
        stops.press("a person too")
        assert stops.pressed()[0].why == f"pressed ({door})"
        assert [still.name for still in stops.release()] == ["door"]
        assert len(stops.pressed()) == 2, "nothing was released"
        set_pin(door, "0")
        until(lambda: not stops.pressed()[0].still, "the door is shut")
        assert stops.pressed()[0].why == f"pressed ({door}); it is released now"
        assert stops.release() == []
        assert stops.pressed() == []


def test_a_line_that_is_not_there_stops_the_robot_until_it_is(segment, tmp_path, door):
    text = door.read_text()
    door.unlink()
    with Stops(segment, robot_with(tmp_path, line_of(door))) as stops:
        (pressed,) = stops.pressed()
        assert pressed.why == f"{door} cannot be read: No such file or directory"
        assert [still.name for still in stops.release()] == ["door"]
        door.write_text(text)
        assert stops.release() == [], "it is opened again when somebody asks to arm"
        assert stops.pressed() == []
        door.unlink()
        until(stops.pressed, "it has vanished")
        assert "cannot be read: No such file" in stops.pressed()[0].why


def test_a_port_without_modem_lines_stops_the_robot(segment, tmp_path):
    master, slave = os.openpty()
    port = os.ttyname(slave)
    line = f'{{ name = "button", kind = "cts", port = "{port}" }}'
    with Stops(segment, robot_with(tmp_path, line)) as stops:
        (pressed,) = stops.pressed()
        assert str(pressed).startswith(f"button: cts of {port} cannot be read: ")
    os.close(master)
    os.close(slave)


def test_only_one_robot_in_a_process_has_the_signal(segment, tmp_path):
    robot = load_robot(write_robot(tmp_path))
    with Stops(segment, robot):
        with pytest.raises(RuntimeError, match="already"):
            Stops(segment, robot).__enter__()
        os.kill(os.getpid(), signal.SIGUSR1)  # it is still the first one's
    Stops(segment, robot).close()


REFUSED = {
    "a name twice": (
        ['{ name = "a", kind = "cts", port = "/dev/x" }', '{ name = "a", kind = "dsr", port = "/dev/x" }'],
        "estop.lines[1] (a).name is already the name of estop.lines[0]",
    ),
    "a wire twice": (
        ['{ name = "a", kind = "cts", port = "/dev/x" }', '{ name = "b", kind = "cts", port = "/dev/x" }'],
        "estop.lines[1] (b).port is already read by estop.lines[0]",
    ),
    "another kind": (
        ['{ name = "a", kind = "dtr", port = "/dev/x" }'],
        'estop.lines[0] (a).kind must be "cts" or "dsr" or "dcd" or "ri" or "gpio", and is "dtr"',
    ),
    "no kind": (['{ name = "a", port = "/dev/x" }'], "estop.lines[0] (a).kind is missing"),
    "no level": (
        ['{ name = "a", kind = "gpio", path = "/x" }'],
        "estop.lines[0] (a).active is missing",
    ),
    "a level that is none": (
        ['{ name = "a", kind = "cts", port = "/dev/x", active = "open" }'],
        'estop.lines[0] (a).active must be "low" or "high", and is "open"',
    ),
    "a path from here": (
        ['{ name = "a", kind = "gpio", path = "value", active = "low" }'],
        "estop.lines[0] (a).path must be a path that begins with /",
    ),
    "a port on a file": (
        ['{ name = "a", kind = "gpio", port = "/x", active = "low" }'],
        "estop.lines[0] (a).port is not a known key",
    ),
    "five": (
        [f'{{ name = "a{i}", kind = "cts", port = "/dev/x{i}" }}' for i in range(5)],
        "estop.lines must not have more than 4",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_lines_that_make_no_sense_are_refused_with_their_place(tmp_path, name):
    lines, words = REFUSED[name]
    with pytest.raises(ConfigError) as caught:
        robot_with(tmp_path, *lines)
    assert words in str(caught.value)


def test_the_adapter_of_a_bus_is_not_an_emergency_stop(tmp_path):
    line = '{ name = "a", kind = "cts", port = "/dev/ttyACM0" }'
    changes = ('port = "sim"', 'port = "/dev/ttyACM0"'), ("[link]", f"[estop]\nlines = [{line}]\n[link]")
    with pytest.raises(ConfigError, match="is the port of bus arm"):
        load_robot(write_robot(tmp_path, *changes))


# The words and the lines that the loop reads are the same ones.


def test_a_press_is_in_the_word_that_the_controller_maps(segment, tmp_path):
    from spinal.native.shared import Segment
    from spinal.native.stop_lines import StopLine

    theirs = Segment.attach_reader("supervisor", segment.open_reader_fd())
    with Stops(segment, load_robot(write_robot(tmp_path))) as stops:
        stops.press()
        pressed = [StopLine(theirs, SUPERVISOR_STOPS, i).pressed_ns for i in range(segments.STOP_LINES)]
        assert pressed[0] == stops.pressed()[0].since_ns > 0
        assert pressed[1:] == [0] * 7
    theirs.close()


# spinal stop.


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where this user's robots are."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "spinal" / "two").mkdir(parents=True, mode=0o700)
    (tmp_path / "spinal").chmod(0o700)
    return tmp_path / "spinal" / "two"


WAITS = "import signal\nprint('up', flush=True)\nsignal.sigwait([signal.SIGUSR1])"
BLOCKED = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n" + WAITS


@pytest.fixture
def other():
    """A process that ends with exit code 0 when SIGUSR1 reaches it."""
    with subprocess.Popen([sys.executable, "-c", BLOCKED], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"up\n"
        yield process
        process.kill()


def present(directory, pid, started=None):
    started = presence._started(pid) if started is None else started
    (directory / presence.FILE).write_bytes(msgspec.json.encode({"pid": pid, "started": started}))


def test_it_stops_a_robot_by_signal_when_its_link_is_dead(home, other, capsys):
    present(home, other.pid)
    assert main.main(["stop"]) == 1, "nobody saw it stop"
    assert other.wait(20) == 0
    said = capsys.readouterr().out
    assert f"two: SIGUSR1 to process {other.pid} was told to stop, but nobody could watch it" in said
    assert "look at the arm" in said


def test_it_stops_a_robot_by_signal_and_sees_it(home, other, capsys):
    present(home, other.pid)
    stopped = msgspec.structs.replace(report(5), mode="stopped")
    with LinkServer(in_directory(home)) as server, serving(server) as goals, publishing(server, stopped):
        assert main.main(["stop", "two"]) == 0
    assert other.wait(20) == 0
    assert goals == [], "one road was enough"
    assert capsys.readouterr().out.splitlines() == [
        f"two: stopped by SIGUSR1 to process {other.pid}; the arm holds, torque on",
        "to go on: make sure that nobody is near the arm, then: spinal plan arm --robot two",
    ]


def test_without_a_process_it_stops_a_robot_by_the_link(home, capsys):
    stopped = msgspec.structs.replace(report(5), mode="stopped")
    with LinkServer(in_directory(home)) as server, serving(server) as goals, publishing(server, stopped):
        assert main.main(["stop", "--json"]) == 0
    assert [goal.goal.kind for goal in goals] == ["estop"]
    outcome = msgspec.json.decode(capsys.readouterr().out)
    assert (outcome["robot"], outcome["stopped"], outcome["by"]) == ("two", True, "the link")


def test_a_robot_that_goes_on_after_the_signal_is_told_over_the_link_too(home, other, monkeypatch, capsys):
    monkeypatch.setattr(stop, "SEEN_MS", 100)
    present(home, other.pid)
    with LinkServer(in_directory(home)) as server, serving(server) as goals, publishing(server, report(5)):
        assert main.main(["stop"]) == 1
    assert [goal.goal.kind for goal in goals] == ["estop"]
    said = capsys.readouterr().out
    assert f"SIGUSR1 to process {other.pid} and the link was told to stop" in said
    assert "it says running" in said


def test_a_process_that_took_over_the_number_is_left_alone(home, other, capsys):
    present(home, other.pid, started=presence._started(other.pid) - 1)
    assert presence.running() == {}
    assert not presence.read(home).signal(signal.SIGUSR1)
    assert main.main(["stop", "two"]) == 1
    assert other.poll() is None
    assert "two: NOT stopped" in capsys.readouterr().out


def test_no_robot_is_an_error_with_a_way_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert main.main(["stop"]) == 5
    assert "cut its power" in capsys.readouterr().err


def test_presence_comes_and_goes_with_the_stops(segment, tmp_path, home):
    with Stops(segment, load_robot(write_robot(tmp_path)), home):
        assert presence.running() == {"two": presence.Presence(os.getpid(), presence._started(os.getpid()))}
    assert list(home.iterdir()) == []


def test_another_robot_s_presence_is_not_withdrawn(home, other):
    present(home, other.pid)
    presence.withdraw(home)
    assert presence.running()["two"].pid == other.pid
    (home / presence.FILE).write_text("garbage")
    assert presence.running() == {}
    assert presence.directory_of(in_directory(home)) == home


def test_what_a_killed_demo_left_is_swept_and_nothing_else(home, other):
    for name in ("demo-1", "demo-2", "demo-3"):
        (home.parent / name).mkdir()
    present(home.parent / "demo-1", other.pid, started=1)
    present(home.parent / "demo-2", other.pid)
    present(home, other.pid, started=1)
    presence.sweep("demo-*")
    assert sorted(path.name for path in home.parent.iterdir()) == ["demo-2", "demo-3", "two"]
