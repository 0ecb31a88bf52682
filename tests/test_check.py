"""`spinal check`: bus budgets, port facts, and what a person and a machine are told."""

import json
import os
import pty
import subprocess
import sys
from types import SimpleNamespace

import pytest
from robot_files import write_policy, write_robot

from spinal import __version__
from spinal.drivers.ports import PortHolder, port_facts
from spinal.runtime.cli import check_report
from spinal.runtime.cli.main import COMMANDS, Command, main
from spinal.runtime.config import load_robot
from spinal.runtime.config.budget import budget_problems, bus_budget
from spinal.runtime.errors import BusError


@pytest.fixture
def terminal():
    """A pseudo-terminal: its path, and the descriptor of its other end."""
    controller, device = pty.openpty()
    yield os.ttyname(device), controller
    os.close(device)
    os.close(controller)


def joints(count):
    """More gripper-less joints on the bus, written like the first."""
    one = (
        '[[joints]]\nname = "j{0}"\nkind = "arm"\nbus = "arm"\nid = {0}\ncounts_per_turn = 4096\n'
        "zero_count = 2048\ndirection = 1\n"
        "limits = {{ position_min = -1, position_max = 1, velocity = 4, acceleration = 80, jerk = 4000,"
        " torque_fraction = 1 }}\n"
        "emergency = {{ acceleration = 120, jerk = 20000 }}\n"
    )
    return "".join(one.format(index) for index in range(10, 10 + count))


def test_budget_of_six_servos_is_the_datasheets(tmp_path):
    robot = load_robot(write_robot(tmp_path, ("[streams.block]", joints(4) + "[streams.block]")))
    budget = bus_budget(robot, "arm")
    # request 8+6, replies 6*(6+6), write 8+6*(1+2) bytes of 10 us each
    assert (budget.read_us, budget.write_us, budget.gap_us) == pytest.approx((860, 260, 300))
    assert budget.share == pytest.approx(1420 / 4000)
    assert budget.verdict == "fits"
    assert budget_problems(robot) == ([], [])


@pytest.mark.parametrize(
    ("baud", "servo_hz", "errors", "warnings"),
    [
        (1_000_000, 1000, 0, 0),  # 580 us of 1000: 58 %
        (500_000, 500, 0, 0),  # 1060 us of 2000: 53 %, 80 % with a reading of health
        (500_000, 650, 0, 1),  # 69 %, and 103 % with a reading of health
        (500_000, 670, 0, 1),  # 71 %
        (500_000, 840, 0, 1),  # 89 %
        (500_000, 860, 1, 0),  # 91 %
    ],
)
def test_a_full_bus_is_an_error_and_a_tight_one_a_warning(tmp_path, baud, servo_hz, errors, warnings):
    changes = [("baud = 1000000", f"baud = {baud}"), ("servo_hz = 250", f"servo_hz = {servo_hz}")]
    timeout = ("reply_timeout_us = 2000", "reply_timeout_us = 990")
    problems, tight = budget_problems(load_robot(write_robot(tmp_path, *changes, timeout)))
    assert (len(problems), len(tight)) == (errors, warnings)
    for problem in problems + tight:
        assert problem.path == "buses.arm"
        assert "lower control.servo_hz" in problem.hint


def test_bus_settings_that_cannot_work(tmp_path):
    changes = [
        ("baud = 1000000", "baud = 9600"),
        ("servo_hz = 250", "servo_hz = 50"),
        ("\nhz = 50", "\nhz = 10"),
    ]
    problems, _ = budget_problems(load_robot(write_robot(tmp_path, *changes)))
    told = {problem.path: problem for problem in problems}
    assert "9600, which feetech servos do not speak" in told["buses.arm.baud"].message
    assert "a read takes" in told["buses.arm.reply_timeout_us"].message
    assert "of a tick" in told["buses.arm"].message


def test_a_port_that_nobody_has(terminal):
    facts = port_facts(terminal[0])
    assert (facts.exists, facts.is_terminal, facts.may_use) == (True, True, True)
    assert os.getpid() not in [holder.pid for holder in facts.holders]


def test_a_port_that_another_process_holds(terminal):
    path, _ = terminal
    hold = "import os, sys; os.open(sys.argv[1], os.O_RDWR); print(1, flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        holders = port_facts(path).holders
        process.stdin.close()
    assert [holder.pid for holder in holders] == [process.pid]
    assert holders[0].command.startswith("python")
    assert port_facts(path).holders == ()


def test_ports_that_are_none(tmp_path):
    assert not port_facts(str(tmp_path / "ttyUSB9")).exists
    file = tmp_path / "file"
    file.touch()
    assert port_facts(str(file)).exists
    assert not port_facts(str(file)).is_terminal


def facts(**changes):
    usual = {"path": "/dev/ttyACM0", "exists": True, "is_terminal": True, "may_use": True, "group": "dialout"}
    return lambda path: SimpleNamespace(**{**usual, "holders": (), **changes})


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"exists": False}, "is not there: /dev/ttyACM0", "/dev/ttyUSB3 (adapter)"),
        ({"is_terminal": False}, "is not a serial port", "/dev/ttyACM0"),
        ({"may_use": False}, "may not be used by this user", "sudo usermod -aG dialout $USER"),
        ({"holders": (PortHolder(42, "other"),)}, "is in use by other (pid 42)", "end that program"),
    ],
)
def test_what_a_port_lacks_is_told(tmp_path, monkeypatch, changes, message, hint):
    write_policy(tmp_path)
    monkeypatch.setattr(check_report, "port_facts", facts(**changes))
    monkeypatch.setattr(check_report, "serial_ports", lambda: {"/dev/ttyUSB3": "adapter"})
    report = check_report.examine(str(write_robot(tmp_path, ('port = "sim"', 'port = "/dev/ttyACM0"'))))
    (problem,) = report.problems
    assert problem.path == "buses.arm.port"
    assert message in problem.message
    assert hint in problem.hint


def test_checking_writes_nothing_to_the_port(tmp_path, terminal):
    path, controller = terminal
    write_policy(tmp_path)
    assert main(["check", str(write_robot(tmp_path, ('port = "sim"', f'port = "{path}"')))]) == 0
    os.set_blocking(controller, False)
    with pytest.raises(BlockingIOError):  # nobody wrote
        os.read(controller, 1)


def test_a_good_robot(tmp_path, capsys):
    write_policy(tmp_path)
    assert main(["check", str(write_robot(tmp_path))]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    for word in ("elbow", "arm:1", "-1.5..1.5 rad", "90 ms", "policy reach 0.1.0", "same", "feetech", "ok: "):
        assert word in told.out


def test_all_problems_of_all_files_at_once(tmp_path, capsys):
    write_policy(tmp_path, ('name = "elbow"', 'name = "knee"'))
    changes = [('port = "sim"', 'port = "/dev/ttyNONE"'), ("baud = 1000000", "baud = 38400")]
    path = write_robot(tmp_path, *changes)
    assert main(["check", str(path)]) == 2
    told = capsys.readouterr()
    for place in ("joints[0] differs (name)", "buses.arm.port is not there", "buses.arm needs"):
        assert place in told.err
    assert told.err.startswith(f"spinal: {path}: ")
    assert told.err.rstrip().endswith(f"run: spinal check {path}")
    assert "elbow" in told.out
    assert "ok:" not in told.out


def test_an_unknown_driver(tmp_path, capsys):
    write_policy(tmp_path)
    path = write_robot(tmp_path, ('protocol = "feetech"', 'protocol = "feetec"'))
    assert main(["check", str(path), "--json"]) == 2
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem["path"] == "buses.arm.protocol"
    assert problem["hint"] == "did you mean feetech?"


def test_a_robot_without_a_policy(tmp_path, capsys):
    assert (
        main(["check", str(write_robot(tmp_path, ('[policy]\nmodel = "policy.onnx"\nhz = 50\n', "")))]) == 0
    )
    assert "follows a planner's chunks" in capsys.readouterr().out


def test_for_machines(tmp_path, capsys):
    write_policy(tmp_path)
    assert main(["check", "--json", str(write_robot(tmp_path))]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["robot"], told["problems"], told["policy"]["steps"]) == (True, "two", [], 20)
    assert told["joints"][0]["time_to_rest_s"] == pytest.approx(0.09)
    assert told["buses"][0]["budget"]["verdict"] == "fits"
    assert main(["check", "--json", str(write_robot(tmp_path, ("schema = 1", "schema = 3")))]) == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], [problem["path"] for problem in told["problems"]]) == (False, ["schema"])


def test_errors_leave_with_their_own_code_and_no_traceback(monkeypatch, capsys):
    def broken(args):
        raise BusError("the line is silent", "look at the plug")

    module = SimpleNamespace(add_parser=lambda sub: sub.add_parser("broken").set_defaults(run=broken))
    monkeypatch.setitem(sys.modules, "broken_command", module)
    monkeypatch.setitem(COMMANDS, "broken", Command("broken_command", "fails"))
    assert main(["broken"]) == 4
    assert capsys.readouterr().err == "spinal: the line is silent\nnext: look at the plug\n"


@pytest.mark.parametrize("arguments", [[], ["checks"], ["check"], ["check", "--jsn", "x.toml"]])
def test_bad_command_lines(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "usage: spinal" in capsys.readouterr().err


def test_as_a_process(tmp_path):
    write_policy(tmp_path)
    command = [sys.executable, "-m", "spinal.runtime.cli.main"]
    good = subprocess.run(
        [*command, "check", write_robot(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (good.returncode, good.stderr) == (0, "")
    assert "ok: nothing was moved" in good.stdout
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout == f"spinal {__version__}\n"


@pytest.mark.parametrize("library", ["onnxruntime", "zmq", "numba", "mujoco", "numpy"])
def test_a_check_imports_nothing_heavy(library):
    code = f"import sys; import spinal.runtime.cli.check; sys.exit('{library}' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("servo_hz", "baud", "every"),
    [
        (250, 1_000_000, 12),  # two motors, four readings: 192 ms
        (1000, 1_000_000, 50),
        (50, 1_000_000, 2),
        (500, 500_000, 25),
        (650, 500_000, 0),  # a cycle of 1060 us, 530 us more for a reading, and a tick of 1538 us
    ],
)
def test_motors_are_asked_about_themselves_as_often_as_the_bus_allows(tmp_path, servo_hz, baud, every):
    changes = [("baud = 1000000", f"baud = {baud}"), ("servo_hz = 250", f"servo_hz = {servo_hz}")]
    timeout = ("reply_timeout_us = 2000", "reply_timeout_us = 990")
    budget = bus_budget(load_robot(write_robot(tmp_path, *changes, timeout)), "arm")
    assert budget.health_every == every
    assert budget.health_bytes == 8 + 16
    assert budget.health_us == pytest.approx(24 * 10e6 / baud + 50)
    assert budget.health_turn_s == pytest.approx(4 * every / servo_hz)
    if every:
        assert budget.cycle_us + budget.health_us <= 0.9 * budget.period_us


def test_a_bus_without_room_for_health_says_what_is_not_noticed(tmp_path):
    changes = [("baud = 1000000", "baud = 500000"), ("servo_hz = 250", "servo_hz = 650")]
    timeout = ("reply_timeout_us = 2000", "reply_timeout_us = 990")
    problems, (warning,) = budget_problems(load_robot(write_robot(tmp_path, *changes, timeout)))
    assert problems == []
    assert "no room to ask the motors about themselves" in warning.message
    assert warning.hint == "raise the baud, or lower control.servo_hz to 566 or less"
