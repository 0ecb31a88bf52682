"""The lateness suite: what it makes of pairs of counts, and that its rig, loads and processes do what they say."""

import argparse
import contextlib
import dataclasses
import itertools
import os
import time
from types import SimpleNamespace

import numpy as np
import pytest
from waiting import until

from spinal.bench import loads
from spinal.bench.apart import run_apart
from spinal.bench.bench import Bench
from spinal.bench.buckets import counts_of, distribution_us
from spinal.bench.loop import alike, cyclictest, lateness, rig
from spinal.bench.loop.lateness import Pair, Schedule, phases, schedule
from spinal.bench.result import Disturbance, Verdict
from spinal.bench.statistics import quantile
from spinal.bench.suites import tick
from spinal.bench.thresholds import Thresholds
from spinal.native import layout
from spinal.native.clock import now_ns
from spinal.native.histogram import UPPER_EDGES_NS, Histogram
from spinal.runtime.errors import BenchError, ProcessError, SpinalError

GRANTED = {"fifo": None, "mlock": None}
QUIET = Disturbance(steal=0.0, pressure=0.0)
STARTING = Thresholds(margin=1.05, starting={"tick.*.p50": 1.15, "tick.*.p99": 1.3}, alike={})


def drawn(median_us, slices=24, n=400, seed=0, tail_us=0.0):
    """[slice, bucket]: lateness around ``median_us``; every twentieth is ``tail_us`` later."""
    pick = np.random.default_rng(seed)
    rows = []
    for _ in range(slices):
        late_us = median_us * pick.lognormal(0, 0.1, n)
        late_us[::20] += tail_us
        rows.append(counts_of((late_us * 1e3).astype(np.int64)))
    return np.stack(rows)


def pair(late_us=30.0, floor_us=30.0, tail_us=0.0, **changes):
    return Pair(drawn(late_us, seed=1, tail_us=tail_us), drawn(floor_us, seed=2), realtime=GRANTED, **changes)


def measured(monkeypatch, given, *, quick=True, hours=0.0, seen=QUIET, virtual="", cyclic=True):
    """The suite over given pairs; ``given``: a pair for all, or a function of (schedule, threads)."""

    @contextlib.contextmanager
    def watched():
        yield SimpleNamespace(seen=seen)

    started = []

    @contextlib.contextmanager
    def loaded(kinds):
        started.append(kinds)
        yield

    def apart(work, plan, threads, empty, seconds):
        assert (work, empty) == (lateness.measure_pair, False)
        return given(plan, threads) if callable(given) else given

    monkeypatch.setattr(tick, "Watch", watched)
    monkeypatch.setattr(tick, "processes", loaded)
    monkeypatch.setattr(tick, "run_apart", apart)
    monkeypatch.setattr(tick, "load", lambda: STARTING)
    monkeypatch.setattr(tick.machine, "describe", lambda: SimpleNamespace(virtual=virtual, key="here"))
    monkeypatch.setattr(cyclictest, "installed", lambda: cyclic)
    monkeypatch.setattr(cyclictest, "measure", lambda hz, seconds: cyclictest.Reading({20: 99, 40: 1}, 0))
    said = []
    options = argparse.Namespace(aa=0, thresholds=None)
    found = tick.measure(Bench(quick=quick, hours=hours, options=options, say=said.append))
    return found, {metric.name: metric for metric in found.metrics}, started, said


def test_alike_loops_pass_and_are_named(monkeypatch):
    found, by_name, started, said = measured(monkeypatch, pair())
    assert set(by_name) == {
        f"1000hz.{condition}.{figure}"
        for condition in ("idle", "busy")
        for figure in ("late_us.p50", "late_us.p99", "page_faults", "missed")
    }
    assert {by_name[f"1000hz.idle.late_us.{name}"].verdict for name in ("p50", "p99")} == {Verdict.PASS}
    assert by_name["1000hz.idle.late_us.p50"].limit == 1.15
    assert by_name["1000hz.idle.late_us.p99"].limit == 1.3
    assert by_name["1000hz.idle.late_us.p50"].value == pytest.approx(30, rel=0.05)
    assert [one.name for one in found.distributions] == ["1000hz.idle.late_us", "1000hz.busy.late_us"]
    assert sum(found.distributions[0].floor_counts) == 24 * 400
    assert started == [(), ("busy", "busy")]
    assert len(said) == 2


@pytest.mark.parametrize(
    ("slow", "failing"),
    [
        (pair(late_us=45.0), {"late_us.p50", "late_us.p99"}),
        (pair(tail_us=40.0), {"late_us.p99"}),
        (pair(faults=1), {"page_faults"}),
    ],
)
def test_a_loop_that_is_later_than_its_floor_fails(monkeypatch, slow, failing):
    _, by_name, _, _ = measured(monkeypatch, slow)
    failed = {name for name, metric in by_name.items() if metric.verdict is Verdict.FAIL}
    assert failed == {f"1000hz.{condition}.{figure}" for condition in ("idle", "busy") for figure in failing}


def test_in_full_every_rate_meets_every_condition_and_1_khz_is_judged(monkeypatch):
    found, by_name, started, _ = measured(monkeypatch, pair(), quick=False)
    judged = {name for name, metric in by_name.items() if metric.limit is not None and "late_us" in name}
    assert judged == {
        f"1000hz.{one.name}.late_us.{name}" for one in tick.CONDITIONS for name in ("p50", "p99")
    }
    assert len(found.distributions) == len(tick.RATES_HZ) * len(tick.CONDITIONS) == 20
    assert started == [(), ("busy", "busy"), ("storage",), (), ()]
    assert by_name["cyclictest.1000hz.idle.late_us.p50"].value == 20
    curve = next(curve for curve in found.curves if curve.name == "late_us.p50")
    assert curve.x == [1000, 500, 250, 100]
    assert all(len(line) == 4 for line in curve.lines.values())


def test_what_is_not_there_is_said(monkeypatch):
    refused = pair()
    refused.realtime, refused.floor_fifo = {"fifo": "not permitted", "mlock": "no memory"}, "not permitted"
    found, by_name, _, _ = measured(monkeypatch, refused, quick=False, cyclic=False)
    notes = " ".join(found.notes)
    assert "apt install rt-tests" in notes
    assert "SCHED_FIFO was refused (not permitted)" in notes
    assert "no A/A run is kept yet" in notes
    assert by_name["1000hz.idle.page_faults"].verdict is Verdict.ABSENT
    assert "no memory" in by_name["1000hz.idle.page_faults"].why
    assert not any(name.startswith("cyclictest") for name in by_name)


@pytest.mark.parametrize(
    ("given", "seen", "word"),
    [
        (pair(), Disturbance(steal=0.05, pressure=0.0), "hypervisor"),
        (pair(), Disturbance(steal=0.0, pressure=0.9), "others kept the processors busy"),
        (pair(late_us=300.0, floor_us=300.0), QUIET, "empty loop itself was"),
        (pair(floor_us=30.0, floor_fifo="not permitted"), QUIET, "not granted the same"),
    ],
)
def test_a_bad_machine_is_inconclusive(monkeypatch, given, seen, word):
    _, by_name, _, _ = measured(monkeypatch, given, seen=seen)
    idle = by_name["1000hz.idle.late_us.p50"]
    assert idle.verdict is Verdict.INCONCLUSIVE
    assert word in idle.why


def test_pressure_under_a_load_is_on_purpose(monkeypatch):
    _, by_name, _, _ = measured(monkeypatch, pair(), seen=Disturbance(steal=0.0, pressure=0.9))
    assert by_name["1000hz.busy.late_us.p50"].verdict is Verdict.PASS


def test_a_floor_far_above_the_one_of_the_alike_run_is_inconclusive():
    known = SimpleNamespace(machine=tick.machine_key(), floor_us=9.0)
    run = tick.Run(1000, tick.CONDITIONS[0], pair(), QUIET)
    figure = "1000hz.idle.late_us.p50"
    thresholds = SimpleNamespace(alike={f"tick.{figure}": known})
    assert "in the A/A run 9" in tick.why_disturbed(run, run.ratio(0.5), figure, thresholds)
    known.machine = "another"
    assert not tick.why_disturbed(run, run.ratio(0.5), figure, thresholds)


@pytest.mark.parametrize(("virtual", "verdict"), [("", Verdict.FAIL), ("Xen", Verdict.INFO)])
def test_a_soak_is_judged_on_bare_metal_alone(monkeypatch, virtual, verdict):
    found, by_name, _, _ = measured(
        monkeypatch, pair(tail_us=500.0, skipped=2), quick=False, hours=1, virtual=virtual
    )
    for name in ("soak.late_us.p999", "soak.late_us.max", "soak.missed"):
        assert by_name[f"1000hz.inference.{name}"].verdict is verdict
    assert ("virtual hardware" in " ".join(found.notes)) == bool(virtual)


def test_schedules_have_enough_slices_and_records():
    for rate_hz in tick.RATES_HZ:
        plan = schedule(rate_hz)
        assert plan.blocks * plan.slices >= 20
        assert plan.blocks % lateness.BLOCKS_IN_A_ROUND == 0
        assert plan.slice_s * rate_hz >= 200
    assert schedule(1000).seconds < 12
    soak = schedule(1000, 3600.0)
    assert soak.blocks * soak.slices == lateness.MOST_SLICES
    assert soak.blocks * soak.slices * soak.slice_s == pytest.approx(3600)
    assert schedule(1000, 1.0).blocks * 2 >= 20


def test_halves_of_the_period_and_order_of_starting_are_balanced():
    seen = [phases(block) for block in range(lateness.BLOCKS_IN_A_ROUND)]
    assert sorted(seen) == [(False, False), (False, True), (True, False), (True, True)]


class FakeFloor:
    """Counts one record of 1 us for each ms that it ran."""

    started_ns: list[int]

    def __init__(self, period_ns, priority, lock_memory):
        self.fifo, self.running = None, False

    def start(self, start_ns):
        FakeFloor.started_ns.append(start_ns)
        self.running, self.begin_ns = True, now_ns()

    def counts(self):
        return counts_of(np.full((now_ns() - self.begin_ns) // 10**6, 1000))

    def stop(self):
        self.running = False


class FakeSubject:
    def __init__(self, fail=False):
        self.fail, self.begun_ns, self.ended, self.waits = fail, [], 0, 0

    def begin(self, start_ns):
        self.begun_ns.append(start_ns)

    def run_until(self, end_ns):
        self.waits += 1
        if self.fail:
            raise SpinalError("it holds")
        time.sleep(max(0, end_ns - now_ns()) * 1e-9)

    def late_counts(self):
        return counts_of(np.full(self.waits, 2000))

    def skipped(self):
        return 10 * self.waits

    def account(self, pair):
        pair.faults += 1
        pair.realtime = GRANTED

    def end(self):
        self.ended += 1


def test_a_run_is_cut_into_slices_half_a_period_apart(monkeypatch):
    monkeypatch.setattr(lateness, "Floor", FakeFloor)
    monkeypatch.setattr(lateness, "SETTLE_NS", 10**6)
    FakeFloor.started_ns = []
    subject = FakeSubject()
    found = lateness.run(subject, Schedule(1000, 4, 3, 0.01))
    assert found.late.shape == found.floor.shape == (12, len(UPPER_EDGES_NS))
    assert (found.late.sum(axis=1) == 1).all()
    assert found.skipped == 4 * 3 * 10  # what was skipped while it settled is not counted
    assert found.faults == subject.ended == 4
    apart_ns = np.array(subject.begun_ns) - np.array(FakeFloor.started_ns)
    assert sorted(apart_ns % 1_000_000) == [500_000] * 4
    assert {tuple(np.sign([gap])) for gap in apart_ns} == {(1,), (-1,)}


def test_both_threads_end_when_a_run_fails(monkeypatch):
    floors = []

    class Kept(FakeFloor):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            floors.append(self)

    FakeFloor.started_ns = []
    monkeypatch.setattr(lateness, "Floor", Kept)
    subject = FakeSubject(fail=True)
    with pytest.raises(SpinalError, match="it holds"):
        lateness.run(subject, Schedule(1000, 4, 1, 0.01))
    assert subject.ended == 1
    assert not floors[0].running


def plain_rig(**changes):
    return rig.Rig(3, 500, fifo_priority=0, lock_memory=False, **changes)


def test_the_rig_runs_takes_chunks_and_keeps_every_tick():
    subject = plain_rig(keep_records=True)
    try:
        subject.begin()
        subject.run_until(now_ns() + 200 * rig.MS)
        stamps = subject.records()
        assert len(stamps["tick_ns"]) > 20
        assert (np.diff(stamps["tick_ns"]) % subject.period_ns == 0).all()
        assert stamps["switched"].sum() >= 3
        order = [stamps[name] for name in rig.STAMPS[:-1]]
        assert all((later >= earlier).all() for earlier, later in itertools.pairwise(order[1:]))
        assert subject.stats["rejected"] == dict.fromkeys(subject.stats["rejected"], 0)
        assert (subject.records()["tick_ns"] > stamps["tick_ns"].max()).all()
    finally:
        subject.end()


def test_a_loop_that_holds_is_not_measured(monkeypatch):
    subject = plain_rig()
    try:
        subject.begin()
        monkeypatch.setattr(layout, "ORDER_RUN", layout.ORDER_HOLD)
        with pytest.raises(SpinalError, match=r"did not run but were holding: .*ordered to hold"):
            subject.run_until(now_ns() + 500 * rig.MS)
    finally:
        subject.end()


def test_a_loop_that_never_runs_is_an_error_in_time(monkeypatch):
    monkeypatch.setattr(layout, "ORDER_RUN", layout.ORDER_HOLD)
    monkeypatch.setattr(rig, "BEGIN_LIMIT_S", 0.1)
    with pytest.raises(SpinalError, match="and does not run"):
        plain_rig().begin()


def test_a_lost_record_is_an_error(monkeypatch):
    monkeypatch.setattr(rig, "RECORD_SLOTS", 16)
    subject = plain_rig()
    try:
        subject.begin()
        ticks = subject.stats["ticks"]
        until(
            lambda: subject.stats["ticks"] > ticks + 20, "more ticks than the ring holds, which nobody drains"
        )
        with pytest.raises(SpinalError, match="records of ticks were lost"):
            subject.run_until(now_ns() + 100 * rig.MS)
    finally:
        subject.end()


def double(number):
    return 2 * number


def fails():
    raise BenchError("no such thing", "take another")


def breaks():
    raise KeyError("a defect")


def dies():
    os._exit(3)


def test_work_apart_gives_back_what_it_found():
    assert run_apart(double, 21, seconds=1) == 42


def test_work_apart_raises_what_was_raised_there():
    with pytest.raises(BenchError, match="no such thing") as caught:
        run_apart(fails, seconds=1)
    assert caught.value.hint == "take another"
    with pytest.raises(ProcessError, match="KeyError: 'a defect'"):
        run_apart(breaks, seconds=1)
    with pytest.raises(ProcessError, match="died with exit code 3"):
        run_apart(dies, seconds=1)


def test_loads_are_at_work_in_the_block_and_gone_behind_it():
    with loads.processes(["busy", "storage"]) as started:
        assert [process.poll() for process in started] == [None, None]
    assert all(process.returncode is not None for process in started)


def test_loads_are_gone_when_the_block_fails():
    with pytest.raises(BenchError), loads.processes(["busy"]) as started:
        raise BenchError("no")
    assert started[0].returncode is not None


def test_a_load_that_does_not_begin_is_one_clear_line():
    with pytest.raises(ProcessError, match="did not begin"), loads.processes(["unknown"]):
        pass


def test_threads_beside_work_and_end(monkeypatch):
    for beside in (loads.busy_thread, loads.inference_thread):
        before = time.thread_time(), time.process_time()
        with beside():
            until(
                lambda: time.process_time() - before[1] > time.thread_time() - before[0] + 0.01,
                "another thread has worked",
            )
        after = time.thread_time(), time.process_time()
        assert after[1] - before[1] > after[0] - before[0]


CYCLIC = """\
# /dev/cpu_dma_latency set to 0us
# Histogram
000017 000002
000018 000097
000020 000000
# Total: 000000099
# Max Latencies: 30000
# Histogram Overflows: 00001
"""


def test_cyclictest_is_read():
    found = cyclictest.parse(CYCLIC)
    assert found.n == 100
    assert found.quantile_us(0.5) == 18
    assert found.quantile_us(0.999) == float("inf")
    assert np.isnan(cyclictest.parse("").quantile_us(0.5))


def test_cyclictest_that_fails_says_why(monkeypatch):
    monkeypatch.setattr(
        cyclictest.subprocess, "run", lambda *a, **k: SimpleNamespace(returncode=1, stderr="no\n")
    )
    assert cyclictest.measure(1000, 1) == "cyclictest left with 1: no"


@pytest.mark.parametrize("values", [[5], [40_000, 41_000, 90_000], [1, 10**9], [1 << 62]])
def test_a_distribution_keeps_its_quantiles(values):
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    counts = histogram.counts()
    assert (counts_of(np.array(values)) == counts).all()
    shown = distribution_us("late", counts, counts * np.uint64(2))
    assert len(shown.edges) == len(shown.counts) == len(shown.floor_counts)
    assert all(np.isfinite(shown.edges))
    assert sum(shown.counts) == len(values)
    for fraction in (0.1, 0.5, 0.99) if max(values) < 1 << 40 else ():
        whole = quantile(counts, UPPER_EDGES_NS, fraction) / 1e3
        kept = quantile(np.array(shown.counts, np.uint64), np.array(shown.edges), fraction)
        assert kept == pytest.approx(whole, rel=0.04)


def measured_alike(monkeypatch, runs, file, ratios, reason=""):
    given = iter(ratios)

    def apart(work, plan, threads, empty, seconds):
        assert empty
        return pair(late_us=30 * next(given))

    monkeypatch.setattr(alike, "run_apart", apart)
    monkeypatch.setattr(alike, "processes", lambda kinds: contextlib.nullcontext())
    monkeypatch.setattr(alike, "reason", lambda seen, loaded: reason)
    return alike.measure_alike(Bench(say=lambda line: None), tick.CONDITIONS[:1], 1000, runs, file)


def test_what_alike_loops_differ_by_is_kept(monkeypatch, tmp_path):
    file = tmp_path / "thresholds.json"
    found = measured_alike(monkeypatch, 8, file, [1.0] * 7 + [1.5])
    kept = alike.load(file)
    figure = "tick.1000hz.idle.late_us.p50"
    assert kept.limit(figure) > 1.15
    assert kept.alike[figure].slices == 24
    assert kept.alike[figure].floor_us == pytest.approx(30, rel=0.05)
    assert {metric.name for metric in found.metrics} == {f"aa.{figure[:-3]}{name}" for name in ("p50", "p99")}


def test_too_few_alike_runs_are_not_kept(monkeypatch, tmp_path):
    file = tmp_path / "thresholds.json"
    with pytest.raises(BenchError, match="too little"):
        measured_alike(monkeypatch, 7, file, [])
    with pytest.raises(BenchError, match="2 figures have fewer than 8 undisturbed runs; nothing was kept"):
        measured_alike(monkeypatch, 8, file, [1.0] * 8, reason="stolen")
    assert not file.exists()


def test_conditions_are_plain_values():
    assert dataclasses.replace(tick.CONDITIONS[1], name="idle") != tick.CONDITIONS[0]
    assert [one.loaded for one in tick.CONDITIONS] == [False, True, True, True, True]
    assert {one for condition in tick.CONDITIONS for one in condition.processes} <= set(loads.KINDS)
    assert {one for condition in tick.CONDITIONS for one in condition.threads} <= set(lateness.THREADS)
