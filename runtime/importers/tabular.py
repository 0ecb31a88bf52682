"""The proof of an import whose network is not here: normalisation and meaning against the documented formulas.

The graph is run as it is: its input buffer is compared with the formula's numbers, and what our path makes of its
answer with what the formula makes of the same answer. What the framework's own network would say is not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import PolicyCard
from spinal.runtime.importers.draft import Draft
from spinal.runtime.importers.ours import OurPath, observation, to_robot
from spinal.runtime.importers.verify import Verification, compare
from spinal.runtime.types import Goal, Observation

Array = NDArray[np.float64]
Values = Mapping[str, float]
"""joint -> its number in the card's unit"""


def verify_formulas(
    draft: Draft,
    state: str,
    against: str,
    draw: Callable[[np.random.Generator], Values],
    state_formula: Callable[[Values], Array],
    action_formula: Callable[[Array, Values], Array],
) -> list[Verification]:
    """100 observations drawn in the card's units. Raises PolicyError, ConfigError."""
    path = OurPath(draft)
    card = path.card
    buffer, output = path.engine.inputs[state], card.output.name
    rng = np.random.default_rng(0)

    def runs() -> Iterator[tuple[Observation, Values]]:
        now_ns = 10_000_000_000
        while True:
            now_ns += card.chunk.step_ns
            values = draw(rng)
            position = np.array([float(to_robot(j, np.array(values[j.name]))) for j in card.joints])
            yield _seen(card, now_ns, position, rng), values

    def ours_state(run: Any) -> Array:
        path.answer(run[0])
        return np.array(buffer, np.float64).ravel()

    def ours_actions(run: Any) -> Array:
        return path.answer(run[0])

    def theirs_actions(run: Any) -> Array:
        answer = np.array(path.engine.outputs[output][0], np.float64)
        numbers = action_formula(answer, run[1])
        return np.stack([to_robot(joint, numbers[:, i]) for i, joint in enumerate(card.joints)], axis=1)

    return [
        compare("the state's normalisation", against, runs(), ours_state, lambda run: state_formula(run[1])),
        compare("the actions' meaning", against, runs(), ours_actions, theirs_actions),
    ]


def _seen(card: PolicyCard, now_ns: int, position: Array, rng: np.random.Generator) -> Observation:
    """With a picture of each camera and a goal of each kind that the card names."""
    images, goals = {}, {}
    for tensor in card.inputs:
        kind, name = tensor.source if tensor.stream else ("", "")
        if kind == "camera":
            axes = tensor.shape[-3:]
            height, width = axes[:2] if tensor.image and tensor.image.layout == "hwc" else axes[1:]
            images[name] = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        elif kind == "goal":
            size = tensor.size or int(np.prod(tensor.shape))
            payload: Any = b"pick" if name == "text" else rng.normal(size=size).astype(np.float32)
            goals[name] = Goal(name, now_ns, now_ns, now_ns + 10**12, payload)
    return replace(observation(now_ns, position, images=images), goals=goals)
