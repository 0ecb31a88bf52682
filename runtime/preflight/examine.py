"""Every fact, in the order in which a person mends them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from spinal.runtime.preflight import inference, kernel, permissions, ports, power
from spinal.runtime.preflight.finding import Finding, Status, System
from spinal.runtime.preflight.lateness import lateness
from spinal.runtime.preflight.rivals import rivals

PRIORITY = 45


def facts(system: System, priority: int = PRIORITY) -> Iterator[Finding]:
    """What can be read at once; nothing is measured and nothing is loaded."""
    found: list[Finding | None] = [
        kernel.preemption(system),
        permissions.priority(priority),
        permissions.memory_lock(),
        permissions.idle_states(system),
        power.processors(),
        power.governor(system),
        power.virtual(system),
        power.swap(system),
        kernel.clock_source(system),
        kernel.timer_resolution(system),
        kernel.throttling(system),
        kernel.isolation(system),
        rivals(system, priority),
        ports.access(system),
        ports.latency_timers(system),
        *ports.grabbers(system),
        inference.builds(),
    ]
    yield from (finding for finding in found if finding is not None)


def examine(
    system: System, model: Path | None, seconds: float, priority: int = PRIORITY
) -> Iterator[Finding]:
    """All of it, one by one as known: ``model`` is tried on each provider, lateness is measured for so long."""
    yield from facts(system, priority)
    if model is not None:
        yield inference.providers(model)
    if seconds > 0:
        yield lateness(seconds, priority)


def verdict(findings: Sequence[Finding]) -> tuple[Status, str]:
    """The worst, and a sentence for it."""
    bad = [finding.name for finding in findings if finding.status is Status.BAD]
    warn = [finding.name for finding in findings if finding.status is Status.WARN]
    if bad:
        return Status.BAD, f'not ready for realtime = "require": {", ".join(bad)}'
    if warn:
        return Status.WARN, f"ready, and later than need be: {', '.join(warn)}"
    return Status.GOOD, "ready"
