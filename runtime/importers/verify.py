"""The proof of an import: random observations through our path and through the framework's, and how far apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.errors import PolicyError

SAMPLES = 100
LARGEST_DIFFERENCE = 1e-4
"""Most that two paths may differ in any number, in the unit that is compared."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Verification:
    """How far our path is from ``against``, over ``samples`` random observations."""

    what: str
    against: str
    samples: int
    max_difference: float
    largest: float
    """The largest number compared: what the difference is to be seen beside."""

    def __str__(self) -> str:
        return (
            f"verified: {self.what} against {self.against}: {self.samples} random observations,"
            f" max difference {self.max_difference:.2g} (numbers up to {self.largest:.3g}),"
            f" allowed {LARGEST_DIFFERENCE:g}"
        )


def compare(
    what: str,
    against: str,
    observations: Iterator[Any],
    ours: Callable[[Any], NDArray[Any]],
    theirs: Callable[[Any], NDArray[Any]],
    samples: int = SAMPLES,
) -> Verification:
    """Both paths on ``samples`` observations. Raises PolicyError when they differ, or cannot be compared.

    A path that answers the same to every observation proves nothing, and is refused too.
    """
    worst, largest, first, varied = 0.0, 0.0, None, False
    for number in range(samples):
        observation = next(observations)
        a, b = np.array(ours(observation), np.float64), np.array(theirs(observation), np.float64)
        if a.shape != b.shape:
            raise PolicyError(
                f"{what} answers {list(a.shape)}, {against} {list(b.shape)}",
                hint="the files do not belong together: take those of one training run",
            )
        difference = float(np.abs(a - b).max(initial=0.0))
        if not np.isfinite(difference):
            raise PolicyError(
                f"observation {number} is answered by numbers that are not finite", hint="check the weights"
            )
        worst, largest = max(worst, difference), max(largest, float(np.abs(b).max(initial=0.0)))
        first = b if first is None else first
        varied = varied or not np.array_equal(first, b)
    if worst > LARGEST_DIFFERENCE:
        raise PolicyError(
            f"{what} differs from {against} by {worst:.2g}, and {LARGEST_DIFFERENCE:g} is allowed",
            hint="nothing was written; report the files' config and the versions: the importer is wrong",
        )
    if not varied:
        raise PolicyError(
            f"{against} answers the same to {samples} different observations",
            hint="that proves nothing: check the model's weights and its inputs",
        )
    return Verification(what, against, samples, worst, largest)
