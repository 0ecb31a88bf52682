"""How one chunk meets the next while inference takes its time: what an answer is told, and what of it is executed.

============= =========================================================== ==================================
strategy      what an answer is told                                      what is executed
============= =========================================================== ==================================
latest        nothing                                                     each answer, from when it is there
prefix        the steps inside the measured delay, as they will be        the same; the prefix as it is
rtc           the chunk under way, by weights that fade; guided, not      the same
              trained (arXiv 2506.07339)
velocity_mask the same chunk as what its flow begins from; what is        the same
              certain stands still (GR00T N1.7)
streaming     the steps inside the delay, as clean (FASTER)               its first rows as soon as they are
                                                                          final, what was under way behind
ensemble      nothing                                                     the weighted mean of all that
                                                                          overlap (arXiv 2304.13705)
wait          nothing                                                     some steps; then the arm rests while
                                                                          the next answer is made
============= =========================================================== ==================================

No strategy knows the true delay: each is told what ``DelayMeter`` measured. What is left of a disagreement at the
switch decays in the tick, whichever it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.card.decoders import EnsembleDecoder, FlowDecoder
from spinal.runtime.decode.ensemble import Ensemble
from spinal.runtime.decode.flow import guidance_weights, mask_weights
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.execution import Execution
from spinal.runtime.policy.head import GuideKind, guides_of
from spinal.runtime.types import Array, Chunk, Observation

REST_STEPS = 50
"""For so long an arm that waits is told to stand where its last chunk ended."""
ENSEMBLE_COEFFICIENT = 0.01


@dataclass(frozen=True, slots=True)
class Held:
    """What an answer is to agree with, as joint targets."""

    kind: GuideKind
    targets: Array
    """[step, joint]: at the instants of the answer's actions."""
    weights: Array
    """[step], 0 to 1."""
    frozen: int
    """Leading steps that will be executed anyway."""


class Strategy(Protocol):
    """One thread. ``delay_steps``: steps inside the measured delay."""

    name: str

    def due(self, now_ns: int) -> bool:
        """Whether an answer is wanted now."""
        ...

    def look_ahead(self, delay_steps: int) -> int:
        """How many steps ahead an observation has to know what will be commanded."""
        ...

    def given(self, delay_steps: int) -> int:
        """As many of the answer's first actions are what is commanded anyway."""
        ...

    def held(self, seen: Observation, delay_steps: int, step_ns: int) -> Held | None:
        """What a head is told, if it listens; ``step_ns``: between the answer's actions."""
        ...

    def executed(self, chunk: Chunk, published_ns: int) -> Chunk:
        """What becomes a trajectory."""
        ...

    def restart(self) -> None:
        """A run begins anew."""
        ...


class Latest:
    """Each answer from when it is there; it is told nothing."""

    name = "latest"

    def due(self, now_ns: int) -> bool:
        """Always."""
        return True

    def look_ahead(self, delay_steps: int) -> int:
        """Nothing."""
        return 0

    def given(self, delay_steps: int) -> int:
        """None."""
        return 0

    def held(self, seen: Observation, delay_steps: int, step_ns: int) -> Held | None:
        """Nothing."""
        return None

    def executed(self, chunk: Chunk, published_ns: int) -> Chunk:
        """As it is."""
        return chunk

    def restart(self) -> None:
        """Nothing is kept."""


class Prefix(Latest):
    """Training-time real-time chunking (arXiv 2512.05964): the steps inside the delay are given.

    No more of them than the model was trained with.
    """

    name = "prefix"

    def __init__(self, most: int, steps: int) -> None:
        self._most, self._steps = most, steps

    def look_ahead(self, delay_steps: int) -> int:
        """The prefix."""
        return self.given(delay_steps)

    def given(self, delay_steps: int) -> int:
        """The prefix."""
        return min(delay_steps, self._most)

    def held(self, seen: Observation, delay_steps: int, step_ns: int) -> Held | None:
        """The prefix, for a head; a graph with inputs for it finds it there."""
        given = min(len(seen.ahead), self.given(delay_steps))
        if not given:
            return None
        rest = self._steps - given
        targets = np.concatenate([seen.ahead[:given], np.repeat(seen.ahead[given - 1 : given], rest, axis=0)])
        return Held("prefix", targets, (np.arange(self._steps) < given).astype(np.float64), given)


class Guided(Latest):
    """Guided towards the chunk under way, less and less (arXiv 2506.07339), begun from it (``velocity_mask``), or
    finished from its first rows on (``streaming``).

    ``steps`` of a chunk; answers come each ``period_steps``, or as often as the delay allows.
    """

    def __init__(self, kind: GuideKind, steps: int, period_steps: int) -> None:
        self.name: str = kind
        self._kind: GuideKind = kind
        self._steps, self._period_steps = steps, period_steps

    def look_ahead(self, delay_steps: int) -> int:
        """The whole chunk."""
        return self._steps

    def given(self, delay_steps: int) -> int:
        """The steps inside the delay."""
        return min(delay_steps, self._steps // 2)

    def held(self, seen: Observation, delay_steps: int, step_ns: int) -> Held | None:
        """The chunk under way, as far as it goes; where it has ended there is nothing to agree with."""
        if seen.under_way is None:
            return None
        known = min((seen.under_way.end_ns - seen.stamp_ns) // step_ns, self._steps)
        frozen = min(self.given(delay_steps), known)
        end = min(known, self._steps - max(self._period_steps, frozen))
        weigh = mask_weights if self._kind == "velocity_mask" else guidance_weights
        weights = weigh(self._steps, frozen, end)
        return Held(self._kind, seen.ahead, weights, frozen) if known > 0 else None


class Ensembled(Latest):
    """The weighted mean of all answers that overlap (ACT, arXiv 2304.13705)."""

    name = "ensemble"

    def __init__(self, coefficient: float) -> None:
        self._coefficient = coefficient
        self.restart()

    def executed(self, chunk: Chunk, published_ns: int) -> Chunk:
        """The mean, at this answer's instants."""
        return replace(chunk, actions=self._ensemble.add(chunk.first_ns, chunk.step_ns, chunk.actions))

    def restart(self) -> None:
        """Forgets every answer."""
        self._ensemble = Ensemble(self._coefficient)


class Wait(Latest):
    """Some steps of a chunk; then the arm stands while the next answer is made: what a loop without overlap does.

    The answer begins when it is there, since nothing has moved meanwhile.
    """

    name = "wait"

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self.restart()

    def due(self, now_ns: int) -> bool:
        """Once its steps are done."""
        return now_ns >= self._busy_until_ns

    def executed(self, chunk: Chunk, published_ns: int) -> Chunk:
        """Its first steps, then rest."""
        actions = chunk.actions[: self._steps]
        self._busy_until_ns = published_ns + len(actions) * chunk.step_ns
        rest = np.repeat(actions[-1:], REST_STEPS, axis=0)
        return replace(
            chunk,
            first_ns=published_ns + chunk.step_ns,
            actions=np.concatenate([actions, rest]),
            under_way=None,
        )

    def restart(self) -> None:
        """The first answer is due at once."""
        self._busy_until_ns = 0


def make_strategy(card: PolicyCard, execution: Execution) -> Strategy:
    """As [execution] says; ``auto``: what the policy was made for. Raises PolicyError where it cannot be."""
    settings = execution.settings
    name: str = settings.strategy
    if name == "auto":
        name = _best(card)
    if name == "prefix" and not card.prefix.max_steps:
        raise PolicyError(
            f"{card.name} was not trained with a prefix",
            hint='choose another [execution] strategy, or "auto"',
        )
    guides = guides_of(card)
    if name == "streaming" and isinstance(card.decoder, FlowDecoder) and name not in guides:
        raise PolicyError(
            f"{card.name} takes one time for all of a chunk, so no part of it can be finished first",
            hint="a policy that was trained with a time for each position can (time_per_position = true)",
        )
    if name in ("rtc", "velocity_mask", "streaming") and not isinstance(card.decoder, FlowDecoder):
        raise PolicyError(
            f"{card.name} has no flow that could be guided from outside",
            hint='export its steps one by one (decoder kind = "flow"), or choose another [execution] strategy',
        )
    match name:
        case "prefix":
            return Prefix(card.prefix.max_steps, card.chunk.steps)
        case "rtc" | "velocity_mask" | "streaming":
            return Guided(name, card.chunk.steps, max(1, round(execution.period_ns / execution.step_ns)))
        case "ensemble":
            if isinstance(card.decoder, EnsembleDecoder):
                return Ensembled(card.decoder.coefficient)
            return Ensembled(ENSEMBLE_COEFFICIENT)
        case "wait":
            return Wait(min(settings.wait_steps, card.chunk.steps))
    return Latest()


def _best(card: PolicyCard) -> str:
    if card.prefix.max_steps:
        return "prefix"
    if isinstance(card.decoder, FlowDecoder):
        return "rtc"
    return "ensemble" if isinstance(card.decoder, EnsembleDecoder) else "latest"
