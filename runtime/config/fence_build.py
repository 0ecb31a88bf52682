"""From a robot file's [fence] to the native fence, and what it says of the robot as a whole."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spinal.native.fence import MAX_JOINTS, MAX_PAIRS, Capsule, Description, Fence, Link
from spinal.runtime.config.fence import FenceSettings
from spinal.runtime.config.joints import Joint
from spinal.runtime.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spinal.runtime.config.robot import RobotConfig

_POSES_TRIED = 4096
"""Poses of the arm's range, evenly spread, before the whole of it is called outside."""


def fence_of(robot: RobotConfig) -> Fence | None:
    """The fence of ``robot``; None when its file has none. It must outlive the loop that it is given to."""
    if robot.fence is None:
        return None
    return Fence(describe(robot.fence, robot.joints), len(robot.joints))


def describe(fence: FenceSettings, joints: Sequence[Joint]) -> Description:
    """Links and capsules by number, and the pairs of capsules that must not meet."""
    number = {joint.name: index for index, joint in enumerate(joints)}
    place = {link.name: index for index, link in enumerate(fence.links)}
    links = [
        Link(
            parent=-1 if link.parent is None else place[link.parent],
            joint=-1 if link.joint is None else number[link.joint],
            origin=link.xyz,
            rotation=tuple(_rotation(*link.rpy).ravel().tolist()),
            axis=tuple((np.array(link.axis) / math.hypot(*link.axis)).tolist()),
        )
        for link in fence.links
    ]
    capsules = [
        Capsule(index, one.start, one.end, one.radius)
        for index, link in enumerate(fence.links)
        for one in link.capsules
    ]
    alone = Description(
        links=links,
        capsules=capsules,
        workspace=None if fence.workspace is None else (fence.workspace.min, fence.workspace.max),
        boxes=[(box.min, box.max) for box in fence.keep_out],
        pairs=[],
        margin=fence.margin,
        self_margin=fence.itself.margin,
    )
    return alone._replace(pairs=_pairs(fence, alone, joints)) if fence.itself.check else alone


def rest_pose(joints: Sequence[Joint]) -> NDArray[np.float64]:
    """Each joint at 0, or at the end of its range that is nearest to it."""
    low, high = _ranges(joints)
    return np.clip(np.zeros(len(joints)), low, high)


def fence_problems(fence: FenceSettings, joints: Sequence[Joint]) -> list[Problem]:
    """What is wrong with a fence for the arm that it stands around; its joints are known to be there."""
    moving = sum(link.joint is not None for link in fence.links)
    if moving > MAX_JOINTS:
        said = f"hang on {moving} joints; at most {MAX_JOINTS} are judged"
        return [Problem("fence.links", said, "leave out those that reach nothing")]
    description = describe(fence, joints)
    if len(description.pairs) > MAX_PAIRS:
        said = f"would check {len(description.pairs)} pairs of capsules; at most {MAX_PAIRS} are judged"
        return [
            Problem(
                "fence.self", said, "name links that cannot meet in fence.self.ignore, or use fewer capsules"
            )
        ]
    if not _somewhere_clear(Fence(description, len(joints)), joints):
        said = "leaves no pose of the arm clear"
        return [
            Problem("fence", said, "its boxes are in the base's frame, in m; the capsules must fit into them")
        ]
    return []


def left_out(fence: FenceSettings, joints: Sequence[Joint]) -> tuple[tuple[str, str], ...]:
    """Links of which some capsules meet at the rest pose already, and are not kept apart."""
    if not fence.itself.check:
        return ()
    whole = describe(fence, joints)
    names = [fence.links[capsule.link].name for capsule in whole.capsules]
    missing = [pair for pair in _candidates(fence, whole) if pair not in whole.pairs]
    return tuple(dict.fromkeys((names[a], names[b]) for a, b in missing))


def _pairs(fence: FenceSettings, alone: Description, joints: Sequence[Joint]) -> list[tuple[int, int]]:
    """The candidates that do not meet at the rest pose already."""
    pose = rest_pose(joints)
    return [
        pair
        for pair in _candidates(fence, alone)
        if Fence(alone._replace(workspace=None, boxes=[], pairs=[pair]), len(joints)).clearance(pose)[2] >= 0
    ]


def _candidates(fence: FenceSettings, alone: Description) -> list[tuple[int, int]]:
    """Capsules of links that are no neighbours and are not ignored."""
    ignored = {frozenset(pair) for pair in fence.itself.ignore}
    return [
        (a, b)
        for a, b in combinations(range(len(alone.capsules)), 2)
        if not _neighbours(alone.links, alone.capsules[a].link, alone.capsules[b].link)
        and frozenset(fence.links[alone.capsules[k].link].name for k in (a, b)) not in ignored
    ]


def _neighbours(links: Sequence[Link], a: int, b: int) -> bool:
    """Whether one hangs on the other, or nothing moves them against each other."""
    return links[a].parent == b or links[b].parent == a or _moving(links, a) == _moving(links, b)


def _moving(links: Sequence[Link], link: int) -> list[int]:
    chain = []
    while link >= 0:
        if links[link].joint >= 0:
            chain.append(link)
        link = links[link].parent
    return chain


def _somewhere_clear(fence: Fence, joints: Sequence[Joint]) -> bool:
    """Whether one of many poses is clear: those of a Halton sequence, the rest pose first."""
    low, high = _ranges(joints)
    shares = np.array([_halton(np.arange(_POSES_TRIED), prime) for prime in _primes(len(joints))]).T
    poses = [rest_pose(joints), *(low + shares * (high - low))]
    return any(min(fence.clearance(pose)) >= 0 for pose in poses)


def _halton(index: NDArray[np.int64], base: int) -> NDArray[np.float64]:
    result, share = np.zeros(len(index)), 1.0
    while (index > 0).any():
        share /= base
        result += share * (index % base)
        index = index // base
    return result


def _primes(count: int) -> list[int]:
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % prime for prime in found):
            found.append(number)
        number += 1
    return found


def _ranges(joints: Sequence[Joint]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return (
        np.array([joint.limits.position_min for joint in joints]),
        np.array([joint.limits.position_max for joint in joints]),
    )


def _rotation(roll: float, pitch: float, yaw: float) -> NDArray[np.float64]:
    """As a URDF has it: about x, then y, then z of the parent."""
    (cr, cp, cy), (sr, sp, sy) = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )
