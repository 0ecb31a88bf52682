"""The policy process with a defect that can be chosen while it runs: everything else of it is the real one.

Run in place of ``spinal.runtime.policy.process``. The file that the environment names holds one of DEFECTS, or
nothing. What a model answers is spoiled behind the model; what a broken process would publish is spoiled before it
is in shared memory, past every check of the policy's own.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from spinal.native import clock
from spinal.native.trajectory import TrajectoryWriter
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.decode import decode_chunk
from spinal.runtime.policy.engine import Engine
from spinal.runtime.policy.process import PolicyProcess
from spinal.runtime.policy.step import Early, PolicyStep
from spinal.runtime.types import Array, Chunk, Observation, Trajectory
from spinal.runtime.wiring import StopRequest, Wiring, run_child, set_nice

ORDER_VARIABLE = "SPINAL_FAULTS_POLICY"
"""Names the file that says what is to go wrong."""
DEFECTS = ("nan", "nan-published", "shape", "frozen", "stale", "future", "slow", "burst", "jump", "noise")
SLOW_NS = 200_000_000
"""Ten policy periods."""
JUMP = 1.5
"""rad, and far outside the range of jaws."""
FUTURE_NS = 10_000_000_000
STALE_NS = 2_000_000_000
BURST = 50


class SpoiledStep(PolicyStep):
    """The real step; what its model answered is spoiled before it is decoded."""

    def __init__(self, step: PolicyStep, engine: Engine, seed: int, defect: Callable[[], str]) -> None:
        super().__init__(step.card, engine, step.execution, seed)
        self._output = engine.outputs[step.card.output.name]
        self._defect = defect
        self._rng = np.random.default_rng(0)
        self._kept: NDArray[np.float32] | None = None

    def infer(self, observation: Observation, early: Early | None = None) -> Chunk:
        """As the real one, but for the defect."""
        chunk = super().infer(observation, early)
        defect, output = self._defect(), self._output
        if defect == "frozen":
            self._kept = output.copy() if self._kept is None else self._kept
            output[...] = self._kept
        else:
            self._kept = None
        if defect == "nan":
            output[...] = np.nan
        elif defect == "jump":
            output += JUMP
        elif defect == "noise":
            output += self._rng.normal(scale=JUMP, size=output.shape).astype(np.float32)
        elif defect == "slow":
            clock.sleep_until_ns(clock.now_ns() + SLOW_NS)
        return decode_chunk(output, observation, self.execution.step_ns) if defect else chunk


class SpoilingWriter:
    """Publishes trajectories with what no sound process would write."""

    def __init__(self, writer: TrajectoryWriter, defect: Callable[[], str]) -> None:
        self._writer, self._defect = writer, defect
        self._held: deque[Trajectory] = deque(maxlen=BURST)

    def publish(self, head: Trajectory, position: Array, curvature: Array) -> int:
        """The number of the trajectory, or of the one before when it is kept back."""
        defect = self._defect()
        if defect == "burst":
            self._held.append(head)
            return 0
        while self._held:
            late = self._held.popleft()
            self._writer.publish(late, late.position, late.curvature)
        if defect == "nan-published":
            position = np.full_like(position, np.nan)
        elif defect == "shape":
            position, curvature = position[:, :-1].copy(), curvature[:, :-1].copy()
        elif defect == "stale":
            head = _moved(head, -STALE_NS)
        elif defect == "future":
            head = _moved(head, FUTURE_NS)
        return self._writer.publish(head, position, curvature)


class PolicyWithDefects(PolicyProcess):
    """The real policy, until its order says otherwise. One thread."""

    def __init__(self, wiring: Wiring, robot: RobotConfig) -> None:
        super().__init__(wiring, robot)
        order = Path(os.environ[ORDER_VARIABLE])
        policy = self._exchange.active
        policy.step = SpoiledStep(policy.step, policy.engine, wiring.seed, order.read_text)
        self._writer = cast(TrajectoryWriter, SpoilingWriter(self._writer, order.read_text))


def run(wiring: Wiring, stop: StopRequest) -> None:
    """As the real policy process."""
    robot = wiring.load_robot()
    if robot.policy is not None and robot.policy.nice:
        set_nice(robot.policy.nice)
    PolicyWithDefects(wiring, robot).run(stop)


def _moved(head: Trajectory, by_ns: int) -> Trajectory:
    return replace(
        head, observation_stamp_ns=head.observation_stamp_ns + by_ns, origin_ns=head.origin_ns + by_ns
    )


if __name__ == "__main__":
    sys.exit(run_child(__doc__, run))
