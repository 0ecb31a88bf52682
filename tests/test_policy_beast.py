"""BEAST from tokens to the motion that the tick samples: its control points themselves, and no fit."""

import numpy as np
import pytest
from decode_cards import card
from scipy.interpolate import BSpline
from test_policy_step import MS, NOW_NS, observation

from spinal.native.trajectory import ActiveTrajectory
from spinal.runtime.bspline import knots
from spinal.runtime.config.execution import ExecutionSettings
from spinal.runtime.errors import InvalidAnswer
from spinal.runtime.policy.execution import Execution
from spinal.runtime.policy.step import PolicyStep
from spinal.runtime.trajectory import make_interpolation

CONTROLS, DEGREE, STEPS, STEP_NS = 8, 4, 30, 20_000_000
LIMITS = np.array([[-100.0, 100.0, 1e3, 1e6, 1e9]] * 2)
TOKENS = np.random.default_rng(3).integers(0, 256, (CONTROLS, 2))


class Tokens:
    """An engine that answers ``TOKENS``."""

    providers = ("none",)

    def __init__(self, tokens):
        self.inputs = {"q": np.zeros((1, 2), np.float32)}
        self.outputs = {"out": np.asarray(tokens, np.int64).reshape(1, -1)}

    def run(self):
        """They stand there."""


def made(tokens=TOKENS, speed=1.0):
    decoder = {"kind": "beast", "controls": CONTROLS, "degree": DEGREE, "low": [-1.0], "high": [1.0]}
    read = card(decoder, STEPS, output=(1, CONTROLS * 2))
    execution = Execution(
        step_ns=STEP_NS,
        blend_min_ns=20 * MS,
        blend_max_ns=160 * MS,
        blend_share=0.5,
        period_ns=STEP_NS,
        late_periods=3,
        grippers=(False, True),
        interpolation=make_interpolation("smooth", 0.02, 200.0, LIMITS[:, 2:]),
        settings=ExecutionSettings(speed=speed),
    )
    return PolicyStep(read, Tokens(tokens), execution)


@pytest.mark.parametrize("speed", [1.0, 2.0])
def test_the_tick_samples_the_answers_own_spline(speed):
    step = made(speed=speed)
    step.ahead_ns(0)
    seen = observation()
    path = step.trajectory(step.infer(seen), seen.command, NOW_NS + MS, MS)
    assert path.degree == DEGREE
    controls = TOKENS / 255 * 2 - 1
    assert np.allclose(path.controls[:, 0], controls[:, 0])
    step_s = STEP_NS * 1e-9 / speed
    spline = BSpline(knots(CONTROLS, DEGREE) * (STEPS - 1) * step_s, controls[:, 0], DEGREE)
    first_ns = NOW_NS + round(step_s * 1e9)
    motion = np.zeros((2, 3))
    motion[0] = [spline(0.0, nu=order) for order in range(3)]
    active = ActiveTrajectory(
        path, path.position, path.curvature, motion, LIMITS, (False, True), first_ns
    )  # begun on the spline, nothing is left to decay
    for share in np.linspace(0, 1, 23):
        at_s = share * (STEPS - 1) * step_s
        found = active.sample(first_ns + round(at_s * 1e9))[0]
        expected = [float(spline(at_s, nu=order)) for order in range(3)]
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_a_gripper_is_steps():
    step = made()
    step.ahead_ns(0)
    seen = observation()
    chunk = step.infer(seen)
    path = step.trajectory(chunk, seen.command, NOW_NS + MS, MS)
    levels = np.unique(TOKENS[:, 1] / 255 * 2 - 1)
    assert np.isclose(chunk.actions[:, 1][:, None], levels).any(axis=1).all()
    assert np.allclose(path.position[-STEPS:, 1], chunk.actions[:, 1])


@pytest.mark.parametrize("tokens", [TOKENS[:-1], np.full((CONTROLS, 2), 256), np.full((CONTROLS, 2), -1)])
def test_what_is_no_chunk_is_never_executed(tokens):
    with pytest.raises(InvalidAnswer):
        made(tokens).infer(observation())
