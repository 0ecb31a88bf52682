"""Token ids out of an answer: a language model's, or an action head's own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.decode.decoder import Answer
from spinal.runtime.errors import InvalidAnswer

Ids = NDArray[np.int64]


def ids_of(answer: Answer, name: str) -> Ids:
    """[token] of the output ``name`` [1, ...]. Raises InvalidAnswer for numbers that are none."""
    raw: NDArray[Any] = np.asarray(answer[name]).reshape(-1)
    if raw.dtype.kind in "iu":
        return raw.astype(np.int64)
    if not np.isfinite(raw).all() or (raw != np.rint(raw)).any() or (np.abs(raw) > 2**31).any():
        raise InvalidAnswer(f"{name} holds numbers that are no tokens")
    return raw.astype(np.int64)


def check_range(tokens: Ids, count: int, what: str) -> None:
    """Raises InvalidAnswer unless every token is 0 to ``count`` - 1."""
    if len(tokens) and not (tokens.min() >= 0 and tokens.max() < count):
        wrong = int(tokens[(tokens < 0) | (tokens >= count)][0])
        raise InvalidAnswer(f"token {wrong} is none of {count} {what}")
