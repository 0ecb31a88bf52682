"""``step``: each stage of one tick, from the records of a running loop, and what its parts cost by themselves.

In the loop the caches are as cold as a sleep of 1 ms leaves them; the stopwatch calls each part over and over. The
floor of a stage is the clock that stamps it, that of a part an empty call.
"""

from __future__ import annotations

import numpy as np

from spinal.bench import judge
from spinal.bench.apart import run_apart
from spinal.bench.bench import Bench
from spinal.bench.buckets import counts_of, distribution_us
from spinal.bench.disturbance import Watch, reason
from spinal.bench.loop.stages import (
    COMPUTE,
    LONGEST_TURN_S,
    STAGES,
    Calls,
    Durations,
    Size,
    Ticks,
    measure_ticks,
    median_interval,
)
from spinal.bench.result import Curve, Metric, Stage, SuiteResult, Waterfall

RATE_HZ = 1000
SIZES = (Size(6), Size(14))
JUDGED = Size(14)
TURNS = 4
COMPUTE_LIMIT_US = 10.0
HAND_OFF_LIMIT_US = 20.0
SAMPLE_LIMIT_US = 2.0
PER_JOINT = ("limit", "limit_at_stop")
"""Parts that are shown for one joint."""
PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)


def measure(bench: Bench) -> SuiteResult:
    """Loops of two sizes and the stopwatch, in turn. Raises SpinalError when a loop did not run."""
    turn_s = min(LONGEST_TURN_S, bench.seconds(0.9, 5.0, share=1 / (TURNS * len(SIZES))))
    seconds = TURNS * (len(SIZES) * (turn_s + 0.1) + 0.3)
    with Watch() as watch:
        ticks, calls = run_apart(
            measure_ticks,
            SIZES,
            RATE_HZ,
            TURNS,
            turn_s,
            [size.joints for size in SIZES],
            seconds=seconds,
        )
    disturbed = reason(watch.seen, loaded=False)
    clock_us = float(np.median(calls[JUDGED.joints, "clock"].part_ns)) / 1e3
    metrics: list[Metric] = []
    for size in SIZES:
        metrics += _of_stages(size, ticks[size], clock_us, disturbed)
        metrics += _of_parts(size, calls, disturbed)
    return SuiteResult(
        metrics=metrics,
        distributions=[
            distribution_us(f"{size.name}.{name}_us", counts_of(durations))
            for size in SIZES
            for name, durations in _durations(ticks[size]).items()
        ],
        curves=[_percentiles(size, ticks[size]) for size in SIZES],
        waterfalls=[
            waterfall(f"a tick of {JUDGED.joints} joints with a hand-off", ticks[JUDGED], True),
            waterfall(f"a tick of {JUDGED.joints} joints", ticks[JUDGED], False),
        ],
    )


def _durations(ticks: Ticks) -> dict[str, Durations]:
    """By stage; plan apart for ticks with a hand-off and without."""
    found = {name: ticks.of(stage) for name, stage in STAGES.items() if name != "plan"}
    for name, switched in (("plan", False), ("plan_hand_off", True)):
        found[name] = ticks.of(STAGES["plan"], switched)
    return {**found, "compute": ticks.of(COMPUTE), "compute_hand_off": ticks.of(COMPUTE, True)}


def _of_stages(size: Size, ticks: Ticks, clock_us: float, disturbed: str) -> list[Metric]:
    limits = {
        "compute": COMPUTE_LIMIT_US,
        "compute_hand_off": COMPUTE_LIMIT_US,
        "plan_hand_off": HAND_OFF_LIMIT_US,
    }
    metrics = []
    for name, durations in _durations(ticks).items():
        figure = f"{size.name}.{name}_us"
        floor = None if name == "wake" else clock_us  # what the wake-up is judged beside is in the suite tick
        p50, p99 = (float(np.quantile(durations, fraction)) / 1e3 for fraction in (0.5, 0.99))
        if size == JUDGED and name in limits:
            low, high = (edge / 1e3 for edge in median_interval(durations))
            metrics.append(
                judge.timed(
                    f"{figure}.p50",
                    "us",
                    p50,
                    limits[name],
                    low=low,
                    high=high,
                    n=len(durations),
                    disturbed=disturbed,
                )
            )
        else:
            metrics.append(judge.exact(f"{figure}.p50", "us", p50, floor=floor, n=len(durations)))
        metrics.append(judge.exact(f"{figure}.p99", "us", p99, floor=floor, n=len(durations)))
    return [*metrics, faults_of(size, ticks)]


def faults_of(size: Size, ticks: Ticks) -> Metric:
    """Page faults of the loop's thread: none where memory is locked."""
    name = f"{size.name}.page_faults"
    if ticks.unlocked is not None:
        return judge.missing(name, "", f"memory could not be locked: {ticks.unlocked}")
    return judge.exact(name, "", ticks.faults, 0, n=len(ticks.stamps["tick_ns"]))


def _of_parts(size: Size, calls: dict[tuple[int, str], Calls], disturbed: str) -> list[Metric]:
    limits = {
        "hand_off": HAND_OFF_LIMIT_US,
        "hand_off_far": HAND_OFF_LIMIT_US,
        "sample": SAMPLE_LIMIT_US,
    }
    metrics = []
    for (joints, part), timed in calls.items():
        if joints != size.joints or part == "empty":
            continue
        empty_ns = float(np.median(timed.empty_ns))
        figure, n = f"{size.name}.part.{part}", len(timed.part_ns)
        value_ns = float(np.median(timed.part_ns))
        if size == JUDGED and part in limits:
            low, high = (edge / 1e3 for edge in median_interval(timed.part_ns))
            metrics.append(
                judge.timed(
                    f"{figure}_us",
                    "us",
                    value_ns / 1e3,
                    limits[part],
                    low=low,
                    high=high,
                    n=n,
                    disturbed=disturbed,
                )
            )
        elif part in PER_JOINT:
            metrics.append(judge.exact(f"{figure}_ns.joint", "ns", value_ns / joints, floor=empty_ns, n=n))
        else:
            metrics.append(judge.exact(f"{figure}_ns", "ns", value_ns, floor=empty_ns, n=n))
    return metrics


def _percentiles(size: Size, ticks: Ticks) -> Curve:
    return Curve(
        name=f"{size.name}.stages_us",
        x_name="percentile",
        x_unit="%",
        y_name="time",
        y_unit="us",
        x=[float(percent) for percent in PERCENTILES],
        lines={
            name: [float(value) / 1e3 for value in np.percentile(durations, PERCENTILES)]
            for name, durations in _durations(ticks).items()
        },
    )


def waterfall(name: str, ticks: Ticks, switched: bool) -> Waterfall:
    """The stages behind the scheduled instant, each from and to the median of its stamps."""
    stages = []
    for stage, (begin, end) in STAGES.items():
        edges = [ticks.of(("tick_ns", stamp), switched) for stamp in (begin, end)]
        begin_us, end_us = (float(np.median(edge)) / 1e3 for edge in edges)
        stages.append(Stage(name=stage, begin_us=begin_us, end_us=end_us))
    return Waterfall(name=name, stages=stages)
