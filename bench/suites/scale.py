"""``scale``: what a tick costs against joints and buses, from 6 joints on one bus to 57 on four.

All sizes take turns in one process, at 1 kHz over ideal servos: what is seen is the tick's own, with no wire.
The floor of every duration is the clock that stamps it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spinal.bench import judge
from spinal.bench.apart import run_apart
from spinal.bench.bench import Bench
from spinal.bench.buckets import counts_of, distribution_us
from spinal.bench.disturbance import Watch, reason
from spinal.bench.loop.stages import (
    COMPUTE,
    LONGEST_TURN_S,
    WHOLE,
    Size,
    Ticks,
    measure_ticks,
    median_interval,
)
from spinal.bench.result import Curve, Metric, SuiteResult
from spinal.bench.suites.step import faults_of

RATE_HZ = 1000
SIZES = (Size(6), Size(14), Size(28), Size(14, 2), Size(57, 2), Size(14, 4), Size(57, 4))
TURNS = 3
LIMITS_US = {14: 10.0, 57: 30.0}
"""Of compute, by joints."""
KINDS = {"compute": (COMPUTE, None), "compute_hand_off": (COMPUTE, True), "tick": (WHOLE, None)}
"""``tick``: from the wake-up to the last byte written, the reading of ideal servos in it."""


def measure(bench: Bench) -> SuiteResult:
    """Every size in turn. Raises SpinalError when a loop did not run."""
    turn_s = min(LONGEST_TURN_S, bench.seconds(0.3, 2.0, share=1 / (TURNS * len(SIZES))))
    seconds = TURNS * len(SIZES) * (turn_s + 0.1)
    with Watch() as watch:
        ticks, calls = run_apart(
            measure_ticks, SIZES, RATE_HZ, TURNS, turn_s, [SIZES[0].joints], ["clock"], seconds=seconds
        )
    clock_us = float(np.median(calls[SIZES[0].joints, "clock"].part_ns)) / 1e3
    disturbed = reason(watch.seen, loaded=False)
    medians = {
        kind: {size: float(np.median(ticks[size].of(*which))) / 1e3 for size in SIZES}
        for kind, which in KINDS.items()
    }
    metrics = [metric for size in SIZES for metric in _of_size(size, ticks[size], clock_us, disturbed)]
    for kind, of_size in medians.items():
        metrics += _linearity(kind, of_size)
    return SuiteResult(
        metrics=metrics,
        distributions=[
            distribution_us(f"{size.name}.compute_us", counts_of(ticks[size].of(COMPUTE))) for size in SIZES
        ],
        curves=[_against_joints(kind, of_size) for kind, of_size in medians.items()],
        notes=["57 joints need two buses: a line has 32 servos at most"],
    )


def _of_size(size: Size, ticks: Ticks, clock_us: float, disturbed: str) -> list[Metric]:
    metrics = []
    for kind, which in KINDS.items():
        durations = ticks.of(*which)
        figure, n = f"{size.name}.{kind}_us", len(durations)
        p50, p99 = (float(np.quantile(durations, fraction)) / 1e3 for fraction in (0.5, 0.99))
        if kind == "tick" or size.joints not in LIMITS_US:
            metrics.append(judge.exact(f"{figure}.p50", "us", p50, floor=clock_us, n=n))
        else:
            low, high = (edge / 1e3 for edge in median_interval(durations))
            limit = LIMITS_US[size.joints]
            metrics.append(
                judge.timed(f"{figure}.p50", "us", p50, limit, low=low, high=high, n=n, disturbed=disturbed)
            )
        metrics.append(judge.exact(f"{figure}.p99", "us", p99, floor=clock_us, n=n))
    return [*metrics, faults_of(size, ticks)]


def _linearity(kind: str, of_size: dict[Size, float]) -> list[Metric]:
    """Of the sizes on as few buses as will do: the slope of a straight line, and by how much it is missed."""
    fewest = {size.joints: (size, us) for size, us in reversed(of_size.items())}
    joints = np.array(sorted(fewest))
    costs = np.array([fewest[int(number)][1] for number in joints])
    slope, off = straightness(joints, costs)
    return [
        judge.exact(f"{kind}_us.joint", "us", slope, n=len(joints), why="one joint more, at the median"),
        judge.exact(
            f"{kind}_us.off_line", "", off, n=len(joints), why="largest distance from a line, as a share"
        ),
    ]


def straightness(joints: Sequence[int] | np.ndarray, costs: np.ndarray) -> tuple[float, float]:
    """Slope of the least-squares line through ``costs`` over ``joints``, and the largest residual / cost."""
    slope, constant = np.polyfit(joints, costs, 1)
    return float(slope), float(np.max(np.abs(slope * np.asarray(joints) + constant - costs) / costs))


def _against_joints(kind: str, of_size: dict[Size, float]) -> Curve:
    joints = sorted({size.joints for size in of_size})
    buses = sorted({size.buses for size in of_size})
    return Curve(
        name=f"{kind}_us against joints",
        x_name="joints",
        x_unit="",
        y_name=f"{kind}, p50",
        y_unit="us",
        x=[float(number) for number in joints],
        lines={
            f"{count} bus{'es' if count > 1 else ''}": [of_size.get(Size(number, count)) for number in joints]
            for count in buses
        },
    )
