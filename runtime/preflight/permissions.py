"""What this user may ask of the kernel: a priority, memory that stays, processors that stay awake."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Mapping

from spinal.native import realtime
from spinal.runtime.preflight.finding import Finding, Status, System

LIMITS_FILE = "/etc/security/limits.d/spinal.conf"
MEMORY_NEEDED = 256 << 20
"""What the controller locks at most, bytes: its own pages, stacks and shared memory."""
CAP_IPC_LOCK = 14

Probe = Callable[[int], Mapping[str, str | None]]


def priority(wanted: int, probe: Probe = realtime.probe) -> Finding:
    """Whether a thread gets SCHED_FIFO at ``wanted``; asked of the kernel, on a thread that ends at once."""
    refused = probe(wanted)["fifo"]
    if refused is None:
        return Finding(
            "priority",
            Status.GOOD,
            f"SCHED_FIFO {wanted} is granted",
            "nothing of lower priority delays the loop",
        )
    return Finding(
        "priority",
        Status.BAD,
        f"SCHED_FIFO {wanted} is refused: {refused}",
        'any busy program delays the loop by 10 ms and more; a robot with realtime = "require" will not start',
        f"echo '@{_group()} - rtprio 49' | sudo tee -a {LIMITS_FILE}, then log in again;"
        " in a service: LimitRTPRIO=49",
    )


def memory_lock(limit: int | None = None, may_lock: bool | None = None) -> Finding:
    """Whether the loop's memory may be locked. ``limit``: bytes, RLIMIT_MEMLOCK by default."""
    allowed = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] if limit is None else limit
    free = _has_capability(CAP_IPC_LOCK) if may_lock is None else may_lock
    if free or allowed == resource.RLIM_INFINITY or allowed >= MEMORY_NEEDED:
        return Finding("memory lock", Status.GOOD, "memory may be locked", "no tick waits for a page")
    return Finding(
        "memory lock",
        Status.WARN,
        f"only {allowed >> 10} KiB may be locked, {MEMORY_NEEDED >> 10} are needed",
        "under memory pressure a tick waits for a page to come back from disk",
        f"echo '@{_group()} - memlock unlimited' | sudo tee -a {LIMITS_FILE}, then log in again; in a service:"
        " LimitMEMLOCK=infinity",
    )


def idle_states(system: System) -> Finding | None:
    """Whether processors may be kept from sleeping deeply, and whether it matters here."""
    depths = [
        path
        for path in system.matching("/sys/devices/system/cpu/cpu0/cpuidle/state*")
        if path.name != "state0"
    ]
    if not depths:
        return None
    device = system.path("/dev/cpu_dma_latency")
    if os.access(device, os.W_OK):
        return Finding(
            "idle states", Status.GOOD, "processors can be kept awake", "waking costs no more than it must"
        )
    latency = max(int(system.text(f"/{path.relative_to(system.root)}/latency") or 0) for path in depths)
    return Finding(
        "idle states",
        Status.WARN,
        f"processors may sleep so deeply that waking takes {latency} us, and {device} may not be written",
        "each tick of an idle computer comes that much later",
        f"sudo chgrp {_group()} /dev/cpu_dma_latency && sudo chmod g+w /dev/cpu_dma_latency (until the next boot)",
    )


def _has_capability(number: int) -> bool:
    with open("/proc/self/status") as status:
        effective = next((line.split()[1] for line in status if line.startswith("CapEff")), "0")
    return bool(int(effective, 16) >> number & 1)


def _group() -> str:
    import grp

    try:
        return grp.getgrgid(os.getgid()).gr_name
    except KeyError:
        return str(os.getgid())
