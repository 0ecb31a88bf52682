"""How far two policies are apart: the first actions of both, about the same observation, at the same instants."""

from __future__ import annotations

import numpy as np

from spinal.runtime.config.policy import SwapSettings
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.types import Array, Chunk


def difference(one: Chunk, other: Chunk, actions: int) -> Array:
    """[joint]: the largest difference of their first ``actions``, behind what was given to either.

    At ``one``'s instants, of which those count that ``other`` covers; at least its first.
    """
    times = one.first_ns + one.step_ns * np.arange(len(one.actions))
    theirs = other.first_ns + other.step_ns * np.arange(len(other.actions))
    given_ns = max(times[0] + (one.given - 1) * one.step_ns, theirs[0] + (other.given - 1) * other.step_ns)
    chosen = np.flatnonzero((times > given_ns) & (times >= theirs[0]) & (times <= theirs[-1]))[:actions]
    if not len(chosen):
        chosen = np.array([min(one.given, len(times) - 1)])
    since = (times[chosen] - theirs[0]).astype(np.float64)
    grid = (theirs - theirs[0]).astype(np.float64)
    joints = range(one.actions.shape[1])
    looked_up = np.stack([np.interp(since, grid, other.actions[:, joint]) for joint in joints], axis=1)
    worst: Array = np.abs(one.actions[chosen] - looked_up).max(axis=0)
    return worst


def too_far(robot: RobotConfig, worst: Array, bounds: SwapSettings) -> str | None:
    """The joint that differs most beyond its bound, in words; None where all are within."""
    limits = [
        bounds.max_difference_m if joint.kind == "gripper" else bounds.max_difference_rad
        for joint in robot.joints
    ]
    shares = worst / limits
    index = int(np.argmax(shares))
    if shares[index] <= 1:
        return None
    joint = robot.joints[index]
    return f"{joint.name} would go {worst[index]:.3g} {joint.unit} elsewhere, at most {limits[index]:g} is allowed"
