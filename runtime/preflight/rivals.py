"""Threads of other programs that may delay the loop however urgent it is."""

from __future__ import annotations

from spinal.runtime.preflight.finding import Finding, Status, System

REALTIME_POLICIES = (1, 2, 6)
"""SCHED_FIFO, SCHED_RR, SCHED_DEADLINE."""
RT_PRIORITY_FIELD, POLICY_FIELD = 37, 38
"""In /proc/PID/stat behind the name, counted from 0."""
KERNEL_FLAG, FLAGS_FIELD = 0x00200000, 6


def rivals(system: System, priority: int) -> Finding:
    """Programs (not the kernel's own threads) with real-time threads at ``priority`` or above."""
    found = sorted(
        {name for name in (_rival(system, str(path), priority) for path in _threads(system)) if name}
    )
    if not found:
        return Finding(
            "rivals", Status.GOOD, f"no program runs at SCHED_FIFO {priority} or above", "the loop is first"
        )
    return Finding(
        "rivals",
        Status.WARN,
        f"at priority {priority} or above runs: {', '.join(found)}",
        "while it works the loop waits",
        "give it a lower priority: sudo chrt -f -p 30 PID",
    )


def _threads(system: System) -> list[str]:
    return [f"/{path.relative_to(system.root)}" for path in system.matching("/proc/[0-9]*/task/[0-9]*/stat")]


def _rival(system: System, stat: str, priority: int) -> str:
    text = system.text(stat)
    if text is None:
        return ""
    name, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 1 :].split()
    if int(rest[FLAGS_FIELD]) & KERNEL_FLAG or int(rest[POLICY_FIELD]) not in REALTIME_POLICIES:
        return ""
    return name if int(rest[RT_PRIORITY_FIELD]) >= priority else ""
