"""Rotations in every form, against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from spinal.runtime.decode import rotations
from spinal.runtime.decode.rotations import SIZES, continuous, decoder_of, encoder_of, interpolate

FORMS = [form for form in SIZES if form != "none"]
RANDOM = Rotation.random(300, random_state=5)
EDGES = Rotation.concatenate(
    [
        Rotation.identity(),
        Rotation.from_rotvec([[np.pi, 0, 0], [0, np.pi, 0], [0, 0, np.pi], [1e-12, 0, 0], [0, 3e-8, 0]]),
        Rotation.from_rotvec(np.array([[1.0, -2.0, 0.5]]) / np.sqrt(5.25) * (np.pi - 1e-9)),
        Rotation.from_euler("xyz", [[0.3, np.pi / 2, 0.7], [0, -np.pi / 2, 1.0]]),
    ]
)
ALL = Rotation.concatenate([RANDOM, EDGES]).as_matrix()


@pytest.mark.parametrize("form", FORMS)
def test_there_and_back(form):
    numbers = encoder_of(form)(ALL)
    assert numbers.shape == (len(ALL), SIZES[form])
    most = 1e-8 if form == "euler_xyz" else 1e-12  # where pitch is pi/2, roll and yaw are only known together
    assert np.abs(decoder_of(form)(numbers) - ALL).max() < most


@pytest.mark.parametrize(
    ("form", "theirs"),
    [
        ("quaternion_xyzw", lambda r: r.as_quat()),
        ("quaternion_wxyz", lambda r: r.as_quat(scalar_first=True)),
        ("rotation_vector", lambda r: r.as_rotvec()),
        ("euler_xyz", lambda r: r.as_euler("xyz")),
    ],
)
def test_scipy_says_the_same(form, theirs):
    assert np.abs(decoder_of(form)(theirs(RANDOM)) - RANDOM.as_matrix()).max() < 1e-12
    mine, other = encoder_of(form)(RANDOM.as_matrix()), theirs(RANDOM)
    signs = np.sign((mine * other).sum(-1, keepdims=True)) if "quat" in form else 1.0
    assert np.abs(mine - signs * other).max() < 1e-12


def test_6d_is_the_columns_and_6d_rows_the_rows():
    m = RANDOM.as_matrix()
    assert (encoder_of("6d")(m) == np.concatenate([m[:, :, 0], m[:, :, 1]], -1)).all()
    assert (encoder_of("6d_rows")(m) == m[:, :2].reshape(-1, 6)).all()


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_any_six_numbers_are_a_rotation_or_refused(six):
    """Gram-Schmidt by hand is the reference."""
    a, b = np.array(six[:3]), np.array(six[3:])
    try:
        made = rotations.from_6d(np.array(six))
    except ValueError:
        across = np.linalg.norm(np.cross(a, b)) / max(np.linalg.norm(a), 1e-300)
        assert np.linalg.norm(a) <= 1.01e-3 or across <= 1.01e-3
        return
    x = a / np.linalg.norm(a)
    y = b - (x @ b) * x
    y /= np.linalg.norm(y)
    assert made == pytest.approx(np.stack([x, y, np.cross(x, y)], axis=1), abs=1e-9)
    assert np.linalg.det(made) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(
    ("form", "numbers"),
    [("quaternion_wxyz", [0.0] * 4), ("6d", [1, 0, 0, 2, 0, 0]), ("6d", [0] * 6), ("6d", [np.nan] * 6)],
)
def test_numbers_without_a_direction_are_refused(form, numbers):
    with pytest.raises(ValueError, match="direction"):
        decoder_of(form)(np.array([numbers], np.float64))


def test_a_quaternion_keeps_its_sign_along_a_chunk():
    turning = Rotation.from_rotvec(np.linspace(0, 2.5 * np.pi, 60)[:, None] * [0.0, 0.6, 0.8]).as_matrix()
    for form in ("quaternion_wxyz", "quaternion_xyzw"):
        numbers = encoder_of(form)(turning)
        assert np.abs(np.diff(numbers, axis=0)).max() < 0.1
    jumping = rotations.to_quaternion(turning)
    assert np.abs(np.diff(jumping, axis=0)).max() > 1
    assert (continuous(jumping)[0] == jumping[0]).all()


def test_interpolation_goes_the_shortest_way_at_constant_speed():
    one, other = RANDOM.as_matrix()[:100], RANDOM.as_matrix()[100:200]
    for share in (0.0, 0.25, 0.9, 1.0):
        for k in range(0, 100, 10):
            theirs = Slerp([0, 1], Rotation.from_matrix([one[k], other[k]]))(share).as_matrix()
            assert np.abs(interpolate(one[k], other[k], share) - theirs).max() < 1e-9
