"""Rotations as matrices [..., 3, 3], and every way in which a card may write them. Values in, values out.

Matrices turn a body's directions into its parent's. ``interpolate`` goes through log space: the straight line
between two matrices or two Euler triples is no rotation, and neither keeps its speed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAST_LENGTH = 1e-3
"""A quaternion or a column that is shorter than this says no direction."""
SIZES = {
    "6d": 6,
    "6d_rows": 6,
    "quaternion_wxyz": 4,
    "quaternion_xyzw": 4,
    "rotation_vector": 3,
    "euler_xyz": 3,
    "none": 0,
}
"""Numbers of each form."""


def from_6d(six: Array) -> Array:
    """From the first two columns, one behind the other, made orthonormal (Zhou et al., arXiv 1812.07035).

    Raises ValueError when they are too short or parallel.
    """
    x = _unit(six[..., :3], "the first column")
    second = six[..., 3:6]
    y = _unit(second - (x * second).sum(-1, keepdims=True) * x, "what the second column adds to the first")
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def to_6d(rotation: Array) -> Array:
    """The first two columns."""
    return np.concatenate([rotation[..., 0], rotation[..., 1]], axis=-1)


def from_quaternion(wxyz: Array) -> Array:
    """From w, x, y, z of any length. Raises ValueError for one that is next to zero."""
    w, x, y, z = np.moveaxis(_unit(wxyz, "a quaternion"), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def to_quaternion(rotation: Array) -> Array:
    """w, x, y, z of unit length, w >= 0 (by the largest of the four, so that none is divided by zero)."""
    m = rotation
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    products = np.stack(
        [
            np.stack([1 + xx + yy + zz, wx, wy, wz], -1),
            np.stack([wx, 1 + xx - yy - zz, xy, xz], -1),
            np.stack([wy, xy, 1 - xx + yy - zz, yz], -1),
            np.stack([wz, xz, yz, 1 - xx - yy + zz], -1),
        ],
        axis=-2,
    )  # 4 q q'
    largest = np.argmax(np.diagonal(products, axis1=-2, axis2=-1), axis=-1)
    row = np.take_along_axis(products, largest[..., None, None], axis=-2)[..., 0, :]
    row = row / np.linalg.norm(row, axis=-1, keepdims=True)
    return np.asarray(np.where(row[..., :1] < 0, -row, row))


def continuous(quaternions: Array) -> Array:
    """[n, 4] with signs such that each is the nearer of its two forms to the one before; the first is kept."""
    if len(quaternions) < 2:
        return quaternions
    flips = np.where((quaternions[1:] * quaternions[:-1]).sum(-1) < 0, -1.0, 1.0)
    signs = np.concatenate([[1.0], np.cumprod(flips)])
    return np.asarray(quaternions * signs[:, None])


def from_vector(vector: Array) -> Array:
    """From the axis times the angle in rad: the exponential map."""
    half = 0.5 * np.linalg.norm(vector, axis=-1, keepdims=True)
    wxyz = np.concatenate([np.cos(half), 0.5 * np.sinc(half / np.pi) * vector], axis=-1)
    return from_quaternion(wxyz)


def to_vector(rotation: Array) -> Array:
    """Its axis times its angle, 0 to pi: the logarithm."""
    wxyz = to_quaternion(rotation)
    sine = np.linalg.norm(wxyz[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, wxyz[..., :1])
    return wxyz[..., 1:] * np.where(sine < 1e-9, 2.0, angle / np.maximum(sine, 1e-9))


def from_euler(xyz: Array) -> Array:
    """About the parent's x, then its y, then its z, in rad: a URDF's roll, pitch, yaw (scipy's "xyz")."""
    (cr, cp, cy), (sr, sp, sy) = np.moveaxis(np.cos(xyz), -1, 0), np.moveaxis(np.sin(xyz), -1, 0)
    rows = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def to_euler(rotation: Array) -> Array:
    """Roll, pitch, yaw; where pitch is +-pi/2, and only the sum of the others is known, roll is 0."""
    m = rotation
    level = np.hypot(m[..., 0, 0], m[..., 1, 0])
    upright = level < 1e-9
    roll = np.where(upright, 0.0, np.arctan2(m[..., 2, 1], m[..., 2, 2]))
    pitch = np.arctan2(-m[..., 2, 0], level)
    yaw = np.where(upright, np.arctan2(-m[..., 0, 1], m[..., 1, 1]), np.arctan2(m[..., 1, 0], m[..., 0, 0]))
    return np.stack([roll, pitch, yaw], axis=-1)


def interpolate(first: Array, second: Array, share: float | Array) -> Array:
    """``share`` of the shortest way from ``first`` to ``second``, at constant speed."""
    way = to_vector(np.swapaxes(first, -1, -2) @ second)
    return np.asarray(first @ from_vector(np.asarray(share)[..., None] * way))


def decoder_of(form: str) -> Callable[[Array], Array]:
    """From the numbers of ``form``, a key of ``SIZES``, to matrices. It raises ValueError for no rotation."""
    return {
        "6d": from_6d,
        "6d_rows": lambda six: np.swapaxes(from_6d(six), -1, -2),
        "quaternion_wxyz": from_quaternion,
        "quaternion_xyzw": lambda xyzw: from_quaternion(np.roll(xyzw, 1, axis=-1)),
        "rotation_vector": from_vector,
        "euler_xyz": from_euler,
    }[form]


def encoder_of(form: str) -> Callable[[Array], Array]:
    """From matrices [n, 3, 3] to the numbers of ``form``; quaternions keep their sign along n."""
    return {
        "6d": to_6d,
        "6d_rows": lambda rotation: to_6d(np.swapaxes(rotation, -1, -2)),
        "quaternion_wxyz": lambda rotation: continuous(to_quaternion(rotation)),
        "quaternion_xyzw": lambda rotation: np.roll(continuous(to_quaternion(rotation)), -1, axis=-1),
        "rotation_vector": to_vector,
        "euler_xyz": to_euler,
    }[form]


def _unit(vector: Array, what: str) -> Array:
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    if not (length > LEAST_LENGTH).all():
        raise ValueError(f"{what} of a rotation has no direction")
    return np.asarray(vector / length)
