"""Chunks to splines: waypoints in, a path for the tick out. Values only: no time, no I/O, no threads.

``interpolation`` names the ways of it. Whatever the way, the tick joins the path to the motion under way by itself
(``native/core/trajectory.c``), so position, velocity and acceleration are continuous at every switch.

Nothing here wraps an angle: positions are plain numbers on a line. A joint that turns for ever has to be told its
targets on the branch of its command, 2 pi apart from no neighbour, and commands of it stay on that branch.
"""

from spinal.runtime.trajectory.interpolation import Interpolation, InterpolationName, make_interpolation
from spinal.runtime.trajectory.path import Path, planned_positions
from spinal.runtime.trajectory.smooth import KEPT, fit, fit_matrix, resample

__all__ = [
    "KEPT",
    "Interpolation",
    "InterpolationName",
    "Path",
    "fit",
    "fit_matrix",
    "make_interpolation",
    "planned_positions",
    "resample",
]
