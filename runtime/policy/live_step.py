"""The step of whichever policy runs: what the live loop and lock-step call when policies may be exchanged."""

from __future__ import annotations

from spinal.native import clock
from spinal.runtime.config.card import PolicyCard
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.exchange import Exchange
from spinal.runtime.policy.execution import Execution
from spinal.runtime.policy.step import Early
from spinal.runtime.policy.strategy import Strategy
from spinal.runtime.types import Array, Chunk, Observation, Trajectory


class LiveStep:
    """As ``PolicyStep``, of ``exchange.active``. One thread."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @property
    def strategy(self) -> Strategy:
        """How its chunks meet."""
        return self._exchange.active.step.strategy

    def trajectory(self, chunk: Chunk, command: Array, published_ns: int, delay_ns: int) -> Trajectory:
        """What of ``chunk`` is executed."""
        return self._exchange.active.step.trajectory(chunk, command, published_ns, delay_ns)

    def executed(self, chunk: Chunk, published_ns: int) -> Chunk:
        """The part of ``chunk`` that is executed; once for each answer."""
        return self._exchange.active.step.executed(chunk, published_ns)

    @property
    def execution(self) -> Execution:
        """How its chunks become trajectories."""
        return self._exchange.active.step.execution

    @property
    def card(self) -> PolicyCard:
        """Its card."""
        return self._exchange.active.card

    @property
    def run_ns(self) -> tuple[int, int]:
        """When the model's last run began and ended."""
        return self._exchange.active.step.run_ns

    def ahead_ns(self, delay_ns: int) -> tuple[int, ...]:
        """How far an observation must look ahead."""
        return self._exchange.ahead_ns(delay_ns)

    def restart(self, seed: int) -> None:
        """A run begins anew."""
        self._exchange.active.step.restart(seed)

    def infer(self, observation: Observation, early: Early | None = None) -> Chunk:
        """The chunk that answers ``observation``, and of nobody too slow to be executed.

        A policy on probation that fails is gone by the end of the same call: the one before it answers. Raises
        PolicyError when there is none.
        """
        try:
            chunk = self._answer(observation, early)
        except PolicyError as error:
            if not self._exchange.failed(str(error)):
                raise
            chunk = self._answer(observation, early)
        self._exchange.answered(observation, chunk)
        return chunk

    def _answer(self, observation: Observation, early: Early | None) -> Chunk:
        active = self._exchange.active
        began_ns = clock.now_ns()
        chunk = active.step.infer(self._exchange.seen(observation), early)
        active.pace.took(clock.now_ns() - began_ns)
        complaint = active.pace.complaint
        if complaint is not None:
            raise PolicyError(
                complaint, hint="give it the machine that it was measured on, or correct inference_ms"
            )
        return chunk
