"""Many episodes of the task in lock-step, spread over processes, and what they come to.

Episodes of one seed are the same whatever the processes. Every second one starts with the arm lifted and the jaw
closed, as after a pick.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spinal.bench.statistics import wilson
from spinal.drivers.sim.cartpick import CartpickWorld
from spinal.runtime.config.load import load_robot
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.rollout import Episode, Rollout, load_policy

BATCH = 10
"""Episodes that a process is given at a time."""
SHIPPED = Path(str(resources.files("spinal.launch") / "robots" / "so101_sim.toml"))


@dataclass(frozen=True)
class Condition:
    """Under what a policy is run. ``execution``: changes to [execution] of the robot file."""

    delay_steps: int = 0
    """Policy steps after its observation at which an answer is published."""
    execution: Mapping[str, float | str] = field(default_factory=dict)
    prefix: bool = True
    """False: the policy is not told what is executed until its answer is in force."""
    noise: Literal["zero", "normal"] | None = None
    """None: what the card says."""
    robot: Path = SHIPPED
    model: Path | None = None
    """None: the robot file's."""


@dataclass(frozen=True, slots=True)
class Result:
    """What the episodes of one condition come to."""

    episodes: int
    successes: int
    low: float
    """Of the 95 % interval of the rate of success (Wilson)."""
    high: float
    dropped: int
    pick_s_median: float
    pick_s_p90: float
    rms_jerk: float
    """rad/s^3, third difference of the commanded arm joints at the servo rate, over all ticks."""
    limited_share: float
    starved_ticks: int
    blend_ms: float
    seam: float
    """The largest relative jump of position, velocity or acceleration at any switch."""
    delay_ms: float
    """What the policy measured: from an observation until its answer is in force (90th percentile, median)."""

    @staticmethod
    def of(episodes: Sequence[Episode]) -> Result:
        """From one episode on."""
        picked = [episode.seconds for episode in episodes if episode.outcome == "success"]
        low, high = wilson(len(picked), len(episodes))
        return Result(
            episodes=len(episodes),
            successes=len(picked),
            low=low,
            high=high,
            dropped=sum(episode.outcome == "dropped" for episode in episodes),
            pick_s_median=float(np.median(picked)) if picked else float("nan"),
            pick_s_p90=float(np.quantile(picked, 0.9)) if picked else float("nan"),
            rms_jerk=float(np.sqrt(np.mean([episode.rms_jerk**2 for episode in episodes]))),
            limited_share=float(np.mean([episode.limited_share for episode in episodes])),
            starved_ticks=sum(episode.starved_ticks for episode in episodes),
            blend_ms=float(np.median([episode.blend_ms for episode in episodes])),
            seam=max(episode.seam for episode in episodes),
            delay_ms=float(np.median([episode.delay_ms for episode in episodes])),
        )

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def run(conditions: Sequence[Condition], seeds: Sequence[int], processes: int) -> list[Result]:
    """Every condition on the same seeds; progress goes to stderr. Raises ConfigError, PolicyError."""
    return [Result.of(one) for one in run_each(conditions, seeds, processes)]


def run_each(conditions: Sequence[Condition], seeds: Sequence[int], processes: int) -> list[list[Episode]]:
    """[condition][seed]: every episode; progress goes to stderr. Raises ConfigError, PolicyError."""
    batches = [list(seeds[first : first + BATCH]) for first in range(0, len(seeds), BATCH)]
    jobs = [(condition, batch) for condition in conditions for batch in batches]
    episodes: list[list[Episode]] = [[] for _ in conditions]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for number, batch in enumerate(pool.imap(_batch, jobs)):
            episodes[number // len(batches)].extend(batch)
            _progress(number + 1, len(jobs))
    return episodes


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done * 100 // of:3d} %", end="\n" if done == of else "", file=sys.stderr, flush=True)
    elif done * 10 // of > (done - 1) * 10 // of:
        print(f"{done * 100 // of} %", file=sys.stderr, flush=True)


_world: list[CartpickWorld] = []


def _batch(job: tuple[Condition, list[int]]) -> list[Episode]:
    condition, seeds = job
    if not _world:
        _world.append(CartpickWorld())
    robot = _robot(condition)
    policy = load_policy(robot, noise=condition.noise)
    delay_ns = condition.delay_steps * policy.execution.step_ns
    rollout = Rollout(robot, policy, _world[0], added_delay_ns=delay_ns)
    return [rollout.episode(seed, "lifted" if seed % 2 else "home") for seed in seeds]


def _robot(condition: Condition) -> RobotConfig:
    robot = load_robot(condition.robot)
    execution = dict(condition.execution)
    if not condition.prefix:
        execution["strategy"] = "latest"
    changes: dict[str, Any] = {"execution": robot.execution.model_copy(update=execution)}
    if condition.model is not None and robot.policy is not None:
        changes["policy"] = robot.policy.model_copy(update={"model": str(condition.model)})
    return robot.model_copy(update=changes)
