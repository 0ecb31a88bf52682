"""The pipeline that the scripts here drive: the robot file's own, in lock-step, one policy step at a time."""

from pathlib import Path

import numpy as np

import spinal.launch
from spinal.drivers.sim.cartpick import CartpickWorld, Start
from spinal.runtime.config.load import load_robot
from spinal.runtime.lockstep import LockStep
from spinal.runtime.policy.step import Execution
from spinal.runtime.types import Array, Chunk, Observation, Trajectory

HORIZON = 20
STEP_NS = 20_000_000
JOINTS = 6
ANSWER_NS = 1_500_000
"""What an answer takes on the way with no added delay: inference and hand-over. The next tick takes it."""
ROBOT = Path(spinal.launch.__path__[0]) / "robots" / "so101_sim.toml"


class Pipeline:
    """A simulated robot and its world. The same seed gives the same run. One thread."""

    def __init__(self) -> None:
        self.world = CartpickWorld()
        robot = load_robot(ROBOT)
        self.execution = Execution.of(robot, STEP_NS)
        self._lockstep = LockStep(robot, self.world)

    def reset(self, seed: int, start: Start) -> None:
        """Begin a run and let the sensors deliver their first samples, the arm at rest."""
        self._lockstep.reset(seed, start)

    def observe(self) -> Observation:
        """The observation of this instant."""
        observation = self._lockstep.observe(self._lockstep.now_ns)
        if observation is None:
            raise RuntimeError(f"no observation: {self._lockstep.missing}")
        return observation

    @property
    def in_force(self) -> Trajectory | None:
        """The trajectory that the tick follows."""
        return self._lockstep.in_force

    def submit(self, chunk: Chunk, seen: Observation, delay_ns: int = 0) -> None:
        """Hand over the chunk that answers ``seen``, ``delay_ns`` later than an answer takes anyway."""
        published_ns = seen.stamp_ns + ANSWER_NS + delay_ns
        trajectory = self.execution.trajectory(chunk, seen.command, published_ns, delay_ns)
        self._lockstep.submit(trajectory, published_ns)

    def advance(self) -> None:
        """Run for one policy step of 20 ms."""
        self._lockstep.advance_to(self._lockstep.now_ns + STEP_NS)


def chunk_of(seen: Observation, actions: Array) -> Chunk:
    """Actions [20, 6] for ``seen`` + 20 ms * (k + 1) as a chunk."""
    return Chunk(
        observation_stamp_ns=seen.stamp_ns,
        sensor_stamp_ns=seen.sensor_stamp_ns,
        first_ns=seen.stamp_ns + STEP_NS,
        step_ns=STEP_NS,
        actions=np.ascontiguousarray(actions),
        decoder="chunk",
    )
