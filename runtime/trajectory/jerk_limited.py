"""Jerk-limited retargeting by Ruckig (L. Berscheid and T. Kroeger, RSS 2021), the optional package ``ruckig``.

From the last known motion on, the fastest jerk-limited way to rest at where the chunk is by then is taken up anew
SUBSTEPS times a step. So a chunk of any roughness stays inside the limits by itself, and the path lags by what jerk
and acceleration need. The steps that are known (the prefix) stay as they are.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from spinal.runtime.errors import ConfigError, Problem
from spinal.runtime.trajectory.path import Path
from spinal.runtime.trajectory.smooth import Array, fit

SUBSTEPS = 4
FAR = 1e6
"""Of a limit that is none: Ruckig takes no 1e9."""


class JerkLimited:
    """``limits`` [joint, 3]: velocity, acceleration and jerk. Raises ConfigError without the package."""

    def __init__(self, limits: Array) -> None:
        if find_spec("ruckig") is None:
            raise ConfigError(
                [
                    Problem(
                        "execution.interpolation",
                        '"ruckig" needs a package that is not installed',
                        "install it with: pip install 'spinal[ruckig]', or choose \"smooth\"",
                    )
                ],
            )
        import ruckig

        self._ruckig = ruckig
        self._limits = np.minimum(limits, FAR)

    def __call__(
        self, command: Array, actions: Array, given: int, step_s: float, plan: Array | None = None
    ) -> Path:
        """As ``Interpolation``."""
        position, velocity, acceleration = _motion_at(command, actions, given, step_s)
        joints = len(position)
        asked, got = self._ruckig.InputParameter(joints), self._ruckig.OutputParameter(joints)
        generator = self._ruckig.Ruckig(joints, step_s / SUBSTEPS)
        speed, push, jerk = (limit.tolist() for limit in self._limits.T)
        asked.max_velocity, asked.max_acceleration, asked.max_jerk = speed, push, jerk
        asked.current_position = position.tolist()
        asked.current_velocity = np.clip(velocity, -self._limits[:, 0], self._limits[:, 0]).tolist()
        asked.current_acceleration = np.clip(acceleration, -self._limits[:, 1], self._limits[:, 1]).tolist()
        followed = actions.copy()
        before = position
        for step in range(given, len(actions)):
            for part in range(1, SUBSTEPS + 1):
                share = part / SUBSTEPS
                asked.target_position = ((1 - share) * before + share * actions[step]).tolist()
                self._advance(generator, asked, got)
            before = actions[step]
            followed[step] = got.new_position
        return Path(*fit(command, followed, given, step_s, 0.0, 0.0))

    def _advance(self, generator: Any, asked: Any, got: Any) -> None:
        if generator.update(asked, got) < 0:
            # A target that it cannot plan to (its solver is numeric): stands where it is for this part.
            asked.target_position = asked.current_position
            return
        got.pass_to_input(asked)


def _motion_at(command: Array, actions: Array, given: int, step_s: float) -> tuple[Array, Array, Array]:
    """Position, velocity and acceleration at the last known point, by backward differences of the last three.

    Before the observation lie points of the commanded motion's parabola.
    """
    p, v, a = command.T
    back = [p - v * k * step_s + a * (k * step_s) ** 2 / 2 for k in (2, 1)]
    two, one, here = [*back, p, *actions[:given]][-3:]
    return here, (3 * here - 4 * one + two) / (2 * step_s), (here - 2 * one + two) / step_s**2
