"""Slow, exact judges of the limiter.

``Oracle`` asks linear programs what any sequence at all could do: the state is the backward differences of the
emitted positions, the unknowns are the jerk steps of the coming ticks, and position, velocity and acceleration are
linear in them. ``walk`` is the brake of ``core/limiter.h``, one tick after the other.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog


@dataclass(frozen=True)
class State:
    """Position, and its first and second backward differences."""

    position: float
    velocity: float
    acceleration: float

    def after(self, acceleration, dt_s):
        """One tick on, with ``acceleration``."""
        velocity = self.velocity + acceleration * dt_s
        return State(self.position + velocity * dt_s, velocity, acceleration)


def walk(state, limits, dt_s):
    """Every state of the brake inside ``limits``, from ``state`` to rest."""
    _, _, _, top, jerk = limits
    step = jerk * dt_s
    states = [state]
    while abs(state.velocity) > 1e-9 * step * dt_s or abs(state.acceleration) > 1e-9 * step:
        left, wanted = abs(state.velocity) / (step * dt_s), 0.0
        ticks = 0
        while ticks * (ticks + 1) / 2 < left:  # of the release that takes the velocity off
            ticks += 1
        if ticks:
            wanted = -math.copysign(step * (left / ticks + (ticks - 1) / 2), state.velocity)
        low, high = state.acceleration - step, state.acceleration + step
        wanted = min(max(wanted, low), high)
        wanted = min(max(wanted, min(-top, high)), max(top, low))
        state = state.after(wanted, dt_s)
        states.append(state)
        if len(states) > 100_000:
            raise ValueError("the brake does not end")
    return states


class Oracle:
    """Whether rest can be reached within ``ticks`` ticks of ``dt_s`` s, as (low, high, V, A, J) limits allow."""

    def __init__(self, limits, dt_s, ticks):
        self.low, self.high, self.velocity, self.acceleration, self.jerk = limits
        self.dt_s, self.ticks = dt_s, ticks
        ones = np.tril(np.ones((ticks, ticks)))
        self._acceleration = ones
        self._velocity = dt_s * ones @ ones
        self._position = dt_s * ones @ self._velocity

    def _rows(self, state):
        """(matrix, free motion) of acceleration, velocity and position over the coming ticks."""
        k = np.arange(1, self.ticks + 1)
        a0, v0, p0, dt = state.acceleration, state.velocity, state.position, self.dt_s
        return (
            (self._acceleration, np.full(self.ticks, a0)),
            (self._velocity, v0 + a0 * dt * k),
            (self._position, p0 + v0 * dt * k + a0 * dt * dt * k * (k + 1) / 2),
        )

    def can_rest(self, state, slack=1e-6, turning=True):
        """The limits, each widened by a share ``slack`` (a negative one narrows them), are enough to stop.

        Not ``turning``: without going back on the way.
        """
        wide = 1 + slack
        if not self.low - slack <= state.position <= self.high + slack:
            return False
        if abs(state.velocity) > self.velocity * wide or abs(state.acceleration) > self.acceleration * wide:
            return False
        acceleration, velocity, position = self._rows(state)
        room = (self.acceleration, self.velocity)
        above, below = [], []
        for (matrix, free), most in zip((acceleration, velocity), room, strict=True):
            above += [matrix / most, -matrix / most]
            below += [wide - free / most, wide + free / most]
        matrix, free = position
        span = self.high - self.low
        above += [matrix / span, -matrix / span]
        below += [(self.high - free) / span + slack, (free - self.low) / span + slack]
        if not turning:
            matrix, free = velocity
            above.append(-np.sign(state.velocity) * matrix)
            below.append(np.sign(state.velocity) * free)
        rest = [acceleration, velocity]
        step = self.jerk * self.dt_s * wide
        answer = linprog(
            np.zeros(self.ticks),
            A_ub=np.vstack(above),
            b_ub=np.concatenate(below),
            A_eq=np.vstack([matrix[-1] / most for (matrix, _), most in zip(rest, room, strict=True)]),
            b_eq=np.array([-free[-1] / most for (_, free), most in zip(rest, room, strict=True)]),
            bounds=(-step, step),
            method="highs",
        )
        return answer.status == 0

    def least_excursion(self, state, turning=True):
        """The smallest possible furthest position on the way to rest, whatever range and speed limit are.

        Not ``turning``: without the velocity ever falling below 0. ValueError where nothing comes to rest so.
        """
        acceleration, velocity, position = self._rows(state)
        size = self.ticks
        step = self.jerk * self.dt_s
        unit = np.zeros(size + 1)
        unit[-1] = 1

        def with_bound(matrix, bound=0.0):
            return np.hstack([matrix * step, np.full((len(matrix), 1), bound)])

        above = [
            with_bound(acceleration[0]) / self.acceleration,
            with_bound(-acceleration[0]) / self.acceleration,
            with_bound(position[0], -1.0),
        ]
        below = [
            1 - acceleration[1] / self.acceleration,
            1 + acceleration[1] / self.acceleration,
            -position[1],
        ]
        if not turning:
            above.append(with_bound(-velocity[0]))
            below.append(velocity[1])
        answer = linprog(
            unit,
            A_ub=np.vstack(above),
            b_ub=np.concatenate(below),
            A_eq=with_bound(np.vstack([acceleration[0][-1], velocity[0][-1]])),
            b_eq=np.array([-acceleration[1][-1], -velocity[1][-1]]),
            bounds=[(-1, 1)] * size + [(None, None)],
            method="highs",
        )
        if answer.status != 0:
            raise ValueError(f"no way to rest within {size} ticks: {answer.message}")
        return float(max(answer.x[-1], state.position))
