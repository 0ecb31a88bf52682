"""Where a link is: forward kinematics and its Jacobian, for many poses at once, from the robot file's [fence].

The same tree that the fence judges in the tick (``native/core/kinematics.c``): each link is placed in its parent's
frame and turned by at most one joint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spinal.native.fence import Link
from spinal.runtime.config.fence_build import describe
from spinal.runtime.errors import PolicyError

if TYPE_CHECKING:
    from spinal.runtime.config.robot import RobotConfig

Array = NDArray[np.float64]


class Chain:
    """From the base to a ``point`` (m, in its own frame) of one link. Immutable.

    ``joints``: the robot's joints that move it, from the base on; every array over joints here is in that order.
    Raises PolicyError when the robot file has no such link, or what moves it is not a revolute joint.
    """

    def __init__(self, robot: RobotConfig, link: str, point: Sequence[float] = (0.0, 0.0, 0.0)) -> None:
        names = [one.name for one in robot.fence.links] if robot.fence else []
        if robot.fence is None or link not in names:
            known = f"its links are {', '.join(names)}" if names else "it has no [[fence.links]]"
            raise PolicyError(
                f"{robot.name} has no link {link}, whose poses the policy answers",
                hint=f"{known}: describe the arm's links in the robot file, or name another in the card",
            )
        links = describe(robot.fence, robot.joints).links
        path: list[int] = []
        index = names.index(link)
        while index >= 0:
            path.insert(0, index)
            index = links[index].parent
        self.joints = tuple(links[k].joint for k in path if links[k].joint >= 0)
        grippers = [robot.joints[k].name for k in self.joints if robot.joints[k].kind == "gripper"]
        if grippers or not self.joints:
            said = f"hangs on the gripper {grippers[0]}" if grippers else "is moved by no joint"
            raise PolicyError(f"link {link} {said}", hint="poses are of a link that arm joints move")
        self._link_up([links[k] for k in path], np.asarray(point, np.float64))

    def _link_up(self, links: Sequence[Link], point: Array) -> None:
        """What is rigid between two joints is one placement; q turns it: turn[0] + cos turn[1] + sin turn[2]."""
        origins, turns, axes = [], [], []
        rotation, origin = np.eye(3), np.zeros(3)
        for link in links:
            place = np.asarray(link.origin, np.float64)
            own = np.asarray(link.rotation, np.float64).reshape(3, 3)
            origin, rotation = origin + rotation @ place, rotation @ own
            if link.joint < 0:
                continue
            w = np.asarray(link.axis, np.float64)
            cross = np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]])
            along = np.outer(w, w)
            turns.append(rotation @ np.stack([along, np.eye(3) - along, cross]))
            origins.append(origin)
            axes.append(w)
            rotation, origin = np.eye(3), np.zeros(3)
        self._turns = np.stack(turns, axis=1)  # [3, joint, 3, 3]
        self._origins, self._axes = np.stack(origins), np.stack(axes)
        self._last_rotation = rotation
        self._point = origin + rotation @ point

    def pose(self, q: Array) -> tuple[Array, Array]:
        """The point [n, 3] in m and the link's rotation [n, 3, 3], in the base's frame, at ``q`` [n, joint]."""
        p, r, _, _ = self._walk(q)
        return p, r

    def jacobian(self, q: Array) -> tuple[Array, Array, Array]:
        """``pose(q)``, and the geometric Jacobian [n, 6, joint]: velocity of the point, then of the rotation."""
        p, r, places, axes = self._walk(q)
        table = np.empty((len(q), 6, len(self.joints)))
        table[:, 3:] = axes.transpose(0, 2, 1)
        a, b = axes, p[:, None] - places
        table[:, 0] = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
        table[:, 1] = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
        table[:, 2] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
        return p, r, table

    def _walk(self, q: Array) -> tuple[Array, Array, Array, Array]:
        """Point, rotation, and of each joint [n, joint, 3] its place and its axis."""
        cosine, sine = np.cos(q)[..., None, None], np.sin(q)[..., None, None]
        turned = self._turns[0] + cosine * self._turns[1] + sine * self._turns[2]
        n, joints = q.shape
        places, axes = np.empty((n, joints, 3)), np.empty((n, joints, 3))
        p = np.broadcast_to(self._origins[0], (n, 3))
        r = turned[:, 0]
        places[:, 0], axes[:, 0] = p, r @ self._axes[0]
        for k in range(1, joints):
            p = p + r @ self._origins[k]
            r = r @ turned[:, k]
            places[:, k], axes[:, k] = p, r @ self._axes[k]
        return p + r @ self._point, r @ self._last_rotation, places, axes
