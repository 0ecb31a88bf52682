"""Counts of one tick: the honest tick passes, each planted slow-down is caught and named."""

import json
import math
import shutil
import subprocess
import tomllib
from argparse import Namespace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from spinal.bench import machine, options
from spinal.bench.bench import Bench
from spinal.bench.exact import baseline, callgrind, counting, installed, instructions, observation, toolchain
from spinal.bench.exact.counting import Calls, SystemCalls
from spinal.bench.exact.toolchain import UnavailableError
from spinal.bench.result import SuiteResult, Verdict
from spinal.bench.suites import BY_NAME, exact
from spinal.runtime.errors import BenchError

TICKS = 64
NO_CALLS = dict.fromkeys(counting.CATEGORIES, 0)


@pytest.fixture(scope="module")
def tools():
    try:
        return toolchain.find()
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def built(tools, tmp_path_factory):
    """Compiles once for each plant."""
    made = {}

    def make(plant="none"):
        if plant not in made:
            made[plant] = toolchain.build(tools, tmp_path_factory.mktemp(plant), plant)
        return made[plant]

    return make


@pytest.fixture(scope="module")
def names(tools):
    return toolchain.call_names(tools)


def verdicts(metrics):
    return {metric.name: metric.verdict for metric in metrics}


def by_name(metrics):
    return {metric.name: metric for metric in metrics}


def traced_or_skip(metrics):
    absent = [metric for metric in metrics if metric.verdict is Verdict.ABSENT]
    if absent:
        pytest.skip(absent[0].why)


# What is built, and how


def test_the_harness_is_built_as_the_extension_modules_are():
    project = tomllib.loads((machine.ROOT / "pyproject.toml").read_text())
    modules = {one["name"]: one for one in project["tool"]["setuptools"]["ext-modules"]}
    loop = modules["spinal.native.loop"]
    assert (tuple(loop["extra-compile-args"]), tuple(loop["extra-link-args"])) == toolchain.extension_flags()
    assert toolchain.extension_flags() == (toolchain.FLAGS, toolchain.LINK_FLAGS)


def test_without_a_project_file_the_flags_are_the_constant(monkeypatch, tmp_path):
    monkeypatch.setattr(toolchain, "ROOT", tmp_path)
    assert toolchain.extension_flags() == (toolchain.FLAGS, toolchain.LINK_FLAGS)


def test_the_harness_links_all_that_the_loop_and_its_buses_are_made_of():
    project = tomllib.loads((machine.ROOT / "pyproject.toml").read_text())
    wanted = {
        Path(source).stem
        for module in project["tool"]["setuptools"]["ext-modules"]
        if module["name"].removeprefix("spinal.native.") in ("loop", "bus", "feetech_bus", "mirror")
        for source in module["sources"]
        if source.endswith(".c")
    }
    assert wanted - {"serial"} == set(toolchain.CORE_SOURCES)


def test_the_key_tells_compilers_flags_and_libraries_apart():
    one = toolchain.Toolchain("/usr/bin/cc", "gcc 12.2.0", "glibc 2.36", ("-O2",), ())
    others = [
        toolchain.Toolchain("/cc", version, libc, flags, ())
        for version, libc, flags in (
            ("gcc 12.2.1", "glibc 2.36", ("-O2",)),
            ("gcc 12.2.0", "glibc 2.37", ("-O2",)),
            ("gcc 12.2.0", "glibc 2.36", ("-O3",)),
            ("clang 12.2.0", "glibc 2.36", ("-O2",)),
        )
    ]
    assert len({one.key, *(other.key for other in others)}) == 5
    assert set(one.key) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_what_does_not_compile_is_said_in_one_line(tools, tmp_path):
    broken = toolchain.Toolchain(tools.compiler, "", "", ("-include", "no/such.h"), ())
    with pytest.raises(UnavailableError, match=r"does not compile: .*no/such\.h"):
        toolchain.build(broken, tmp_path)


def test_the_plants_of_the_command_line_are_those_of_the_header():
    header = (toolchain.NATIVE / "plant.h").read_text()
    for number, plant in enumerate(options.PLANTS):
        assert f"#define PLANT_{plant.upper()} {number}\n" in header
    (option,) = BY_NAME["exact"].options
    assert (option.flag, option.default) == ("--plant", "none")


# Figures on made-up data

PROFILE = """\
fn=outer
10 5
cfn=inner
calls=3 20
11 300
12 2
fn=inner
fi=other.c
20 100
fe=main.c
21 200
fn=outer
+3 1
totals: 308
"""


def test_a_profile_is_read_function_by_function():
    inclusive, own = callgrind.parse(PROFILE.splitlines())
    assert inclusive == {"outer": 308, "inner": 300}
    assert own == {"outer": 8, "inner": 300}


def test_a_run_that_comes_to_another_number_fails_and_shows_them():
    assert instructions.repeatable([7, 7, 7]).verdict is Verdict.PASS
    found = instructions.repeatable([7000, 7000, 7001])
    assert found.verdict is Verdict.FAIL
    assert found.why == "the same run came to 7,000, 7,000, 7,001"


def test_a_straight_line_passes_and_a_square_does_not():
    sizes = (6, 14, 28, 57)
    slope, off = instructions.straight("plain", sizes, [100 + 20 * n for n in sizes])
    assert slope.value == pytest.approx(20)
    assert off.verdict is Verdict.PASS
    assert off.value == pytest.approx(0, abs=1e-12)
    off = instructions.straight("plain", sizes, [100 + 20 * n + 0.5 * n * n for n in sizes])[1]
    assert off.verdict is Verdict.FAIL
    assert "6 joints" in off.why


def test_any_call_that_may_not_be_there_fails_and_is_named():
    calls = Calls(NO_CALLS | {"lock": 32}, {"lock": {"pthread_mutex_lock": 32}}, {"lock": "a -> b"})
    found = by_name(exact.of_calls("here", calls, 64, counting.CATEGORIES))
    assert [name for name, metric in found.items() if metric.verdict is Verdict.FAIL] == ["here.locks"]
    assert found["here.locks"].value == 0.5
    assert found["here.locks"].why == "per tick: pthread_mutex_lock 0.50; first by a -> b"
    assert found["here.gil"].verdict is Verdict.PASS


def test_calls_that_nobody_counted_are_not_none():
    with pytest.raises(UnavailableError, match="not preloaded"):
        exact.of_calls("here", Calls(), 64, counting.CATEGORIES)
    never = exact.of_calls("here", Calls(NO_CALLS), 0, ["lock"])
    assert verdicts(never) == {"here.locks": Verdict.FAIL}


@pytest.mark.parametrize(
    ("calls", "failing"),
    [
        ({"getrusage": 5}, []),
        ({}, []),
        ({"getrusage": 6}, ["x.getrusage"]),
        ({"getrusage": 5, "futex": 1}, ["x.other"]),
        ({"getrusage": 5, "read": 640}, ["x.other"]),
        ({"getrusage": 5, "clock_gettime": 3200}, []),
    ],
)
def test_a_tick_makes_one_system_call_in_64_ticks(calls, failing):
    found = verdicts(exact.of_system_calls("x", SystemCalls(320, 1, calls)))
    assert [name for name, verdict in found.items() if verdict is Verdict.FAIL] == failing


def test_a_line_may_read_and_write_as_often_as_it_needs_but_nothing_else():
    calls = {"read": 900, "write": 128, "ppoll": 400, "getrusage": 1}
    found = by_name(exact.of_system_calls("x", SystemCalls(64, 20, calls), exact.LINE_CALLS))
    assert found["x.bus"].why == "per tick: read 14.06, write 2.00, ppoll 6.25"
    assert found["x.bus"].verdict is Verdict.INFO
    assert found["x.other"].verdict is Verdict.PASS
    found = by_name(exact.of_system_calls("x", SystemCalls(64, 20, calls | {"openat": 64}), exact.LINE_CALLS))
    assert found["x.other"].verdict is Verdict.FAIL
    assert found["x.other"].why == "per tick: openat 1.00"


def test_a_trace_of_no_tick_passes_nothing():
    assert set(verdicts(exact.of_system_calls("x", SystemCalls(0, 0, {}))).values()) == {Verdict.FAIL}


def test_a_loop_that_hardly_ran_tells_nothing():
    assert exact.of_running(300, 320).verdict is Verdict.PASS
    assert exact.of_running(3, 320).verdict is Verdict.INCONCLUSIVE
    assert exact.of_running(0, 0).verdict is Verdict.INCONCLUSIVE


# Baselines

OWN = {"sample": 900.0, "limit": 100.0}


@pytest.fixture
def known(tools):
    name = baseline.name_of(6, "plain")
    return baseline.Baseline(
        key=tools.key, toolchain=tools.name, commit="abc", instructions={name: 1000.0}, own={name: OWN}
    )


def judged(value, own, known, tools):
    return baseline.judge_instructions(baseline.name_of(6, "plain"), value, own, known, tools)


@pytest.mark.parametrize(
    ("value", "verdict", "improved"),
    [
        (1000, "pass", False),
        (1009, "pass", False),
        (1011, "fail", False),
        (981, "pass", False),
        (979, "pass", True),
    ],
)
def test_a_baseline_binds_on_both_sides(tools, known, value, verdict, improved):
    found = judged(value, OWN | {"sample": value - 100.0}, known, tools)
    assert found.verdict == verdict
    assert found.why.startswith("improved, accept the new baseline") is improved


def test_what_grew_is_named_by_function(tools, known):
    found = judged(1300, OWN | {"sample": 950.0, "planted": 250.0, "small": 6.0}, known, tools)
    assert found.why == "+30.0% against abc: planted +250 (new), sample +50"


def test_without_a_baseline_instructions_are_shown_and_it_says_what_to_do(tools):
    found = judged(1000, OWN, None, tools)
    assert found.verdict is Verdict.INFO
    assert found.why == f"no baseline for {tools.name}: spinal bench gate --accept writes one"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"schema": 7}, "has schema 7, this version reads 1"),
        ({"key": "mips", "toolchain": "a mips compiler"}, "is of a mips compiler; this is gcc|clang"),
        ({"instructions": "many"}, "is not a baseline: Expected `object`"),
        (None, "is not a baseline"),
    ],
)
def test_another_file_is_refused_in_one_line(tools, known, tmp_path, changes, line):
    path = tmp_path / "exact.json"
    text = b"{" if changes is None else json.dumps(msgspec.to_builtins(known) | changes).encode()
    path.write_bytes(text)
    with pytest.raises(BenchError, match=line) as refused:
        baseline.read_baseline(tools, path)
    assert "\n" not in refused.value.message
    assert "spinal bench gate --accept" in refused.value.hint


def test_the_baselines_of_the_repository_are_whole():
    """Each is named by its key, says what made it, and has every figure with its functions."""
    kept = sorted(baseline.FOLDER.glob("exact-*.json"))
    assert kept
    for path in kept:
        found = msgspec.json.decode(path.read_bytes(), type=baseline.Baseline)
        assert path.name == f"exact-{found.key}.json"
        assert found.schema == baseline.SCHEMA
        wanted = {
            baseline.name_of(joints, kind) for joints in instructions.JOINTS for kind in instructions.KINDS
        }
        assert set(found.instructions) == set(found.own) == wanted
        for name, total in found.instructions.items():
            assert 0.9 * total < sum(found.own[name].values()) <= total + 1


def measured(sizes=(6, 14), value=1000.0):
    """A suite's result as ``instructions.measure`` makes it, of made-up profiles."""
    profiles = {
        (joints, kind): callgrind.Profile(
            int(value) * joints * 10, 10, {"sp_loop_tick": value * joints}, {"sample": value * joints}
        )
        for joints in sizes
        for kind in instructions.KINDS
    }
    metrics, curves = [], []
    for kind in instructions.KINDS:
        for joints in sizes:
            name = baseline.name_of(joints, kind)
            one = profiles[joints, kind]
            metrics.append(baseline.judge_instructions(name, one.per_tick, one.own, None, toolchain.find()))
        curves += instructions.by_function(kind, sizes, profiles)
    return SuiteResult(metrics=metrics, curves=curves)


def test_a_baseline_that_was_written_is_read_again(tools, tmp_path):
    path = baseline.write_baseline(measured(), tmp_path / "deep" / "exact.json")
    found = baseline.read_baseline(tools, path)
    assert found.instructions == {
        baseline.name_of(joints, kind): 1000.0 * joints for joints in (6, 14) for kind in instructions.KINDS
    }
    assert found.own[baseline.name_of(14, "hand_off")] == {"sample": 14000.0}
    assert found.commit == machine.commit()
    assert [one.name for one in path.parent.iterdir()] == ["exact.json"]


def test_there_is_no_baseline_where_there_is_no_file(tools, tmp_path):
    assert baseline.read_baseline(tools, tmp_path / "none.json") is None
    assert baseline.baseline_path(tools).name == f"exact-{tools.key}.json"


def test_what_failed_or_was_planted_is_not_accepted(tools, tmp_path):
    path = tmp_path / "exact.json"
    failed = msgspec.structs.replace(
        measured(), metrics=[*measured().metrics, instructions.repeatable([1, 2])]
    )
    planted = msgspec.structs.replace(measured(), notes=[f"{baseline.PLANTED} instructions"])
    for suite, why in (
        (failed, r"instructions\.spread failed"),
        (planted, "slow-down"),
        (SuiteResult(metrics=[]), "no instr"),
    ):
        with pytest.raises(BenchError, match=why):
            baseline.write_baseline(suite, path)
    assert not path.exists()


# The tick itself


def test_an_honest_tick_calls_nothing(built, names):
    found = exact.in_harness(built(), names)
    assert "harness.allocations" in verdicts(found.metrics)
    traced_or_skip(found.metrics)
    assert set(verdicts(found.metrics).values()) == {Verdict.PASS}
    assert by_name(found.metrics)["harness.system_calls.getrusage"].value == exact.FAULT_CHECK_SHARE


@pytest.mark.parametrize(
    ("plant", "metric", "call"),
    [
        ("allocation", "harness.allocations", "malloc 1.00, free 1.00"),
        ("lock", "harness.locks", "pthread_mutex_lock 1.00"),
        ("sleep", "harness.sleeps", "nanosleep 1.00"),
    ],
)
def test_a_planted_call_is_caught_and_named(built, plant, metric, call):
    counted = counting.count_harness(built(plant), 6, TICKS)
    found = exact.of_calls("harness", counted.calls, counted.ticks, ("allocation", "lock", "sleep"))
    failing = [one for one in found if one.verdict is Verdict.FAIL]
    assert [one.name for one in failing] == [metric]
    assert call in failing[0].why
    if shutil.which("addr2line"):
        assert "sp_loop_tick -> ask_joints -> planted_write -> planted_work -> " in failing[0].why


def test_a_planted_sleep_is_a_system_call_too(built, names):
    try:
        traced = counting.trace_harness(built("sleep"), 6, TICKS, names)
    except UnavailableError as error:
        pytest.skip(str(error))
    found = by_name(exact.of_system_calls("harness.system_calls", traced))
    assert found["harness.system_calls.other"].verdict is Verdict.FAIL
    assert "nanosleep 1.00" in found["harness.system_calls.other"].why


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="no valgrind: apt install valgrind")
def test_instructions_are_the_same_again_and_30_percent_more_are_caught_and_named(tools, built, tmp_path):
    sizes = (6, 14)
    honest = instructions.measure(built(), tools, None, sizes)
    assert by_name(honest.metrics)["instructions.spread"].value == 0
    known = baseline.read_baseline(tools, baseline.write_baseline(honest, tmp_path / "exact.json"))
    values = known.instructions
    assert values[baseline.name_of(6, "hand_off")] > 1.5 * values[baseline.name_of(6, "plain")] > 1000
    (curve,) = (one for one in honest.curves if one.name == "instructions.plain")
    assert {"sp_loop_tick", "sp_limiter_step_or_return", "read_joints"} <= set(curve.lines)
    assert "main" not in curve.lines

    def found(plant):
        one = callgrind.profile(built(plant), 6, "plain", instructions.TICKS, number=9)
        return judged(one.per_tick, one.own, known, tools)

    again, planted = found("none"), found("instructions")
    assert (again.verdict, again.why) == (Verdict.PASS, "")
    assert again.value == pytest.approx(values[again.name], abs=1e-3)
    assert planted.verdict is Verdict.FAIL
    assert 1.25 < planted.value / values[planted.name] < 1.35
    assert "planted_work +" in planted.why
    assert "(new)" in planted.why


def test_the_installed_loop_calls_nothing(built, names):
    found = by_name(exact.in_process(built(), names, planted=False).metrics)
    assert {name for name, one in found.items() if one.verdict is Verdict.FAIL} == set()
    assert found["installed.gil"].verdict is Verdict.PASS
    assert found["installed.gil"].n >= instructions.TICKS


def test_taking_the_interpreters_lock_in_the_installed_loop_is_caught_and_named(built, names):
    found = installed.observe(built("lock"), TICKS, names, planted=True)
    metric = by_name(exact.of_calls("installed", found.calls, found.ticks, counting.CATEGORIES))[
        "installed.gil"
    ]
    assert metric.verdict is Verdict.FAIL
    assert metric.value >= 1
    assert "PyGILState_Ensure" in metric.why


def test_a_harness_that_would_measure_nothing_says_so(built):
    honest = built()
    for arguments, word in (
        (["6"], "usage"),
        (["65", "10"], "usage"),
        (["6", "10", "count"], "not preloaded"),
    ):
        done = subprocess.run(
            [honest.harness, *arguments], cwd=honest.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode in (1, 2)
        assert word in done.stderr


# One observation


@pytest.fixture(scope="module")
def shipped():
    robot = observation.load_robot(observation.ROBOT)
    return robot, observation.load_card(Path(robot.policy.model))


def test_an_observation_costs_the_same_bytes_each_time(shipped):
    first = observation.ObservationPath(*shipped).written(3)
    assert first == observation.ObservationPath(*shipped).written(3)
    (metric,) = exact.of_observation(first)
    assert metric.verdict is Verdict.PASS
    card = shipped[1]
    assert first[0].inputs == sum(4 * math.prod(tensor.shape) for tensor in card.inputs) == metric.floor
    assert min(first[0].mailboxes, first[0].arrays, first[0].native) > 0


def test_one_more_copy_is_seen_to_the_byte(shipped):
    path = observation.ObservationPath(*shipped)
    (before,) = path.written(1)
    honest = path.observer.observe

    def copying(*arguments):
        seen = honest(*arguments)
        seen.position.copy()  # thrown away at once, and counted all the same
        return seen

    path.observer.observe = copying
    (after,) = path.written(1)
    assert after.total - before.total == after.arrays - before.arrays == 8 * len(shipped[0].joints)


def test_numpys_own_allocator_is_back_afterwards(shipped):
    path = observation.ObservationPath(*shipped)
    path.written(1)
    counted = path.counted.arrays
    np.zeros(1000).copy()
    assert path.counted.arrays == counted
    asked = observation._handler()[1][0]
    np.zeros(1000).copy()
    assert observation._handler()[1][0] == asked


def test_bytes_that_change_from_time_to_time_fail():
    one, other = observation.Written(1, 2, 3, 4), observation.Written(1, 2, 3, 5)
    (metric,) = exact.of_observation([one, one, other])
    assert metric.verdict is Verdict.FAIL
    assert metric.why == "not the same each time: 10, 10, 11"


# The suite


def silent(**changes):
    return Bench(quick=True, options=Namespace(**changes), say=lambda line: None)


def test_without_a_compiler_it_says_what_to_install_and_counts_the_rest(monkeypatch):
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: None)
    found = by_name(exact.measure(silent()).metrics)
    for name in ("instructions", "harness", "installed"):
        assert found[name].verdict is Verdict.ABSENT
        assert found[name].why == "no C compiler: apt install gcc libc6-dev"
    assert found["observation.bytes"].verdict is Verdict.PASS


def test_without_valgrind_only_instructions_are_absent(built, monkeypatch):
    monkeypatch.setattr(callgrind.shutil, "which", lambda name: None)
    with pytest.raises(UnavailableError) as missing:
        instructions.measure(built(), None, None)
    assert (missing.value.message, missing.value.hint) == ("no valgrind", "apt install valgrind")

    def count():
        return instructions.measure(built(), None, None)

    found = exact._or_missing("instructions", count)
    assert verdicts(found.metrics) == {"instructions": Verdict.ABSENT}


def test_a_plant_that_does_not_exist_is_refused_before_anything_is_measured():
    with pytest.raises(BenchError, match="no 'bug'") as refused:
        exact.measure(silent(plant="bug"))
    assert "allocation" in refused.value.hint


def test_a_loop_that_breaks_down_is_a_failure_and_nothing_that_is_absent(built, names, monkeypatch):
    broken = toolchain.Built(built().folder, harness=shutil.which("false"))
    with pytest.raises(BenchError, match="broke down") as failure:
        counting.count_harness(broken, 6, TICKS)
    assert not isinstance(failure.value, UnavailableError)
    monkeypatch.setattr(installed, "MODULE", "spinal.bench.exact.nowhere")
    with pytest.raises(BenchError, match=r"does not run over ideal servos: .*nowhere") as failure:
        installed.observe(built(), TICKS, names)
    assert not isinstance(failure.value, UnavailableError)
    assert "\n" not in failure.value.message


def test_a_thread_that_may_not_be_traced_makes_only_that_figure_absent(built, names):
    with pytest.raises(UnavailableError, match="tracing is not permitted here") as missing:
        counting.trace_thread(built(), 2**22 + 1, 1, names)  # no such thread: refused as any other
    assert "SYS_PTRACE" in missing.value.hint
