"""Arithmetic on commands as they reached the servos: whole encoder counts, from whoever wrote them.

Steps are taken between one frame and the next, as if each were a tick after the other: a frame that comes late
does not make a step smaller or larger. Rounding to counts hides small motion: over one tick a count is a tenth of
the velocity limit and many times the jerk limit. So differences are taken over several strides. The m-th difference
over a stride of k ticks is an average of differences over one tick, so it has the same bound, while what rounding
can add shrinks with k to the power of m: each bound is checked where it bites, and a motion inside its limits is
never accused.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.joints import Joint
from spinal.runtime.config.limits import command_limits, emergency_limits

STRIDES = (1, 2, 3, 5, 8, 12, 18, 25)
"""In ticks; the longest is 100 ms at 250 Hz, the time of a whole brake."""
ORDERS = ("position", "velocity", "acceleration", "jerk")
REST_COUNTS = 1
STILL_NS = 60_000_000
"""A command that stays within so many counts stands still: what rounding may do to one that does."""
ABANDONED_COUNTS = 2
"""Steps from here on are motion that must not end from one frame to none."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Frames:
    """Commands in the order in which they reached the servos."""

    arrived_ns: NDArray[np.int64]
    """[frame]"""
    counts: NDArray[np.int64]
    """[frame, joint]: goals in encoder counts."""
    torque: NDArray[np.bool_]
    """[frame, joint]: whether the servo has torque."""

    def __len__(self) -> int:
        return len(self.arrived_ns)

    def between(self, begin_ns: int, end_ns: int) -> Frames:
        """Those that arrived from ``begin_ns`` on and before ``end_ns``."""
        return self.part((self.arrived_ns >= begin_ns) & (self.arrived_ns < end_ns))

    def without(self, joints: Sequence[int]) -> Frames:
        """All joints but these."""
        kept = [index for index in range(self.counts.shape[1]) if index not in joints]
        return Frames(self.arrived_ns, self.counts[:, kept], self.torque[:, kept])

    def part(self, chosen: NDArray[np.bool_] | slice) -> Frames:
        """Some of them."""
        return Frames(self.arrived_ns[chosen], self.counts[chosen], self.torque[chosen])


@dataclass(frozen=True, slots=True)
class Excess:
    """The largest share of a limit that was used by more than rounding explains; 1 is the limit itself."""

    share: float
    limit: str = ""
    """Which, of ORDERS."""
    joint: str = ""

    def __str__(self) -> str:
        return f"{self.joint}: {self.share:.2f} of its {self.limit} limit" if self.limit else "inside"


def steps(frames: Frames, joints: Sequence[Joint]) -> Array:
    """[frame - 1, kind]: the largest step of any arm joint and of any gripper, in counts.

    Two columns, since a gripper's step is limited by its speed alone.
    """
    size = np.abs(np.diff(frames.counts, axis=0)).astype(np.float64)
    arm = np.array([joint.kind == "arm" for joint in joints])
    columns = [size[:, chosen].max(axis=1, initial=0.0) for chosen in (arm, ~arm)]
    return np.stack(columns, axis=1)


def step_ratio(size: Array, clean: Array) -> float:
    """The largest step [frame, kind] over what a clean soak's p99.9 is [kind]. 0 without a step.

    A kind that never moved in the soak has a p99.9 of a count: less cannot be told.
    """
    if not len(size):
        return 0.0
    return float((size.max(axis=0) / np.maximum(clean, 1.0)).max())


def excess(
    frames: Frames, joints: Sequence[Joint], dt_s: float, emergency: bool = False, deaf: Sequence[int] = ()
) -> Excess:
    """How much of which limit the commands used, over all strides; shares above 1 are violations.

    ``emergency``: against the limits of an emergency brake. ``deaf``: joints that commands do not reach.
    """
    worst = Excess(0.0)
    for index, joint in enumerate(joints):
        if index in deaf:
            continue
        low, high, *rates = emergency_limits(joint) if emergency else command_limits(joint)
        unit = abs(1 / joint.counts_per_unit)
        position = (frames.counts[:, index] - joint.count_at_zero) / joint.counts_per_unit
        worst = max(worst, _position_excess(position, low, high, unit, joint.name), key=lambda e: e.share)
        for order, limit in enumerate(rates if joint.kind == "arm" else rates[:1], 1):
            share = _rate_share(position, order, limit, unit, dt_s)
            if share > worst.share:
                worst = Excess(share, ORDERS[order], joint.name)
    return worst


def _position_excess(position: Array, low: float, high: float, unit: float, name: str) -> Excess:
    """A command may be rounded to the count behind its limit."""
    if not len(position):
        return Excess(0.0)
    middle, half = (low + high) / 2, (high - low) / 2
    share = float(np.abs(position - middle).max() / (half + unit / 2))
    return Excess(share, "position", name) if share > 1 else Excess(0.0)


def _rate_share(position: Array, order: int, limit: float, unit: float, dt_s: float) -> float:
    """Of the m-th difference over each stride, less what rounding by half a count may add."""
    worst = 0.0
    rounding = unit / 2 * 2**order
    for stride in STRIDES:
        span = order * stride
        if len(position) <= span:
            break
        difference = np.zeros(len(position) - span)
        for k, factor in enumerate(BINOMIALS[order]):
            difference += factor * position[k * stride : len(position) - span + k * stride]
        size = float(np.abs(difference).max()) - rounding
        worst = max(worst, size / (stride * dt_s) ** order / limit)
    return worst


BINOMIALS = {1: (-1, 1), 2: (1, -2, 1), 3: (-1, 3, -3, 1)}


def rest_ns(frames: Frames, until_ns: int) -> int | None:
    """The instant of the first frame behind which no goal changes by more than a count for STILL_NS; None: none.

    A goal stays until the next frame, the last one until ``until_ns``.
    """
    for index, at_ns in enumerate(frames.arrived_ns.tolist()):
        if until_ns - at_ns < STILL_NS:
            return None
        end = int(np.searchsorted(frames.arrived_ns, at_ns + STILL_NS))
        if np.abs(frames.counts[index:end] - frames.counts[index]).max(initial=0) <= REST_COUNTS:
            return int(at_ns)
    return None


def abandoned(frames: Frames, until_ns: int, longest_ns: int) -> tuple[float, int]:
    """(counts a frame, ns) of the longest gap without a command behind a frame that moved; (0, 0): there is none.

    Gaps of ``longest_ns`` or less are late frames. The servos run to their last goal there and stop as hard as they
    can: nobody brakes them.
    """
    worst = (0.0, 0)
    if len(frames) < 2:
        return worst
    ends = np.append(frames.arrived_ns[1:], until_ns)
    gaps = ends - frames.arrived_ns
    for index in np.flatnonzero(gaps > longest_ns):
        if index == 0:
            continue
        moved = float(np.abs(frames.counts[index] - frames.counts[index - 1]).max())
        if moved >= ABANDONED_COUNTS and int(gaps[index]) > worst[1]:
            worst = (moved, int(gaps[index]))
    return worst


def lives(frames: Frames, gap_ns: int) -> list[Frames]:
    """Cut where nobody wrote for longer than ``gap_ns``: what comes then begins at the measured pose, anew."""
    cuts = np.flatnonzero(np.diff(frames.arrived_ns) > gap_ns) + 1
    edges = [0, *cuts.tolist(), len(frames)]
    return [frames.part(slice(a, b)) for a, b in itertools.pairwise(edges) if b > a]


def missed(tick_ns: NDArray[np.int64], begin_ns: int, end_ns: int, period_ns: int) -> int:
    """Slots from ``begin_ns`` on and before ``end_ns`` without a tick; ``tick_ns`` [tick]: the scheduled
    instants of one loop's ticks, all on one grid.

    Slots before the first and behind the last tick of the window count: a loop that stands still misses them all.
    """
    if not len(tick_ns):
        return max(0, (end_ns - begin_ns) // period_ns)
    phase_ns = int(tick_ns[0])
    slots = (end_ns - 1 - phase_ns) // period_ns - (begin_ns - 1 - phase_ns) // period_ns
    return int(slots - np.count_nonzero((tick_ns >= begin_ns) & (tick_ns < end_ns)))


def matched_windows(begin_ns: int, end_ns: int, length_ns: int, most: int = 20) -> list[tuple[int, int]]:
    """Windows of ``length_ns`` side by side from ``begin_ns`` on, at most so many; overlapping by half where the
    time is too short for as many.
    """
    room = end_ns - begin_ns
    if room < length_ns:
        return []
    apart = length_ns if room >= most * length_ns else max(length_ns // 2, 1)
    count = min(most, (room - length_ns) // apart + 1)
    return [(begin_ns + k * apart, begin_ns + k * apart + length_ns) for k in range(count)]
