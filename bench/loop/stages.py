"""The stages of a tick, from the stamps in the records of running loops.

Loops of several sizes take turns, so a mood of the machine meets all of them. For a process of its own: it locks
memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinal.bench.loop.rig import MS, SECOND, Rig, Stamps
from spinal.bench.statistics import FEWEST_SLICES, bootstrap_median
from spinal.native.clock import now_ns
from spinal.native.stopwatch import PARTS, Stopwatch
from spinal.runtime.awake import AwakeProcessors
from spinal.runtime.errors import SpinalError

Durations = NDArray[np.int64]
Array = NDArray[np.float64]

STAGES = {
    "wake": ("tick_ns", "woke_ns"),
    "read": ("woke_ns", "read_ns"),
    "plan": ("read_ns", "planned_ns"),
    "sample_limit": ("planned_ns", "computed_ns"),
    "write": ("computed_ns", "written_ns"),
}
"""From one stamp to the next. ``plan``: publish the state, take and judge a trajectory, hand off to it."""
COMPUTE = ("read_ns", "computed_ns")
WHOLE = ("woke_ns", "written_ns")
SETTLE_NS = 50 * MS
LONGEST_TURN_S = 30.0
"""A median is known long before, and every tick's stamps are kept until the end."""
BATCHES = 10
REPEATS = {"hand_off_far": 50, "limit_at_stop": 200}
"""Calls of a batch; 1000 for the others."""


@dataclass(frozen=True, slots=True)
class Size:
    """Of a robot."""

    joints: int
    buses: int = 1

    @property
    def name(self) -> str:
        """As in a metric: ``14j``, ``57j.4b``."""
        return f"{self.joints}j" + (f".{self.buses}b" if self.buses > 1 else "")


@dataclass(slots=True)
class Ticks:
    """Of one size: the stamps of every tick, and what its loop suffered."""

    stamps: Stamps
    faults: int
    """Page faults of the loop's thread."""
    unlocked: str | None
    """None: memory was locked; else why not."""

    def of(self, stage: tuple[str, str], switched: bool | None = None) -> Durations:
        """ns, [tick]. ``switched``: only ticks with a hand-off, or only those without."""
        begin, end = stage
        durations: Durations = self.stamps[end] - self.stamps[begin]
        if switched is None:
            return durations
        chosen: Durations = durations[(self.stamps["switched"] != 0) == switched]
        return chosen


@dataclass(frozen=True, slots=True)
class Calls:
    """Of one part of the stopwatch: ns a call, [batch], and of empty calls behind each batch."""

    part_ns: Array
    empty_ns: Array


def measure_ticks(
    sizes: Sequence[Size],
    rate_hz: int,
    turns: int,
    turn_s: float,
    parts_of: Sequence[int],
    parts: Sequence[str] = PARTS,
) -> tuple[dict[Size, Ticks], dict[tuple[int, str], Calls]]:
    """``turns`` turns: ``turn_s`` of a loop of every size, then the stopwatch's ``parts`` for every number of
    joints in ``parts_of``. Raises SpinalError when a loop did not run all the time.
    """
    rigs = {size: Rig(size.joints, rate_hz, buses=size.buses, keep_records=True) for size in sizes}
    watches = {joints: Stopwatch(joints, dt_s=1 / rate_hz) for joints in parts_of}
    stamps: dict[Size, list[Stamps]] = {size: [] for size in sizes}
    ticks = {size: Ticks({}, 0, None) for size in sizes}
    calls: dict[tuple[int, str], list[tuple[Array, Array]]] = {}
    for _ in range(turns):
        for size, rig in rigs.items():
            try:
                with AwakeProcessors(True):  # as the controller does
                    rig.begin()
                    rig.run_until(now_ns() + SETTLE_NS)
                    rig.records()
                    rig.run_until(now_ns() + round(turn_s * SECOND))
                stamps[size].append(rig.records())
                stats = rig.stats
                ticks[size].faults += stats["minor_faults"] + stats["major_faults"]
                ticks[size].unlocked = rig.realtime["mlock"]
            finally:
                rig.end()
        for joints, watch in watches.items():
            for part in parts:
                calls.setdefault((joints, part), []).append(
                    watch.time(part, REPEATS.get(part, 1000), BATCHES)
                )
            if watch.limited:
                raise SpinalError(
                    "the stopwatch's motion does not pass the limiter unchanged: a defect of it"
                )
    for size, taken in stamps.items():
        ticks[size].stamps = {name: np.concatenate([one[name] for one in taken]) for name in taken[0]}
        if not ticks[size].stamps["switched"].any():
            raise SpinalError(
                f"no tick of the loop of {size.name} took a chunk", hint="measure longer: leave out --quick"
            )
    return ticks, {
        key: Calls(*(np.concatenate([batch[side] for batch in batches]) for side in (0, 1)))
        for key, batches in calls.items()
    }


def median_interval(durations: Durations | Array) -> tuple[float, float]:
    """95 % interval of the median of ``durations`` [n], from the medians of FEWEST_SLICES pieces in their order.

    NaN for fewer than that. What disturbs a machine lasts longer than a tick, so ticks are not independent.
    """
    if len(durations) < FEWEST_SLICES:
        return float("nan"), float("nan")
    pieces = np.array([np.median(piece) for piece in np.array_split(durations, FEWEST_SLICES)])
    return bootstrap_median(pieces)
