"""What a chunk became: the spline that the tick is to follow, and where a spline under way will be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinal.runtime.trajectory import bspline
from spinal.runtime.trajectory.smooth import Array, cubic_at, resample
from spinal.runtime.types import Spline, Trajectory


@dataclass(frozen=True, slots=True)
class Path:
    """A spline over equally spaced waypoints; see Trajectory, whose fields these are."""

    position: Array
    """[waypoint, joint]: where it is at each."""
    curvature: Array
    """[waypoint, joint]: a cubic's second derivative; [0, joint] for a B-spline."""
    degree: int = 0
    controls: Array | None = None

    @staticmethod
    def of_spline(spline: Spline, intervals: int) -> Path:
        """``spline`` itself, seen at ``intervals`` + 1 waypoints. Raises ValueError for one that is none."""
        position = bspline.basis(spline.degree, len(spline.controls), intervals) @ spline.controls
        nothing = np.zeros((0, position.shape[1]))
        return Path(position, nothing, spline.degree, np.ascontiguousarray(spline.controls, np.float64))


def planned_positions(path: Trajectory, first_ns: int, step_ns: int) -> Array:
    """[step, joint]: where ``path`` is at ``first_ns`` and each ``step_ns`` behind it, before its end.

    Of grippers it means nothing. Nothing for instants before its origin.
    """
    since_ns = first_ns - path.origin_ns
    if since_ns < 0 or first_ns >= path.end_ns:
        return np.zeros((0, path.position.shape[1]))
    if path.controls is None and step_ns == path.step_ns:
        return resample(path.position, path.curvature, since_ns / step_ns, step_ns * 1e-9)
    since = (np.arange(first_ns, path.end_ns, step_ns) - path.origin_ns) / path.step_ns
    if path.controls is None:
        return cubic_at(path.position, path.curvature, since, path.step_ns * 1e-9)
    share = since / (len(path.position) - 1)
    found: Array = bspline.basis_at(share, path.degree, len(path.controls)) @ path.controls
    return found
