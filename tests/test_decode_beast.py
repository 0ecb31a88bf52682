"""BEAST: its basis against scipy, a start that is C2, and tokens that are bounded or invalid."""

import numpy as np
import pytest
from decode_cards import card
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from spinal.runtime.bspline import basis_at, fit_controls, knots, start_controls
from spinal.runtime.decode.beast import BeastDecoder
from spinal.runtime.errors import InvalidAnswer, PolicyError

sizes = st.integers(0, 5).flatmap(lambda degree: st.tuples(st.just(degree), st.integers(degree + 1, 40)))


@settings(max_examples=80, deadline=None)
@given(sizes, st.integers(1, 60))
def test_the_basis_is_scipys_and_its_rows_sum_to_one(size, points):
    degree, controls = size
    phase = np.linspace(0, 1, points)
    made = basis_at(phase, degree, controls)
    np.testing.assert_allclose(made.sum(axis=1), 1, atol=1e-12)
    assert made.min() >= 0
    if degree:
        expected = BSpline.design_matrix(phase, knots(controls, degree), degree).toarray()
        np.testing.assert_allclose(made, expected, atol=1e-12)
    else:
        nearest = phase * controls  # a knot may be met from either side of a rounding error
        spans = made.argmax(axis=1)
        assert ((nearest >= spans - 1e-9) & (nearest <= spans + 1 + 1e-9)).all()
        assert spans[-1] == (controls - 1 if points > 1 else 0)
        assert set(np.unique(made)) <= {0.0, 1.0}


def test_too_few_control_points_are_refused():
    with pytest.raises(ValueError, match="4 control points of a spline of degree 4"):
        knots(4, 4)
    with pytest.raises(ValueError, match="no acceleration"):
        start_controls(np.zeros((1, 3)), 8, 1, 1.0)


motions = st.lists(st.tuples(*[st.floats(-5, 5)] * 3), min_size=1, max_size=4).map(np.array)


@settings(max_examples=100, deadline=None)
@given(motions, st.integers(2, 5), st.integers(0, 20), st.floats(0.1, 4.0))
def test_a_spline_begins_with_the_motion_it_was_given(motion, degree, more, duration_s):
    controls = degree + 1 + more
    start = start_controls(motion, controls, degree, duration_s)
    rest = np.random.default_rng(0).normal(size=(controls - 3, len(motion)))
    spline = BSpline(knots(controls, degree) * duration_s, np.concatenate([start, rest]), degree)
    scale = np.abs(motion).max() + 1
    for order in range(3):
        np.testing.assert_allclose(
            spline(0.0, nu=order), motion[:, order], atol=1e-9 * scale / duration_s**order
        )


def test_a_spline_handed_to_itself_does_not_move():
    rng = np.random.default_rng(1)
    controls = rng.normal(size=(12, 5))
    spline = BSpline(knots(12, 4) * 0.7, controls, 4)
    motion = np.stack([spline(0.0, nu=order) for order in range(3)], axis=1)
    np.testing.assert_allclose(start_controls(motion, 12, 4, 0.7), controls[:3], atol=1e-9)


N, STEPS = 8, 30
KINDS = ("arm", "arm", "gripper")


def beast(steps=STEPS, kinds=KINDS, **more):
    low, high = more.pop("low", (-2.0,)), more.pop("high", (2.0,))
    decoder = {"kind": "beast", "controls": N, "degree": 4, "low": list(low), "high": list(high)} | more
    return BeastDecoder(card(decoder, steps, kinds, (1, N * len(kinds))), None)


def test_decoding_is_the_spline_that_was_encoded():
    made = beast()
    rng = np.random.default_rng(2)
    controls = rng.uniform(-1.9, 1.9, (N, 3))
    phase = np.linspace(0, 1, STEPS)
    actions = np.stack([BSpline(knots(N, 4), controls[:, j], 4)(phase) for j in range(2)], axis=1)
    held = controls[np.minimum((phase * N).astype(int), N - 1), 2]
    actions = np.column_stack([actions, held])
    decoded = made.decode({"out": made.encode(actions)[None]})
    largest = 4.0 / (2 * 255)  # the quantisation error of BEAST's bound; the basis only averages it
    np.testing.assert_allclose(decoded.actions, actions, atol=largest + 1e-6)
    np.testing.assert_allclose(decoded.spline.controls, controls, atol=largest + 1e-6)
    assert decoded.spline.degree == 4
    assert decoded.spline.duration_s == pytest.approx((STEPS - 1) * 0.02)
    spline = BSpline(knots(N, 4), decoded.spline.controls, 4)
    np.testing.assert_allclose(spline(phase)[:, :2], decoded.actions[:, :2], atol=1e-12)


def test_tokens_stand_control_point_by_control_point():
    low = np.arange(24.0)
    made = beast(low=low, high=low + 255)
    tokens = np.arange(24)
    controls = made.spline(tokens).spline.controls
    assert controls.shape == (N, 3)
    for channel in range(3):
        for point in range(N):
            assert controls[point, channel] == pytest.approx(low[channel * N + point] + point * 3 + channel)


def test_a_gripper_is_a_step():
    made = beast()
    tokens = np.full((N, 3), 128)
    tokens[N // 2 :, 2] = 255
    actions = made.spline(tokens.reshape(-1)).actions
    assert len(np.unique(actions[:, 2])) == 2
    assert len(np.unique(np.diff(actions[:, 2]))) == 2


def test_a_pose_has_its_grippers_last():
    pose = {"link": "hand", "rotation": "6d", "relative": "none"}
    decoder = {"kind": "beast", "controls": 6, "degree": 3, "low": [-1.0], "high": [1.0]}
    made = BeastDecoder(
        card(decoder, 12, ("gripper", "arm"), (1, 60), representation="pose", pose=pose), None
    )
    tokens = np.random.default_rng(0).integers(0, 256, (6, 10))
    actions = made.spline(tokens.reshape(-1)).actions
    assert [len(np.unique(column)) for column in actions.T] == [12] * 9 + [6]


def test_a_language_models_ids():
    size = 32_000
    tokens = np.random.default_rng(3).integers(0, 256, 24)
    plain = beast().spline(tokens).actions
    told = beast(from_vocabulary=size)
    np.testing.assert_array_equal(told.spline(size - 1 - tokens).actions, plain)
    ids = told.encode(plain)
    assert ids.min() >= size - 256
    assert ids.max() < size


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(-2, 257), min_size=22, max_size=26))
def test_tokens_are_bounded_or_invalid(tokens):
    made = beast()
    good = len(tokens) == 24 and all(0 <= token <= 255 for token in tokens)
    if not good:
        with pytest.raises(InvalidAnswer):
            made.spline(np.array(tokens))
    else:
        assert np.abs(made.spline(np.array(tokens)).actions).max() <= 2 + 1e-12


def test_bounds_that_do_not_fit_are_refused():
    with pytest.raises((PolicyError, ValueError)):
        beast(low=(0.0, 1.0))
    with pytest.raises((PolicyError, ValueError)):
        beast(low=(1.0,), high=(0.0,))


def test_fitting_is_the_least_squares_solution():
    actions = np.random.default_rng(4).normal(size=(50, 3))
    b = basis_at(np.linspace(0, 1, 50), 4, 10)
    np.testing.assert_allclose(
        fit_controls(actions, 10, 4), np.linalg.lstsq(b, actions, rcond=None)[0], atol=1e-6
    )
