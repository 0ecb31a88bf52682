"""A policy on the lock-step robot: one episode after the other, with the inference delay that the caller names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from spinal.drivers.sim.cartpick import TIME_LIMIT_NS, CartpickWorld, Outcome, Start
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import PolicyError
from spinal.runtime.lockstep import LockStep
from spinal.runtime.policy.beside import load_detector, load_residual
from spinal.runtime.policy.delay import DelayMeter
from spinal.runtime.policy.loaded import load
from spinal.runtime.policy.step import PolicyStep
from spinal.runtime.types import Chunk, Observation

PHASE_NS = (1_000_000, 3_900_000)
"""A policy step begins somewhere between two ticks, after the newest one has read the bus."""
INFERENCE_NS = 1_000_000
"""What an answer of the shipped policy takes when nothing is added, on a slow core."""


@dataclass(frozen=True, slots=True)
class Episode:
    """How one pick ended; jerk is the third difference of the commanded arm joints at the servo rate."""

    seed: int
    outcome: Outcome
    seconds: float
    rms_jerk: float
    limited_share: float
    starved_ticks: int
    blend_ms: float
    seam: float
    """The largest relative jump of position, velocity or acceleration at a switch."""
    delay_ms: float
    """What the policy measured as its own delay at the end."""


def load_policy(
    robot: RobotConfig, seed: int = 0, noise: Literal["zero", "normal"] | None = None
) -> PolicyStep:
    """The robot's policy, warm; ``noise`` in place of what its card says. Raises ConfigError, PolicyError."""
    return load(robot, seed, noise=noise).step


class Rollout:
    """Runs a policy in lock-step. Deterministic for a seed, and for a delay."""

    def __init__(
        self,
        robot: RobotConfig,
        policy: PolicyStep,
        world: CartpickWorld | None = None,
        added_delay_ns: int = 0,
        inference_ns: int = INFERENCE_NS,
        keep_records: bool = False,
    ) -> None:
        if robot.policy is None:
            raise ValueError("a robot without a policy")
        self.world = world or CartpickWorld()
        self.robot = LockStep(robot, self.world, keep_records)
        self._policy = policy
        self._period_ns = robot.policy.period_ns
        self._answer_ns = max(inference_ns, added_delay_ns)
        self.residual = load_residual(robot, timed=False)
        self.detector = load_detector(robot, timed=False)

    def begin(self, seed: int, start: Start = "home") -> None:
        """Puts world, sensor and robot at the start of an episode."""
        self.robot.reset(seed, start)
        rng = np.random.default_rng([seed, 31])
        self._next_ns = self.robot.now_ns + int(rng.integers(*PHASE_NS))
        self._delay = DelayMeter(self._answer_ns)
        self._policy.restart(seed)
        for beside in (self.residual, self.detector):
            if beside is not None:
                beside.restart(seed)
        self._correct_ns, self._base_delay_ns = self._next_ns, self._answer_ns
        self.bad_answers = 0
        self.complaint: str | None = None
        """Why the newest observation was not answered; None when it was."""

    def step(self) -> None:
        """One policy step, and the ticks until the next one begins."""
        now_ns = self._next_ns
        self.robot.advance_to(now_ns)
        if not self._policy.strategy.due(now_ns):
            self._next_ns += self._period_ns
            return
        delay_ns = self._delay.delay_ns
        observation = self.robot.observe(now_ns, self._policy.ahead_ns(delay_ns))
        if observation is not None:
            state = self.robot.state()
            if state.trajectory_id:
                self._delay.saw(state.observation_stamp_ns, state.in_force_ns)
        next_ns = now_ns + max(self._answer_ns, self._period_ns)
        if observation is not None:
            self._answer(observation, delay_ns)
        if self.detector is not None:
            self.detector.look(observation)
        self._next_ns = next_ns
        self._correct_until(next_ns)

    def _answer(self, observation: Observation, delay_ns: int) -> None:
        """As in the policy process: an answer that is none leaves the chunk before in force."""

        def early(part: Chunk, done: float) -> None:
            published_ns = observation.stamp_ns + round(done * self._answer_ns)
            path = self._policy.trajectory(part, observation.command, published_ns, delay_ns)
            self.robot.submit(path, published_ns)
            self._delay.saw(observation.stamp_ns, published_ns)

        if self.detector is not None and self.detector.hold is not None:
            self.complaint = self.detector.hold
            if self.residual is not None:
                self.residual.forget()
            return
        try:
            chunk = self._policy.infer(observation, early if self.residual is None else None)
        except PolicyError as error:
            self.bad_answers += 1
            self.complaint = str(error)
            return
        self.complaint = None
        published_ns = observation.stamp_ns + self._answer_ns
        executed = self._policy.executed(chunk, published_ns)
        if self.residual is not None:
            self._correct_until(published_ns)
            self.residual.begin(executed, self._policy.card, observation.epoch)
            if self.residual.faster:
                self._delay.saw(observation.stamp_ns, published_ns)
            self._correct_ns, self._base_delay_ns = published_ns + self.residual.period_ns, delay_ns
            if self._correct(published_ns):
                return
        path = self._policy.execution.trajectory(executed, observation.command, published_ns, delay_ns)
        self.robot.submit(path, published_ns)

    def _correct_until(self, t_ns: int) -> None:
        """The newest answer is corrected again while the policy thinks, as often as the residual can."""
        if self.residual is None or not self.residual.faster:
            return
        while self._correct_ns < t_ns:
            self._correct(self._correct_ns)
            self._correct_ns += self.residual.period_ns

    def _correct(self, now_ns: int) -> bool:
        """Whether a corrected chunk was published at ``now_ns``."""
        if self.residual is None:
            return False
        self.robot.advance_to(now_ns)
        seen = self.robot.observe(now_ns, self.residual.ahead_ns(now_ns))
        chunk = self.residual.correct(seen) if seen is not None else None
        if seen is None or chunk is None:
            return False
        path = self._policy.execution.trajectory(chunk, seen.command, now_ns, self._base_delay_ns)
        self.robot.submit(path, now_ns)
        return True

    def episode(self, seed: int, start: Start = "home") -> Episode:
        """One pick, to its end."""
        self.begin(seed, start)
        while self.world.outcome is None and self.world.elapsed_ns < TIME_LIMIT_NS:
            self.step()
        counts = self.robot.stats()
        return Episode(
            seed=seed,
            outcome=self.world.outcome or "timeout",
            seconds=self.world.elapsed_ns * 1e-9,
            rms_jerk=math.sqrt(counts["jerk_square_sum"] / max(1, counts["jerk_count"])),
            limited_share=counts["limited_ticks"] / max(1, counts["running_ticks"]),
            starved_ticks=counts["starved_ticks"],
            blend_ms=counts["blend"]["p50"] / 1e6,
            seam=max(counts["seam"]["position"], counts["seam"]["velocity"], counts["seam"]["acceleration"]),
            delay_ms=self._delay.delay_ns / 1e6,
        )
