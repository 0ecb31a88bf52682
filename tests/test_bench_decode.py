"""The decode suite: what it compares, on which sizes, and what it makes of planted times."""

from argparse import Namespace
from importlib import resources

import numpy as np
import pytest

from spinal.bench.bench import Bench
from spinal.bench.result import Verdict
from spinal.bench.suites import decode
from spinal.bench.suites.decode import DECODE, FIT, FLOOR, SHAPES, Shape
from spinal.runtime.config.card import load_card
from spinal.runtime.decode import decode_chunk
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
    found = decode.measure(Bench(quick=True, options=Namespace(), say=lambda line: None))
    assert {metric.name.split(".")[0] for metric in found.metrics} == {"20x6", "50x14", "50x57"}
    assert {metric.verdict for metric in found.metrics} == {Verdict.INFO}
    (curve,) = found.curves
    assert curve.x == [120.0, 700.0, 2850.0]
    assert all(len(line) == 3 and None not in line for line in curve.lines.values())
