"""From a model's answer to waypoints: the decoder and the fit, beside one matrix product of the same size.

The fit is linear, so one product of its cached matrix with motion, actions and plan is what cannot be beaten. The
two take turns call by call, in one process; caches are warm, what a cold step costs stands in the policy suite.
Other decoders, ensembling and the loop around a flow stand beside floors of their own (``bench/decoding.py``).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from spinal.bench.bench import Bench
from spinal.bench.decoding import Case, cases
from spinal.bench.judge import exact, sliced
from spinal.bench.result import Curve, Metric, SuiteResult
from spinal.bench.statistics import Ratio, bootstrap_median
from spinal.runtime.decode import decode_chunk
from spinal.runtime.trajectory import fit, fit_matrix
from spinal.runtime.types import Observation

STEP_NS = 20_000_000
SMOOTHING, SEAM_SMOOTHING = 0.02, 200.0
GIVEN = 1
"""Steps that are commanded before an answer is in force, at the shipped policy's delay."""
SLICES = 24
BATCH = 20
"""Rounds between two looks at the clock that ends the run."""
FEWEST_ROUNDS, MOST_ROUNDS = 10, 20_000
"""Of a slice: the samples stay in memory."""
COLD_RUNS = 5
DECODE, FIT, FLOOR = range(3)

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shape:
    """A chunk's size, and whose it is."""

    steps: int
    joints: int
    about: str

    @property
    def name(self) -> str:
        """As it stands in the metrics: steps x joints."""
        return f"{self.steps}x{self.joints}"


SHAPES = (
    Shape(20, 6, "the shipped policy"),
    Shape(50, 14, "two arms"),
    Shape(50, 57, "a humanoid"),
)


def measure(bench: Bench) -> SuiteResult:
    """Every shape. Nothing is judged."""
    metrics: list[Metric] = []
    seconds = bench.seconds(quick=0.6, full=6.0, share=0.5 / len(SHAPES))
    for shape in SHAPES:
        bench.say(f"  {shape.name}, {shape.about}")
        cold = first_calls(shape)
        metrics += metrics_of(shape.name, take_turns(shape, seconds), cold)
    with tempfile.TemporaryDirectory(prefix="spinal-bench-") as folder:
        others = [*cases(Path(folder))]
        for case in others:
            bench.say(f"  {case.name}, {case.about}")
            metrics.append(metric_of(case, beside(case, seconds / len(others) * len(SHAPES))))
    totals = [metric for metric in metrics if metric.name.endswith(".waypoints_us.p50")]
    curve = Curve(
        name="decode and fit",
        x_name="chunk",
        x_unit="numbers",
        y_name="time",
        y_unit="us",
        x=[float(shape.steps * shape.joints) for shape in SHAPES],
        lines={"ours": [one.value for one in totals], "one matrix product": [one.floor for one in totals]},
    )
    return SuiteResult(
        metrics=metrics,
        curves=[curve],
        notes=[
            "flow_* is the loop's own time around a model that costs nothing: for an answer, of 10 steps",
            "first_call is what the first chunk costs whose delay freezes another number of steps: its matrices"
            " are made then",
        ],
    )


def take_turns(shape: Shape, seconds: float) -> NDArray[np.int64]:
    """ns of decode, fit and floor, [slice, round, 3], in turn for ``seconds``."""
    output, observation, command = inputs(shape)
    plan = planned(shape)
    floor = matrix_product(shape)
    slices = []
    for _ in range(SLICES):
        rounds: list[tuple[int, int, int]] = []
        ends_ns = perf_counter_ns() + int(seconds * 1e9 / SLICES)
        while len(rounds) < FEWEST_ROUNDS or (perf_counter_ns() < ends_ns and len(rounds) < MOST_ROUNDS):
            for _ in range(BATCH):
                began_ns = perf_counter_ns()
                chunk = decode_chunk(output, observation, STEP_NS)
                decoded_ns = perf_counter_ns()
                fit(command, chunk.actions, chunk.given, STEP_NS * 1e-9, SMOOTHING, SEAM_SMOOTHING, plan)
                fitted_ns = perf_counter_ns()
                floor()
                rounds.append((decoded_ns - began_ns, fitted_ns - decoded_ns, perf_counter_ns() - fitted_ns))
        slices.append(np.array(rounds, np.int64))
    fewest = min(len(one) for one in slices)
    return np.stack([one[:fewest] for one in slices])


def beside(case: Case, seconds: float) -> NDArray[np.int64]:
    """ns of ``case`` and its floor, [slice, round, 2], in turn for ``seconds``."""
    slices = []
    for _ in range(SLICES):
        rounds: list[tuple[int, int]] = []
        ends_ns = perf_counter_ns() + int(seconds * 1e9 / SLICES)
        while len(rounds) < FEWEST_ROUNDS or (perf_counter_ns() < ends_ns and len(rounds) < MOST_ROUNDS):
            began_ns = perf_counter_ns()
            case.ours()
            decoded_ns = perf_counter_ns()
            case.floor()
            rounds.append((decoded_ns - began_ns, perf_counter_ns() - decoded_ns))
        slices.append(np.array(rounds, np.int64))
    fewest = min(len(one) for one in slices)
    return np.stack([one[:fewest] for one in slices])


def metric_of(case: Case, took: NDArray[np.int64]) -> Metric:
    """``took`` in ns [slice, round, 2], for people: not judged."""
    ours, floor = took[..., 0], took[..., 1]
    ratios = np.median(ours, axis=1) / np.maximum(1, np.median(floor, axis=1))
    medians = (float(np.median(ours)), float(np.median(floor)), float(np.median(ratios)))
    found = Ratio(*medians, *bootstrap_median(ratios), len(ratios), ours.size)
    return sliced(f"{case.name}.us.p50", "us", found, None, scale=1e-3)


def first_calls(shape: Shape) -> Array:
    """us of the first fit for each number of known steps up to half the chunk, [number * run]: nothing cached."""
    output, observation, command = inputs(shape)
    plan = planned(shape)
    actions = decode_chunk(output, observation, STEP_NS).actions
    took = []
    for given in range(0, shape.steps // 2, max(1, shape.steps // 8)):
        for _ in range(COLD_RUNS):
            fit_matrix.cache_clear()
            began_ns = perf_counter_ns()
            fit(command, actions, given, STEP_NS * 1e-9, SMOOTHING, SEAM_SMOOTHING, plan)
            took.append((perf_counter_ns() - began_ns) / 1000)
    return np.array(took)


def metrics_of(name: str, took: NDArray[np.int64], cold: Array) -> list[Metric]:
    """``took`` in ns [slice, round, 3], ``cold`` in us, as metrics for people; none is judged."""
    whole, floor = took[..., DECODE] + took[..., FIT], took[..., FLOOR]
    ratios = np.median(whole, axis=1) / np.maximum(1, np.median(floor, axis=1))
    found = Ratio(
        float(np.median(whole)),
        float(np.median(floor)),
        float(np.median(ratios)),
        *bootstrap_median(ratios),
        len(ratios),
        whole.size,
    )
    p99, floor_p99 = float(np.percentile(whole, 99)) / 1000, float(np.percentile(floor, 99)) / 1000
    return [
        sliced(f"{name}.waypoints_us.p50", "us", found, None, scale=1e-3),
        exact(f"{name}.waypoints_us.p99", "us", p99, floor=floor_p99, n=whole.size),
        exact(f"{name}.decode_us.p50", "us", float(np.median(took[..., DECODE])) / 1000, n=whole.size),
        exact(f"{name}.fit_us.p50", "us", float(np.median(took[..., FIT])) / 1000, n=whole.size),
        exact(f"{name}.first_call_us.p50", "us", float(np.median(cold)), n=len(cold)),
    ]


def matrix_product(shape: Shape) -> Callable[[], None]:
    """One product that gives waypoints and curvature: [2 (steps + 1), 2 steps + 3] by [2 steps + 3, joints]."""
    both = matrix(shape)
    points = np.random.default_rng(0).normal(size=(both.shape[1], shape.joints))
    out = np.zeros((len(both), shape.joints))

    def floor() -> None:
        np.matmul(both, points, out=out)

    return floor


def matrix(shape: Shape) -> Array:
    """The fit's, which acts on motion, actions and plan."""
    return fit_matrix(shape.steps, GIVEN, shape.steps, STEP_NS * 1e-9, SMOOTHING, SEAM_SMOOTHING)


def planned(shape: Shape) -> Array:
    """[steps, joints]: where the trajectory under way would be, as far as it goes one step behind its beginning."""
    return np.random.default_rng(1).normal(size=(shape.steps, shape.joints))


def inputs(shape: Shape) -> tuple[NDArray[np.float32], Observation, Array]:
    """(a model's answer [1, steps, joints], the observation it answers, the motion commanded then [joints, 3])."""
    rng = np.random.default_rng(0)
    command = rng.normal(size=(shape.joints, 3))
    observation = Observation(
        stamp_ns=1_000_000_000,
        position=command[:, 0],
        velocity=command[:, 1],
        command=command,
        ahead=rng.normal(size=(GIVEN, shape.joints)),
        joints_age_ns=0,
        streams={},
    )
    return rng.standard_normal((1, shape.steps, shape.joints), np.float32), observation, command
