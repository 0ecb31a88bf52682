"""What a suite is given: for how long it may measure, its options, and where to say how far it is."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from spinal.bench.result import SuiteResult


@dataclass(frozen=True, slots=True)
class Bench:
    """One run of one suite. ``quick``: as short as a gate can use; ``hours``: a soak instead."""

    quick: bool = False
    hours: float = 0.0
    options: Namespace = field(default_factory=Namespace)
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)

    def seconds(self, quick: float, full: float, share: float = 1.0) -> float:
        """How long to measure one condition. ``share``: the part of a soak's hours that falls to it."""
        if self.hours > 0:
            return self.hours * 3600 * share
        return quick if self.quick else full


class Measure(Protocol):
    """A suite's module has a function ``measure`` of this kind.

    It raises SpinalError for what a person can mend, and says what is not there in ``SuiteResult.notes``.
    """

    def __call__(self, bench: Bench) -> SuiteResult:
        """Measures; everything it found."""
        ...
