"""Runs a policy on fresh seeds and says how often it picks the block, and how fast."""

import argparse
import math
import multiprocessing
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from spinal.drivers.sim import seeds
from spinal.drivers.sim.cartpick import Outcome, Start
from spinal.launch.policies.cartpick.pipeline import Pipeline
from spinal.runtime.config.card import load_card
from spinal.runtime.policy.session import Session
from spinal.runtime.policy.step import PolicyStep
from spinal.runtime.types import Array

Noise = Literal["zero", "normal"]


class Episode(NamedTuple):
    """How one pick ended and when; ``change_rad`` is the rms change from one chunk to the next."""

    outcome: Outcome
    seconds: float
    change_rad: float


class Setting(NamedTuple):
    """What is evaluated: a model, its noise (None: as the card says), the start, and an added delay."""

    model: Path
    noise: Noise | None
    start: Start
    delay_ns: int


def run_episode(pipeline: Pipeline, policy: PolicyStep, seed: int, setting: Setting) -> Episode:
    """One pick with a new plan each policy step."""
    pipeline.reset(seed, setting.start)
    changes = [0.0]
    before: Array | None = None
    while pipeline.world.outcome is None:
        seen = pipeline.observe()
        chunk = policy.infer(seen, pipeline.in_force, setting.delay_ns)
        if before is not None:
            changes.append(float(np.mean((chunk.actions[:-1, :5] - before[1:, :5]) ** 2)))
        before = chunk.actions
        pipeline.submit(chunk, seen, setting.delay_ns)
        pipeline.advance()
    return Episode(pipeline.world.outcome, pipeline.world.elapsed_ns * 1e-9, math.sqrt(np.mean(changes)))


def wilson(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a rate (Wilson, 1927)."""
    rate, spread = successes / trials, z * z / trials
    centre = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(rate * (1 - rate) / trials + spread / (4 * trials))
    return centre - half, centre + half


_worker: list[tuple[Pipeline, PolicyStep, Setting]] = []


def _start(setting: Setting) -> None:
    pipeline, card = Pipeline(), load_card(setting.model)
    session = Session(setting.model, card, ["CPUExecutionProvider"])
    if setting.noise is not None:
        card = card.model_copy(update={"noise": setting.noise})
    _worker[:] = [(pipeline, PolicyStep(card, session, pipeline.execution), setting)]


def _episode(seed: int) -> Episode:
    pipeline, policy, setting = _worker[0]
    return run_episode(pipeline, policy, seed, setting)


def main() -> None:
    """Measure a policy's success rate."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--noise", choices=["zero", "normal"])
    parser.add_argument("--start", choices=["home", "lifted"], default="home")
    parser.add_argument("--delay-ms", type=int, default=0, help="what an answer takes on top")
    parser.add_argument("--validation", action="store_true", help="use the seeds for choosing settings")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    chosen = (seeds.VALIDATION if arguments.validation else seeds.EVALUATION)[: arguments.episodes]
    delay_ns = arguments.delay_ms * 1_000_000
    setting = Setting(arguments.model, arguments.noise, arguments.start, delay_ns)
    with multiprocessing.Pool(arguments.processes, _start, (setting,)) as pool:
        episodes = pool.map(_episode, chosen, chunksize=4)
    successes = [episode for episode in episodes if episode.outcome == "success"]
    low, high = wilson(len(successes), len(episodes))
    seconds = [episode.seconds for episode in successes]
    print(
        f"{len(successes)}/{len(episodes)} picked ({low:.3f}-{high:.3f}), "
        f"{sum(e.outcome == 'dropped' for e in episodes)} dropped, "
        f"time to pick median {np.median(seconds):.2f} s, p90 {np.quantile(seconds, 0.9):.2f} s, "
        f"chunk to chunk {np.mean([e.change_rad for e in episodes]) * 1e3:.2f} mrad"
    )


if __name__ == "__main__":
    main()
