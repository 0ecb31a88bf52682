"""cyclictest of rt-tests as a third reading of lateness, where it is installed.

It runs behind the loop and its floor, not beside them, and tunes nothing (``--default-system``): what it would set
changes what is measured.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

from spinal.bench.machine import FIFO_PRIORITY

ABSENT = "cyclictest is not installed: a third reading of lateness needs `apt install rt-tests`"
LARGEST_US = 20_000


@dataclass(frozen=True, slots=True)
class Reading:
    """How late it woke. ``counts``: by whole us; ``overflows`` were later than LARGEST_US."""

    counts: dict[int, int]
    overflows: int

    @property
    def n(self) -> int:
        """Of all wake-ups."""
        return sum(self.counts.values()) + self.overflows

    def quantile_us(self, fraction: float) -> float:
        """The us that ``fraction`` of the wake-ups do not pass; NaN for none, infinity past what it counts."""
        if not self.n:
            return float("nan")
        seen = 0
        for late_us, count in sorted(self.counts.items()):
            seen += count
            if seen >= fraction * self.n:
                return float(late_us)
        return float("inf")


def installed() -> bool:
    """Whether there is one to run."""
    return shutil.which("cyclictest") is not None


def measure(rate_hz: int, seconds: int) -> Reading | str:
    """Its histogram at the loop's rate and priority, or in words why there is none."""
    command = [
        "cyclictest",
        "-q",
        "-m",
        "--default-system",
        "-D",
        str(seconds),
        "-i",
        str(1_000_000 // rate_hz),
    ]
    command += ["-p", str(FIFO_PRIORITY), "-h", str(LARGEST_US)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"cyclictest did not run: {error}"
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        return f"cyclictest left with {done.returncode}: {said[-1] if said else 'no word why'}"
    return parse(done.stdout)


def parse(text: str) -> Reading:
    """The output of ``cyclictest -q -h N`` for one thread."""
    counts, overflows = {}, 0
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
            counts[int(words[0])] = int(words[1])
        if line.startswith("# Histogram Overflows:"):
            overflows = int(words[-1])
    return Reading(counts, overflows)
