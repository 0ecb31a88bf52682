"""What moved between two results: each kind of figure by its own criterion; one line where none can be."""

import json

import bench_samples as samples
import msgspec
import numpy as np
import pytest

from spinal.bench import judge
from spinal.bench.compare import report, sentence
from spinal.bench.moved import LEAST, Kind, changes, quantile_ratio
from spinal.bench.result import Distribution, Disturbance, Metric, SuiteResult, Verdict, save
from spinal.bench.statistics import Ratio, quantile
from spinal.runtime.cli.main import main

CALM = Disturbance(steal=0.0, pressure=0.0)
STOLEN = Disturbance(steal=0.1, pressure=0.0)


def result(name, *metrics, distributions=(), disturbance=CALM, **machine):
    suite = SuiteResult(metrics=list(metrics), distributions=list(distributions), disturbance=disturbance)
    return msgspec.structs.replace(samples.full(), machine=samples.machine(**machine), suites={name: suite})


def only(before, after, **options):
    (change,) = changes(before, after, **options)
    return change


def sliced(ratio, spread=0.05, name="late_us.p99"):
    found = Ratio(ratio * 100.0, 100.0, ratio, ratio - spread, ratio + spread, 24, 10_000)
    return judge.sliced(name, "us", found, 2.0)


def held(counts, name="late_us", floor=None, edges=samples.EDGES_US):
    return Distribution(name=name, unit="us", edges=edges, counts=counts, floor_counts=floor)


@pytest.mark.parametrize(
    ("suite", "metric", "after", "kind"),
    [
        ("exact", judge.exact("tick.instructions", "instructions", 9_400.0), 9_401.0, Kind.WORSE),
        ("exact", judge.exact("tick.instructions", "instructions", 9_400.0), 9_399.0, Kind.BETTER),
        ("exact", judge.exact("tick.instructions", "instructions", 9_400.0), 9_400.0, Kind.UNCHANGED),
        ("exact", judge.exact("tick.allocations", "", 0.0), 1.0, Kind.WORSE),
        ("seam", judge.exact("gain_5hz", "", 0.97, better="higher"), 0.96, Kind.WORSE),
        ("seam", judge.exact("jump", "", 4e-15), 9e-15, Kind.UNCHANGED),
        ("seam", judge.exact("fit_us", "us", 4.0), 9.0, Kind.UNJUDGED),
        ("tick", judge.exact("faults", "faults", 0.0), 2.0, Kind.WORSE),
        ("tick", judge.exact("max", "us", 400.0), 900.0, Kind.UNJUDGED),
        ("tick", judge.exact("max", "us", 400.0), 400.0, Kind.UNCHANGED),
        ("task", judge.exact("4steps.success", "", 0.7, better="higher", n=300), 0.8, Kind.BETTER),
    ],
)
def test_counts_and_lock_step_move_with_any_change_and_bare_durations_are_not_judged(
    suite, metric, after, kind
):
    change = only(result(suite, metric), result(suite, msgspec.structs.replace(metric, value=after)))
    assert change.kind is kind
    if kind is Kind.UNJUDGED:
        assert change.why == "no interval"


def test_lock_step_of_another_number_of_episodes_is_not_judged():
    few, many = (judge.exact("rms_jerk", "rad/s^3", value, n=n) for value, n in ((300.0, 20), (290.0, 300)))
    assert only(result("task", few), result("task", many)).kind is Kind.UNJUDGED


@pytest.mark.parametrize(
    ("ratio", "kind"),
    [(1.11, Kind.WORSE), (1.09, Kind.UNCHANGED), (0.91, Kind.UNCHANGED), (0.89, Kind.BETTER)],
)
def test_intervals_must_lie_apart(ratio, kind):
    assert only(result("tick", sliced(1.0)), result("tick", sliced(ratio))).kind is kind


def test_higher_is_better_turns_the_direction():
    def rate(value):
        metric = judge.exact("hz", "Hz", value, better="higher")
        return msgspec.structs.replace(metric, low=value - 1, high=value + 1)

    assert only(result("bus", rate(900.0)), result("bus", rate(800.0))).kind is Kind.WORSE
    assert only(result("bus", rate(800.0)), result("bus", rate(900.0))).kind is Kind.BETTER


@pytest.mark.parametrize("disturbed", ["before", "after"])
def test_a_disturbed_side_is_not_judged_unless_it_is_in_lock_step(disturbed):
    sides = {side: STOLEN if side == disturbed else CALM for side in ("before", "after")}
    change = only(
        result("tick", sliced(1.0), disturbance=sides["before"]),
        result("tick", sliced(3.0), disturbance=sides["after"]),
    )
    assert change.kind is Kind.WORSE
    assert change.why == "passed its limit, now fails"
    change = only(
        result("tick", sliced(1.0), disturbance=sides["before"]),
        result("tick", sliced(1.5), disturbance=sides["after"]),
    )
    assert change.kind is Kind.UNJUDGED
    assert f"{disturbed}: the hypervisor took" in change.why
    success = [Metric(name="success", unit="", value=v, low=v, high=v, better="higher") for v in (0.9, 0.5)]
    change = only(
        result("task", success[0], disturbance=sides["before"]),
        result("task", success[1], disturbance=sides["after"]),
    )
    assert change.kind is Kind.WORSE


def test_a_figure_that_passed_and_now_fails_is_worse_whatever_its_kind():
    before, after = (judge.timed("start_ms", "ms", value, 200.0) for value in (150.0, 260.0))
    assert (before.verdict, after.verdict) == (Verdict.PASS, Verdict.FAIL)
    assert only(result("start", before), result("start", after)).kind is Kind.WORSE
    assert only(result("start", after), result("start", before)).kind is Kind.BETTER
    still = judge.timed("start_ms", "ms", 190.0, 200.0)
    assert only(result("start", before), result("start", still)).kind is Kind.UNJUDGED


def test_what_is_new_gone_or_of_another_kind():
    here, there = judge.exact("a", "", 1.0), judge.exact("b", "", 2.0)
    kinds = {change.name: change.kind for change in changes(result("step", here), result("step", there))}
    assert kinds == {"b": Kind.NEW, "a": Kind.GONE}
    lacking = judge.missing("a", "", "valgrind is not installed")
    change = only(result("exact", here), result("exact", lacking))
    assert (change.kind, change.why) == (Kind.GONE, "valgrind is not installed")
    assert only(result("exact", lacking), result("exact", lacking)).kind is Kind.UNCHANGED
    other = judge.exact("a", "us", 1.0)
    assert only(result("exact", here), result("exact", other)).kind is Kind.UNJUDGED
    assert [change.kind for change in changes(result("x", here), result("y", here))] == [Kind.NEW, Kind.GONE]


def test_a_distribution_moves_by_the_bootstrap_of_its_quantiles():
    calm, same, slow = (samples.lateness(seed, p50) for seed, p50 in ((1, 40.0), (2, 40.0), (3, 48.0)))

    def kinds(before, after):
        found = changes(result("tick", distributions=[before]), result("tick", distributions=[after]))
        assert [change.name for change in found] == [
            f"late_us.{word} of the distribution" for word in ("p50", "p99")
        ]
        return {change.kind for change in found}

    floor, slow_floor = samples.lateness(4, 35.0), samples.lateness(5, 42.0)
    assert kinds(held(calm, floor=floor), held(same, floor=floor)) == {Kind.UNCHANGED}
    assert kinds(held(calm, floor=floor), held(slow, floor=floor)) == {Kind.WORSE}
    assert kinds(held(slow, floor=floor), held(calm, floor=floor)) == {Kind.BETTER}
    assert kinds(held(calm, floor=floor), held(slow, floor=slow_floor)) == {Kind.UNCHANGED}


def test_a_distribution_without_a_floor_is_shown_and_not_judged():
    calm, slow, floor = (samples.lateness(seed, p50) for seed, p50 in ((1, 40.0), (3, 48.0), (4, 35.0)))
    for one in (held(slow), held(slow, floor=floor)):
        found = changes(result("tick", distributions=[held(calm)]), result("tick", distributions=[one]))
        assert {(change.kind, change.why) for change in found} == {(Kind.UNJUDGED, "no floor beside it")}
        assert all(change.low > 1.1 for change in found)


def test_the_bootstrap_agrees_with_the_quantiles_and_covers_the_truth():
    edges = np.array(samples.EDGES_US)
    covered = 0
    for seed in range(40):
        sides = []
        for part, p50 in ((0, 40.0), (1, 50.0)):
            counts = np.array(samples.lateness(seed * 2 + part, p50, n=4000, stalled=0.0), dtype=np.float64)
            sides.append([(counts, edges)])
        middle, low, high = quantile_ratio(*sides, 0.5, seed=seed)
        before, after = (quantile(side[0][0].astype(np.uint64), edges, 0.5) for side in sides)
        assert middle == pytest.approx(after / before)
        assert low <= middle <= high
        covered += low <= 1.25 <= high
    assert covered >= 34


def test_a_change_below_what_buckets_can_tell_is_none():
    values = np.random.default_rng(1).lognormal(np.log(40.0), 0.35, 200_000)
    floor = samples.buckets(values)
    before, after = (
        result("tick", distributions=[held(samples.buckets(values * by), floor=floor)])
        for by in (1.0, 1 + (LEAST - 1) / 2)
    )
    p50, _ = changes(before, after)
    assert p50.kind is Kind.UNCHANGED
    assert p50.low > 1.0


@pytest.mark.parametrize(
    ("distribution", "why"),
    [
        (held([0] * len(samples.EDGES_US)), "0 records are too few"),
        (held(samples.buckets(np.full(15, 40.0))), "15 records are too few"),
        (held([1, 2], edges=[2.0, 1.0]), "its buckets are not usable"),
        (held([1], edges=[1.0, 2.0]), "its buckets are not usable"),
        (held([-5, 200], edges=[1.0, 2.0]), "its buckets are not usable"),
    ],
)
def test_a_distribution_that_tells_nothing_is_not_judged(distribution, why):
    before = result("tick", distributions=[held(samples.lateness(1, 40.0))])
    for change in changes(before, result("tick", distributions=[distribution])):
        assert (change.kind, change.why) == (Kind.UNJUDGED, why)


def test_from_nothing_there_is_no_ratio():
    nothing, some = (
        result("tick", distributions=[held([held_here, 5000 - held_here], edges=[0.0, 1.0], floor=[0, 5000])])
        for held_here in (5000, 0)
    )
    assert {(change.kind, change.why) for change in changes(nothing, some)} == {
        (Kind.UNJUDGED, "a quantile is 0")
    }
    assert {change.kind for change in changes(some, nothing)} == {Kind.BETTER}


def test_a_figure_with_an_interval_stands_for_its_quantile():
    floor = samples.lateness(3, 35.0)
    before, after = (
        result("tick", sliced(1.0), distributions=[held(samples.lateness(1, p50), floor=floor)])
        for p50 in (40.0, 60.0)
    )
    found = {change.name: change.kind for change in changes(before, after)}
    assert found == {"late_us.p99": Kind.UNCHANGED, "late_us.p50 of the distribution": Kind.WORSE}


def kept(folder, before, after):
    save(before, folder / "a.json")
    save(after, folder / "b.json")
    return ["bench", "compare", str(folder / "a.json"), str(folder / "b.json")]


def test_the_command_names_the_function_that_grew_and_leaves_with_one(tmp_path, capsys):
    words = kept(
        tmp_path, samples.full(), samples.full(exact=samples.exact(12_000.0), tick=samples.tick(p50_us=70.0))
    )
    assert main(words) == 1
    said = capsys.readouterr().out
    first = said.split("\n")[0]
    assert "9 slower or worse, 0 faster or better" in first
    assert first.endswith("Worst: exact.instructions.6_joints.plain, 1.27x: sp_limiter_step +2,588.")
    assert "+2,588, any change counts: sp_limiter_step +2,588" in said
    assert "tick.1000hz.idle.late_us.p50" in said
    assert main(list(reversed_files(words))) == 0
    assert "0 slower or worse, 9 faster or better" in capsys.readouterr().out


def reversed_files(words):
    return *words[:2], words[3], words[2]


def test_functions_are_named_only_where_both_files_have_them_whole():
    grown = samples.exact(12_000.0)
    (curve,) = grown.curves
    broken = msgspec.structs.replace(curve, lines={"sp_loop_tick": []})
    for curves in ([], [broken]):
        after = samples.full(exact=msgspec.structs.replace(grown, curves=curves))
        worse = [change for change in changes(samples.full(), after) if change.kind is Kind.WORSE]
        assert [(change.name, change.functions) for change in worse] == [("instructions.6_joints.plain", "")]


def test_what_a_running_robot_did_on_its_line_is_no_exact_count():
    line = judge.exact("line.system_calls.bus", "calls/tick", 20.2)
    change = only(result("exact", line), result("exact", msgspec.structs.replace(line, value=20.3)))
    assert change.kind is Kind.UNJUDGED


def test_nothing_moved_says_so(tmp_path, capsys):
    assert main(kept(tmp_path, samples.full(), samples.full())) == 0
    said = capsys.readouterr().out
    assert "Nothing got worse." in said.split("\n")[0]
    assert "slower or worse\n" not in said


def test_json_for_machines(tmp_path, capsys):
    after = samples.full(exact=samples.exact(12_000.0))
    assert main([*kept(tmp_path, samples.full(), after), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    assert found["counts"]["worse"] == 1
    (grown,) = found["changes"]
    assert grown["functions"] == "sp_limiter_step +2,588"
    assert (grown["before"], grown["after"], grown["kind"]) == (9_412.0, 12_000.0, "worse")


def test_two_machines_get_one_line_or_are_compared_by_what_has_a_floor(tmp_path, capsys):
    other = msgspec.structs.replace(
        samples.full(tick=samples.tick(p50_us=70.0)),
        machine=samples.machine(key="arm-8c", compiler="clang 17"),
    )
    words = kept(tmp_path, samples.full(), other)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 2
    assert "is from x86-64-some-processor-2c-virtual" in said
    assert "--across-machines" in said
    assert main([*words, "--across-machines"]) == 1
    said = capsys.readouterr().out
    assert "8 slower or worse" in said
    assert "reaction" not in said
    assert "note: another native core: gcc 12.2.0, optimised, now clang 17" in said


def test_another_schema_gets_one_line(tmp_path, capsys):
    words = kept(tmp_path, samples.full(), samples.full())
    (tmp_path / "b.json").write_text('{"schema": 2}')
    assert main(words) == 2
    assert "b.json has schema 2, this version reads 1" in capsys.readouterr().err


def test_long_lists_are_cut_but_never_what_got_worse():
    before = [judge.exact(f"a{n}", "instructions", 1.0) for n in range(40)]
    before += [judge.exact(f"b{n}", "us", 1.0) for n in range(40)]
    after = [msgspec.structs.replace(metric, value=2.0) for metric in before]
    found = changes(result("exact", *before), result("exact", *after))
    lines = report(found)
    assert sum("any change counts" in line for line in lines) == 40
    assert sum("no interval" in line for line in lines) == 12
    assert any("and 28 more: --all" in line for line in lines)
    assert sum("no interval" in line for line in report(found, whole=True)) == 40


def test_nothing_in_common_is_said():
    assert sentence([]) == "The two have no figure in common that could be compared."
