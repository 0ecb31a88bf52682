"""Stages of a tick and their cost against joints: the arithmetic on made-up stamps, and one short real run."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest

from spinal.bench.apart import run_apart
from spinal.bench.bench import Bench
from spinal.bench.loop.rig import STAMPS
from spinal.bench.loop.stages import (
    COMPUTE,
    REPEATS,
    STAGES,
    WHOLE,
    Calls,
    Size,
    Ticks,
    measure_ticks,
    median_interval,
)
from spinal.bench.result import Disturbance, Verdict
from spinal.bench.suites import scale, step
from spinal.native.stopwatch import MOST_CALLS, PARTS, Stopwatch

QUIET = Disturbance(steal=0.0, pressure=0.0)


def ticks(n=400, compute_ns=1000, hand_off_ns=3000, faults=0, unlocked=None):
    """Ticks of 1 kHz whose every twentieth has a hand-off: wake 30 us, read 500, plan, sample, write 200 ns."""
    tick_ns = np.arange(n, dtype=np.int64) * 1_000_000
    switched = (np.arange(n) % 20 == 0).astype(np.int64)
    planned = np.where(switched, hand_off_ns, compute_ns // 2)
    durations = {"wake": 30_000, "read": 500, "plan": planned, "sample_limit": compute_ns // 2, "write": 200}
    stamps, at_ns = {"tick_ns": tick_ns, "switched": switched}, tick_ns
    for stage, (_, end) in STAGES.items():
        at_ns = at_ns + durations[stage]
        stamps[end] = at_ns
    assert set(stamps) == set(STAMPS)
    return Ticks(stamps, faults, unlocked)


def calls(part_ns=100.0, joints=(6, 14), **changes):
    return {
        (number, part): Calls(np.full(40, changes.get(part, part_ns)), np.full(40, 1.0))
        for number in joints
        for part in PARTS
    }


def measured(monkeypatch, suite, of_size, timed=None, seen=QUIET):
    @contextlib.contextmanager
    def watched():
        yield SimpleNamespace(seen=seen)

    def apart(work, sizes, *arguments, seconds):
        assert work is measure_ticks
        assert seconds < 12
        return {size: of_size(size) for size in sizes}, timed or calls()

    monkeypatch.setattr(suite, "Watch", watched)
    monkeypatch.setattr(suite, "run_apart", apart)
    found = suite.measure(Bench(quick=True, say=lambda line: None))
    return found, {metric.name: metric for metric in found.metrics}


def failed(by_name):
    return {name for name, metric in by_name.items() if metric.verdict is Verdict.FAIL}


def test_stages_fill_the_tick_without_a_gap():
    edges = [edge for pair in STAGES.values() for edge in pair]
    assert edges[1:-1:2] == edges[2::2]
    made = ticks()
    parts = sum(made.of(stage) for name, stage in STAGES.items() if name != "wake")
    assert (parts == made.of(WHOLE)).all()
    assert len(made.of(COMPUTE, True)) == 20
    assert set(made.of(STAGES["plan"], True)) == {3000}
    assert set(made.of(STAGES["plan"], False)) == {500}


def test_every_stage_and_part_is_in_the_result(monkeypatch):
    found, by_name = measured(monkeypatch, step, lambda size: ticks())
    assert not failed(by_name)
    assert by_name["14j.compute_us.p50"].value == 1.0
    assert by_name["14j.compute_us.p50"].limit == 10
    assert by_name["14j.compute_hand_off_us.p50"].value == 3.5
    assert by_name["14j.plan_hand_off_us.p50"].limit == 20
    assert by_name["6j.read_us.p50"].floor == pytest.approx(0.1)
    assert by_name["6j.wake_us.p50"].floor is None
    assert by_name["14j.part.limit_ns.joint"].value == pytest.approx(100 / 14)
    assert {
        name.split(".")[2].removesuffix("_ns").removesuffix("_us") for name in by_name if ".part." in name
    } == {part for part in PARTS if part != "empty"}
    tick_with, tick_without = found.waterfalls
    assert [stage.name for stage in tick_with.stages] == list(STAGES)
    assert tick_with.stages[0].begin_us == 0
    assert all(
        one.end_us == next_one.begin_us
        for one, next_one in zip(tick_with.stages[:-1], tick_with.stages[1:], strict=True)
    )
    assert tick_with.stages[-1].end_us - tick_without.stages[-1].end_us == pytest.approx(2.5)
    assert {one.name for one in found.distributions} >= {"14j.compute_us", "6j.wake_us"}
    assert sum(next(one for one in found.distributions if one.name == "14j.compute_us").counts) == 400


@pytest.mark.parametrize(
    ("given", "timed", "expected"),
    [
        ({"compute_ns": 11_000}, {}, {"14j.compute_us.p50"}),
        (
            {"hand_off_ns": 21_000},
            {},
            {"14j.compute_hand_off_us.p50", "14j.plan_hand_off_us.p50"},
        ),
        ({"faults": 1}, {}, {"6j.page_faults", "14j.page_faults"}),
        ({}, {"hand_off_far": 21_000}, {"14j.part.hand_off_far_us"}),
        ({}, {"sample": 2_100}, {"14j.part.sample_us"}),
    ],
)
def test_what_is_over_its_limit_fails_alone(monkeypatch, given, timed, expected):
    _, by_name = measured(monkeypatch, step, lambda size: ticks(**given), calls(**timed))
    assert failed(by_name) == expected


def test_over_the_limit_on_a_disturbed_machine_is_inconclusive(monkeypatch):
    stolen = Disturbance(steal=0.5, pressure=0.0)
    _, by_name = measured(monkeypatch, step, lambda size: ticks(compute_ns=11_000), seen=stolen)
    assert by_name["14j.compute_us.p50"].verdict is Verdict.INCONCLUSIVE


def test_memory_that_could_not_be_locked_is_said(monkeypatch):
    _, by_name = measured(monkeypatch, step, lambda size: ticks(unlocked="too little"))
    assert by_name["14j.page_faults"].verdict is Verdict.ABSENT
    assert "too little" in by_name["14j.page_faults"].why


def test_cost_against_joints_is_a_line(monkeypatch):
    def of_size(size):
        return ticks(compute_ns=200 * size.joints + 2000 * (size.buses == 4))

    found, by_name = measured(monkeypatch, scale, of_size)
    assert not failed(by_name)
    assert by_name["compute_us.joint"].value == pytest.approx(0.2)
    assert by_name["compute_us.off_line"].value == pytest.approx(0, abs=1e-9)
    assert by_name["57j.4b.compute_us.p50"].limit == 30
    curve = found.curves[0]
    assert curve.x == [6, 14, 28, 57]
    assert curve.lines["1 bus"] == pytest.approx([1.2, 2.8, 5.6, None])
    assert curve.lines["4 buses"] == pytest.approx([None, 4.8, None, 13.4])


def test_a_cost_that_grows_with_the_square_is_off_the_line_and_over_the_limit(monkeypatch):
    _, by_name = measured(monkeypatch, scale, lambda size: ticks(compute_ns=10 * size.joints**2))
    assert by_name["compute_us.off_line"].value > 0.5
    assert failed(by_name) == {f"57j.{buses}b.{kind}_us.p50" for buses in (2, 4) for kind in ("compute",)}


def test_an_interval_of_ticks_is_that_of_their_pieces():
    low, high = median_interval(np.full(100, 7))
    assert (low, high) == (7, 7)
    low, high = median_interval(np.repeat([1, 9], 500))
    assert low == 1
    assert high == 9
    assert np.isnan(median_interval(np.arange(19))).all()


def test_loops_and_stopwatch_take_turns():
    sizes = [Size(3), Size(40, 2)]
    found, parts = run_apart(measure_ticks, sizes, 500, 2, 0.06, [3], ["clock", "sample"], seconds=1)
    assert set(found) == set(sizes)
    assert set(parts) == {(3, "clock"), (3, "sample")}
    for one in found.values():
        assert len(one.stamps["tick_ns"]) >= 40
        assert (one.of(WHOLE) > 0).all()
        assert 0 < one.stamps["switched"].sum() < len(one.stamps["switched"])
    assert parts[3, "clock"].part_ns.shape == parts[3, "clock"].empty_ns.shape == (20,)


@pytest.mark.parametrize("joints", [1, 14, 64])
def test_the_stopwatch_does_what_it_times(joints):
    watch = Stopwatch(joints)
    for part in PARTS:
        part_ns, empty_ns = watch.time(part, 10, 3)
        assert part_ns.shape == empty_ns.shape == (3,)
        assert (part_ns >= 0).all()
    assert watch.limited == 0  # the motion passes the limiter unchanged
    near_ns, far_ns = watch.blends_ns
    assert 40_000_000 <= near_ns < far_ns == 160_000_000  # the far one tried all of them


@pytest.mark.parametrize("arguments", [(0,), (65,), (6, 1), (6, 129), (6, 51, 0.0), (6, 51, float("nan"))])
def test_a_stopwatch_of_no_motion_is_refused(arguments):
    with pytest.raises(ValueError, match="are no motion"):
        Stopwatch(*arguments)


def test_parts_and_calls_are_checked():
    watch = Stopwatch(6)
    with pytest.raises(ValueError, match="nothing is none of: empty"):
        watch.time("nothing", 1, 1)
    for repeats, batches in ((0, 1), (1, 0), (MOST_CALLS, 2)):
        with pytest.raises(ValueError, match="calls"):
            watch.time("empty", repeats, batches)
    assert set(REPEATS) <= set(PARTS)
