"""The decode suite: what it compares, on which sizes, and what it makes of planted times."""

from argparse import Namespace
from importlib import resources

import numpy as np
import pytest

from spinal.bench.bench import Bench
from spinal.bench.decoding import Case, cases
from spinal.bench.result import Verdict
from spinal.bench.suites import decode
from spinal.bench.suites.decode import DECODE, FIT, FLOOR, SHAPES, Shape
from spinal.runtime.config.card import load_card
from spinal.runtime.decode import Decoded, decode_chunk
from spinal.runtime.trajectory import fit, fit_matrix

SMALL = Shape(8, 3, "small")


def test_the_first_size_is_the_shipped_policys():
    model = resources.files("spinal.launch") / "policies" / "cartpick" / "cartpick.onnx"
    card = load_card(str(model))
    assert (SHAPES[0].steps, SHAPES[0].joints) == (card.chunk.steps, len(card.joints))


def test_the_floor_computes_what_the_fit_does():
    """Its floor is the same linear map, not an easier one."""
    output, observation, command = decode.inputs(SMALL)
    chunk = decode_chunk(output, observation, decode.STEP_NS)
    plan, step_s = decode.planned(SMALL), decode.STEP_NS * 1e-9
    position, curvature = fit(
        command, chunk.actions, chunk.given, step_s, decode.SMOOTHING, decode.SEAM_SMOOTHING, plan
    )
    both = decode.matrix(SMALL) @ np.concatenate([command.T, chunk.actions, plan])
    np.testing.assert_allclose(both, np.concatenate([position, curvature]), atol=1e-9)


def test_every_slice_has_as_many_rounds_of_all_three():
    took = decode.take_turns(SMALL, 0.02)
    assert took.ndim == 3
    assert took.shape[0] == decode.SLICES
    assert took.shape[2] == 3
    assert (took > 0).all()


def test_the_first_calls_find_no_matrices(monkeypatch):
    made = []
    monkeypatch.setattr(decode, "fit", lambda *given: made.append(fit_matrix.cache_info().currsize))
    took = decode.first_calls(SMALL)
    assert len(took) == len(made) > 0
    assert set(made) == {0}


def planted(decode_ns, fit_ns, floor_ns):
    took = np.zeros((decode.SLICES, 50, 3), np.int64)
    took[..., DECODE], took[..., FIT], took[..., FLOOR] = decode_ns, fit_ns, floor_ns
    return took


def test_planted_times_stand_beside_their_floor():
    metrics = {m.name: m for m in decode.metrics_of("a", planted(4000, 6000, 2000), np.array([70.0, 90.0]))}
    whole = metrics["a.waypoints_us.p50"]
    assert (whole.value, whole.floor, whole.ratio) == pytest.approx((10.0, 2.0, 5.0))
    assert metrics["a.decode_us.p50"].value == pytest.approx(4.0)
    assert metrics["a.fit_us.p50"].value == pytest.approx(6.0)
    assert metrics["a.first_call_us.p50"].value == pytest.approx(80.0)


def test_a_short_run_has_every_size_and_judges_nothing(monkeypatch):
    monkeypatch.setattr(decode, "SLICES", 2)
    monkeypatch.setattr(decode, "FEWEST_ROUNDS", 1)
    found = decode.measure(Bench(hours=1e-5, options=Namespace(), say=lambda line: None))
    assert {metric.name.split(".")[0] for metric in found.metrics[:15]} == {"20x6", "50x14", "50x57"}
    others = [metric.name for metric in found.metrics[15:]]
    for name in ("fast.50x14", "beast.50x14", "bins.50x14", "vq.20x6", "ensemble.100x14", "flow_rtc.50x14"):
        assert f"{name}.us.p50" in others
    assert {metric.verdict for metric in found.metrics} == {Verdict.INFO}
    (curve,) = found.curves
    assert curve.x == [120.0, 700.0, 2850.0]
    assert all(len(line) == 3 and None not in line for line in curve.lines.values())


def test_every_floor_is_part_of_what_it_stands_below(tmp_path):
    """Both sides of a case run; what a decoder answers is a whole chunk of finite numbers."""
    for case in cases(tmp_path):
        answer = case.ours()
        case.floor()
        if isinstance(answer, Decoded):
            assert f"{answer.actions.shape[0]}x{answer.actions.shape[1]}" in case.name
            assert np.isfinite(answer.actions).all()


def test_a_planted_case_stands_beside_its_floor():
    took = np.zeros((decode.SLICES, 50, 2), np.int64)
    took[..., 0], took[..., 1] = 9000, 3000
    metric = decode.metric_of(Case("a", "planted", int, int), took)
    assert (metric.name, metric.value, metric.floor, metric.ratio) == (
        "a.us.p50",
        *map(pytest.approx, (9, 3, 3)),
    )


def test_a_case_and_its_floor_take_turns():
    turns = []
    case = Case("a", "planted", lambda: turns.append("ours"), lambda: turns.append("floor"))
    took = decode.beside(case, 0.01)
    assert took.shape[0] == decode.SLICES
    assert took.shape[2] == 2
    assert turns[::2] == ["ours"] * (len(turns) // 2)
    assert turns[1::2] == ["floor"] * (len(turns) // 2)
