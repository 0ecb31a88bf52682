"""The raw chunk: the model answers [1, steps, channels], the first of which is to be reached one step after the
observation.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spinal.native.tensor import to_actions
from spinal.runtime.config.card import PolicyCard
from spinal.runtime.decode.decoder import Answer, Decoded
from spinal.runtime.errors import PolicyError
from spinal.runtime.types import Chunk, Observation

NOT_FINITE = PolicyError(
    "the model answered numbers that are not finite",
    hint="the arm keeps its old chunk and holds at its end; check the model and its inputs",
)


class ChunkDecoder:
    """The output is the chunk."""

    def __init__(self, card: PolicyCard, _folder: Path) -> None:
        self._name = card.output.name
        self._shape = (card.chunk.steps, card.channels)

    def decode(self, answer: Answer) -> Decoded:
        """As it is; a policy of single actions may leave the axis of steps out."""
        return Decoded(np.asarray(answer[self._name], np.float64).reshape(self._shape))

    def restart(self) -> None:
        """Nothing is kept."""


def decode_chunk(output: NDArray[np.float32], observation: Observation, step_ns: int) -> Chunk:
    """The chunk in ``output`` [1, steps, joints] of absolute targets in the robot's own units, in one pass.

    Raises PolicyError when a number is not finite: the old trajectory stays in force then.
    """
    actions = to_actions(output, observation.ahead)
    if actions is None:
        raise NOT_FINITE
    return Chunk(
        observation_stamp_ns=observation.stamp_ns,
        sensor_stamp_ns=observation.sensor_stamp_ns,
        first_ns=observation.stamp_ns + step_ns,
        step_ns=step_ns,
        actions=actions,
        given=len(observation.ahead),
        decoder="chunk",
        under_way=observation.under_way,
    )
