"""Statistics that stand for each step of a chunk, and the way back from what an answer means."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinal.runtime.config.card import Normalisation
from spinal.runtime.decode.normalise import Scaling
from spinal.runtime.errors import PolicyError

STEPS, CHANNELS = 4, 3
NUMBERS = st.lists(st.floats(0.1, 10), min_size=STEPS * CHANNELS, max_size=STEPS * CHANNELS)


@given(NUMBERS, NUMBERS, st.integers(1, STEPS))
def test_each_step_has_numbers_of_its_own(scale, offset, rows):
    scaling = Scaling(Normalisation(mode="scale", scale=scale, offset=offset), CHANNELS, "output", STEPS)
    z = np.linspace(-1, 1, STEPS * CHANNELS).reshape(STEPS, CHANNELS)
    meant = z * np.reshape(scale, z.shape) + np.reshape(offset, z.shape)
    assert np.allclose(scaling.out_of(z), meant)
    assert np.allclose(scaling.out_of(z[:rows]), meant[:rows])
    assert np.allclose(scaling.answer_of(meant[:rows]), z[:rows])


def test_what_an_answer_means_leads_back_although_eps_does_not():
    chosen = Normalisation(mode="mean_std", mean=(1.0, 2.0, 3.0), std=(0.5, 0.2, 1.0), eps=0.01)
    scaling = Scaling(chosen, CHANNELS, "output", STEPS)
    z = np.linspace(-1, 1, CHANNELS)[None]
    assert np.allclose(scaling.answer_of(scaling.out_of(z)), z)
    assert np.abs(scaling.into(scaling.out_of(z)) - z).max() > 0.005


def test_a_mask_leaves_a_channel_of_every_step():
    chosen = Normalisation(mode="scale", scale=(2.0,) * STEPS * CHANNELS, mask=(True, False, True))
    found = Scaling(chosen, CHANNELS, "output", STEPS).out_of(np.ones((STEPS, CHANNELS)))
    assert found.tolist() == [[2, 1, 2]] * STEPS


def test_another_number_of_them_is_refused():
    with pytest.raises(PolicyError, match="5 numbers for 3 channels"):
        Scaling(Normalisation(mode="scale", scale=(1.0,) * 5), CHANNELS, "output", STEPS)
