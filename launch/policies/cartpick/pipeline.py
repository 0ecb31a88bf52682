"""The pipeline that the scripts here drive: the robot file's own, in lock-step, one policy step at a time."""

from pathlib import Path

import numpy as np

import spinal.launch
from spinal.drivers.sim.cartpick import CartpickWorld, Start
from spinal.runtime.config.load import load_robot
from spinal.runtime.lockstep import LockStep
from spinal.runtime.policy.step import Execution
from spinal.runtime.rollout import INFERENCE_NS, PHASE_NS
from spinal.runtime.types import Array, Chunk, Observation

HORIZON = 20
STEP_NS = 20_000_000
JOINTS = 6
ROBOT = Path(spinal.launch.__path__[0]) / "robots" / "so101_sim.toml"


class Pipeline:
    """A simulated robot and its world. The same seed gives the same run. One thread."""

    def __init__(self) -> None:
        self.world = CartpickWorld()
        self.robot = load_robot(ROBOT)
        self.execution = Execution.of(self.robot, STEP_NS)
        self._lockstep = LockStep(self.robot, self.world)

    def reset(self, seed: int, start: Start) -> None:
        """Begin a run and let the sensors deliver their first samples, the arm at rest."""
        self._lockstep.reset(seed, start)
        phase = np.random.default_rng([seed, 31]).integers(*PHASE_NS)
        self._now_ns = self._lockstep.now_ns + int(phase)
        self._lockstep.advance_to(self._now_ns)

    def observe(self, ahead_steps: int = 0) -> Observation:
        """The observation of this instant, with what is commanded at the next ``ahead_steps`` steps."""
        ahead = [STEP_NS * (k + 1) for k in range(ahead_steps)]
        observation = self._lockstep.observe(self._now_ns, ahead)
        if observation is None:
            raise RuntimeError(f"no observation: {self._lockstep.missing}")
        return observation

    def submit(self, chunk: Chunk, seen: Observation, delay_ns: int = 0) -> None:
        """Hand over the chunk that answers ``seen``, ``delay_ns`` after it, or as fast as an answer can be."""
        published_ns = seen.stamp_ns + max(INFERENCE_NS, delay_ns)
        trajectory = self.execution.trajectory(chunk, seen.command, published_ns, delay_ns)
        self._lockstep.submit(trajectory, published_ns)

    def advance(self) -> None:
        """Run for one policy step of 20 ms."""
        self._now_ns += STEP_NS
        self._lockstep.advance_to(self._now_ns)


def chunk_of(seen: Observation, actions: Array) -> Chunk:
    """Actions [20, 6] for ``seen`` + 20 ms * (k + 1) as a chunk."""
    return Chunk(
        observation_stamp_ns=seen.stamp_ns,
        sensor_stamp_ns=seen.sensor_stamp_ns,
        first_ns=seen.stamp_ns + STEP_NS,
        step_ns=STEP_NS,
        actions=np.ascontiguousarray(actions),
        given=0,
        decoder="chunk",
    )
