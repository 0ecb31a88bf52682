"""Ruckig (L. Berscheid and T. Kroeger, RSS 2021) behind a jumping target, as position interfaces use it.

At each tick it takes the fastest jerk-limited way to rest at where the chunk in force is by then. The optional
package ``ruckig`` computes it. The target's own speed as a final velocity was tried: nearly twice the jerk, and a
larger error.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from spinal.bench.seam.feed import TICK_S, Feed
from spinal.bench.seam.linear import naive
from spinal.bench.seam.played import Method, Played

PRESENT = find_spec("ruckig") is not None
VELOCITY = 4.7
"""rad/s: the shipped arm's."""


def ruckig(acceleration: float, jerk: float) -> Method:
    """Follows the naive switch inside these limits, rad/s^2 and rad/s^3. Raises ImportError without the package."""
    import ruckig as package

    def play(feed: Feed) -> Played:
        joints = feed.joints
        otg = package.Ruckig(joints, TICK_S)
        asked, got = package.InputParameter(joints), package.OutputParameter(joints)
        asked.max_velocity = [VELOCITY] * joints
        asked.max_acceleration = [acceleration] * joints
        asked.max_jerk = [jerk] * joints
        asked.current_position = asked.current_velocity = asked.current_acceleration = [0.0] * joints
        target = naive(feed).position
        swaps = {feed.swap_tick(k): k for k in range(len(feed.chunks))}
        position = np.zeros_like(target)
        motion = np.zeros((len(feed.chunks), joints, 3))
        for tick in range(1, len(target)):
            asked.target_position = target[tick].tolist()
            if otg.update(asked, got) < 0:
                raise ValueError(f"ruckig found no way at tick {tick}")
            got.pass_to_input(asked)
            position[tick] = got.new_position
            if tick in swaps:
                motion[swaps[tick]] = np.stack(
                    [got.new_position, got.new_velocity, got.new_acceleration], axis=1
                )
        return Played(position, motion, motion)

    return play
