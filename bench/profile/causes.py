"""Why a tick was late: one cause for each, and the words for it; "unknown" where there is no evidence. Pure.

The cause belongs to the stage that took most beyond its usual time. In the order in which evidence speaks: a
signal stopped the thread; the hypervisor took the processor; the machine stood still; the thread waited for a
processor; and only then the stage itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from spinal.bench.profile.evidence import Evidence, Window
from spinal.bench.profile.ticks import BEHIND, COMPUTE, PLAN, READ, STAGES, WAKE, WRITE, Ints, Ticks

SHARE = 0.5
"""Evidence explains a stage when it covers this much of what the stage took beyond its usual time."""
SHORTEST_STOLEN_NS = 1_000_000
"""Stolen time comes in jiffies of 1 to 10 ms: it says nothing about less."""
BUDGET_SLACK_NS = 200_000
"""What the kernel may add to the bus's deadline before the bus is no longer to blame."""


class Cause(StrEnum):
    """Who had the time."""

    STOPPED = "stopped"
    STOLEN = "stolen"
    MACHINE = "machine"
    QUEUED = "queued"
    BUS = "bus"
    OURS = "ours"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Attribution:
    """``stage``: index of the culprit in STAGES; ``excess_ns``: what it took beyond its usual time."""

    cause: Cause
    detail: str
    stage: int
    excess_ns: int
    window: Window | None
    stood_still_ns: int


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that is known of one watch.

    ``usual_ns`` [6]: each stage's median. ``missing``: tick -> how many joints did not answer in it, where it
    was seen. ``budget_ns``: for how long a tick waits for the bus at most.
    """

    ticks: Ticks
    usual_ns: Ints
    evidence: Evidence
    missing: Mapping[int, int]
    budget_ns: int


def attribute(case: Case, row: int) -> Attribution:
    """Why the tick in ``row`` took long. One that came behind another long tick has that one's cause."""
    first = row
    while _culprit(case, first)[0] == BEHIND and case.ticks.follows[first]:
        first -= 1
    found = _attribute(case, first)
    if first == row:
        return found
    stage, excess_ns = _culprit(case, row)
    return Attribution(
        found.cause,
        f"behind tick {case.ticks.number[first]}: {found.detail}",
        stage,
        excess_ns,
        found.window,
        found.stood_still_ns,
    )


def duration(ns: float) -> str:
    """For a person: 35 us, 1.9 ms, 52 ms, 1.2 s."""
    for unit, size in (("us", 1e3), ("ms", 1e6)):
        value = ns / size
        if value < 9.95:
            return f"{value:.1f} {unit}"
        if value < 999.5:
            return f"{value:.0f} {unit}"
    return f"{ns / 1e9:.1f} s"


def _culprit(case: Case, row: int) -> tuple[int, int]:
    excess = case.ticks.stage_ns[row] - case.usual_ns
    stage = int(excess.argmax())
    return stage, int(excess[stage])


def _attribute(case: Case, row: int) -> Attribution:
    stage, excess_ns = _culprit(case, row)
    begin_ns, end_ns = (int(ns) for ns in case.ticks.edge_ns[row, stage : stage + 2])
    window = case.evidence.around(begin_ns, end_ns)
    still_ns = case.evidence.stood_still_ns(begin_ns, end_ns)
    cause, detail = _from_outside(stage, excess_ns, window, still_ns) or _of_stage(
        case, row, stage, excess_ns, window
    )
    return Attribution(cause, detail, stage, excess_ns, window, still_ns)


def _from_outside(
    stage: int, excess_ns: int, window: Window | None, still_ns: int
) -> tuple[Cause, str] | None:
    """What somebody else did to the thread or to the machine."""
    wanted_ns = SHARE * excess_ns
    where = "" if stage == WAKE else f" in {STAGES[stage]}"
    if window is not None:
        if window.stopped:
            return Cause.STOPPED, f"stopped by a signal or a debugger for {duration(excess_ns)}{where}"
        if excess_ns >= SHORTEST_STOLEN_NS and window.stolen_ns >= wanted_ns:
            return Cause.STOLEN, f"the hypervisor took {duration(window.stolen_ns)}{where}"
    if still_ns >= wanted_ns:
        return Cause.MACHINE, f"nothing else ran either, for {duration(still_ns)}{where}"
    if window is not None and window.waited_ns >= wanted_ns:
        pushed = f", pushed off it {window.forced} times" if window.forced else ""
        return Cause.QUEUED, f"waited {duration(window.waited_ns)} for a processor{where}{pushed}"
    return None


def _of_stage(case: Case, row: int, stage: int, excess_ns: int, window: Window | None) -> tuple[Cause, str]:
    """What is left when nobody from outside is to blame. Without samples around it, that is not known."""
    took = duration(case.ticks.stage_ns[row, stage])
    if window is None:
        return Cause.UNKNOWN, f"{took} in {STAGES[stage]}; no samples close enough around it"
    if stage in (PLAN, COMPUTE):
        faults = f", {window.faults} page faults" if window.faults else ""
        return Cause.OURS, f"{_own_work(case, row, stage)} of {took}{faults}"
    if stage == READ:
        silent = case.missing.get(int(case.ticks.number[row]), 0)
        if silent:
            return Cause.BUS, f"{silent} {'joint' if silent == 1 else 'joints'} did not answer in {took}"
        if case.ticks.stage_ns[row, READ] <= case.budget_ns + BUDGET_SLACK_NS:
            return Cause.BUS, f"its replies took {took}, usually {duration(case.usual_ns[READ])}"
        return Cause.UNKNOWN, f"read took {took}, beyond its own deadline of {duration(case.budget_ns)}"
    if stage == WRITE:
        return Cause.BUS, f"the line took the command only after {took}"
    if stage == BEHIND:
        return Cause.UNKNOWN, "behind a tick that was not seen"
    return Cause.UNKNOWN, f"woke {duration(excess_ns)} late, and nobody was seen to hold it"


def _own_work(case: Case, row: int, stage: int) -> str:
    if stage == COMPUTE:
        return "sampling and limits"
    return "hand-off" if case.ticks.switched[row] else "state and modes"
