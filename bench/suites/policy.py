"""Inference through the runtime, beside bare onnxruntime: same model, threads, copies and rate, turn about.

Each model is measured in processes of its own (``spinal.bench.policy.process``), as the policy runs on a robot.
What is judged is what the policy process itself publishes as ``inference_us``: from an observation to the chunk.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from spinal.bench.bench import Bench
from spinal.bench.disturbance import reason
from spinal.bench.judge import exact, missing, sliced
from spinal.bench.policy.process import Done, Job, Stamps
from spinal.bench.policy.sides import Column
from spinal.bench.result import (
    Distribution,
    Metric,
    Stage,
    SuiteResult,
    Waterfall,
)
from spinal.bench.statistics import Ratio, bootstrap_median
from spinal.native.histogram import UPPER_EDGES_NS
from spinal.runtime.config import load_robot
from spinal.runtime.errors import ConfigError, PolicyError, Problem

ROBOT = "so101_sim.toml"
OVERHEAD_RATIO, OVERHEAD_US = 1.05, 50.0
"""What the runtime may add to an inference: the larger of both."""
LONGEST_S = 3600.0
"""Of one subject: its stamps stay in memory."""
START_LIMIT_S = 120.0
FEWEST_CALLS = 5
"""Of a side in a slice, to have a median."""
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@dataclass(frozen=True, slots=True)
class Subject:
    """A model and its rate. ``quick``: whether the gate measures it."""

    name: str
    hz: float
    about: str
    quick: bool = False


SUBJECTS = (
    Subject("shipped", 50, "the shipped policy, through the whole step of its process", quick=True),
    Subject("state57", 50, "three measurements of each of 57 joints, dense layers", quick=True),
    Subject("act14", 25, "ACT's transformer without cameras, 14 joints, 50 steps"),
    Subject("camera", 25, "one 224 x 224 x 3 image, four convolutions"),
)
ON_GPU = ("act14", "camera")


class RefusedError(PolicyError):
    """A child would not measure; its first line says why."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One subject."""

    paced: Stamps
    """[slice, side, call, column]"""
    warm: Stamps
    """[side, call, column]: back to back"""
    done: Done


def measure(bench: Bench) -> SuiteResult:
    """Every subject on the processor; on a full run those for a GPU too, where there is one."""
    subjects = [subject for subject in SUBJECTS if subject.quick or not bench.quick]
    metrics: list[Metric] = []
    distributions: list[Distribution] = []
    waterfalls: list[Waterfall] = []
    notes: list[str] = []
    for subject in subjects:
        if subject.name != "shipped" and find_spec("onnx") is None:
            why = "the onnx package is not here: pip install 'spinal[dev]'"
            metrics.append(missing(f"{subject.name}.inference_us.p50", "us", why))
            continue
        measured = _run(bench, subject, CPU, len(subjects))
        metrics += judge(subject.name, measured)
        distributions.append(distribution(subject.name, measured.paced))
        notes += describe(subject, measured)
        if subject.name == "shipped":
            metrics += shares(subject.name, measured.paced)
            waterfalls.append(waterfall(measured.paced))
    if not bench.quick:
        found, said = _on_gpu(bench)
        metrics += found
        notes += said
    return SuiteResult(metrics=metrics, distributions=distributions, waterfalls=waterfalls, notes=notes)


def judge(name: str, measured: Measured) -> list[Metric]:
    """Inference of ours and of bare: the median judged by its ratio, the rest shown."""
    paced, warm = measured.paced, measured.warm
    found = ratio(paced, Column.OBSERVED, Column.ANSWERED)
    limit = overhead_limit(found.floor)
    disturbed = reason(measured.done.disturbance, loaded=False)
    judged = sliced(f"{name}.inference_us.p50", "us", found, limit, disturbed=disturbed)
    ours, bare = (durations(paced[:, side], Column.OBSERVED, Column.ANSWERED) for side in (0, 1))
    ours_warm, bare_warm = (durations(warm[side], Column.OBSERVED, Column.ANSWERED) for side in (0, 1))
    lost = int((paced[..., Column.PUBLISHED] == 0).sum())
    return [
        judged,
        exact(f"{name}.inference_us.p99", "us", _at(ours, 99), floor=_at(bare, 99), n=len(ours)),
        sliced(f"{name}.run_us.p50", "us", ratio(paced, Column.FILLED, Column.RAN), None),
        exact(f"{name}.warm_us.p50", "us", _at(ours_warm, 50), floor=_at(bare_warm, 50), n=len(ours_warm)),
        exact(f"{name}.skipped", "calls", lost + measured.done.skipped),
    ]


def overhead_limit(bare_us: float) -> float:
    """The largest ratio to a bare inference of ``bare_us`` (> 0) that is allowed."""
    return max(OVERHEAD_RATIO, 1 + OVERHEAD_US / bare_us) if bare_us > 0 else OVERHEAD_RATIO


def ratio(paced: Stamps, begin: Column, end: Column) -> Ratio:
    """Of the medians of ours and of bare in each slice, in us. From single calls: buckets are wider than 5 %."""
    pairs = []
    for part in paced:
        ours, bare = (durations(part[side], begin, end) for side in (0, 1))
        if min(len(ours), len(bare)) >= FEWEST_CALLS and np.median(bare) > 0:
            pairs.append((float(np.median(ours)), float(np.median(bare))))
    ours, bare = (durations(paced[:, side], begin, end) for side in (0, 1))
    pooled = _at(ours, 50), _at(bare, 50)
    if not pairs:
        return Ratio(*pooled, float("nan"), float("nan"), float("nan"), 0, len(ours))
    ratios = np.array([mine / floor for mine, floor in pairs])
    return Ratio(*pooled, float(np.median(ratios)), *bootstrap_median(ratios), len(ratios), len(ours))


def durations(stamps: Stamps, begin: Column, end: Column) -> NDArray[np.float64]:
    """us between two columns of the calls that were answered, [call]."""
    rows = stamps.reshape(-1, len(Column))
    rows = rows[rows[:, Column.PUBLISHED] > 0]
    return (rows[:, end] - rows[:, begin]) / 1000.0


def shares(name: str, paced: Stamps) -> list[Metric]:
    """What the runtime adds to bare inference in a whole step, and each stage of it; shown only."""
    per_slice = [
        float(
            np.median(durations(part[0], Column.BEGAN, Column.PUBLISHED))
            - np.median(durations(part[1], Column.OBSERVED, Column.ANSWERED))
        )
        for part in paced
        if all((part[side, :, Column.PUBLISHED] > 0).any() for side in (0, 1))
    ]
    whole = durations(paced[:, 0], Column.BEGAN, Column.PUBLISHED)
    stages = [
        exact(f"{name}.stage.{stage.name}_us.p50", "us", stage.end_us - stage.begin_us)
        for stage in waterfall(paced).stages
    ]
    step = [exact(f"{name}.step_us.{word}", "us", _at(whole, at), n=len(whole)) for word, at in QUANTILES]
    if not per_slice:
        return [*step, missing(f"{name}.own_us.p50", "us", "no slice has answers of both sides"), *stages]
    low, high = bootstrap_median(np.array(per_slice))
    own = exact(
        f"{name}.own_us.p50",
        "us",
        float(np.median(per_slice)),
        n=len(per_slice),
        why="the step without its bare inference; part of the 2 ms that the reaction suite judges",
    )
    return [*step, msgspec.structs.replace(own, low=low, high=high), *stages]


QUANTILES = (("p50", 50), ("p99", 99))
STAGES = (
    ("delay", Column.BEGAN, Column.PLANNED),
    ("observe", Column.PLANNED, Column.OBSERVED),
    ("fill", Column.OBSERVED, Column.FILLED),
    ("infer", Column.FILLED, Column.RAN),
    ("decode", Column.RAN, Column.ANSWERED),
    ("fit", Column.ANSWERED, Column.FITTED),
    ("publish", Column.FITTED, Column.PUBLISHED),
)


def waterfall(paced: Stamps) -> Waterfall:
    """The whole step of the shipped policy, stage by stage: the median of each, end to end."""
    stages, at = [], 0.0
    for name, begin, end in STAGES:
        took = _at(durations(paced[:, 0], begin, end), 50)
        stages.append(Stage(name=name, begin_us=at, end_us=at + took))
        at += took
    return Waterfall(name="policy step", stages=stages)


def distribution(name: str, paced: Stamps) -> Distribution:
    """Inference of ours and of bare in the buckets of every other histogram."""
    ours, bare = (durations(paced[:, side], Column.OBSERVED, Column.ANSWERED) for side in (0, 1))
    edges = UPPER_EDGES_NS[np.isfinite(UPPER_EDGES_NS)] / 1000
    longest = max(ours.max(initial=0.0), bare.max(initial=0.0))
    edges = edges[: int(np.searchsorted(edges, longest)) + 1]

    def counts(values: NDArray[np.float64]) -> list[int]:
        found = np.bincount(np.searchsorted(edges, values), minlength=len(edges))
        return [int(count) for count in found[: len(edges)]]

    return Distribution(
        name=f"{name}.inference_us",
        unit="us",
        edges=edges.tolist(),
        counts=counts(ours),
        floor_counts=counts(bare),
        max=float(ours.max(initial=0.0)),
    )


def describe(subject: Subject, measured: Measured) -> list[str]:
    """What the model is, and what was not as on the robot."""
    first = measured.done
    size = (
        f", {first.parameters / 1e6:.2f} M parameters, {first.macs / 1e6:.1f} M multiply-accumulates"
        if first.parameters
        else ""
    )
    notes = [f"{subject.name}: {subject.about}{size}; {subject.hz:g} Hz on {first.providers[0]}"]
    if first.nice_refused:
        notes.append(f"{subject.name}: the policy's nice value was refused: {first.nice_refused}")
    return notes


def _on_gpu(bench: Bench) -> tuple[list[Metric], list[str]]:
    if find_spec("onnx") is None:
        return [], []
    metrics: list[Metric] = []
    for subject in SUBJECTS:
        if subject.name in ON_GPU:
            try:
                measured = _run(bench, subject, CUDA, len(ON_GPU))
            except RefusedError as error:
                return [missing("gpu.inference_us.p50", "us", f"no GPU to measure on: {error.message}")], []
            metrics += judge(f"{subject.name}.cuda", measured)
    return metrics, ["cuda: tensors start and end in ordinary memory, on both sides"]


def _run(bench: Bench, subject: Subject, provider: str, among: int) -> Measured:
    """In a child of its own. Raises RefusedError when it would not."""
    seconds = min(LONGEST_S, bench.seconds(quick=6.0, full=30.0, share=1 / among))
    bench.say(f"  {subject.name} on {provider}, {seconds:.0f} s")
    with tempfile.TemporaryDirectory(prefix="spinal-bench-policy-") as folder:
        job = Job(
            model="" if subject.name == "shipped" else subject.name,
            robot=str(robot_file()),
            provider=provider,
            hz=subject.hz,
            seconds=seconds,
            folder=folder,
            parent=os.getpid(),
        )
        done = _child(job)
        with np.load(Path(folder) / "stamps.npz") as stamps:
            return Measured(stamps["paced"], stamps["warm"], done)


def _child(job: Job) -> Done:
    command = [
        sys.executable,
        "-m",
        "spinal.bench.policy.process",
        "--job",
        msgspec.json.encode(job).decode(),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=2 * job.seconds + START_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        raise RefusedError(
            "its process did not end in time", hint="look for what keeps the processors busy"
        ) from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise RefusedError(said[-2] if len(said) > 1 else "its process failed", hint=said[-1] if said else "")
    return msgspec.json.decode(done.stdout, type=Done)


def robot_file() -> Path:
    """The simulated robot whose policy is the shipped one. Raises ConfigError when it has none."""
    path = Path(str(resources.files("spinal.launch") / "robots" / ROBOT))
    if load_robot(path).policy is None:
        raise ConfigError([Problem("policy", "is missing")], str(path), "add [policy]")
    return path


def _at(values: NDArray[np.float64], percent: float) -> float:
    return float(np.percentile(values, percent)) if len(values) else float("nan")
