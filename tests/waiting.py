"""Waiting for something that another thread or process does, with an end to it. Tests never just sleep."""

from spinal.native.clock import now_ns, sleep_until_ns

LIMIT_S = 20.0
STEP_NS = 2_000_000


def until(condition, what, limit_s=LIMIT_S):
    """Returns what ``condition`` returns once it is true; fails with ``what`` did not happen in time."""
    deadline_ns = now_ns() + int(limit_s * 1e9)
    while not (answer := condition()):
        assert now_ns() < deadline_ns, f"not within {limit_s:g} s: {what}"
        sleep_until_ns(now_ns() + STEP_NS)
    return answer
