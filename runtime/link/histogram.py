"""Round trips counted in fixed memory, with the bucket edges of the native histogram: 3 % wide.

The native histogram is not used: it counts inside a loop that never takes the GIL. Here a message comes
every few milliseconds, and a planner on another machine needs no compiled module.
"""

from __future__ import annotations

from collections import Counter


class Histogram:
    """A histogram of durations in nanoseconds. Thread contract: one thread."""

    def __init__(self) -> None:
        self.total = 0
        self.max_ns = 0
        self._counts: Counter[int] = Counter()

    def record(self, value_ns: int) -> None:
        """Counts one duration; a negative one counts as 0."""
        value_ns = max(0, value_ns)
        self.total += 1
        self.max_ns = max(self.max_ns, value_ns)
        self._counts[_bucket_of(value_ns)] += 1

    def quantile_ns(self, fraction: float) -> int:
        """The smallest value that `fraction` (0 to 1) of the records do not pass; 0 when empty."""
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= fraction * self.total:
                return min(_upper_edge_ns(bucket), self.max_ns)
        return self.max_ns

    def summary_us(self) -> dict[str, float]:
        """Number of records and p50, p99, p99.9 and maximum in microseconds."""
        quantiles = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
        return {"n": self.total} | {name: self.quantile_ns(q) / 1e3 for name, q in quantiles.items()}


def _bucket_of(value_ns: int) -> int:
    shift = min(max(0, value_ns.bit_length() - 6), 34)
    return shift * 32 + min(value_ns >> shift, 63)


def _upper_edge_ns(bucket: int) -> int:
    shift = max(0, bucket // 32 - 1)
    return ((bucket - shift * 32 + 1) << shift) - 1
