"""Decoders: what a model answered, as a chunk with absolute times. Values in, values out.

The one decoder so far is ``chunk``: the model answers absolute joint targets [1, steps, joints], the first of
which is to be reached one step after the observation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinal.native.tensor import to_actions
from spinal.runtime.errors import PolicyError
from spinal.runtime.types import Chunk, Observation


def decode_chunk(output: NDArray[np.float32], observation: Observation, step_ns: int) -> Chunk:
    """The chunk in ``output`` [1, steps, joints].

    Raises PolicyError when a number is not finite: the old trajectory stays in force then.
    """
    actions = to_actions(output, observation.ahead)
    if actions is None:
        raise PolicyError(
            "the model answered numbers that are not finite",
            hint="the arm keeps its old chunk and holds at its end; check the model and its inputs",
        )
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
