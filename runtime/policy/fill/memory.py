"""What the model itself said, and hears again: its last actions, and the state that it hands to itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card.fed import FedCard
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.engine import Engine
from spinal.runtime.types import Observation

Array = NDArray[np.float64]

BREAK_NS = 1_000_000_000
"""A policy that heard nothing for so long does not go on where it was."""


class Memory:
    """Zeros at first, and again after a break: a restart, a new arming, a stream that was lost.

    One thread. Raises PolicyError when the engine lacks a recurrent tensor, or it goes out in another shape or type
    than it comes in.
    """

    def __init__(self, card: FedCard, engine: Engine) -> None:
        self._engine = engine
        self._first, self._step_ns = card.chunk.first, card.chunk.step_ns
        self.last_chunk = np.zeros((card.chunk.steps, card.channels))
        """[step, channel], the model's newest accepted answer in its own numbers."""
        self._first_ns = 0
        self._heard_ns: int | None = None
        self._epoch = 0
        handed = {one.input: one.output for one in card.recurrent}
        for tensor in card.inputs:
            kind, output = tensor.source if tensor.stream else ("", "")
            if kind == "recurrent":
                handed[tensor.name] = output
        self._handed = [(output, _input(engine, name, output)) for name, output in handed.items()]
        self.recurrent = frozenset(handed)
        """Names of the inputs that it fills."""
        streams = {part.stream for tensor in card.inputs for part in tensor.filled_by}
        self.used = bool(handed) or "last_action" in streams
        """Whether the card asks for any of it."""
        self.restart(0)

    def restart(self, seed: int) -> None:
        """Begins anew: the noise of a run depends on ``seed`` alone."""
        self._rng = np.random.default_rng(seed)
        self._heard_ns = None
        self.forget()

    def forget(self) -> None:
        """As if the model had said nothing yet."""
        self.last_chunk[...] = 0.0
        self._first_ns = 0
        for _, into in self._handed:
            into[...] = 0

    def broken(self, observation: Observation) -> bool:
        """Whether ``observation`` does not go on from the one before; what was kept is forgotten then."""
        before, self._heard_ns = self._heard_ns, observation.stamp_ns
        gap = before is None or not 0 <= observation.stamp_ns - before <= BREAK_NS
        if not gap and observation.epoch == self._epoch:
            return False
        self._epoch = observation.epoch
        self.forget()
        return True

    def normal(self, count: int) -> Array:
        """So many standard normal draws."""
        return self._rng.normal(size=count)

    def last_action(self, observation: Observation) -> Array:
        """[channel]: of the newest answer, the action that was to be reached now, or the nearest to it."""
        step = round((observation.stamp_ns - self._first_ns) / self._step_ns) + self._first
        return np.asarray(self.last_chunk[min(max(step, self._first), len(self.last_chunk) - 1)])

    def accepted(self, stamp_ns: int, actions: Array) -> None:
        """The answer to the observation at ``stamp_ns`` is used: ``actions`` [step, channel], the model's numbers.

        Raises PolicyError when the new state is not finite; the old one is kept then.
        """
        for output, into in self._handed:
            state = self._engine.outputs.get(output)
            if state is None or state.shape != into.shape:
                raise PolicyError(
                    f"the recurrent output {output} is not answered as the input takes it",
                    hint="its shape in the card's inputs has to be the model's own",
                )
            if not np.isfinite(state).all():
                raise PolicyError(
                    f"the model's recurrent state {output} is not finite",
                    hint="the arm keeps its old chunk and holds at its end; check the model and its inputs",
                )
        for output, into in self._handed:
            np.copyto(into, self._engine.outputs[output])
        rows = min(len(actions), len(self.last_chunk))
        self.last_chunk[:rows] = actions[:rows]
        self._first_ns = stamp_ns + self._step_ns


def _input(engine: Engine, name: str, output: str) -> NDArray[Any]:
    found = engine.inputs.get(name)
    if found is None:
        raise PolicyError(
            f"the recurrent input {name} is not among the model's", hint="list it among the card's inputs"
        )
    made = engine.outputs.get(output)
    if made is not None and (made.shape != found.shape or made.dtype != found.dtype):
        raise PolicyError(
            f"the recurrent state goes out as {made.dtype} {list(made.shape)} ({output}) and in as {found.dtype}"
            f" {list(found.shape)} ({name})",
            hint="the two are one tensor: export them in one shape and type",
        )
    return found
