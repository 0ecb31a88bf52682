"""The suites task and front: what they make of episodes, what they judge, and what they refuse."""

from argparse import ArgumentTypeError, Namespace
from dataclasses import replace

import pytest

from spinal.bench import options
from spinal.bench.bench import Bench
from spinal.bench.episodes import Condition, Result
from spinal.bench.result import Verdict
from spinal.bench.suites import BY_NAME, TABLE, front, task
from spinal.drivers.sim import seeds
from spinal.runtime.rollout import Episode

DEFAULTS = {option.flag.removeprefix("--"): option.default for suite in TABLE for option in suite.options}


def result(**changes):
    """Of twenty episodes, nineteen of them picks."""
    one = Episode(0, "success", 1.2, 300.0, 0.01, 0, 40.0, 1e-14, 2.4)
    episodes = [replace(one, seconds=1.0 + 0.01 * seed) for seed in range(19)]
    return replace(Result.of([*episodes, replace(one, outcome="dropped")]), **changes)


def by_name(suite):
    return {metric.name: metric for metric in suite.metrics}


def asked(monkeypatch, suite, quick=True, **changes):
    """What a suite asks of the episodes: conditions, seeds, and what it said."""
    seen, said = [], []

    def run(conditions, chosen, processes):
        seen.append((list(conditions), list(chosen), processes))
        return [result() for _ in conditions]

    monkeypatch.setattr(suite, "run_episodes", run)
    measured = suite.measure(Bench(quick, 0.0, Namespace(**{**DEFAULTS, **changes}), said.append))
    ((conditions, chosen, processes),) = seen
    return measured, conditions, chosen, processes, said


def test_task_measures_what_it_is_told_to(monkeypatch):
    _, conditions, chosen, processes, _ = asked(monkeypatch, task)
    assert [one.delay_steps for one in conditions] == [0, 4]
    assert chosen == list(seeds.EVALUATION[:20])
    assert processes == 2
    _, conditions, chosen, *_ = asked(monkeypatch, task, quick=False)
    assert ([one.delay_steps for one in conditions], len(chosen)) == ([0, 2, 4, 6], 300)
    changes = {"episodes": 3, "delays": (1,), "noise": "zero", "seeds": seeds.VALIDATION, "processes": 1}
    _, (condition,), chosen, processes, _ = asked(monkeypatch, task, **changes)
    assert condition == Condition(delay_steps=1, noise="zero")
    assert (chosen, processes) == (list(seeds.VALIDATION[:3]), 1)


def test_task_gives_each_delay_its_figures_and_says_the_table(monkeypatch):
    measured, *_, said = asked(monkeypatch, task)
    found = by_name(measured)
    assert found["0steps.success"].value == 0.95
    assert found["0steps.success"].low == pytest.approx(0.7639, abs=1e-4)
    assert found["0steps.success"].high == pytest.approx(0.9911, abs=1e-4)
    assert found["0steps.success"].verdict is Verdict.INFO
    assert found["4steps.pick_s.median"].value == pytest.approx(1.09)
    assert found["4steps.dropped"].value == 0.05
    assert found["4steps.rms_jerk"].value == pytest.approx(300.0)
    (text,) = said
    head, rule, *rows = text.splitlines()
    assert len(rows) == 2
    assert {line.count("|") for line in (head, rule, *rows)} == {11}
    assert "19 of 20" in rows[0]


def test_task_fails_for_a_starved_tick_and_for_a_jump():
    sound = task.summary([0], [result()])
    assert {metric.verdict for metric in sound.metrics} == {Verdict.INFO, Verdict.PASS}
    starved = by_name(task.summary([0], [result(starved_ticks=1)]))
    assert starved["0steps.starved_ticks"].verdict is Verdict.FAIL
    for jump in (2e-9, float("nan")):
        assert by_name(task.summary([0], [result(seam=jump)]))["0steps.seam"].verdict is Verdict.FAIL


def test_task_draws_success_with_its_interval_in_the_order_of_the_delay():
    few, many = result(successes=4, low=0.1, high=0.4), result()
    success, jerk = task.summary([6, 0], [few, many]).curves
    assert success.x == jerk.x == [0.0, 6.0]
    assert success.lines == {
        "picked": [0.95, 0.2],
        "95 %, low": [many.low, 0.1],
        "95 %, high": [many.high, 0.4],
    }


def test_no_pick_at_all_has_no_time_to_pick():
    none = Result.of([Episode(0, "timeout", 5.0, 300.0, 0.0, 0, 40.0, 1e-14, 2.4)])
    found = by_name(task.summary([0], [none]))
    assert found["0steps.pick_s.median"].value is None
    assert found["0steps.success"].value == 0.0
    assert "nan" in task.table([0], [none])[-1]


def test_front_compares_every_setting_at_every_delay_and_judges_nothing(monkeypatch):
    measured, conditions, chosen, _, (text,) = asked(monkeypatch, front, delays=(0, 4))
    assert len(conditions) == len(front.SETTINGS) * 2
    assert {one.delay_steps for one in conditions} == {0, 4}
    assert set(chosen) <= set(seeds.VALIDATION)
    assert {metric.verdict for metric in measured.metrics} == {Verdict.INFO}
    assert len({metric.name for metric in measured.metrics}) == len(measured.metrics) == 3 * len(conditions)
    assert len(text.splitlines()) == 2 + len(front.SETTINGS)


def test_front_draws_a_point_for_each_setting():
    at = {("shipped", 4): result(), ("no prefix", 4): result(rms_jerk=900.0, successes=5)}
    (curve,) = front.summary(at).curves
    assert curve.x == pytest.approx([300.0, 900.0])
    assert curve.lines == {"shipped": [0.95, None], "no prefix": [None, 0.25]}


def test_quick_is_real():
    """Two episodes through the whole robot, twice the same."""
    bench = Bench(
        True,
        0.0,
        Namespace(**{**DEFAULTS, "episodes": 2, "delays": (0,), "processes": 1}),
        lambda line: None,
    )
    first, second = task.measure(bench), task.measure(bench)
    assert first == second
    assert by_name(first)["0steps.starved_ticks"].verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (options.delays, "0,2,2,10", (0, 2, 10)),
        (options.count, "7", 7),
        (options.noise, "zero", "zero"),
        (options.seed_range, "validation", seeds.VALIDATION),
    ],
)
def test_flags_are_read(parse, text, value):
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (options.delays, "0,x"),
        (options.delays, "11"),
        (options.delays, "-1"),
        (options.delays, ""),
        (options.delays, "²"),
        (options.count, "0"),
        (options.count, "1.5"),
        (options.noise, "pink"),
        (options.seed_range, "training"),
    ],
)
def test_a_flag_that_makes_no_sense_gets_one_line(parse, text):
    with pytest.raises(ArgumentTypeError) as refused:
        parse(text)
    assert len(str(refused.value).splitlines()) == 1


def test_both_stand_in_the_table():
    assert BY_NAME["task"].load() is task.measure
    assert BY_NAME["front"].load() is front.measure
