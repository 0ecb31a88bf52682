"""DDIM: the schedule, a model that knows the noise, and the formulas of each kind of prediction."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinal.runtime.decode.ddim import Ddim, squared_cosine, timesteps

SHAPE = (8, 3)
KINDS = ["epsilon", "sample", "v_prediction"]


def ddim(model, steps, train_steps=100, prediction="epsilon", clip=1.0):
    x, time = np.zeros((1, *SHAPE)), np.zeros(1, np.int64)
    return Ddim(x, time, lambda: model(x[0], int(time[0]))[None], steps, train_steps, prediction, clip)


def test_the_schedule():
    bars = squared_cosine(100)
    shape = np.cos((np.arange(101) / 100 + 0.008) / 1.008 * math.pi / 2) ** 2
    np.testing.assert_allclose(bars[:-1], (shape[1:] / shape[0])[:-1], rtol=1e-9)
    assert 0 < bars[-1] < bars[-2]  # the last beta is held at 0.999
    assert bars[-1] == pytest.approx(bars[-2] * 0.001)
    assert timesteps(10, 100) == [90, 80, 70, 60, 50, 40, 30, 20, 10, 0]
    assert timesteps(3, 100) == [66, 33, 0]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.sampled_from(KINDS), st.sampled_from([None, 1.0]))
def test_a_model_that_knows_the_clean_chunk_recovers_it(steps, kind, clip):
    bars = squared_cosine(60)
    clean = np.random.default_rng(0).uniform(-1, 1, SHAPE)

    def model(x, t):
        signal, noise = math.sqrt(bars[t]), math.sqrt(1 - bars[t])
        epsilon = (x - signal * clean) / noise
        return {"epsilon": epsilon, "sample": clean, "v_prediction": signal * epsilon - noise * clean}[kind]

    made = ddim(model, steps, 60, kind, clip)
    made.state[...] = np.random.default_rng(1).normal(size=SHAPE)
    made.run()
    np.testing.assert_allclose(made.state, clean, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("clip", [None, 0.5])
def test_each_step_is_the_published_one(kind, clip):
    """With a network that is none of these in closed form; eta 0, the last step goes to a clean chunk."""

    def network(x, t):
        return np.tanh(x * 1.3 + t / 50)

    bars = squared_cosine(100)
    x = np.random.default_rng(2).normal(size=SHAPE)
    made = ddim(network, 8, 100, kind, clip)
    made.state[...] = x
    for t in timesteps(8, 100):
        answer, ab = network(x, t), bars[t]
        before = bars[t - 12] if t >= 12 else 1.0
        if kind == "epsilon":
            x0, epsilon = (x - math.sqrt(1 - ab) * answer) / math.sqrt(ab), answer
        elif kind == "sample":
            x0, epsilon = answer, (x - math.sqrt(ab) * answer) / math.sqrt(1 - ab)
        else:
            x0 = math.sqrt(ab) * x - math.sqrt(1 - ab) * answer
            epsilon = math.sqrt(ab) * answer + math.sqrt(1 - ab) * x
        x0 = x0 if clip is None else np.clip(x0, -clip, clip)
        x = math.sqrt(before) * x0 + math.sqrt(1 - before) * epsilon
    made.run()
    np.testing.assert_allclose(made.state, x, atol=1e-10)
    assert clip is None or np.abs(made.state).max() <= clip


def test_more_steps_than_it_was_trained_with_are_refused():
    with pytest.raises(ValueError, match="11 steps of a schedule of 10"):
        ddim(lambda x, t: x, 11, 10)
