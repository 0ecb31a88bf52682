"""The memory suite: slopes of planted growth, what a short run may not claim, what the kernel says of a process."""

import os
import subprocess
import sys

import numpy as np
import pytest

from spinal.bench.live import processes
from spinal.bench.live.growth import ARENA_BYTES, BATCHES, Slope, lasting_growth, slope_per_hour
from spinal.bench.live.processes import Use
from spinal.bench.result import Verdict
from spinal.bench.suites import memory
from spinal.bench.suites.memory import MIB, Watched

HOUR_S = 3600.0


def series(hours, mib_per_hour, noise=0.0, samples=400):
    seconds = np.linspace(0, hours * HOUR_S, samples)
    rng = np.random.default_rng(0)
    return seconds, 50 + mib_per_hour * seconds / HOUR_S + noise * rng.normal(size=samples)


@pytest.mark.parametrize("rate", [-3.0, 0.0, 0.5, 20.0])
def test_a_straight_line_has_its_slope(rate):
    found = slope_per_hour(*series(2, rate))
    assert found.value == pytest.approx(rate, abs=1e-9)
    assert found.low == pytest.approx(rate, abs=1e-6)
    assert found.high == pytest.approx(rate, abs=1e-6)


def test_noise_is_in_the_interval_and_the_truth_too():
    inside = 0
    for seed in range(200):
        seconds, _ = series(1, 0)
        values = np.random.default_rng(seed).normal(size=len(seconds)) + 4.0 * seconds / HOUR_S
        found = slope_per_hour(seconds, values)
        inside += found.low <= 4.0 <= found.high
    assert 180 <= inside <= 199  # 95 % of 200, give or take three deviations


def test_what_wanders_is_not_sure_of_its_slope():
    """A random walk is what samples of memory look like; taken as independent they would be sure of anything."""
    wrong = 0
    for seed in range(200):
        seconds, _ = series(1, 0)
        found = slope_per_hour(seconds, np.cumsum(np.random.default_rng(seed).normal(size=len(seconds))))
        naive = np.polyfit(
            seconds / HOUR_S, np.cumsum(np.random.default_rng(seed).normal(size=400)), 1, cov=True
        )
        assert found.high - found.low > 2 * 1.96 * np.sqrt(naive[1][0, 0])
        wrong += not found.low <= 0 <= found.high
    assert wrong < 160


def test_an_allocators_step_widens_a_short_run_more_than_a_long_one():
    short, long = (slope_per_hour(*series(hours, 0.0), step=1.0) for hours in (1 / 30, 4))
    assert short.high == pytest.approx(30)
    assert long.high == pytest.approx(0.25)


def test_too_few_samples_have_no_slope():
    found = slope_per_hour(np.arange(2 * BATCHES - 1.0), np.zeros(2 * BATCHES - 1))
    assert np.isnan(found.value)
    assert memory.of_slope("a", found).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("values", "grown"),
    [
        ([5] * 9, 0),
        ([5, 9, 5, 5, 9, 5, 5, 9, 5], -4),
        ([5, 5, 5, 5, 6, 6, 6, 6, 6], 1),
        ([5, 4, 3, 2, 1, 0], -5),
    ],
)
def test_what_comes_and_goes_is_no_growth(values, grown):
    assert lasting_growth(np.array(values, float)) == grown


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.5, 0.9, Verdict.PASS),
        (0.5, 1.9, Verdict.INCONCLUSIVE),
        (0.1, 1.1, Verdict.INCONCLUSIVE),
        (1.1, 9.0, Verdict.FAIL),
    ],
)
def test_only_a_whole_interval_passes_or_fails(low, high, verdict):
    assert memory.of_slope("a", Slope((low + high) / 2, low, high, 100)).verdict is verdict


def watched(role, hours, mib_per_hour=0.0, leaks=0, pid=1, samples=200):
    seconds, own = series(hours, mib_per_hour, samples=samples)
    uses = [
        Use(
            int(mib * MIB) + 7,
            int(mib * MIB),
            int(own.max() * MIB),
            20 + (leaks if at > samples / 2 else 0),
            3,
        )
        for at, mib in enumerate(own)
    ]
    return Watched(role, pid, seconds.tolist(), uses, [30 << 20])


def metrics(*given):
    return {metric.name: metric for metric in memory.judge(given)}


def test_a_planted_leak_of_memory_is_a_failure():
    assert metrics(watched("policy", 4, 5.0))["policy.memory_slope"].verdict is Verdict.FAIL


def test_a_long_run_without_growth_passes_and_a_short_one_may_not():
    assert metrics(watched("policy", 4))["policy.memory_slope"].verdict is Verdict.PASS
    assert metrics(watched("policy", 1 / 30))["policy.memory_slope"].verdict is Verdict.INCONCLUSIVE


def test_a_short_run_fails_a_torrent():
    assert metrics(watched("policy", 1 / 30, 500.0))["policy.memory_slope"].verdict is Verdict.FAIL


def test_a_planted_descriptor_is_a_failure():
    found = metrics(watched("link", 1 / 30, leaks=1))
    assert found["link.descriptors_growth"].value == 1
    assert found["link.descriptors_growth"].verdict is Verdict.FAIL
    assert found["link.threads_growth"].verdict is Verdict.PASS


def test_a_process_that_was_restarted_is_judged_by_its_longest_life():
    found = metrics(watched("sim", 1, 9.0, samples=30), watched("sim", 4, 0.0, pid=2, samples=300))
    assert found["sim.memory_slope"].n == 300


def test_memory_that_may_not_be_read_is_absent():
    one = watched("sim", 1)
    one.proportional.clear()
    assert metrics(one, watched("link", 1, pid=2))["proportional_sum"].verdict is Verdict.ABSENT
    assert metrics(watched("sim", 1), watched("link", 1, pid=2))["proportional_sum"].value == 60


def test_a_curve_is_thinned_and_names_each_life():
    found = memory.curve([watched("sim", 1, samples=40), watched("sim", 1, pid=2, samples=1000)])
    assert set(found.lines) == {"sim", "sim (2)"}
    assert len(found.x) == memory.POINTS
    assert {len(line) for line in found.lines.values()} == {memory.POINTS}


# --- the kernel


def test_this_process_is_known():
    found = processes.use(os.getpid())
    assert found.resident > found.own > 0
    assert found.peak >= found.resident - ARENA_BYTES
    assert found.descriptors >= 3
    assert found.threads >= 1


def test_a_leak_is_seen_where_it_is(tmp_path):
    before = processes.use(os.getpid())
    kept = bytearray(os.urandom(1 << 20)) * 32
    with (tmp_path / "open").open("w"):
        after = processes.use(os.getpid())
    assert after.own - before.own >= 30 << 20
    assert after.descriptors == before.descriptors + 1
    assert len(kept) == 32 << 20


def test_children_are_found_with_their_role_and_a_dead_one_is_not():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert child.pid in processes.children(os.getpid())
        assert processes.use(child.pid) is not None
    finally:
        child.kill()
        child.wait()
    assert child.pid not in processes.children(os.getpid())
    assert processes.use(child.pid) is None
    assert processes.role(child.pid) == ""
    assert processes.proportional(child.pid) is None


@pytest.mark.parametrize(
    ("module", "role"),
    [
        ("spinal.runtime.policy.process", "policy"),
        ("spinal.drivers.sim.process", "sim"),
        ("spinal.runtime.link.planner", "planner"),
        ("spinal.runtime.link.process", "link"),
    ],
)
def test_a_process_is_called_by_what_it_runs(module, role, monkeypatch, tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cmdline").write_bytes(b"/usr/bin/python\0-m\0" + module.encode() + b"\0--wiring\0{}\0")
    monkeypatch.setattr(processes, "PROC", tmp_path)
    assert processes.role(7) == role
