"""The suites delays and variants: what they make of episodes, and what they judge."""

from pathlib import Path

import pytest

from spinal.bench.result import Verdict
from spinal.bench.suites import delays, variants
from spinal.bench.suites.delays import METHODS, SPINAL
from spinal.runtime.config.load import load_robot
from spinal.runtime.rollout import Episode

DELAYS = (0, 3)


def episodes(picked, of=20, jerk=100.0):
    return [
        Episode(seed, "success" if seed < picked else "dropped", 1.0, jerk, 0.0, 0, 60.0, 1e-15, 20.0)
        for seed in range(of)
    ]


def table(**picked):
    """Every method picks 10 of 20, but for ``picked``."""
    return {(name, delay): episodes(picked.get(name, 10)) for name in METHODS for delay in DELAYS}


@pytest.mark.parametrize(
    ("ours", "theirs", "delay", "verdict"),
    [
        (10, 10, 3, Verdict.PASS),
        (18, 10, 3, Verdict.PASS),
        (9, 10, 3, Verdict.PASS),  # the interval holds 0
        (5, 20, 3, Verdict.FAIL),
        (5, 20, 0, Verdict.PASS),  # without a delay there is nothing to overlap
    ],
)
def test_ours_is_the_best_or_tied_wherever_there_is_a_delay(ours, theirs, delay, verdict):
    metric = delays.judged(table(**{SPINAL: ours, "prefix": theirs}), delay, "prefix")
    assert metric.verdict == verdict
    assert metric.value == pytest.approx((ours - theirs) / 20)
    assert metric.low < metric.value < metric.high


def test_the_table_names_the_best_of_the_others():
    shown = delays.lines(table(rtc=14, wait=3))
    assert len(shown) == 2 + len(DELAYS)
    assert all(row.count("|") == len(METHODS) + 3 for row in shown)
    assert "rtc" in shown[-1].rpartition("|")[0].rpartition("|")[2]
    assert "3 of 20" in shown[-1]


def test_every_point_has_its_figures_and_curves():
    from spinal.bench.episodes import Result

    faster = {(1.0, "as it is"): Result.of(episodes(10))}
    faster |= {(2.0, pace): Result.of(episodes(4 + k)) for k, pace in enumerate(delays.PACES)}
    result = delays.summary(table(), faster)
    names = {metric.name for metric in result.metrics}
    assert len(names) == len(result.metrics)
    assert {f"{name}.3steps.success" for name in METHODS} <= names
    assert {f"{SPINAL}.over.{name}.3steps" for name in METHODS if name != SPINAL} <= names
    assert {curve.name for curve in result.curves} >= {"success against speed"}
    (speeds,) = (curve for curve in result.curves if curve.name == "success against speed")
    assert speeds.lines == {
        "as it is": [0.5, 0.2],
        "1x at the gripper": [0.5, 0.25],
        "1x where it lags": [0.5, 0.3],
    }
    assert len(delays.speed_lines(faster)) == 6


def test_every_method_is_one_that_the_shipped_policy_can_be_run_by():
    from spinal.bench.episodes import _robot
    from spinal.runtime.policy.loaded import load

    for name, condition in METHODS.items():
        strategy = load(_robot(condition)).step.strategy.name
        wanted = condition.execution.get("strategy", "prefix")
        assert strategy == wanted, name


@pytest.mark.skipif(not variants.variants.PRESENT, reason="onnx converts")
def test_variants_are_smaller_and_answer_nearly_the_same(tmp_path):
    robot = load_robot(delays.SHIPPED)
    made = variants.variants.write(Path(robot.policy.model), tmp_path)
    sizes = {name: path.stat().st_size for name, path in made.items()}
    assert sizes["int8"] < sizes["fp16"] < sizes["fp32"]
    loaded = {name: variants.load(robot, model=path) for name, path in made.items()}
    found = {
        metric.name: metric.value
        for metric in variants.accuracy(loaded, variants.observations(robot, 1)[:20])
    }
    assert 0 < found["fp16.difference.max"] < 0.01
    assert found["fp16.difference.max"] < found["int8.difference.max"] < 0.1
