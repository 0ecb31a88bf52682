"""The command line of the bench: suites found or refused, verdicts turned into exit codes, each failure named."""

import argparse
import sys
import time
import types

import pytest

from spinal.bench import accepted, gate, judge, run, table
from spinal.bench.bench import Bench
from spinal.bench.result import Metric, SuiteResult, Verdict, load
from spinal.bench.suites import BY_NAME, TABLE, Suite
from spinal.runtime.cli.main import main
from spinal.runtime.errors import BenchError, BusError

PASS = judge.exact("good", "us", 1, 2)
FAIL = judge.exact("slow", "us", 3, 2)
UNSURE = judge.timed("noisy", "us", 3, 2, disturbed="stolen")


@pytest.fixture
def suite(monkeypatch):
    """Makes suites whose measurements are given."""

    def make(name, *measurements, gated="timed"):
        module = types.ModuleType(f"spinal.bench.suites.{name}")
        module.__spec__ = types.SimpleNamespace(name=name)
        left = list(measurements)

        def measure(bench):
            found = left.pop(0)
            if isinstance(found, Exception):
                raise found
            return SuiteResult(metrics=list(found))

        module.measure = measure
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return Suite(name, "made up", gated)

    return make


def quiet():
    return Bench(quick=True, say=lambda line: None)


def verdict(chosen, absent=()):
    result = gate.measure(chosen, quiet(), time.monotonic())
    return gate.summary(result, absent)


def test_all_inside_their_limits_is_a_pass(suite):
    found, lines = verdict([suite("one", [PASS]), suite("two", [PASS, judge.exact("shown", "us", 7)])])
    assert found is Verdict.PASS
    assert lines[-1] == "PASS: 2 figures are within their limits"


def test_a_failure_is_named_and_wins(suite):
    found, lines = verdict([suite("one", [PASS, FAIL]), suite("two", [UNSURE], [UNSURE])])
    assert found is Verdict.FAIL
    assert lines[-1] == "FAIL: one.slow"


def test_what_is_inconclusive_is_measured_once_more_and_says_so(suite):
    found, lines = verdict([suite("one", [UNSURE], [PASS])])
    assert found is Verdict.PASS
    assert any("measured twice" in line for line in lines)
    found, lines = verdict([suite("two", [UNSURE], [UNSURE])])
    assert found is Verdict.INCONCLUSIVE
    assert lines[-1] == "INCONCLUSIVE, which is no pass: two.noisy"


def test_a_failure_is_not_tried_again(suite):
    found, _ = verdict([suite("one", [FAIL], [PASS])])
    assert found is Verdict.FAIL


def test_the_budget_ends_the_second_attempts(suite):
    chosen = [suite("one", [UNSURE], [PASS])]
    result = gate.measure(chosen, quiet(), time.monotonic() - gate.BUDGET_S)
    found, lines = gate.summary(result, [])
    assert found is Verdict.INCONCLUSIVE
    assert any("no time left" in line for line in lines)


def test_a_suite_that_cannot_measure_fails_and_says_why(suite):
    found, lines = verdict([suite("one", BusError("the line is gone", "plug it in")), suite("two", [PASS])])
    assert found is Verdict.FAIL
    assert any("the line is gone; next: plug it in" in line for line in lines)
    assert any("two.good" in line for line in lines), "the others are measured all the same"


def test_a_figure_that_could_not_be_measured_is_no_pass(suite):
    found, lines = verdict([suite("one", [PASS, judge.missing("instructions", "", "no valgrind")])])
    assert found is Verdict.INCONCLUSIVE
    assert "one.instructions" in lines[-1]
    assert any("no valgrind" in line for line in lines)


def test_a_suite_that_is_not_there_is_listed(suite):
    _, lines = verdict([suite("one", [PASS])], absent=["scale"])
    assert "  absent: scale is not built yet" in lines


def test_nothing_judged_is_no_pass(suite):
    found, lines = verdict([suite("one", [judge.exact("shown", "us", 7)])])
    assert found is Verdict.INCONCLUSIVE
    assert "nothing judged" in lines[-1]


def test_exit_codes_are_those_of_the_page():
    assert gate.EXIT == {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.INCONCLUSIVE: 2}


def test_an_unknown_suite_is_refused_before_anything_is_measured(capsys):
    with pytest.raises(BenchError, match="is no suite") as caught:
        run.find(["tikc"])
    assert "did you mean tick?" in caught.value.hint
    assert main(["bench", "run", "tikc"]) == 2
    assert "next: did you mean tick?" in capsys.readouterr().err


def test_no_name_means_every_suite_that_is_there():
    assert run.find([]) == [suite for suite in TABLE if suite.present]


def test_options_have_unique_flags_and_known_suites():
    flags = [option.flag for suite in TABLE for option in suite.options]
    assert len(flags) == len(set(flags))
    assert len(BY_NAME) == len(TABLE)


def test_a_run_is_shown_and_kept(suite, monkeypatch, tmp_path, capsys):
    made = suite("one", [PASS, FAIL])
    monkeypatch.setattr(run, "find", lambda names: [made])
    file = tmp_path / "result.json"
    options = argparse.Namespace(suites=["one"], quick=True, hours=0.0, json=file)
    assert run.run(options) == 1
    assert load(file).suites["one"].metrics == [PASS, FAIL]
    shown = capsys.readouterr().out
    assert "FAIL" in shown
    assert "<= 2" in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (0.0, "0"),
        (1234.0, "1,234"),
        (0.01234, "0.0123"),
        (1.2345, "1.23"),
        (123.45, "123"),
        (12345.6, "12,346"),
        (4e-15, "4.0e-15"),
        (1.5e12, "1.5e+12"),
    ],
)
def test_numbers_as_a_person_writes_them(value, shown):
    assert table.number(value) == shown


def test_columns_are_aligned_and_say_why():
    lines = table.of_metrics(
        [PASS, Metric(name="x", unit="us", value=12, floor=10, ratio=1.2, why="because")]
    )
    assert lines[0].split() == ["metric", "value", "floor", "ratio", "limit", "verdict"]
    assert lines[1].index("1 us") + len("1 us") == lines[2].index("12 us") + len("12 us")
    assert lines[2].endswith("(because)")


def test_a_suite_that_is_planned_but_not_there_is_refused_too(monkeypatch):
    monkeypatch.setitem(BY_NAME, "dance", Suite("dance", "how it dances"))
    with pytest.raises(BenchError, match="not built yet"):
        run.find(["dance"])


def gain(value):
    return judge.exact("gain", "", value, 0.7, better="higher")


def test_a_miss_that_is_accepted_is_short_and_may_not_grow(suite, monkeypatch):
    known = accepted.Accepted(misses={"one.gain": accepted.Miss(value=0.54, why="it costs success")})
    monkeypatch.setattr(accepted, "load", lambda: known)
    found, lines = verdict([suite("one", [PASS, gain(0.54)])])
    assert found is Verdict.PASS
    assert lines[-1].endswith("short of its target, as known: one.gain")
    assert any("it costs success" in line for line in lines)
    found, lines = verdict([suite("one", [PASS, gain(0.52)])])
    assert found is Verdict.FAIL
    assert any("was 0.54 when it was accepted" in line for line in lines)
    found, lines = verdict([suite("one", [gain(0.71)])])
    assert found is Verdict.PASS
    assert any("no longer short" in line for line in lines)


def test_nothing_but_a_miss_is_no_pass(suite, monkeypatch):
    known = accepted.Accepted(misses={"one.gain": accepted.Miss(value=0.54, why="it costs success")})
    monkeypatch.setattr(accepted, "load", lambda: known)
    found, _ = verdict([suite("one", [gain(0.54)])])
    assert found is Verdict.INCONCLUSIVE


def test_a_list_of_misses_that_is_something_else_is_refused(tmp_path):
    file = tmp_path / "accepted.json"
    file.write_text('{"schema": 1, "misses": {"a": {"value": 1}}}')
    with pytest.raises(BenchError, match="why"):
        accepted.load(file)
    file.write_text('{"schema": 2, "misses": {}}')
    with pytest.raises(BenchError, match="schema 2"):
        accepted.load(file)
    assert accepted.load().misses is not None


@pytest.mark.parametrize("text", ["-1", "0", "nan", "a week"])
def test_hours_that_are_none_are_refused_before_anything_is_measured(text, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["bench", "run", "tick", f"--hours={text}"])
    assert caught.value.code == 2
    assert "--hours" in capsys.readouterr().err
