"""``spinal check --picture``: the capsules, boxes and workspace of a fence from the side and from above."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.fence_build import describe, fence_of, rest_pose
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import SpinalError

_VIEWS = ((0, 2, "from the side"), (0, 1, "from above"))
_ROUND = 24
"""Corners of each round end."""


def draw(robot: RobotConfig, path: Path) -> None:
    """Writes the picture: the arm at 0, and faintly with each joint half-way to either end. Raises SpinalError."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as error:
        raise SpinalError(
            "a picture needs matplotlib, which is not here", hint="pip install matplotlib"
        ) from error
    fence = fence_of(robot)
    if robot.fence is None or fence is None:
        raise SpinalError(f"{robot.name} has no fence to draw", hint="describe one in [fence]")
    description = describe(robot.fence, robot.joints)
    figure, axes = pyplot.subplots(1, 2, figsize=(12, 6), layout="constrained")
    for panel, (across, up, title) in zip(axes, _VIEWS, strict=True):
        _draw_boxes(panel, robot, across, up)
        for pose, strength in _poses(robot):
            origins, rotations = fence.poses(pose)
            for k, capsule in enumerate(description.capsules):
                start, end = (
                    origins[capsule.link] + rotations[capsule.link] @ np.asarray(point)
                    for point in (capsule.start, capsule.end)
                )
                outline = _stadium(start[[across, up]], end[[across, up]], capsule.radius)
                panel.fill(*outline.T, color=f"C{capsule.link % 10}", alpha=strength, lw=0, label=f"_{k}")
        panel.set(title=title, aspect="equal", xlabel=f"{'xyz'[across]}, m", ylabel=f"{'xyz'[up]}, m")
    for link in {capsule.link for capsule in description.capsules}:
        axes[0].fill([], [], color=f"C{link % 10}", label=robot.fence.links[link].name)
    figure.legend(loc="outside lower center", ncols=12, fontsize="small")
    figure.suptitle(f"{robot.name}: every joint at 0; faint: one at a time, half-way to each end")
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise SpinalError(
            f"{path} cannot be written: {error}", hint="name a .png in a folder of yours"
        ) from error
    finally:
        pyplot.close(figure)


def _poses(robot: RobotConfig) -> list[tuple[NDArray[np.float64], float]]:
    rest = rest_pose(robot.joints)
    poses = [(rest, 0.7)]
    for k, joint in enumerate(robot.joints):
        for end in (joint.limits.position_min, joint.limits.position_max):
            pose = rest.copy()
            pose[k] = (pose[k] + end) / 2
            poses.append((pose, 0.08))
    return poses


def _draw_boxes(panel: Any, robot: RobotConfig, across: int, up: int) -> None:
    assert robot.fence is not None
    if robot.fence.workspace:
        corners = _corners(robot.fence.workspace.min, robot.fence.workspace.max, across, up)
        for start, end in pairwise(corners):
            panel.plot(*zip(start, end, strict=True), color="black", lw=1.5)
    for box in robot.fence.keep_out:
        corners = _corners(box.min, box.max, across, up)
        panel.fill(*zip(*corners, strict=True), color="red", alpha=0.3)
        panel.text(*corners[0], box.name, color="darkred", fontsize="small")


def _corners(
    low: tuple[float, ...], high: tuple[float, ...], across: int, up: int
) -> list[tuple[float, float]]:
    x, y = (low[across], high[across]), (low[up], high[up])
    return [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1]), (x[0], y[0])]


def _stadium(start: NDArray[np.float64], end: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """The outline of a capsule in a plane [n, 2]."""
    way = end - start
    heading = np.arctan2(way[1], way[0])
    half = np.linspace(-np.pi / 2, np.pi / 2, _ROUND)
    ends = [
        middle + radius * np.stack([np.cos(turn + half), np.sin(turn + half)], axis=1)
        for middle, turn in ((end, heading), (start, heading + np.pi))
    ]
    return np.concatenate(ends)
