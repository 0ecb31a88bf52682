"""What systemd is told, and the unit that it reads."""

import os
import shutil
import socket
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from spinal.runtime.cli.main import COMMANDS
from spinal.runtime.cli.notify import Service
from spinal.runtime.config.robot import ControlSettings
from spinal.runtime.supervisor import children, supervisor, table

UNIT = Path(__file__).parents[1] / "launch" / "systemd" / "spinal@.service"
S = 1_000_000_000


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def heard(self):
        words = []
        while True:
            try:
                words.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return words


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path):
    """(the manager, what it puts into the environment)"""
    name = f"spinal-test-{os.getpid()}-{tmp_path.name}"
    address = str(tmp_path / "notify") if request.param == "path" else f"\0{name}"
    manager = Systemd(address)
    yield manager, {"NOTIFY_SOCKET": address.replace("\0", "@"), "WATCHDOG_USEC": "10000000"}
    manager.socket.close()


def test_ready_status_and_stopping(systemd):
    manager, environ = systemd
    service = Service(environ)
    service.ready()
    service.status("running")
    service.status("running")
    service.status("stopped: emergency\nstop")
    service.stopping()
    assert manager.heard() == ["READY=1", "STATUS=running", "STATUS=stopped: emergency stop", "STOPPING=1"]


def test_the_watchdog_is_fed_at_half_its_period_by_ticks_that_move(systemd):
    manager, environ = systemd
    service = Service(environ)
    fed_s = []
    for step in range(1, 4001):  # 40 s in steps of 10 ms, of a loop that ticks at 250 Hz
        service.feed(100 * S + step * S // 100, lambda step=step: step * 5 // 2)
        fed_s += [step / 100 for word in manager.heard() if word == "WATCHDOG=1"]
    assert fed_s == [pytest.approx(0.01 + 5 * (n + 1)) for n in range(7)]


def test_a_loop_that_stands_still_is_not_fed_for(systemd):
    manager, environ = systemd
    service = Service(environ)
    for step in range(4000):
        service.feed(100 * S + step * S // 100, lambda: 77)
    assert manager.heard() == []
    service.feed(141 * S, lambda: 78)
    assert manager.heard() == ["WATCHDOG=1"], "late is not dead"


def test_a_controller_that_was_restarted_counts_from_the_beginning(systemd):
    manager, environ = systemd
    service = Service(environ)
    for now_s, ticks in ((100, 5000), (105, 6000), (110, 20)):
        service.feed(now_s * S, lambda ticks=ticks: ticks)
    assert manager.heard() == ["WATCHDOG=1"] * 2


@pytest.mark.parametrize(
    "environ",
    [{"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "-5"}, {"WATCHDOG_PID": "1"}],
)
def test_no_watchdog_is_no_feeding(tmp_path, environ):
    manager = Systemd(str(tmp_path / "notify"))
    service = Service({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000", **environ})
    asked = []
    for second in range(10):
        service.feed(second * S, lambda second=second: asked.append(second) or second)
    assert (manager.heard(), asked) == ([], [])
    manager.socket.close()


def test_without_systemd_nothing_is_said_and_a_manager_that_is_gone_harms_nobody(tmp_path):
    for environ in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "1000000"}):
        service = Service(environ)
        service.ready()
        service.status("running")
        service.feed(S, lambda: 1)
        service.feed(3 * S, lambda: 2)


# The unit.


@pytest.fixture(scope="module")
def unit():
    found = defaultdict(list)
    section = ""
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, line
            found[section, key].append(value)
    return found


def only(unit, key, section="Service"):
    (value,) = unit[section, key]
    return value


def test_it_runs_the_daemon_for_its_instance(unit):
    program, command, file = only(unit, "ExecStart").split()
    assert program.endswith("/spinal")
    assert command in COMMANDS
    assert file == "/etc/spinal/%i.toml"
    assert only(unit, "Type") == "notify"
    assert float(only(unit, "WatchdogSec")) > 2 * children.BACK_OFF_S[-1] + 1, "a restart is no hang"


def test_it_may_have_real_time_and_hands_it_to_nobody(unit):
    highest = next(m.le for m in ControlSettings.model_fields["fifo_priority"].metadata if hasattr(m, "le"))
    assert int(only(unit, "LimitRTPRIO")) == highest
    assert only(unit, "LimitMEMLOCK") == "infinity"
    keys = {key for _, key in unit}
    inherited = {key for key in keys if key.startswith(("CPUScheduling", "IOScheduling", "Nice"))}
    assert not inherited, "onnxruntime's threads would have it too"


def test_nothing_that_the_robot_needs_is_forbidden(unit):
    keys = {key for _, key in unit}
    assert not keys & {
        "RestrictRealtime",
        "MemoryDenyWriteExecute",
        "PrivateDevices",
        "ProtectClock",
        "DevicePolicy",
        "PrivateNetwork",
        "SystemCallFilter",
    }
    assert set(only(unit, "RestrictAddressFamilies").split()) == {
        "AF_UNIX",
        "AF_INET",
        "AF_INET6",
        "AF_NETLINK",
        "AF_CAN",
    }
    for key in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "LockPersonality"):
        assert only(unit, key) == "yes"
    assert only(unit, "ProtectSystem") == "strict"


def test_what_is_written_may_be_written(unit):
    environment = dict(value.split("=", 1) for value in unit["Service", "Environment"])
    assert environment["XDG_RUNTIME_DIR"] == f"/run/{only(unit, 'RuntimeDirectory')}"
    assert environment["XDG_STATE_HOME"] == f"/var/lib/{only(unit, 'StateDirectory')}"
    assert only(unit, "RuntimeDirectoryMode") == only(unit, "StateDirectoryMode") == "0700"


def test_it_ends_in_order_and_does_not_start_by_itself(unit):
    assert only(unit, "KillMode") == "mixed", (
        "the main process brings the arm to rest; its children wait for it"
    )
    processes = 6
    assert float(only(unit, "TimeoutStopSec")) > processes * children.KILL_AFTER_S + supervisor.REST_MARGIN_S
    longest = max(row.ready_limit_s for row in vars(table).values() if isinstance(row, table.ProcessRow))
    assert float(only(unit, "TimeoutStartSec")) >= 2 * longest
    assert only(unit, "Restart") == "no", "a stop that was latched would be forgotten"


def test_systemd_itself_takes_it(tmp_path):
    analyse = shutil.which("systemd-analyze")
    if analyse is None:
        pytest.skip("there is no systemd-analyze here")
    text = UNIT.read_text().replace("/opt/spinal/bin/spinal", "/bin/true").replace("User=spinal\n", "")
    (tmp_path / "spinal@.service").write_text(text)
    done = subprocess.run(
        [analyse, "verify", tmp_path / "spinal@test.service"], capture_output=True, text=True, check=False
    )
    assert "spinal@" not in done.stderr, done.stderr
