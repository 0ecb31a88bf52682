"""What grows while the robot runs: memory, descriptors and threads of each of its processes.

The robot is ``spinal demo --headless`` in simulation. A slope is a failure only when all of its interval is above
the limit, and a pass only when all of it is below: a run of minutes cannot promise a megabyte an hour.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spinal.bench.bench import Bench
from spinal.bench.judge import exact, missing
from spinal.bench.live import processes
from spinal.bench.live.demo_robot import DemoRobot
from spinal.bench.live.growth import ARENA_BYTES, Slope, lasting_growth, slope_per_hour
from spinal.bench.live.processes import Use
from spinal.bench.result import Curve, Metric, SuiteResult, Verdict, finite

MIB = float(1 << 20)
LIMIT_MIB_PER_HOUR = 1.0
"""24 MiB in a day: nobody notices it between two restarts of a robot."""
SETTLE_S = 20.0
"""The ring of tick records is touched once around (16 s at 250 Hz), the garbage collector has come by."""
SETTLE_QUICK_S = 3.0
START_LIMIT_S = 90.0
MOST_SAMPLES = 7200
SHARED_EVERY = 10
"""Samples between two looks at proportional memory, which costs the process a walk over its pages."""
POINTS = 300
"""Of a curve."""

Array = NDArray[np.float64]


@dataclass
class Watched:
    """Of one process, sample by sample."""

    role: str
    pid: int
    seconds: list[float] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    proportional: list[int] = field(default_factory=list)

    def of(self, name: str) -> Array:
        """One field of its uses, [sample]."""
        return np.array([getattr(use, name) for use in self.uses], np.float64)


def measure(bench: Bench) -> SuiteResult:
    """Watches the live robot once a second. Raises ProcessError when it does not start, or ends by itself."""
    seconds = bench.seconds(quick=6.0, full=120.0)
    settle = SETTLE_QUICK_S if bench.quick else SETTLE_S
    with DemoRobot(settle + seconds + START_LIMIT_S) as robot:
        robot.until(lambda: robot.up, "the robot's start", START_LIMIT_S)
        bench.say(f"  {settle:.0f} s to settle, {seconds:.0f} s to watch")
        _listen(robot, settle)
        watched = watch(robot, seconds, period_s=max(0.2 if bench.quick else 1.0, seconds / MOST_SAMPLES))
        restarted = [text for _, text in robot.lines if "restart" in text]
    return SuiteResult(
        metrics=[*judge(watched), exact("restarts", "", len(restarted), 0, why="; ".join(restarted[:1]))],
        curves=[curve(watched)],
        notes=[
            "memory_slope is of private and anonymous shared memory: pages of files are only touched once",
            f"an allocator hides growth below {ARENA_BYTES / MIB:.0f} MiB in the whole run: a run of"
            f" {seconds:.0f} s sees slopes above {ARENA_BYTES / MIB * 3600 / seconds:.0f} MiB/h,"
            " --hours 2 those that the limit is about",
        ],
    )


def watch(robot: DemoRobot, seconds: float, period_s: float) -> list[Watched]:
    """Every process of the robot, every ``period_s``; one that is restarted counts as another."""
    watched: dict[int, Watched] = {}
    began = time.monotonic()
    number = 0
    while (now := time.monotonic() - began) < seconds:
        for pid in [robot.process.pid, *processes.children(robot.process.pid)]:
            use = processes.use(pid)
            if use is None:
                continue
            if pid not in watched:
                role = "supervisor" if pid == robot.process.pid else processes.role(pid)
                watched[pid] = Watched(role, pid)
            one = watched[pid]
            one.seconds.append(now)
            one.uses.append(use)
            if number % SHARED_EVERY == 0:
                shared = processes.proportional(pid)
                one.proportional += [] if shared is None else [shared]
        number += 1
        _listen(robot, max(0.0, began + number * period_s - time.monotonic()))
    return list(watched.values())


def judge(watched: Sequence[Watched]) -> list[Metric]:
    """Slopes, counts and peaks of each process. One that was restarted meanwhile is judged by its longest life."""
    lives: dict[str, Watched] = {}
    for one in watched:
        if one.role not in lives or len(one.uses) > len(lives[one.role].uses):
            lives[one.role] = one
    metrics: list[Metric] = []
    for role, one in lives.items():
        slope = slope_per_hour(np.array(one.seconds), one.of("own") / MIB, ARENA_BYTES / MIB)
        metrics.append(of_slope(f"{role}.memory_slope", slope))
        for name in ("descriptors", "threads"):
            grown = lasting_growth(one.of(name))
            metrics.append(exact(f"{role}.{name}_growth", "", grown, 0, n=len(one.uses)))
        metrics.append(exact(f"{role}.resident_peak", "MiB", one.of("peak").max() / MIB, n=len(one.uses)))
        metrics.append(exact(f"{role}.threads", "", one.of("threads").max()))
    shared = [max(one.proportional) for one in lives.values() if one.proportional]
    if len(shared) < len(lives):
        metrics.append(
            missing("proportional_sum", "MiB", "smaps_rollup of some process may not be read here")
        )
    else:
        why = "all processes, shared pages counted once"
        metrics.append(exact("proportional_sum", "MiB", sum(shared) / MIB, n=len(shared), why=why))
    return metrics


def of_slope(name: str, slope: Slope) -> Metric:
    """Passes when all of the interval is inside the limit, fails when all of it is outside."""
    verdict, why = Verdict.INCONCLUSIVE, "the interval reaches over the limit: watch longer, --hours 2"
    if not np.isfinite(slope.value):
        why = f"{slope.samples} samples are too few for a slope"
    elif slope.low > LIMIT_MIB_PER_HOUR:
        verdict, why = Verdict.FAIL, f"at least {slope.low:.1f} MiB an hour"
    elif slope.high <= LIMIT_MIB_PER_HOUR:
        verdict, why = Verdict.PASS, ""
    return Metric(
        name=name,
        unit="MiB/h",
        value=finite(slope.value),
        limit=LIMIT_MIB_PER_HOUR,
        low=finite(slope.low),
        high=finite(slope.high),
        n=slope.samples,
        verdict=verdict,
        why=why,
    )


def curve(watched: Sequence[Watched]) -> Curve:
    """Resident memory of each process over the run, thinned for a picture."""
    longest = max(watched, key=lambda one: len(one.uses))
    times = np.array(longest.seconds)
    times = times[np.unique(np.linspace(0, len(times) - 1, min(POINTS, len(times))).astype(int))]
    lines: dict[str, list[float | None]] = {}
    lives: dict[str, int] = defaultdict(int)
    for one in watched:
        lives[one.role] += 1
        name = one.role if lives[one.role] == 1 else f"{one.role} ({lives[one.role]})"
        values = np.interp(times, one.seconds, one.of("resident") / MIB, left=np.nan, right=np.nan)
        lines[name] = [finite(value) for value in values]
    return Curve(
        name="resident memory",
        x_name="time",
        x_unit="s",
        y_name="memory",
        y_unit="MiB",
        x=times.tolist(),
        lines=lines,
    )


def _listen(robot: DemoRobot, seconds: float) -> None:
    """For so long, whatever it says."""
    until = time.monotonic() + seconds
    while True:
        left = until - time.monotonic()
        robot.listen(max(0.0, left))
        if left <= 0:
            return
