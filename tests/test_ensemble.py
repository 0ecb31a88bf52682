"""Temporal ensembling: online equals offline, both weightings, chunks that come late or out of order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinal.runtime.decode.ensemble import MOST_CHUNKS, Ensemble

STEP_NS = 20_000_000
JOINTS = 3


@pytest.fixture(params=[True, False], ids=["numba", "numpy"])
def numba(request):
    return request.param


def offline(chunks, first_ns, step_ns, count, m):
    """The paper's formula at each instant, over ``chunks`` (first_ns, step_ns, actions), in Python."""
    out = np.zeros((count, chunks[0][2].shape[1]))
    for k in range(count):
        at = first_ns + k * step_ns
        said = []
        for begin, step, actions in sorted(chunks, key=lambda chunk: chunk[0]):
            ends = begin + (len(actions) - 1) * step
            if begin <= at <= ends:
                instants = begin + step * np.arange(len(actions))
                said.append([np.interp(at, instants, column) for column in actions.T])
        weights = np.exp(-m * np.arange(len(said)) + min(0, m) * (len(said) - 1))
        out[k] = weights @ np.array(said) / weights.sum()
    return out


def recursive(chunks, m):
    """The online form of ACT: a running mean a step, its counts, and the oldest popped; one chunk every step."""
    steps = len(chunks[0])
    weights = np.exp(-m * np.arange(steps))
    total = np.cumsum(weights)
    mean, count, firsts = None, None, []
    for actions in chunks:
        if mean is None:
            mean, count = actions.copy(), np.ones(steps, int)
        else:
            older, newer, both = (each[:, None] for each in (total[count - 1], weights[count], total[count]))
            mean = (mean * older + actions[:-1] * newer) / both
            count = np.minimum(count + 1, steps - 1)
            mean, count = np.vstack([mean, actions[-1:]]), np.append(count, 1)
        firsts.append(mean[0])
        mean, count = mean[1:], count[1:]
    return np.array(firsts)


@pytest.mark.parametrize("m", [0.01, 0.3, 0.0, -0.3])
def test_a_chunk_every_step_is_acts_own_recursion(m, numba):
    chunks = np.random.default_rng(0).normal(size=(40, 12, JOINTS))
    ensemble = Ensemble(m, numba=numba)
    firsts = [ensemble.add(n * STEP_NS, STEP_NS, chunk)[0] for n, chunk in enumerate(chunks)]
    np.testing.assert_allclose(firsts, recursive(chunks, m), atol=1e-12)


def test_without_a_coefficient_it_is_the_mean(numba):
    chunks = np.random.default_rng(1).normal(size=(5, 6, JOINTS))
    ensemble = Ensemble(0.0, numba=numba)
    for n, chunk in enumerate(chunks):
        mean = ensemble.add(n * STEP_NS, STEP_NS, chunk)
    for k in range(6):
        spoken = [chunks[n][k + 4 - n] for n in range(5) if k + 4 - n < 6]
        np.testing.assert_allclose(mean[k], np.mean(spoken, axis=0), atol=1e-12)


def test_the_signs_of_the_coefficient(numba):
    for m, favoured in ((10.0, 0.0), (-10.0, 1.0)):
        ensemble = Ensemble(m, numba=numba)
        ensemble.add(0, STEP_NS, np.zeros((4, 1)))
        mean = ensemble.add(STEP_NS, STEP_NS, np.ones((4, 1)))
        np.testing.assert_allclose(mean[:3], favoured, atol=1e-4)
        assert mean[3] == 1


def test_zeros_are_actions(numba):
    ensemble = Ensemble(0.0, numba=numba)
    ensemble.add(0, STEP_NS, np.zeros((4, JOINTS)))
    np.testing.assert_allclose(ensemble.add(0, STEP_NS, np.ones((4, JOINTS))), 0.5)


gaps, steps_ns = st.integers(-3 * STEP_NS, 6 * STEP_NS), st.sampled_from([STEP_NS, 15_000_000])


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.tuples(gaps, steps_ns, st.integers(1, 9)), min_size=1, max_size=9),
    st.sampled_from([0.01, 1.0, -0.5, 10.0, -10.0]),
    st.integers(0, 99),
)
def test_chunks_at_any_instants_are_the_offline_mean(shapes, m, seed):
    """Skipped, late, out of order, of another step, and between each other's instants."""
    rng = np.random.default_rng(seed)
    compiled, plain = Ensemble(m), Ensemble(m, numba=False)
    said, at = [], 0
    for gap, step_ns, steps in shapes:
        at += gap
        chunk = (at, step_ns, rng.normal(size=(steps, 2)))
        # what has ended before an answer begins is forgotten, whatever comes behind it
        said = [(b, s, a) for b, s, a in said if b + (len(a) - 1) * s >= at]
        said.append(chunk)
        expected = offline(said, at, step_ns, steps, m)
        np.testing.assert_allclose(compiled.add(*chunk), expected, atol=1e-9)
        np.testing.assert_allclose(plain.add(*chunk), expected, atol=1e-9)


def test_more_chunks_than_are_remembered(numba):
    ensemble = Ensemble(0.0, numba=numba)
    for n in range(MOST_CHUNKS + 40):
        mean = ensemble.add(n, STEP_NS, np.full((3, 1), float(n)))
    np.testing.assert_allclose(mean[0], np.mean(np.arange(40, MOST_CHUNKS + 40)), atol=1e-6)


def test_the_given_chunk_is_not_kept_by_reference(numba):
    ensemble, actions = Ensemble(0.0, numba=numba), np.ones((3, 1))
    ensemble.add(0, STEP_NS, actions)
    actions[:] = 9
    np.testing.assert_allclose(ensemble.add(0, STEP_NS, np.ones((3, 1))), 1)


def test_restart_forgets(numba):
    ensemble = Ensemble(0.0, numba=numba)
    ensemble.add(0, STEP_NS, np.zeros((4, 2)))
    with pytest.raises(ValueError, match="3 joints, and 2 before"):
        ensemble.add(0, STEP_NS, np.zeros((4, 3)))
    ensemble.restart()
    chunk = np.random.default_rng(2).normal(size=(7, 3))
    np.testing.assert_array_equal(ensemble.add(0, STEP_NS, chunk), chunk)
    longer = np.random.default_rng(3).normal(size=(9, 3))
    np.testing.assert_allclose(ensemble.add(0, STEP_NS, longer)[:7], (longer[:7] + chunk) / 2)
