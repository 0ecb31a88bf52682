"""Bad input, from the command line on: one message each that says what to do next, before any motor is touched.

The robots here stand on a pseudo-terminal whose other end is in the test's hand: what is written to it, is seen.
"""

import errno
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from policy_models import ECHO, FAR_SIGHTED, NO_STREAMS, NOT_A_NUMBER, UNKNOWN, write_model, write_model_for
from pty_arm import NO_POLICY, PtyArm, on_port
from robot_files import edited, write_policy, write_robot
from spinal_process import COMMAND, ROOT, Started
from supervised import SIMULATED

from spinal.drivers.lines import open_serial
from spinal.runtime.cli.main import main
from spinal.runtime.errors import BusError

PRIORITY_CAPABILITY, DROP_FROM_BOUNDING_SET = 23, 24
UNPRIVILEGED = f"""
import ctypes, os, resource, sys
resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
ctypes.CDLL(None).prctl({DROP_FROM_BOUNDING_SET}, {PRIORITY_CAPABILITY}, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Runs a command as somebody to whom no real-time priority is granted, whoever runs the tests."""


class Port:
    """A pseudo-terminal; its other end shows what anybody wrote to it."""

    def __init__(self):
        self._line, device = pty.openpty()
        self.path = os.ttyname(device)
        os.close(device)
        os.set_blocking(self._line, False)

    @property
    def written(self):
        try:
            return os.read(self._line, 4096)
        except OSError as error:
            if error.errno in (
                errno.EAGAIN,
                errno.EIO,
            ):  # EIO: nobody has it open; what was written comes first
                return b""
            raise

    def close(self):
        os.close(self._line)


@pytest.fixture
def port():
    port = Port()
    yield port
    assert port.written == b"", "a motor was spoken to"
    port.close()


def refusal(capsys, *arguments):
    """What ``spinal`` says about ``arguments`` that it refuses."""
    assert main([str(argument) for argument in arguments]) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    return told


COMMANDS = pytest.mark.parametrize("command", [["check"], ["run"], ["demo", "--headless", "--robot"]])

UNKNOWN_KEY = ("servo_hz = 250", "servo_hz = 250\nsmooth = true")
NO_JERK = (", jerk = 4000.0", "")
BAD_NUMBER = ("acceleration = 120.0, jerk = 20000.0", "acceleration = -1.0, jerk = 20000.0")


@COMMANDS
@pytest.mark.parametrize(
    ("change", "place", "hint"),
    [
        (UNKNOWN_KEY, "control.smooth", "known"),
        (NO_JERK, "joints[0] (elbow).limits.jerk", "jerk"),
        (BAD_NUMBER, "joints[0] (elbow).emergency.acceleration", "above 0"),
    ],
)
def test_a_robot_file_that_is_wrong(tmp_path, port, capsys, command, change, place, hint):
    path = write_robot(tmp_path, *on_port(port.path), NO_POLICY)
    path.write_text(edited(path.read_text(), change))
    told = refusal(capsys, *command, path)
    assert told.startswith(f"spinal: {path}: 1 problem\n")
    assert place in told
    assert hint in told
    assert f"next: correct {path} and run: spinal check {path}" in told


@COMMANDS
def test_all_that_is_wrong_with_a_file_is_told_at_once(tmp_path, port, capsys, command):
    path = write_robot(tmp_path, *on_port(port.path), NO_POLICY)
    path.write_text(edited(path.read_text(), UNKNOWN_KEY, NO_JERK, BAD_NUMBER))
    told = refusal(capsys, *command, path)
    assert told.startswith(f"spinal: {path}: 3 problems\n")
    for place in ("control.smooth", "joints[0] (elbow).limits.jerk", "joints[0] (elbow).emergency.acceler"):
        assert place in told


@COMMANDS
def test_a_policy_for_other_joints_and_a_bus_that_is_too_slow_at_once(tmp_path, port, capsys, command):
    write_policy(
        tmp_path,
        ('{ name = "elbow", kind = "arm"', '{ name = "knee", kind = "arm"'),
        *NO_STREAMS,
    )
    path = write_robot(tmp_path, *on_port(port.path), ("baud = 1000000", "baud = 38400"))
    told = refusal(capsys, *command, path)
    assert "joints[0] differs (name): the card has knee (arm, rad), the robot elbow (arm, rad)" in told
    assert "buses.arm" in told
    assert f"next: correct this and run: spinal check {path}" in told


@COMMANDS
def test_a_port_that_is_not_there(tmp_path, capsys, command):
    path = write_robot(tmp_path, *on_port("/dev/ttyNONE7"), NO_POLICY)
    told = refusal(capsys, *command, path)
    assert "buses.arm.port is not there: /dev/ttyNONE7" in told
    assert "ports here" in told or "plug the adapter in" in told


HOLD = """
import fcntl, sys, termios
port = open(sys.argv[1], "rb+", buffering=0)
fcntl.ioctl(port, termios.TIOCEXCL)
fcntl.flock(port, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(port):
    command = [sys.executable, "-c", HOLD, port.path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.stdin.close()


@COMMANDS
def test_a_port_that_another_program_holds(tmp_path, port, holder, capsys, command):
    path = write_robot(tmp_path, *on_port(port.path), NO_POLICY)
    told = refusal(capsys, *command, path)
    assert re.search(rf"buses\.arm\.port is in use by \S+ \(pid {holder.pid}\): {port.path}", told)
    assert "end that program first" in told


def test_a_port_that_is_taken_between_check_and_opening(port, holder):
    with pytest.raises(BusError, match=f"cannot open {port.path}: ") as raised:
        open_serial(port.path, 1_000_000)
    assert "run: spinal check" in raised.value.hint


@COMMANDS
@pytest.mark.parametrize(
    ("model", "said"),
    [
        (bytes(range(256)), "policy.onnx is not an ONNX model"),
        (b"", "policy.onnx is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "policy.onnx is a Git LFS pointer"),
    ],
)
def test_a_model_that_is_none(tmp_path, port, capsys, command, model, said):
    write_policy(tmp_path, *NO_STREAMS, model=model)
    told = refusal(capsys, *command, write_robot(tmp_path, *on_port(port.path)))
    assert said in told
    assert "next:" in told


def test_the_demo_wants_a_simulation(tmp_path, capsys):
    arm = PtyArm(tmp_path)
    try:
        told = refusal(capsys, "demo", "--headless", "--robot", arm.file)
    finally:
        arm.unplug()
    assert "is not a simulated robot with a policy" in told
    assert "use: spinal run" in told


@pytest.mark.parametrize("option", ["--json", "--video"])
def test_a_place_where_nothing_can_be_written_is_found_before_the_run(tmp_path, capsys, option):
    told = refusal(capsys, "demo", "--headless", option, tmp_path / "none" / "out")
    assert f"{option} {tmp_path / 'none'} is not a folder" in told
    told = refusal(capsys, "demo", "--headless", option, tmp_path)
    assert f"{option} {tmp_path} is a folder" in told


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--seconds", "soon", "a number, not 'soon'"),
        ("--seconds", "nan", "above 0"),
        ("--seconds", "0", "above 0"),
        ("--delay-ms", "-1", "between 0 and 1000"),
        ("--delay-ms", "inf", "between 0 and 1000"),
        ("--seed", "x", "invalid int"),
    ],
)
def test_options_that_are_wrong(capsys, option, value, said):
    with pytest.raises(SystemExit) as left:
        main(["demo", option, value])
    assert left.value.code == 2
    assert said in capsys.readouterr().err


def mentions(folder):
    """Processes whose command line names something in ``folder``: a robot's children name its file."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if os.fsencode(folder) in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
    return found


def assert_refused(folder, exit_code, *words, command=("run",), robot=None):
    with Started(folder, *command, robot) as run:
        assert run.exit_code() == exit_code, run.said
        said = run.said
        assert "Traceback" not in said
        assert run.printed == ""
        *_, message, hint = said.splitlines()
        assert message.startswith("spinal: ")
        assert hint.startswith("next: ")
        for word in words:
            assert word in said
        assert said.count("next: ") == 1, said
        assert not [path for path in run.temporary.rglob("*") if path.is_socket()]
    assert mentions(folder) == []


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (
            lambda folder: write_model(folder, UNKNOWN, streams=False),
            ["onnxruntime cannot load policy.onnx", "spinal check"],
        ),
        (
            lambda folder: write_model(folder, NOT_A_NUMBER, streams=False),
            ["policy.onnx answers numbers that are not finite", "check the weights"],
        ),
    ],
    ids=["broken", "nan"],
)
def test_a_model_that_fails_when_it_is_loaded(tmp_path, port, write, words):
    write(tmp_path)
    robot = write_robot(tmp_path, *on_port(port.path))
    assert_refused(tmp_path, 3, *words, robot=robot)


@COMMANDS
def test_a_model_whose_tensors_are_not_the_cards(tmp_path, port, capsys, command):
    write_model(tmp_path, ECHO, ('name = "q"', 'name = "joints"'), streams=False)
    told = refusal(capsys, *command, write_robot(tmp_path, *on_port(port.path)))
    assert "policy.card.toml: inputs[0] (joints) is not an input of the model: joints" in told
    assert "the model's inputs are: mask, noise, prefix, q" in told
    assert "inputs lack q, which the model wants: float32 [1, 2]" in told


def simulated(folder, nodes):
    """The simulated robot with a model of ``nodes`` for its policy."""
    model = write_model_for(folder, SIMULATED, nodes)
    path = folder / "robot.toml"
    text = re.sub(r'(?m)^model = "[^"]*"', f'model = "{model}"', SIMULATED.read_text())
    path.write_text(text)
    return path


DEMO = ("demo", "--headless", "--seconds", "3", "--robot")


def test_a_demo_whose_model_fails_when_it_is_loaded(tmp_path):
    robot = simulated(tmp_path, NOT_A_NUMBER)
    assert_refused(tmp_path, 3, "not finite", "check the weights", command=DEMO, robot=robot)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_demo_whose_model_answers_nonsense_to_what_it_sees_never_moves_and_says_so(tmp_path):
    robot = simulated(tmp_path, FAR_SIGHTED)
    with Started(tmp_path, *DEMO, robot) as run:
        assert run.exit_code() == 3, run.said
        assert "ready (no trajectory, policy: the model answered numbers that are not finite)" in run.said
        *_, message, hint = run.said.splitlines()
        assert message == "spinal: the robot never ran: the model answered numbers that are not finite"
        assert hint.startswith("next: look at the policy's inputs and outputs")
    assert mentions(tmp_path) == []


def test_a_robot_that_the_simulation_has_no_arm_for(tmp_path):
    write_model(tmp_path, ECHO)
    words = ("the simulated world has an arm of 6 joints, and two has 2", "so101_sim.toml")
    assert_refused(tmp_path, 6, *words, command=DEMO, robot=write_robot(tmp_path))


@pytest.fixture
def unprivileged():
    """A prefix for commands that are granted no real-time priority."""
    prefix = (sys.executable, "-c", UNPRIVILEGED)
    probe = "from spinal.native import realtime; print(realtime.probe(45)['fifo'])"
    said = subprocess.run(
        [*prefix, sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, check=True
    )
    if said.stdout.strip() == "None":
        pytest.skip("this machine grants SCHED_FIFO to everybody")
    return prefix


def test_a_robot_that_requires_real_time_does_not_move_without_it(tmp_path, port, unprivileged):
    robot = write_robot(tmp_path, *on_port(port.path, realtime="require"), NO_POLICY)
    done = subprocess.run(
        [*unprivileged, *COMMAND, "run", robot],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        timeout=60,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    message, hint = done.stderr.splitlines()
    assert message.startswith("spinal: SCHED_FIFO at priority 45 was refused: ")
    assert hint.startswith("next: grant it (ulimit -r, LimitRTPRIO in the service, or run as root)")
    assert mentions(tmp_path) == []


def test_a_servo_that_does_not_answer_is_named(tmp_path):
    arm = PtyArm(tmp_path)
    arm.silence(True)
    try:
        assert_refused(tmp_path, 4, "no answer from elbow (id 1), gripper (id 2)", robot=arm.file)
    finally:
        arm.unplug()


def test_a_name_that_another_robot_listens_under_is_found_before_a_motor_is_touched(tmp_path, port):
    arm = PtyArm(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    robot = write_robot(other, *on_port(port.path), NO_POLICY)
    try:
        with Started(tmp_path, "run", arm.file) as first:
            first.until_said("two is ready")
            with Started(other, "run", robot, temporary=first.temporary) as second:
                assert second.exit_code() == 5, second.said
            *_, message, hint = second.said.splitlines()
            assert message.startswith("spinal: another robot process already listens in ")
            assert hint.startswith("next: stop it first")
            assert first.process.poll() is None
            first.process.terminate()
            assert first.exit_code() == 0, first.said
    finally:
        arm.unplug()
    assert mentions(tmp_path) == []


def test_without_real_time_a_robot_that_prefers_it_says_so_and_runs(tmp_path, unprivileged):
    arm = PtyArm(tmp_path)
    try:
        with Started(tmp_path, "run", arm.file, prefix=unprivileged) as run:
            run.until_said("two is ready")
            assert "real-time priority was refused (" in run.said
            run.process.terminate()
            assert run.exit_code() == 0, run.said
            assert "real time NOT granted" in run.said
    finally:
        arm.unplug()
