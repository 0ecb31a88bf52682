"""Results as the suites write them, made up: every kind of figure, verdict and picture; always the same."""

import numpy as np

from spinal.bench import judge
from spinal.bench.result import (
    Curve,
    Distribution,
    Disturbance,
    Machine,
    Metric,
    Result,
    Stage,
    SuiteResult,
    Waterfall,
)
from spinal.bench.statistics import Ratio

EDGES_US = [float(edge) for edge in np.unique(np.round(np.geomspace(0.5, 2e5, 400), 3))]


def buckets(values):
    """Counts [edge] of values, by upper edges."""
    at = np.searchsorted(EDGES_US, values, side="left")
    return [int(count) for count in np.bincount(at, minlength=len(EDGES_US))]


def lateness(seed, p50_us, n=20_000, stalled=0.0006):
    """Counts of wake-ups: a body around ``p50_us``, and a few that a busy host held up for milliseconds."""
    pick = np.random.default_rng(seed)
    held_up = pick.random(n) < stalled
    return buckets(np.where(held_up, pick.uniform(2_000, 28_000, n), pick.lognormal(np.log(p50_us), 0.35, n)))


def machine(**changes):
    fields = {
        "key": "x86-64-some-processor-2c-virtual",
        "processor": "Some Processor 3000",
        "cores": 2,
        "memory_gib": 7.8,
        "architecture": "x86_64",
        "kernel": "6.1.0-rt",
        "preempt_rt": False,
        "virtual": "QEMU",
        "governor": "performance",
        "realtime": {"fifo": None, "timer_slack": None, "mlock": "RLIMIT_MEMLOCK is 8 MiB"},
        "python": "3.11.7",
        "compiler": "gcc 12.2.0, optimised",
        "onnxruntime": "onnxruntime 1.22.0",
        "providers": ["CPUExecutionProvider"],
    }
    return Machine(**(fields | changes))


def tick(seed=1, p50_us=41.0, p99_ratio=1.12):
    metrics, distributions = [], []
    for hz in (100, 250, 500, 1000):
        for load in ("idle", "busy"):
            name = f"{hz}hz.{load}.late_us"
            p50 = Ratio(p50_us, 37.0, p50_us / 37.0, p50_us / 37.0 - 0.04, p50_us / 37.0 + 0.05, 24, 20_000)
            p99 = Ratio(180.0, 164.0, p99_ratio, p99_ratio - 0.06, p99_ratio + 0.08, 24, 20_000)
            noisy = (
                "others kept the processors busy 41% of the time (limit 25%)"
                if (hz, load) == (100, "busy")
                else ""
            )
            metrics += [
                judge.sliced(f"{name}.p50", "us", p50, 1.15, disturbed=noisy),
                judge.sliced(f"{name}.p99", "us", p99, 1.3, disturbed=noisy),
                judge.exact(f"{name}.max", "us", 34_603.0),
            ]
            distributions.append(
                Distribution(
                    name=name,
                    unit="us",
                    edges=EDGES_US,
                    counts=lateness(seed + hz, p50_us),
                    floor_counts=lateness(seed + hz + 1, 37.0),
                    max=28_000.0,
                )
            )
    return SuiteResult(
        metrics=metrics,
        distributions=distributions,
        notes=["cyclictest is not installed (apt install rt-tests): its column is absent"],
        seconds=41.2,
        disturbance=Disturbance(steal=0.003, pressure=0.12),
    )


def seam():
    t = np.arange(0.0, 0.6, 0.002)
    ours = 0.4 * np.tanh((t - 0.3) * 9)
    naive = ours + 0.02 * (t > 0.3)
    queue = ours + 0.02 / (1 + np.exp(-(t - 0.3) * 300))

    def rate(y, times):
        for _ in range(times):
            y = np.gradient(y, t)
        return [float(value) for value in y]

    curves = [
        Curve(
            name=f"switch.{what}",
            x_name="time",
            x_unit="s",
            y_name=what,
            y_unit=unit,
            x=[float(value) for value in t],
            lines={
                "naive": rate(naive, order),
                "lerobot's queue": rate(queue, order),
                "ours": rate(ours, order),
            },
        )
        for order, (what, unit) in enumerate(
            [("position", "rad"), ("velocity", "rad/s"), ("acceleration", "rad/s^2")]
        )
    ]
    return SuiteResult(
        metrics=[
            judge.exact("ours.rms_jerk", "rad/s^3", 20.1, 30.0),
            judge.exact("ours.gain_5hz", "", 0.97, 0.9, better="higher"),
            judge.exact("naive.rms_jerk", "rad/s^3", 621_029.0),
        ],
        curves=curves,
        seconds=2.1,
    )


def scale():
    joints = [6.0, 14.0, 28.0, 57.0]
    cost = Curve(
        name="instructions against joints",
        x_name="joints",
        x_unit="",
        y_name="instructions of one tick",
        y_unit="",
        x=joints,
        lines={
            f"{n} bus{'es' if n > 1 else ''}": [900.0 * n + 1_150.0 * x for x in joints] for n in (1, 2, 4)
        },
    )
    return SuiteResult(metrics=[judge.exact("linear.r2", "", 0.9998, 0.99, better="higher")], curves=[cost])


def task():
    rate = Metric(name="0steps.success", unit="", value=0.957, low=0.927, high=0.975, n=300, better="higher")
    curve = Curve(
        name="success against delay",
        x_name="added delay",
        x_unit="policy steps",
        y_name="picked",
        y_unit="",
        x=[0.0, 2.0, 4.0, 6.0],
        lines={
            "picked": [0.957, 0.88, 0.743, 0.51],
            "95 %, low": [0.927, 0.838, 0.691, 0.454],
            "95 %, high": [0.975, 0.912, 0.789, 0.566],
        },
    )
    return SuiteResult(
        metrics=[rate], curves=[curve], seconds=180.0, disturbance=Disturbance(steal=0.031, pressure=0.9)
    )


def reaction(p99_ms=26.2):
    stages = [
        ("sensor's own delay", 0, 10_000),
        ("pose in shared memory", 10_000, 10_120),
        ("waits for the policy's step", 10_120, 17_400),
        ("inference", 17_400, 18_520),
        ("chunk to the loop", 18_520, 18_610),
        ("waits for the tick", 18_610, 21_300),
        ("tick: read, plan, limit, write", 21_300, 22_480),
        ("frame on the wire", 22_480, 23_660),
    ]
    return SuiteResult(
        metrics=[
            judge.timed("reaction_ms.p99", "ms", p99_ms, 30.0, low=p99_ms - 2, high=p99_ms + 2, n=1738),
            judge.timed(
                "own_share_ms.p99", "ms", 2.6, 2.0, low=2.3, high=2.9, why="planted: a lock in the hand-off"
            ),
            judge.missing("visible_ms.p99", "ms", "needs mujoco: pip install 'spinal[sim]'"),
        ],
        waterfalls=[
            Waterfall(
                name="one action",
                stages=[Stage(name=n, begin_us=float(a), end_us=float(b)) for n, a, b in stages],
            )
        ],
        seconds=12.0,
        disturbance=Disturbance(steal=0.001, pressure=0.2),
    )


def exact(instructions=9_412.0):
    """``instructions`` of a tick of 6 joints; what is more than 9,412 is in sp_limiter_step."""
    own = {
        "sp_loop_tick": [1_200.0, 1_300.0],
        "sp_limiter_step": [2_100.0 + instructions - 9_412.0, 4_900.0],
        "sp_trajectory_sample": [900.0, 2_100.0],
    }
    curve = Curve(
        name="instructions.plain.own",
        x_name="joints",
        x_unit="",
        y_name="its own",
        y_unit="instructions",
        x=[6.0, 14.0],
        lines=own,
    )
    return SuiteResult(
        metrics=[
            judge.exact("instructions.6_joints.plain", "instructions", instructions, 9_506.0),
            judge.exact("instructions.14_joints.plain", "instructions", 21_419.0, 21_633.0),
            judge.exact("harness.allocations", "calls/tick", 0.0, 0.0),
            judge.exact("line.system_calls.bus", "calls/tick", 20.2),
        ],
        curves=[curve],
    )


def full(**suites):
    found = {
        "exact": exact(),
        "tick": tick(),
        "scale": scale(),
        "seam": seam(),
        "reaction": reaction(),
        "task": task(),
    }
    return Result(
        machine=machine(),
        commit="0123456789ab",
        began_utc="2025-11-21T03:00:00+00:00",
        command="spinal bench run --json r.json",
        suites=found | suites,
    )
