"""Two policies, blind: for each goal a coin says which runs, and nobody sees which until it is revealed.

The coin depends on the seed and the goal's number alone, so a goal that is renewed keeps its policy, and a run can
be repeated. Reports and journal call the two by labels, which a second coin gave them.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from spinal.runtime.config.card import load_card
from spinal.runtime.config.match import match_card
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import ConfigError, PolicyError
from spinal.runtime.policy.exchange import Exchange
from spinal.runtime.policy.loaded import LoadedPolicy, load

LABELS = ("red", "blue")
_COIN, _NAMES = 0, 1


class BlindTest:
    """Puts one of ``pair`` into ``exchange`` for each goal. One thread.

    ``seed``: of the coins. ``keep_alive_ns``: how often the one that waits runs, so that its turn begins warm.
    """

    def __init__(
        self, exchange: Exchange, pair: tuple[LoadedPolicy, LoadedPolicy], seed: int, keep_alive_ns: int
    ) -> None:
        self._exchange, self._pair, self._seed = exchange, pair, seed
        self._keep_alive_ns = keep_alive_ns
        self._first_label = int(np.random.default_rng([seed, _NAMES]).integers(2))
        self._goal = self._warm_ns = 0
        self._chosen = 0
        self.revealed = False

    def choose(self, goal: int) -> None:
        """``goal`` is the number of the goal in force. A new one takes its policy at the next step's seam."""
        if goal == self._goal:
            return
        self._goal = goal
        self._chosen = int(np.random.default_rng([self._seed, _COIN, goal]).integers(2))
        self._exchange.take_turn(self._pair[self._chosen])

    def end_step(self, now_ns: int) -> None:
        """Keeps the one that waits warm, in the time that is left of the step."""
        if self._keep_alive_ns and now_ns - self._warm_ns >= self._keep_alive_ns:
            self._warm_ns = now_ns
            with suppress(PolicyError):
                self._pair[1 - self._chosen].keep_warm()

    def reveal(self) -> str:
        """Who is who, from now on in every report."""
        self.revealed = True
        return ", ".join(f"{label} is {name}" for label, name in sorted(self._names().items()))

    @property
    def name(self) -> str:
        """Of the one that runs, as a view may show it."""
        return self._pair[self._chosen].name if self.revealed else self._label(self._chosen)

    @property
    def report(self) -> dict[str, Any]:
        """For the journal: which label ran for which goal; who they are once that is revealed."""
        told: dict[str, Any] = {"goal": self._goal, "choice": self._label(self._chosen)}
        return told | ({"seed": self._seed, "names": self._names()} if self.revealed else {})

    def _label(self, which: int) -> str:
        return LABELS[which ^ self._first_label]

    def _names(self) -> dict[str, str]:
        return {self._label(which): f"{p.model.name} ({p.name})" for which, p in enumerate(self._pair)}


def blind_test(robot: RobotConfig, exchange: Exchange, seed: int) -> BlindTest:
    """Between what runs in ``exchange`` and the model of [policy.ab], loaded and warm.

    ``seed``: of the other policy's noise. Raises ConfigError, PolicyError.
    """
    if robot.policy is None or robot.policy.ab is None:
        raise ValueError("a robot without a blind test")
    settings = robot.policy.ab
    path = Path(settings.model)
    problems = match_card(load_card(path), robot).problems
    if problems:
        raise ConfigError(problems, str(path))
    coins = settings.seed if settings.seed is not None else secrets.randbelow(1 << 32)
    pair = (exchange.active, load(robot, seed, path))
    return BlindTest(exchange, pair, coins, robot.policy.keep_alive_ms * 1_000_000)
