"""Numbers into float32 inputs and answers out of them, against numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spinal.native.tensor import TensorInput, to_actions

WIDE = st.floats(-1e38, 1e38)


@given(arrays(np.float64, 6, elements=WIDE))
def test_values_are_rounded_as_numpy_rounds(values):
    buffer = np.full((1, 6), 9, np.float32)
    TensorInput(buffer).put(values)
    assert np.array_equal(buffer[0], values.astype(np.float32))


def test_views_with_strides_are_taken_as_they_are():
    table = np.arange(18.0).reshape(6, 3)
    buffer = np.zeros((1, 6), np.float32)
    TensorInput(buffer).put(table[:, 1])
    assert list(buffer[0]) == list(table[:, 1])
    TensorInput(buffer).put_column(table, 2)
    assert list(buffer[0]) == list(table[:, 2])
    TensorInput(buffer).fill(0.1)
    assert list(buffer[0]) == [np.float32(0.1)] * 6


@given(st.integers(0, 4))
def test_a_prefix_is_what_is_ahead_and_its_last_row_on(given_steps):
    ahead, command = np.random.default_rng(1).normal(size=(given_steps, 3)), np.arange(9.0).reshape(3, 3)
    buffer = np.zeros((1, 4, 3), np.float32)
    TensorInput(buffer).put_prefix(ahead, command)
    last = ahead[-1] if given_steps else command[:, 0]
    expected = np.vstack([ahead, np.tile(last, (4 - given_steps, 1))])
    assert np.array_equal(buffer[0], expected.astype(np.float32))
    mask = np.full((1, 4), 7, np.float32)
    TensorInput(mask).put_mask(given_steps)
    assert list(mask[0]) == [1.0] * given_steps + [0.0] * (4 - given_steps)


@given(st.integers(0, 4))
def test_an_answer_is_widened_behind_what_is_ahead(given_steps):
    answer = np.random.default_rng(2).normal(size=(1, 4, 3)).astype(np.float32)
    ahead = np.random.default_rng(3).normal(size=(given_steps, 3))
    actions = to_actions(answer, ahead)
    assert actions.dtype == np.float64
    assert np.array_equal(actions[:given_steps], ahead)
    assert np.array_equal(actions[given_steps:], answer[0, given_steps:].astype(np.float64))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@given(where=st.integers(0, 11))
def test_a_number_that_is_not_finite_is_no_answer(bad, where):
    answer = np.ones((1, 4, 3), np.float32)
    answer.reshape(-1)[where] = bad
    assert to_actions(answer, np.zeros((0, 3))) is None
    hidden = to_actions(answer, np.zeros((4, 3)))
    assert hidden is not None, "what is replaced does not count"
    assert to_actions(np.ones((1, 4, 3), np.float32), np.full((1, 3), bad)) is None


def test_sizes_that_do_not_fit_are_refused():
    buffer = np.zeros((1, 4, 3), np.float32)
    into = TensorInput(buffer)
    with pytest.raises(ValueError, match="5 values for an input of 12"):
        into.put(np.zeros(5))
    with pytest.raises(ValueError, match="column 3"):
        TensorInput(np.zeros((1, 2), np.float32)).put_column(np.zeros((2, 3)), 3)
    with pytest.raises(ValueError, match="5 steps"):
        into.put_prefix(np.zeros((5, 3)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="of 2 joints"):
        into.put_prefix(np.zeros((0, 2)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="answer of 4 of 3"):
        to_actions(buffer, np.zeros((5, 3)))
    with pytest.raises(ValueError, match="answer of 4 of 3"):
        to_actions(buffer, np.zeros((1, 2)))
    assert not buffer.any(), "nothing was written"


def test_other_numbers_than_float32_are_refused():
    with pytest.raises(ValueError, match="Buffer dtype mismatch"):
        TensorInput(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="not C-contiguous"):
        to_actions(np.zeros((1, 4, 6), np.float32)[:, :, ::2], np.zeros((0, 3)))
