"""The robot's clock seen from a planner, out of the heartbeat's four stamps.

1. offset = ((receive - send) on the way there + (send - receive) on the way back) / 2; it is wrong by at
   most half the round trip, whatever the two ways cost.
2. So of the recent exchanges the one with the shortest round trip is believed (the minimum filter of
   NTP, RFC 5905 section 10), and its error grows with age by what two quartz clocks may drift apart.

No wall clock takes part: two machines' monotonic clocks share nothing but this estimate.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW = 32
MAX_AGE_NS = 60_000_000_000
DRIFT_PPM = 100


@dataclass(frozen=True, slots=True)
class ClockEstimate:
    """`offset_ns` is robot minus local clock, true to within `error_ns`.

    `round_trip_ns` is that of the exchange it rests on.
    """

    offset_ns: int
    error_ns: int
    round_trip_ns: int


@dataclass(frozen=True, slots=True)
class _Sample:
    offset_ns: int
    round_trip_ns: int
    taken_ns: int

    def error_ns(self, now_ns: int) -> int:
        age_ns = max(0, now_ns - self.taken_ns)
        return (self.round_trip_ns + 1) // 2 + 1 + age_ns * DRIFT_PPM // 1_000_000


class ClockFilter:
    """Keeps the recent exchanges and believes the best. Thread contract: one thread."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=WINDOW)

    def add(
        self, local_send_ns: int, robot_receive_ns: int, robot_send_ns: int, local_receive_ns: int
    ) -> int:
        """Takes one exchange in and returns its round trip; ValueError when the stamps run backwards."""
        round_trip_ns = (local_receive_ns - local_send_ns) - (robot_send_ns - robot_receive_ns)
        if local_receive_ns < local_send_ns or robot_send_ns < robot_receive_ns or round_trip_ns < 0:
            raise ValueError("the stamps of a heartbeat run backwards")
        offset_ns = ((robot_receive_ns - local_send_ns) + (robot_send_ns - local_receive_ns)) // 2
        self._samples.append(_Sample(offset_ns, round_trip_ns, local_receive_ns))
        return round_trip_ns

    def estimate(self, now_ns: int) -> ClockEstimate | None:
        """The best estimate at local `now_ns`, or None when there was no exchange within a minute."""
        recent = [sample for sample in self._samples if now_ns - sample.taken_ns <= MAX_AGE_NS]
        if not recent:
            return None
        best = min(recent, key=lambda sample: sample.error_ns(now_ns))
        return ClockEstimate(best.offset_ns, best.error_ns(now_ns), best.round_trip_ns)

    def reset(self) -> None:
        """Forgets everything: the robot behind the link is another one now."""
        self._samples.clear()
