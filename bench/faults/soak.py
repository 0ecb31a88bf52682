"""A robot that nobody hurts: how large its steps are, how often it holds for nothing, whether anything grows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spinal.bench.faults import motion
from spinal.bench.faults.harness import FaultRobot
from spinal.bench.faults.trial import MISS_WINDOW_NS, STALL_MS
from spinal.bench.live import growth, processes
from spinal.native import clock, layout
from spinal.runtime.segments import TransitionReader, Writer

SAMPLE_S = 2.0
TELL_S = 10.0
PIECE_S = 20.0
"""Frames are reduced to figures piece by piece: memory stays bounded however long it takes."""
LARGEST_STEP = 64
"""Counts in the histogram of steps; more than a gripper can go in a tick."""
FALSE_TRIPS = tuple(
    condition
    for condition in layout.Condition
    if condition
    not in (
        layout.Condition.NO_TRAJECTORY,
        layout.Condition.ORDER_HOLD,
        layout.Condition.ORDER_STALE,
        layout.Condition.NOT_ARMED,
        layout.Condition.NOT_TESTED,
        layout.Condition.LATE,
        layout.Condition.RELEASED,
        layout.Condition.NOT_ENERGISED,
    )
)
"""What must not come up on a sound robot: everything but orders, starts and a late machine."""
HELD_UP = "servos held up"
"""Among the causes of a hold: the simulated servos themselves stood still."""


@dataclass
class Soak:
    """What was seen. ``steps`` [count, kind]: how many steps were so large, of arm joints and grippers."""

    seconds: float = 0.0
    steps: NDArray[np.int64] = field(default_factory=lambda: np.zeros((LARGEST_STEP, 2), np.int64))
    windows: list[int] = field(default_factory=list)
    """Missed ticks in each window of two seconds."""
    risen: dict[str, int] = field(default_factory=dict)
    holds: dict[str, int] = field(default_factory=dict)
    """By what led to them."""
    restarts: int = 0
    stall_ms: float = 0.0
    excess: str = "inside"
    excess_share: float = 0.0
    memory_mib_per_hour: float = float("nan")
    memory_low: float = float("nan")
    memory_high: float = float("nan")
    descriptors_per_hour: float = float("nan")

    @property
    def clean_steps(self) -> NDArray[np.float64]:
        """[kind]: p99.9 of the steps, in counts."""
        share = np.cumsum(self.steps, axis=0) / np.maximum(self.steps.sum(axis=0), 1)
        return np.array([float(np.searchsorted(share[:, kind], 0.999)) for kind in range(2)])

    @property
    def false_trips(self) -> dict[str, int]:
        """Conditions that came up and should not have; not those of a tick that was late itself, nor those behind
        which the simulated servos stood still: a machine that holds either up for longer than a joint may be silent
        is no fault of the robot's.
        """
        names = {condition.name.lower() for condition in FALSE_TRIPS if condition.name}
        late = Counter[str]()
        for cause, count in self.holds.items():
            if {"late", HELD_UP} & set(cause.split("+")):
                late.update(dict.fromkeys(cause.split("+"), count))
        trips = {name: count - late[name] for name, count in self.risen.items() if name in names}
        return {name: count for name, count in trips.items() if count > 0}


def soak(robot: FaultRobot, seconds: float, tell: Callable[[str], None]) -> Soak:
    """Watches over a robot that runs, for ``seconds``."""
    seen = Soak()
    robot.until_moving()
    reader = TransitionReader(robot.supervisor.reader(Writer.CONTROLLER))
    reader.take()
    floor, risen = robot.floor.counts(), robot.risen
    deaths = _deaths(robot)
    began_s = told_s = time.monotonic()
    piece_ns = clock.now_ns()
    samples: list[tuple[float, float, float]] = []
    holds: Counter[str] = Counter()
    while (now_s := time.monotonic()) - began_s < seconds:
        robot.watch_for(min(SAMPLE_S, seconds - (now_s - began_s)))
        samples.append((time.monotonic() - began_s, *_use(robot)))
        holds.update(_causes(reader, robot))
        if clock.now_ns() - piece_ns >= PIECE_S * 1e9:
            piece_ns = _reduce(robot, seen, piece_ns)
        if now_s - told_s >= TELL_S:
            told_s = now_s
            tell(f"{now_s - began_s:.0f} of {seconds:.0f} s: {seen_so_far(robot, risen, holds)}")
    _reduce(robot, seen, piece_ns)
    seen.seconds = time.monotonic() - began_s
    seen.holds = dict(holds)
    seen.risen = {name: count - risen.get(name, 0) for name, count in robot.risen.items()}
    seen.restarts = _deaths(robot) - deaths
    seen.stall_ms = robot.stall_ms(floor)
    _slopes(seen, np.array(samples))
    return seen


def seen_so_far(robot: FaultRobot, risen: dict[str, int], holds: Counter[str]) -> str:
    """For progress."""
    since = {name: count - risen.get(name, 0) for name, count in robot.risen.items()}
    trips = Soak(risen=since, holds=dict(holds)).false_trips
    named = f" ({', '.join(sorted(trips))})" if trips else ""
    return f"{sum(trips.values())} false trips{named}, {holds.total()} holds"


def _reduce(robot: FaultRobot, seen: Soak, piece_ns: int) -> int:
    """Adds the figures of everything since ``piece_ns``; returns where the next piece begins."""
    now_ns = clock.now_ns()
    frames = robot.frames(piece_ns, now_ns)
    for kind in range(2):
        sizes = motion.steps(frames, robot.joints)[:, kind].astype(np.int64)
        seen.steps[:, kind] += np.bincount(np.minimum(sizes, LARGEST_STEP - 1), minlength=LARGEST_STEP)
    used = motion.excess(frames, robot.joints, robot.period_ns * 1e-9)
    if used.share > seen.excess_share:
        seen.excess_share, seen.excess = used.share, str(used)
    ticks = robot.records(piece_ns, now_ns)["tick_ns"]
    for begin_ns, end_ns in motion.matched_windows(piece_ns, now_ns, MISS_WINDOW_NS, most=10):
        seen.windows.append(motion.missed(ticks, begin_ns, end_ns, robot.period_ns))
    return now_ns


def _causes(reader: TransitionReader, robot: FaultRobot) -> list[str]:
    """Of each change from running to something more careful: the conditions that led to it."""
    causes = []
    for change in reader.take():
        if change.before == layout.MODE_RUNNING and change.after in (
            layout.MODE_HOLDING,
            layout.MODE_STOPPED,
        ):
            bits = [c.name.lower() for c in layout.Condition if c & change.conditions and c.name]
            if change.conditions & layout.Condition.JOINT_SILENT and _held_up(robot, change.tick_ns):
                bits.append(HELD_UP)
            causes.append("+".join(bits))
    return causes


def _held_up(robot: FaultRobot, silent_ns: int) -> bool:
    """Whether the servos took nothing off the line while the loop ticked, until a joint was silent for too long.

    They stamp what they take, so it is seen at their own end: a reply that was lost on its way, or that the loop
    did not understand, leaves its request there.
    """
    limit_ns = max(bus.max_age_ms for bus in robot.supervisor.robot.buses.values()) * 1_000_000
    begin_ns = silent_ns - limit_ns
    ticks = robot.records(begin_ns, silent_ns)["tick_ns"]
    return servos_held_up(
        ticks, robot.frames(begin_ns, silent_ns).arrived_ns, begin_ns, silent_ns, robot.period_ns
    )


def servos_held_up(
    tick_ns: NDArray[np.int64], arrived_ns: NDArray[np.int64], begin_ns: int, end_ns: int, period_ns: int
) -> bool:
    """Of a span: at least half of its slots had a tick, and in a stretch of half of it nothing arrived."""
    slots = (end_ns - begin_ns) // period_ns
    gaps_ns = np.diff(np.concatenate([[begin_ns], np.sort(arrived_ns), [end_ns]]))
    return bool(len(tick_ns) * 2 >= slots and gaps_ns.max() * 2 >= end_ns - begin_ns)


def _deaths(robot: FaultRobot) -> int:
    return sum(child.deaths for child in robot.supervisor.children.values())


def _use(robot: FaultRobot) -> tuple[float, float]:
    """(bytes of their own, descriptors) of all processes but this one, which keeps what it measures."""
    pids = [child.process.pid for child in robot.supervisor.children.values() if child.process]
    used = [use for use in map(processes.use, pids) if use is not None]
    return float(sum(use.own for use in used)), float(sum(use.descriptors for use in used))


def _slopes(seen: Soak, samples: NDArray[np.float64]) -> None:
    if not len(samples):
        return
    memory = growth.slope_per_hour(samples[:, 0], samples[:, 1] / 2**20, growth.ARENA_BYTES / 2**20)
    seen.memory_mib_per_hour, seen.memory_low, seen.memory_high = memory.value, memory.low, memory.high
    seen.descriptors_per_hour = growth.slope_per_hour(samples[:, 0], samples[:, 2]).value


def lines_of(seen: Soak) -> list[str]:
    """For a terminal."""
    arm, gripper = seen.clean_steps
    trips, holds, windows = seen.false_trips, seen.holds, seen.windows
    named = ", ".join(f"{name} {count}" for name, count in trips.items()) or "none"
    lines = [
        f"clean soak of {seen.seconds:.0f} s; the machine stood still for at most {seen.stall_ms:.1f} ms"
        f"{' (longer than a period: what is late then is not ours)' if seen.stall_ms > STALL_MS else ''}",
        f"  false trips      {named}",
        f"  holds            {', '.join(f'{name} {count}' for name, count in holds.items()) or 'none'}",
        f"  restarts         {seen.restarts}",
        f"  step p99.9       {arm:.0f} counts of an arm joint, {gripper:.0f} of the gripper",
        f"  limits           {seen.excess if seen.excess_share > 1 else 'inside'}",
        f"  missed ticks     {sum(windows)} in {len(windows)} windows of 2 s, {max(windows, default=0)} at most",
    ]
    if np.isfinite(seen.memory_mib_per_hour):
        lines.append(
            f"  memory           {seen.memory_mib_per_hour:+.1f} MiB an hour"
            f" ({seen.memory_low:+.1f} to {seen.memory_high:+.1f}); descriptors {seen.descriptors_per_hour:+.1f}"
        )
    return lines
