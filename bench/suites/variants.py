"""The shipped policy in half precision and with 8-bit weights, beside itself: ``spinal bench run variants``.

Accuracy: the largest difference of any target, over the observations of whole episodes. Success: the same seeds in
lock-step, paired. Latency: inference alone, the three taking turns call by call. Nothing is judged: what to run on
a machine is a choice, and on processors without half precision fp16 is slower.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter_ns

import msgspec
import numpy as np
from numpy.typing import NDArray

from spinal.bench import judge
from spinal.bench.bench import Bench
from spinal.bench.episodes import SHIPPED, Condition, Result, run_each
from spinal.bench.policy import variants
from spinal.bench.result import Metric, SuiteResult
from spinal.bench.statistics import paired_difference
from spinal.drivers.sim.cartpick import TIME_LIMIT_NS
from spinal.runtime.config.load import load_robot
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.policy.loaded import LoadedPolicy, load
from spinal.runtime.policy.step import Early
from spinal.runtime.rollout import Episode, Rollout
from spinal.runtime.types import Chunk, Observation

EPISODES, QUICK_EPISODES = 100, 6
OBSERVED_EPISODES, QUICK_OBSERVED_EPISODES = 4, 1
ROUNDS, QUICK_ROUNDS = 2000, 200
DELAYS = (0, 2)

Found = Mapping[tuple[str, int], list[Episode]]


def measure(bench: Bench) -> SuiteResult:
    """Raises ConfigError, PolicyError."""
    if not variants.PRESENT:
        why = "onnx is not installed, so nothing is converted: pip install 'spinal[dev]'"
        return SuiteResult(metrics=[judge.missing("fp16.success", "", why)], notes=[why])
    options = bench.options
    robot = load_robot(SHIPPED)
    assert robot.policy is not None
    with tempfile.TemporaryDirectory(prefix="spinal-variants-") as folder:
        made = variants.write(Path(robot.policy.model), Path(folder))
        loaded = {name: load(robot, model=path) for name, path in made.items()}
        observed = observations(robot, QUICK_OBSERVED_EPISODES if bench.quick else OBSERVED_EPISODES)
        metrics = accuracy(loaded, observed)
        metrics += latency(loaded, QUICK_ROUNDS if bench.quick else ROUNDS)
        metrics += [
            judge.exact(f"{name}.bytes", "", float(path.stat().st_size)) for name, path in made.items()
        ]
        episodes = options.episodes or (QUICK_EPISODES if bench.quick else EPISODES)
        points = [(name, delay) for name in made for delay in DELAYS]
        conditions = [Condition(delay_steps=delay, model=made[name]) for name, delay in points]
        runs = run_each(conditions, options.seeds[:episodes], options.processes)
    found = dict(zip(points, runs, strict=True))
    metrics += success(found)
    bench.say("\n".join(table(metrics, list(made))))
    return SuiteResult(metrics=metrics)


def observations(robot: RobotConfig, episodes: int) -> list[Observation]:
    """What the shipped policy saw."""
    seen: list[Observation] = []
    policy = load(robot).step
    infer = policy.infer

    def watched(observation: Observation, early: Early | None = None) -> Chunk:
        seen.append(observation)
        return infer(observation, early)

    policy.infer = watched  # type: ignore[method-assign]
    rollout = Rollout(robot, policy)
    for seed in range(episodes):
        rollout.begin(seed)
        while rollout.world.outcome is None and rollout.world.elapsed_ns < TIME_LIMIT_NS:
            rollout.step()
    return seen


def accuracy(loaded: Mapping[str, LoadedPolicy], observed: Sequence[Observation]) -> list[Metric]:
    """Largest and rms difference from fp32 of arm joints' targets, from the same noise."""
    metrics = []
    wanted = _targets(loaded["fp32"], observed)
    for name, policy in loaded.items():
        if name == "fp32":
            continue
        apart = np.abs(_targets(policy, observed) - wanted)
        arm = apart[:, :, [joint.kind == "arm" for joint in policy.card.joints]]
        metrics.append(judge.exact(f"{name}.difference.max", "rad", float(arm.max()), n=len(observed)))
        rms = float(np.sqrt(np.mean(arm**2)))
        metrics.append(judge.exact(f"{name}.difference.rms", "rad", rms, n=len(observed)))
    return metrics


def _targets(policy: LoadedPolicy, observed: Sequence[Observation]) -> NDArray[np.float64]:
    policy.step.restart(0)
    return np.stack([policy.step.infer(one).actions for one in observed])


def latency(loaded: Mapping[str, LoadedPolicy], rounds: int) -> list[Metric]:
    """Of an inference alone; fp32 is the floor."""
    taken = {name: np.zeros(rounds) for name in loaded}
    for k in range(rounds):
        for name, policy in loaded.items():
            began_ns = perf_counter_ns()
            policy.engine.run()
            taken[name][k] = perf_counter_ns() - began_ns
    metrics = []
    for word, fraction in (("p50", 0.5), ("p99", 0.99)):
        floor = float(np.quantile(taken["fp32"], fraction)) / 1e3
        for name, times in taken.items():
            value = float(np.quantile(times, fraction)) / 1e3
            metrics.append(judge.exact(f"{name}.inference_us.{word}", "us", value, floor=floor, n=rounds))
    return metrics


def success(found: Found) -> list[Metric]:
    """Of each, and less that of fp32, with the 95 % interval of pairs."""
    metrics = []
    for (name, delay), episodes in found.items():
        result = Result.of(episodes)
        rate = result.successes / result.episodes
        metric = judge.exact(f"{name}.{delay}steps.success", "", rate, better="higher", n=result.episodes)
        metrics.append(msgspec.structs.replace(metric, low=result.low, high=result.high))
        if name == "fp32":
            continue
        own, wide = ([one.outcome == "success" for one in found[which, delay]] for which in (name, "fp32"))
        difference, low, high = paired_difference(own, wide)
        metric = judge.exact(
            f"{name}.{delay}steps.over_fp32", "", difference, better="higher", n=len(episodes)
        )
        metrics.append(msgspec.structs.replace(metric, low=low, high=high))
    return metrics


def table(metrics: Sequence[Metric], names: Sequence[str]) -> list[str]:
    """Markdown, ready to paste."""
    value = {metric.name: float("nan") if metric.value is None else metric.value for metric in metrics}
    lines = [
        "| variant | bytes | inference, us: p50 / p99 | largest difference of a target | picked at "
        + " / ".join(f"{delay}" for delay in DELAYS)
        + " steps of delay |",
        "|---|---|---|---|---|",
    ]
    for name in names:
        apart = value.get(f"{name}.difference.max")
        rates = " / ".join(f"{100 * value[f'{name}.{delay}steps.success']:.0f} %" for delay in DELAYS)
        lines.append(
            f"| {name} | {value[f'{name}.bytes']:,.0f} | {value[f'{name}.inference_us.p50']:.0f} /"
            f" {value[f'{name}.inference_us.p99']:.0f} | {'-' if apart is None else f'{apart:.4f} rad'} | {rates} |"
        )
    return lines
