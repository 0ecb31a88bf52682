"""Joints for poses: damped least squares inside the joints' ranges, a whole chunk at once.

Levenberg-Marquardt with the damping of Sugihara (2011, "Solvability-unconcerned inverse kinematics"): the damping
is the error that is left, so that a pose out of reach is approached and not fought for. All poses of a chunk are
solved together, from where the arm is; one whose solution is not next to the one before it is led there from that
one in small steps. A joint at the end of its range is left out while it is pushed against it.

A millimetre counts as much as ``ROTATION_M`` says of a rotation: on an arm with five axes the point is reached and
the rotation comes as near as it can.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.decode.kinematics import Chain
from spinal.runtime.decode.rotations import interpolate, to_vector

Array = NDArray[np.float64]

ROTATION_M = 0.01
"""What one rad of rotation weighs against metres of position."""
ITERATIONS = 30
"""At most, for one batch."""
DONE_RAD = 1e-8
"""Steps so small change nothing any more."""
LEAST_DAMPING = 1e-12
APART_RAD = 0.6
"""Neighbours whose joints are further apart are on two branches, or the pose itself jumped."""
MISSED_M = 1e-3
"""A point so far off is asked for again, from the pose before it."""
ROUNDS, SUBSTEPS, ON_THE_WAY = 3, 6, 5
"""Poses that are led, small steps to one of them, and iterations of a step: it need only be near the way."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Joints [n, joint] in the chain's order, and what is left of each pose's error."""

    joints: Array
    position_m: Array
    rotation_rad: Array
    apart_rad: float
    """The furthest that a joint moves from one pose to the next."""


class InverseKinematics:
    """For one chain whose joints stay within ``low`` and ``high`` [joint], rad. One thread; bounded work.

    ``rotate``: whether the rotation counts at all.
    """

    def __init__(self, chain: Chain, low: Array, high: Array, rotate: bool = True) -> None:
        self._chain, self._low, self._high, self._rotate = chain, low, high, rotate
        self._rows = 6 if rotate else 3

    def solve(self, points: Array, rotations: Array | None, start: Array) -> Solution:
        """For points [n, 3] and rotations [n, 3, 3], from ``start`` [joint], the pose before the first."""
        q = self._batch(points, rotations, np.repeat(start[None], len(points), axis=0))
        for _ in range(ROUNDS):
            p, r = self._chain.pose(q)
            missed = np.linalg.norm(points - p, axis=1)
            moves = np.abs(np.diff(np.concatenate([start[None], q]), axis=0)).max(axis=1, initial=0.0)
            doubtful = np.flatnonzero((moves > APART_RAD) | (missed > MISSED_M))
            if not len(doubtful):
                break
            k = int(doubtful[0])
            led = self._led(q[k - 1] if k else start, points[k], None if rotations is None else rotations[k])
            if (
                missed[k] > MISSED_M
                and np.linalg.norm(points[k] - self._chain.pose(led[None])[0]) >= missed[k]
            ):
                break  # it is out of reach
            rest = None if rotations is None else rotations[k + 1 :]
            q[k] = led
            q[k + 1 :] = self._batch(points[k + 1 :], rest, np.repeat(led[None], len(q) - k - 1, axis=0))
        p, r = self._chain.pose(q)
        turned = np.zeros(len(q))
        if rotations is not None and self._rotate:
            turned = np.linalg.norm(to_vector(rotations @ r.transpose(0, 2, 1)), axis=1)
        moves = np.abs(np.diff(np.concatenate([start[None], q]), axis=0))
        return Solution(q, np.linalg.norm(points - p, axis=1), turned, float(moves.max(initial=0.0)))

    def _led(self, before: Array, point: Array, rotation: Array | None) -> Array:
        """To one pose in small steps from ``before``, so that it is found on the same branch."""
        p, r = self._chain.pose(before[None])
        q = before
        for share in np.linspace(0, 1, SUBSTEPS + 1)[1:]:
            turned = None if rotation is None else interpolate(r, rotation[None], share)
            q = self._batch(
                p + share * (point - p), turned, q[None], ITERATIONS if share == 1 else ON_THE_WAY
            )[0]
        return q

    def _batch(self, points: Array, rotations: Array | None, q: Array, iterations: int = ITERATIONS) -> Array:
        q = np.clip(q, self._low, self._high)
        error = np.empty((len(q), self._rows))
        eye = np.eye(q.shape[1])
        for _ in range(iterations):
            p, r, table = self._chain.jacobian(q)
            table = table[:, : self._rows]
            error[:, :3] = points - p
            if self._rotate and rotations is not None:
                error[:, 3:] = ROTATION_M * to_vector(rotations @ r.transpose(0, 2, 1))
                table[:, 3:] *= ROTATION_M
            downhill = (error[:, None] @ table)[:, 0]
            stuck = ((q <= self._low) & (downhill < 0)) | ((q >= self._high) & (downhill > 0))
            if stuck.any():
                table = np.where(stuck[:, None], 0.0, table)
                downhill = np.where(stuck, 0.0, downhill)
            damping = 0.5 * (error * error).sum(axis=1) + LEAST_DAMPING
            normal = table.transpose(0, 2, 1) @ table + damping[:, None, None] * eye
            step = np.linalg.solve(normal, downhill[..., None])[..., 0]
            moved = np.clip(q + step, self._low, self._high)
            if np.abs(moved - q).max(initial=0.0) < DONE_RAD:
                return np.asarray(moved)
            q = moved
        return q
