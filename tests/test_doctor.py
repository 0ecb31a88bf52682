"""The doctor: each fact is read as it is, its fix named, and nothing changed that was not asked for."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spinal.runtime.cli import doctor
from spinal.runtime.cli.main import main
from spinal.runtime.preflight import inference, kernel, permissions, ports, power
from spinal.runtime.preflight.examine import examine, facts, verdict
from spinal.runtime.preflight.finding import Finding, Status, System, Write
from spinal.runtime.preflight.lateness import judged, lateness
from spinal.runtime.preflight.rivals import rivals


@pytest.fixture
def computer(tmp_path):
    """A made-up computer: files by their absolute names."""

    def make(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return System(tmp_path)

    return make


def put(system, name, text):
    path = system.path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("Linux version 6.12 #1 SMP PREEMPT_RT Debian", Status.GOOD),
        ("Linux version 6.12 #1 SMP PREEMPT_DYNAMIC", Status.WARN),
        ("Linux version 6.12 #1 SMP", Status.WARN),
    ],
)
def test_the_kernel_preempts_or_not(computer, version, status):
    found = kernel.preemption(computer(proc__version=version))
    assert found.status is status
    assert bool(found.fix) == (status is not Status.GOOD)


def test_a_kernel_with_the_old_patch_says_so_elsewhere(computer):
    assert kernel.preemption(computer(sys__kernel__realtime="1")).status is Status.GOOD


CLOCK = "/sys/devices/system/clocksource/clocksource0/current_clocksource"


@pytest.mark.parametrize(("source", "status"), [("tsc", Status.GOOD), ("hpet", Status.WARN)])
def test_a_slow_clock_is_seen(computer, source, status):
    system = computer()
    assert kernel.clock_source(system) is None, "where nothing is known nothing is said"
    put(system, CLOCK, source)
    assert kernel.clock_source(system).status is status


@pytest.mark.parametrize(("active", "status"), [("1", Status.GOOD), ("0", Status.BAD)])
def test_timers_of_low_resolution_are_refused(computer, active, status):
    found = kernel.timer_resolution(computer(proc__timer_list=f"cpu: 0\n  .hres_active    : {active}\n"))
    assert found.status is status


@pytest.mark.parametrize(
    ("runtime", "status"), [("950000", Status.GOOD), ("300000", Status.WARN), ("-1", Status.NOTE)]
)
def test_throttling(computer, runtime, status):
    system = computer(
        proc__sys__kernel__sched_rt_runtime_us=runtime, proc__sys__kernel__sched_rt_period_us="1000000"
    )
    assert kernel.throttling(system).status is status


def test_isolated_processors_are_named(computer):
    system = computer()
    assert kernel.isolation(system) is None
    put(system, "/sys/devices/system/cpu/isolated", "2-3\n")
    assert "2-3" in kernel.isolation(system).fact


def test_a_refused_priority_is_bad_and_says_how_to_grant_it():
    found = permissions.priority(45, lambda priority: {"fifo": "Operation not permitted"})
    assert found.status is Status.BAD
    assert "rtprio" in found.fix
    assert permissions.priority(45, lambda priority: {"fifo": None}).status is Status.GOOD


def test_memory_that_may_not_be_locked():
    assert permissions.memory_lock(8 << 20, may_lock=False).status is Status.WARN
    assert permissions.memory_lock(permissions.MEMORY_NEEDED, may_lock=False).status is Status.GOOD
    assert permissions.memory_lock(8 << 20, may_lock=True).status is Status.GOOD


def test_idle_states_matter_where_there_are_some(computer, monkeypatch):
    system = computer()
    assert permissions.idle_states(system) is None
    put(system, "/sys/devices/system/cpu/cpu0/cpuidle/state0/latency", "0")
    assert permissions.idle_states(system) is None, "polling alone is no sleep"
    put(system, "/sys/devices/system/cpu/cpu0/cpuidle/state2/latency", "133")
    found = permissions.idle_states(system)
    assert found.status is Status.WARN
    assert "133 us" in found.fact
    put(system, "/dev/cpu_dma_latency", "")
    assert permissions.idle_states(system).status is Status.GOOD


def test_governors_are_mended_and_nothing_else(computer):
    system = computer()
    assert power.governor(system) is None
    files = [
        put(system, f"/sys/devices/system/cpu/cpu{i}/cpufreq/scaling_governor", "powersave") for i in (0, 1)
    ]
    files[0].write_text("performance\n")
    found = power.governor(system)
    assert found.status is Status.WARN
    assert "1 of 2" in found.fact
    assert [repair.path for repair in found.repairs] == [files[1]]
    assert "mended" in doctor.mend(found)
    assert power.governor(system).status is Status.GOOD


def test_a_repair_that_is_refused_says_how_by_hand(tmp_path):
    found = Finding("x", Status.WARN, "is", "means", "do this", (Write(tmp_path / "no" / "file", "1"),))
    assert doctor.mend(found) == "x: No such file or directory; by hand: do this"


def test_one_processor_is_few():
    assert power.processors(1).status is Status.WARN
    assert power.processors(2).status is Status.GOOD


def test_a_virtual_machine_and_its_stolen_time(computer):
    assert power.virtual(computer(proc__cpuinfo="flags\t: fpu tsc\n")) is None
    system = computer(
        proc__cpuinfo="flags\t: fpu hypervisor tsc\n", proc__stat="cpu  10 0 10 70 0 0 0 10 0 0\n"
    )
    found = power.virtual(system)
    assert found.status is Status.WARN
    assert "10.00%" in found.fact


def test_swap(computer):
    head = "Filename Type Size Used Priority\n"
    assert power.swap(computer(proc__swaps=head)) is None
    found = power.swap(computer(proc__swaps=head + "/swap file 4194304 2048 -2\n"))
    assert "2 MiB" in found.fact


def test_an_adapter_that_keeps_bytes_back_is_bad_and_mended(computer):
    system = computer()
    assert ports.latency_timers(system) is None
    timer = put(system, "/sys/bus/usb-serial/devices/ttyUSB0/latency_timer", "16\n")
    found = ports.latency_timers(system)
    assert found.status is Status.BAD
    assert "16 ms" in found.fact
    doctor.mend(found)
    assert timer.read_text() == "1"
    assert ports.latency_timers(system).status is Status.GOOD


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_a_port_of_others_is_named(computer):
    system = computer()
    put(system, "/dev/ttyUSB0", "").chmod(0)
    assert ports.access(system).status is Status.BAD


def test_ports_that_may_be_opened(computer):
    system = computer()
    assert ports.access(system) is None
    put(system, "/dev/ttyACM0", "")
    assert ports.access(system).status is Status.GOOD


def test_services_that_take_adapters_are_named(computer):
    system = computer()
    assert ports.grabbers(system) == []
    put(system, "/proc/812/comm", "brltty\n")
    put(system, "/proc/813/comm", "sshd\n")
    (found,) = ports.grabbers(system)
    assert "disable --now brltty" in found.fix


def thread(system, pid, name, flags=0, priority=0, policy=0):
    rest = ["S", *["0"] * 50]
    rest[6], rest[37], rest[38] = str(flags), str(priority), str(policy)
    put(system, f"/proc/{pid}/task/{pid}/stat", f"{pid} ({name}) {' '.join(rest)}")


def test_rivals_are_programs_with_an_urgent_thread(computer):
    system = computer()
    thread(system, 10, "migration/0", flags=0x00200000, priority=99, policy=1)
    thread(system, 11, "shell")
    thread(system, 12, "music (jack)", priority=44, policy=1)
    assert rivals(system, 45).status is Status.GOOD
    thread(system, 13, "hog (a b)", priority=99, policy=2)
    found = rivals(system, 45)
    assert found.status is Status.WARN
    assert found.fact.endswith("hog (a b)")


def test_the_fields_of_a_thread_are_those_of_the_kernel():
    """Of this very process: SCHED_OTHER, no real-time priority."""
    text = Path("/proc/self/stat").read_text()
    rest = text[text.rindex(")") + 1 :].split()
    from spinal.runtime.preflight.rivals import POLICY_FIELD, RT_PRIORITY_FIELD

    assert (rest[RT_PRIORITY_FIELD], rest[POLICY_FIELD]) == ("0", str(os.sched_getscheduler(0)))


@pytest.mark.parametrize(
    ("usable", "missing", "status"),
    [
        (["CPUExecutionProvider"], [], Status.NOTE),
        (["CPUExecutionProvider"], ["CUDAExecutionProvider"], Status.NOTE),
        (["CUDAExecutionProvider", "CPUExecutionProvider"], [], Status.GOOD),
        ([], ["CPUExecutionProvider"], Status.BAD),
    ],
)
def test_providers_are_what_works(usable, missing, status):
    found = inference.judged("1.0", usable, missing)
    assert found.status is status
    assert ("does not work" in found.fact) == bool(missing)


def test_a_model_that_nothing_loads_is_bad(tmp_path):
    model = tmp_path / "no.onnx"
    model.write_bytes(b"not a model")
    assert inference.providers(model).status is Status.BAD


@pytest.mark.parametrize(("p99", "status"), [(50, Status.GOOD), (500, Status.WARN), (5000, Status.BAD)])
def test_lateness_is_judged_at_p99(p99, status):
    assert judged(10, p99, 99_000, fifo=True).status is status


def test_an_empty_loop_is_measured():
    assert re.search(r"woke \d+ us late", lateness(0.05, 0).fact)


def test_the_verdict_is_the_worst_and_names_it():
    good, warn, bad = (Finding(s.value, s, "", "") for s in (Status.GOOD, Status.WARN, Status.BAD))
    assert verdict([good]) == (Status.GOOD, "ready")
    assert verdict([good, warn])[0] is Status.WARN
    status, sentence = verdict([good, warn, bad])
    assert status is Status.BAD
    assert sentence.endswith(": bad")


def test_everything_that_is_wrong_here_says_how_to_mend_it():
    for finding in examine(System(), None, 0):
        assert finding.fact
        assert finding.meaning
        assert finding.fix or finding.status in (Status.GOOD, Status.NOTE)
    assert {"kernel", "priority", "processors"} <= {finding.name for finding in facts(System())}


def test_the_command_answers_machines():
    done = subprocess.run(
        [sys.executable, "-m", "spinal.runtime.cli.main", "doctor", "--json", "--seconds", "0.1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    answer = json.loads(done.stdout)
    assert done.returncode == (0 if answer["ok"] else 1)
    assert {"name", "status", "fact", "meaning", "fix", "safe"} == set(answer["findings"][0])
    assert done.stderr == ""


def test_a_provider_that_hangs_is_bad_and_said(monkeypatch, tmp_path):
    monkeypatch.setattr(inference, "TRY_LIMIT_S", 0.01)
    found = inference.providers(tmp_path / "any.onnx")
    assert found.status is Status.BAD
    assert "did not load" in found.fact


@pytest.mark.parametrize("text", ["x", "nan", "-1", "601"])
def test_a_time_that_is_none_is_refused_in_a_line(text, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["doctor", "--seconds", text])
    assert caught.value.code == 2
    assert f"{text} is not 0 to 600 s" in capsys.readouterr().err
