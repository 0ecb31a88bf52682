"""Records what the expert does on the pipeline: observations, executed commands, and where it was disturbed.

A run is a few picks in a row, the arm carrying over from one to the next, so the data holds starts from
rest, from the lift point with the jaw closed, and from wherever an interrupted pick left the arm.

Most runs suffer bursts of disturbed execution: an offset, a hold, a run-on, a plan made from an old view, or,
with ``--driver``, a policy that drives for a while and whose answers come up to six steps late. What is
executed during a burst is no example to follow, but what the expert does after it is how one recovers, so
windows that begin in a burst are kept and their disturbed steps only serve as the prefix. With a driver that
is where the policy itself goes wrong (after DAgger, arXiv 1011.0686). Noise on every single step, without
bursts, teaches much less.
"""

import argparse
import multiprocessing
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spinal.drivers.sim import seeds
from spinal.launch.policies.cartpick.expert import Expert, Truth
from spinal.launch.policies.cartpick.pipeline import HORIZON, STEP_NS, Pipeline, chunk_of
from spinal.runtime.config.card import load_card
from spinal.runtime.policy.session import Session
from spinal.runtime.policy.step import PolicyStep
from spinal.runtime.types import Array, Observation

PICKS_PER_RUN = 3
AFTER_SUCCESS_STEPS = 26
UNSEEN_STEPS = 3
"""Steps after a block's appearance in which the filter may still show the old one."""
DRIVER_SHARE = 0.8
DRIVER_STEPS = (5, 40)
DRIVER_DELAYS = (0, 0, 0, 1, 2, 2, 3, 4, 5, 6)
"""Steps by which a driver's answers are late."""
OFFSET_SCALE = np.array([1.0, 1.0, 1.0, 1.0, 2.5, 0.05])


class Recording(NamedTuple):
    """Policy steps in order, n of them: the arrays of an observation, then what followed."""

    joint_position: NDArray[np.float32]
    joint_velocity: NDArray[np.float32]
    command: NDArray[np.float32]
    block_position: NDArray[np.float32]
    block_yaw: NDArray[np.float32]
    block_velocity: NDArray[np.float32]
    executed: NDArray[np.float32]
    """[n, 6], the position commanded one step (20 ms) after the observation."""
    disturbed: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    """Whether the block of the observation is the one the expert went for."""
    segment: NDArray[np.int64]
    """[n], rises with each pick: windows stay inside one."""
    succeeded: NDArray[np.int64]
    """[picks], 1 where the expert succeeded, disturbed or not."""


class Disturbance:
    """Bursts of disturbed execution at random, or none at all in one run of five."""

    def __init__(self, rng: np.random.Generator, pipeline: Pipeline, driver: PolicyStep | None) -> None:
        self._rng = rng
        self._pipeline = pipeline
        self._driver = driver
        self._calm = rng.random() < 0.2
        self._gap = int(rng.integers(0, 25))
        self._left = 0
        self._kind = ""
        self._seen: deque[Truth] = deque(maxlen=12)

    def execute(self, expert: Expert, seen: Observation, truth: Truth, actions: Array) -> bool:
        """Hands something else over in place of the expert's ``actions``; False while undisturbed."""
        self._seen.append(truth)
        if self._calm or not self._under_way():
            return False
        if self._kind == "driver":
            self._drive()
        else:
            self._pipeline.submit(chunk_of(seen, self._disturbed(expert, seen.command, actions)), seen)
        return True

    def _under_way(self) -> bool:
        rng = self._rng
        if self._left == 0:
            self._gap -= 1
            if self._gap > 0:
                return False
            kinds = ["offset", "hold", "run-on", "old view"]
            drives = self._driver is not None and rng.random() < DRIVER_SHARE
            self._kind = "driver" if drives else str(rng.choice(kinds))
            self._left = int(rng.integers(*(DRIVER_STEPS if drives else (2, 11))))
            self._offset = rng.normal(size=6) * OFFSET_SCALE * rng.choice([0.01, 0.03, 0.06])
            self._age = int(rng.integers(3, 12))
            self._delay = int(rng.choice(DRIVER_DELAYS))
            self._wait = 0
        self._left -= 1
        if self._left == 0:
            self._gap = int(rng.integers(12, 40))
        return True

    def _disturbed(self, expert: Expert, command: Array, chunk: Array) -> Array:
        position = command[:, 0]
        if self._kind == "offset":
            shifted: Array = chunk + self._offset * (0.5 + self._rng.random())
            return shifted
        if self._kind == "hold":
            return np.tile(position, (HORIZON, 1))
        if self._kind == "run-on":
            ahead = (np.arange(HORIZON) + 1)[:, None] * (STEP_NS * 1e-9)
            run_on: Array = position + command[:, 1] * np.minimum(ahead, 0.1)
            return run_on
        return expert.plan(command, self._seen[max(0, len(self._seen) - 1 - self._age)])

    def _drive(self) -> None:
        """The driver's answer, if it is not busy with the one before."""
        self._wait -= 1
        if self._wait > 0 or self._driver is None:
            return
        seen = self._pipeline.observe(self._delay)
        self._pipeline.submit(self._driver.infer(seen), seen, self._delay * STEP_NS)
        self._wait = self._delay


def record_run(pipeline: Pipeline, seed: int, driver: PolicyStep | None = None) -> Recording:
    """One run of a few picks."""
    rng = np.random.default_rng([seed, 11])
    world, expert, disturbance = pipeline.world, Expert(), Disturbance(rng, pipeline, driver)
    if driver is not None:
        driver.restart(seed)
    pipeline.reset(seed, "home" if rng.random() < 0.5 else "lifted")
    observations: list[Observation] = []
    executed, disturbed, seen, segment, succeeded = [], [], [], [], []
    observation = pipeline.observe()
    for pick in range(PICKS_PER_RUN):
        if pick > 0:
            world.respawn()
        interrupt = int(rng.integers(10, 60)) if rng.random() < 0.15 else 10**9
        steps = after = 0
        while steps < interrupt and after < AFTER_SUCCESS_STEPS and world.outcome in (None, "success"):
            truth = Truth.of(world)
            actions = expert.plan(observation.command, truth)
            other = disturbance.execute(expert, observation, truth, actions)
            if not other:
                pipeline.submit(chunk_of(observation, actions), observation)
            pipeline.advance()
            observations.append(observation)
            observation = pipeline.observe()
            executed.append(observation.command[:, 0])
            disturbed.append(other)
            seen.append(pick == 0 or steps >= UNSEEN_STEPS)
            segment.append(seed * PICKS_PER_RUN + pick)
            steps += 1
            after += world.outcome == "success"
        if steps < interrupt:
            succeeded.append(int(world.outcome == "success"))
    return Recording(
        joint_position=_rows([o.position for o in observations]),
        joint_velocity=_rows([o.velocity for o in observations]),
        command=_rows([o.command[:, 0] for o in observations]),
        block_position=_rows([o.streams["block"].position_m for o in observations]),
        block_yaw=_rows([[o.streams["block"].yaw_rad] for o in observations]),
        block_velocity=_rows([o.streams["block"].velocity_m_s for o in observations]),
        executed=_rows(executed),
        disturbed=np.array(disturbed),
        seen=np.array(seen),
        segment=np.array(segment),
        succeeded=np.array(succeeded),
    )


def _rows(values: Sequence[Array | list[float]]) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def record(runs: int, processes: int, first: int = 0, driver: Path | None = None) -> Recording:
    """``runs`` runs on the training seeds from the ``first`` on, in order, whatever the processes."""
    numbers = [seeds.TRAINING[first + run] for run in range(runs)]
    began, parts = time.monotonic(), []
    with multiprocessing.Pool(processes, _start, (driver,)) as pool:
        for part in pool.imap(_record, numbers, chunksize=8):
            parts.append(part)
            if len(parts) % 200 == 0:
                print(f"{len(parts)}/{runs} runs, {time.monotonic() - began:.0f} s", flush=True)
    return joined(parts)


def joined(parts: Sequence[Recording]) -> Recording:
    """Recordings one after the other; their seeds must differ."""
    return Recording(*(np.concatenate(column) for column in zip(*parts, strict=True)))


_worker: list[tuple[Pipeline, PolicyStep | None]] = []


def _start(driver: Path | None) -> None:
    pipeline, policy = Pipeline(), None
    if driver is not None:
        card = load_card(driver)
        policy = PolicyStep(card, Session(driver, card, ["CPUExecutionProvider"]), pipeline.execution)
    _worker[:] = [(pipeline, policy)]


def _record(seed: int) -> Recording:
    pipeline, driver = _worker[0]
    return record_run(pipeline, seed, driver)


def save(recording: Recording, path: Path) -> None:
    """Write a recording as .npz."""
    np.savez_compressed(path, **recording._asdict())


def load(path: Path) -> Recording:
    """Read what ``save`` wrote."""
    with np.load(path) as file:
        return Recording(*(file[name] for name in Recording._fields))


def main() -> None:
    """Record the training set to a file."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--runs", type=int, default=3000)
    parser.add_argument("--first", type=int, default=0, help="the first of the training seeds")
    parser.add_argument("--driver", type=Path, help="an ONNX policy that drives during some of the bursts")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    recording = record(arguments.runs, arguments.processes, arguments.first, arguments.driver)
    save(recording, arguments.output)
    print(
        f"{len(recording.executed)} steps, {recording.disturbed.mean():.3f} disturbed, "
        f"expert success under disturbance {recording.succeeded.mean():.4f}"
    )


if __name__ == "__main__":
    main()
