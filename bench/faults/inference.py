"""A policy that answers nonsense, answers late, or publishes what no sound process would write.

The robot's policy process is ``bad_policy`` from its start: the real one, with a defect that comes and goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from spinal.bench.faults.fault import Cause, Fault, Promise
from spinal.bench.faults.harness import POLICY_ORDER, FaultRobot
from spinal.native import clock

MODULES = (("policy", "spinal.bench.faults.bad_policy"),)
TAIL_MS = 600.0
AT_TAIL = Promise(("holding",), react_ms=TAIL_MS)
GOES_ON = Promise(("running", "holding"), react_ms=1500.0)
"""Chunks come and are executed inside the limits, or age until the arm rests; either is safe."""
ANYWHERE = Promise(("running", "holding", "stopped"), react_ms=3000.0, latched=None)
"""Inside the limits an arm may be led against something: then it stops, as hard as it pushes."""
SEEN = ("rejected chunks", "bad answers", "starved ticks", "limited ticks")


def _defect(name: str) -> Cause:
    @contextmanager
    def cause(robot: FaultRobot) -> Iterator[int]:
        robot.until_moving()
        order = robot.folder / POLICY_ORDER
        began_ns = clock.now_ns()
        order.write_text(name)
        try:
            yield began_ns
        finally:
            order.write_text("")

    return cause


def _fault(defect: str, what: str, promise: Promise, quick: bool = False) -> Fault:
    return Fault(
        f"policy-{defect}",
        what,
        _defect(defect),
        promise,
        lasts_s=1.5,
        quick=quick,
        counters=SEEN,
        modules=MODULES,
    )


FAULTS = [
    _fault("nan", "the model answers NaN for 1.5 s", AT_TAIL, quick=True),
    _fault("nan-published", "trajectories of NaN are published for 1.5 s", AT_TAIL),
    _fault("shape", "trajectories of another robot's shape for 1.5 s", AT_TAIL),
    _fault("stale", "trajectories with stamps 2 s old for 1.5 s", AT_TAIL),
    _fault("future", "trajectories with stamps 10 s ahead for 1.5 s", AT_TAIL),
    _fault("frozen", "the model answers the same chunk for 1.5 s", GOES_ON),
    _fault("slow", "answers take ten times their period for 1.5 s", GOES_ON),
    _fault("burst", "no chunk for 1.5 s, then all at once", AT_TAIL),
    _fault("jump", "the model answers a pose 1.5 rad away for 1.5 s", ANYWHERE, quick=True),
    _fault("noise", "the model answers noise of 1.5 rad for 1.5 s", ANYWHERE),
]
