"""Limits: where they start, what alike sides raise them to, and what a bad file of them gets."""

import json

import msgspec
import pytest

from spinal.bench import thresholds
from spinal.bench.suites import tick
from spinal.bench.thresholds import Alike, Thresholds, alike_quantile, keep, load
from spinal.runtime.errors import BenchError

FIGURE = "tick.1000hz.idle.late_us.p99"


def found(ratios, **changes):
    plain = {
        "ratios": ratios,
        "floor_us": 50.0,
        "slices": 24,
        "slice_s": 0.42,
        "commit": "abc",
        "machine": "here",
        "date_utc": "2026-01-01",
    }
    return Alike(**{**plain, **changes})


def some(**alike):
    return Thresholds(
        margin=1.1, starting={"tick.*": 1.2, "tick.*.p99": 1.3, "policy.*": 1.05}, alike={**alike}
    )


def test_the_longest_pattern_holds():
    assert some().limit("tick.100hz.busy.late_us.p99") == 1.3
    assert some().limit("tick.100hz.busy.late_us.p50") == 1.2
    assert some().limit("policy.act.us.p50") == 1.05
    with pytest.raises(BenchError, match=r"bus\.x has no limit to start from"):
        some().limit("bus.x")


def test_alike_sides_raise_a_limit_and_never_lower_it():
    wide, narrow = found([1.0] * 7 + [1.6]), found([1.0] * 8)
    assert some(**{FIGURE: narrow}).limit(FIGURE) == 1.3
    assert some(**{FIGURE: wide}).limit(FIGURE) == pytest.approx(wide.quantile * 1.1, abs=1e-3)
    assert some(**{FIGURE: wide}).limit(FIGURE) > 1.3
    assert some(**{FIGURE: wide}).limit("tick.1000hz.busy.late_us.p99") == 1.3


def test_alike_sides_have_no_order():
    ratios = [1.0, 1.1, 1.3, 0.95, 1.0, 1.02, 0.99, 1.01]
    assert alike_quantile(ratios) == pytest.approx(alike_quantile([1 / ratio for ratio in ratios]))
    assert alike_quantile([0.5] * 8) == pytest.approx(2.0)


def test_the_kept_file_has_a_limit_for_every_judged_ratio():
    kept = load()
    for condition in tick.CONDITIONS:
        for name, least in (("p50", 1.15), ("p99", 1.3)):
            assert kept.limit(f"tick.{tick.JUDGED_HZ}hz.{condition.name}.late_us.{name}") >= least
            assert thresholds.limit(f"tick.1000hz.{condition.name}.late_us.{name}") >= least


def test_keeping_new_figures_leaves_the_others(tmp_path):
    file = tmp_path / "thresholds.json"
    first = keep({FIGURE: found([1.0] * 8), "policy.x": found([1.0] * 8)}, file)
    assert first.starting == load().starting
    keep({FIGURE: found([1.2] * 9)}, file)
    assert load(file).alike["policy.x"].ratios == [1.0] * 8
    assert load(file).alike[FIGURE].ratios == [1.2] * 9
    assert [path.name for path in tmp_path.iterdir()] == ["thresholds.json"]


def plain(**changes):
    return {**msgspec.to_builtins(some(**{FIGURE: found([1.0] * 8)})), **changes}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "is no file of thresholds"),
        ("[]", "is no file of thresholds"),
        (json.dumps(plain(schema=2)), "has schema 2, this version reads 1"),
        (json.dumps(plain(more=1)), "unknown field `more`"),
        (json.dumps(plain(margin=0.9)), "below 1"),
        (json.dumps(plain(starting={"tick.*": 0.5})), "below 1"),
        (
            json.dumps(plain(alike={FIGURE: msgspec.to_builtins(found([1.0] * 7))})),
            f"{FIGURE} needs 8 ratios above 0",
        ),
        (json.dumps(plain(alike={FIGURE: msgspec.to_builtins(found([1.0] * 7 + [-1]))})), "needs 8 ratios"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path, text, word):
    file = tmp_path / "thresholds.json"
    file.write_text(text)
    for read in (load, lambda path: keep({}, path)):
        with pytest.raises(BenchError) as caught:
            read(file)
        assert word in caught.value.message
        assert "\n" not in caught.value.message
        assert "--aa" in caught.value.hint
    assert file.read_text() == text


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(BenchError, match="cannot be read: No such file"):
        load(tmp_path / "none.json")
