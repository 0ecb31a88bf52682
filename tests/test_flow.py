"""Flow matching: the published golden numbers, flows whose end is known, and each way of being held to a chunk."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinal.runtime.decode.flow import (
    STREAMED,
    Flow,
    guidance_gain,
    guidance_weights,
    mask_weights,
    streaming_schedule,
    streaming_times,
)

H, CHANNELS = 12, 3
DIRECTIONS = [0, 1]


def flow(field, steps, noise_at=0, vjp=None, per_position=False, shape=(H, CHANNELS)):
    """A flow over ``field(x, tau) -> v``, asked in the model's own direction."""
    x, time = np.zeros((1, *shape)), np.zeros((1, shape[0]) if per_position else (1,))

    def tau():
        at = time if noise_at == 0 else 1 - time
        return at[0][:, None] if per_position else at[0]

    def velocity():
        v = field(x[0], tau())[None]
        return v if noise_at == 0 else -v

    back = None if vjp is None else lambda error: vjp(error, x[0], tau())[None]
    return Flow(x, time, velocity, steps, noise_at, back)


def noise(seed=0, shape=(H, CHANNELS)):
    return np.random.default_rng(seed).normal(size=shape)


# --- golden numbers (RTC, and its reference implementation's)


def test_the_weights_of_guidance():
    np.testing.assert_allclose(guidance_weights(8, 2, 5), [1, 1, 0.4876, 0.1888, 0.0413, 0, 0, 0], atol=5e-5)


@pytest.mark.parametrize(
    ("n", "beta", "expected"),
    [
        (5, 5, [5, 4.25, 2.167, 2.167, 4.25]),
        (10, 10, [10, 9.111, 4.25, 2.762, 2.167, 2, 2.167, 2.762, 4.25, 9.111]),
    ],
)
def test_the_gain_of_guidance(n, beta, expected):
    np.testing.assert_allclose([guidance_gain(k / n, beta) for k in range(n)], expected, atol=5e-4)


@given(st.integers(1, 60), st.integers(0, 60), st.integers(-3, 60))
def test_weights_fall_from_one_to_nothing(steps, frozen, end):
    end = min(end, steps)
    for made in (guidance_weights, mask_weights):
        weights = made(steps, frozen, end)
        assert weights.shape == (steps,)
        assert (weights[max(0, end) :] == 0).all()
        assert (weights[: max(0, min(frozen, end))] == 1).all()
        assert (np.diff(weights) <= 0).all()
        between = weights[frozen : max(frozen, end)]
        assert ((between > 0) & (between < 1)).all()


def test_the_ramp_of_the_mask():
    t = np.arange(1, 4) / 4
    ramp = (1 - np.exp(-6 * t)) / (1 - np.exp(-6))
    np.testing.assert_allclose(1 - mask_weights(8, 2, 5), [0, 0, *ramp, 1, 1, 1], atol=1e-12)


# --- flows whose end is known


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.sampled_from(DIRECTIONS), st.booleans())
def test_a_straight_flow_lands_on_its_end(steps, noise_at, per_position):
    end = noise(1)
    made = flow(lambda x, tau: (end - x) / (1 - tau), steps, noise_at, per_position=per_position)
    made.state[...] = noise(2)
    made.free()
    np.testing.assert_allclose(made.state, end, atol=1e-12)


@pytest.mark.parametrize("noise_at", DIRECTIONS)
def test_euler_steps_are_those_of_the_model(noise_at):
    """x += dt v from noise, dt = 1/n or -1/n, at the times that the model was trained with."""
    made = flow(lambda x, tau: np.sin(3 * x) + tau, 7, noise_at)
    made.state[...] = x = noise(3)
    for k in range(7):
        x = x + (np.sin(3 * x) + k / 7) / 7
    made.free()
    np.testing.assert_allclose(made.state, x, atol=1e-12)


# --- guidance


def reference_rtc(field, vjp, x, y, w, n, beta):
    """Kinetix' loop."""
    for k in range(n):
        tau = k / n
        v = field(x, tau)
        error = (y - (x + (1 - tau) * v)) * w[:, None]
        c = (tau**2 + (1 - tau) ** 2) / (1 - tau) ** 2
        g = min(beta, (1 - tau) / tau * c) if tau > 0 else beta
        x = x + (v + g * vjp(error, x, tau)) / n
    return x


@pytest.mark.parametrize("noise_at", DIRECTIONS)
@pytest.mark.parametrize("n", [1, 5, 10])
def test_guidance_with_the_analytic_jacobian(n, noise_at):
    """v = W x, whose Jacobian is known: that of x + (1 - tau) W x is I + (1 - tau) W."""
    size = H * CHANNELS
    w_matrix = np.random.default_rng(4).normal(size=(size, size)) / size

    def field(x, tau):
        return (w_matrix @ x.reshape(-1)).reshape(H, CHANNELS)

    def vjp(error, x, tau):
        return (error.reshape(-1) @ (np.eye(size) + (1 - tau) * w_matrix)).reshape(H, CHANNELS)

    y, w = noise(5), guidance_weights(H, 3, 8)
    expected = reference_rtc(field, vjp, noise(6), y, w, n, 5.0)
    made = flow(field, n, noise_at, vjp)
    made.state[...] = noise(6)
    made.guided(y, w, 5.0)
    np.testing.assert_allclose(made.state, expected, atol=1e-12)
    without = flow(field, n, noise_at)
    without.state[...] = noise(6)
    without.guided(y, w, 5.0)
    np.testing.assert_allclose(
        without.state, reference_rtc(field, lambda e, x, tau: e, noise(6), y, w, n, 5.0), atol=1e-12
    )
    assert np.abs(without.state - made.state).max() > 1e-4  # a Jacobian is not the identity


def test_guidance_without_the_backward_pass_is_lerobots():
    """Its own loop: time from 1 to 0, v = noise - action, the correction taken from v, weights falling linearly."""
    n, beta, y = 10, 10.0, noise(7)
    weights = np.clip(np.linspace(1.3, -0.3, H), 0, 1)

    def action_flow(x, tau):
        return np.tanh(x) * (2 - tau)

    x = noise(8)
    for k in range(n):
        time = 1 - k / n
        tau = 1 - time
        v = -action_flow(x, tau)
        x1 = x - time * v
        correction = (y - x1) * weights[:, None]
        squared = (1 - tau) ** 2
        gain = min(beta, (1 - tau) / tau * (squared + tau**2) / squared) if tau else beta
        x = x - (v - gain * correction) / n
    made = flow(action_flow, n, 1)
    made.state[...] = noise(8)
    made.guided(y, weights, beta)
    np.testing.assert_allclose(made.state, x, atol=1e-12)


def test_a_constant_velocitys_error_contracts_by_the_gain():
    n, beta = 10, 5.0
    v, y = noise(9), noise(10)
    w = guidance_weights(H, 4, 9)
    made = flow(lambda x, tau: v.copy(), n)
    made.state[...] = start = noise(11)
    made.guided(y, w, beta)
    factor = np.prod([1 - guidance_gain(k / n, beta) * w / n for k in range(n)], axis=0)
    np.testing.assert_allclose(y - made.state, (y - (start + v)) * factor[:, None], atol=1e-12)
    assert np.abs(factor[:4]).max() < 0.05


# --- prefix, mask, streaming


@pytest.mark.parametrize("noise_at", DIRECTIONS)
def test_a_prefix_is_clean_in_every_step(noise_at):
    seen = []
    y = noise(12)

    def field(x, tau):
        seen.append((x[:3].copy(), tau.reshape(-1).copy()))
        return x.mean() - x

    made = flow(field, 4, noise_at, per_position=True)
    made.state[...] = noise(13)
    made.prefixed(y, 3)
    assert len(seen) == 4
    for k, (rows, tau) in enumerate(seen):
        np.testing.assert_array_equal(rows, y[:3])
        np.testing.assert_allclose(tau, [1] * 3 + [k / 4] * (H - 3), atol=1e-12)
    np.testing.assert_array_equal(made.state[:3], y[:3])


def test_a_mask_keeps_what_is_frozen_and_starts_from_the_tail():
    y, start = noise(14), noise(15)
    weights = mask_weights(H, 3, 7)
    made = flow(lambda x, tau: np.ones_like(x), 5)
    made.state[...] = start
    made.masked(y, weights)
    begun = np.where((np.arange(H) < 7)[:, None], y, start)
    np.testing.assert_allclose(made.state, begun + (1 - weights)[:, None], atol=1e-12)
    np.testing.assert_array_equal(made.state[:3], y[:3])


def test_the_first_position_streams_out_after_one_step():
    for n in (2, 4, 5, 10):
        left = streaming_times(50, 0, 1 - 1 / n)
        assert left[0] == 0
        assert left[-1] == pytest.approx(1 - 1 / n)
        assert (np.diff(left) >= 0).all()
    np.testing.assert_array_equal(streaming_times(50, 5, 1.0), np.ones(50))
    np.testing.assert_array_equal(streaming_times(50, 5, 0.0), np.zeros(50))
    j = 10 / 44
    u = (1 - j**0.6) * 0.9
    assert streaming_times(50, 5, 0.7)[15] == pytest.approx((0.7 - u) / (1 - u))


def test_what_is_almost_there_goes_the_whole_way():
    almost = 0
    for steps, euler_steps in ((50, 10), (50, 7), (100, 10), (127, 9)):
        left = np.stack([streaming_times(steps, 3, 1 - k / euler_steps) for k in range(euler_steps + 1)])
        almost += int(((left > 0) & (left < STREAMED)).sum())
        schedule = streaming_schedule(steps, 3, euler_steps)
        assert schedule[schedule > 0].min() >= STREAMED
        assert (schedule[:, :3] == 0).all()
        np.testing.assert_array_equal(schedule[:, 3:], np.where(left < STREAMED, 0, left)[:, 3:])
    assert almost > 3


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.sampled_from(DIRECTIONS), st.integers(0, H))
def test_a_stream_lands_and_what_it_gave_out_stays(steps, noise_at, frozen):
    end, y = noise(16), noise(17)
    made = flow(
        lambda x, tau: np.where(tau < 1, (end - x) / np.maximum(1 - tau, 1e-12), 0),
        steps,
        noise_at,
        None,
        True,
    )
    made.state[...] = noise(18)
    given_out, count = np.zeros((0, CHANNELS)), 0
    for ready in made.streamed(y, frozen):
        assert ready > len(given_out)
        np.testing.assert_array_equal(made.state[: len(given_out)], given_out)
        given_out = made.state[:ready].copy()
        count += 1
    assert len(given_out) == H
    assert count <= steps
    np.testing.assert_array_equal(made.state[:frozen], y[:frozen])
    np.testing.assert_allclose(made.state[frozen:], end[frozen:], atol=1e-9)


def test_a_stream_gives_something_after_one_step():
    runs = []
    made = flow(lambda x, tau: runs.append(1) or -x, 10, 0, None, True, (50, 14))
    stream = made.streamed(np.zeros((50, 14)), 4)
    assert next(stream) > 4
    assert len(runs) == 1
    assert [*stream][-1] == 50
    assert len(runs) == 10


# --- what it costs and what it takes


def test_a_step_allocates_nothing_of_a_chunks_size():
    v = np.zeros((1, 400, 400), np.float32)
    made = Flow(np.zeros_like(v), np.zeros((1, 400), np.float32), lambda: v, 6, 1, lambda error: v)
    y, w = np.zeros((400, 400)), np.zeros(400)
    calls = (
        made.free,
        lambda: made.guided(y, w, 5.0),
        lambda: made.prefixed(y, 3),
        lambda: [*made.streamed(y, 3)],
    )
    for call in calls:
        call()
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < v.nbytes / 4  # numpy converts types in pieces of a fixed size


def test_a_half_precision_model_is_integrated_in_double():
    """1000 equal steps of 1/1000: adding in half precision would stop moving."""
    v = np.ones((1, 2, 1), np.float16)
    made = Flow(np.zeros((1, 2, 1), np.float16), np.zeros(1, np.float16), lambda: v, 1000, 0)
    made.state[...] = 4.0
    made.free()
    np.testing.assert_allclose(made.state, 5.0, atol=1e-9)
