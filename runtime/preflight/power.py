"""Processors: how many, how fast, and who else has them."""

from __future__ import annotations

import os
import re

from spinal.runtime.preflight.finding import Finding, Status, System, Write

FEWEST = 2
STEAL_FIELD = 7
STEAL_LIMIT = 0.001
"""Of the time since boot. A virtual machine that lost more to its host will lose ticks too."""
GOVERNORS = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"


def processors(count: int | None = None) -> Finding:
    """Whether the loop and the network each have one."""
    usable = len(os.sched_getaffinity(0)) if count is None else count
    if usable >= FEWEST:
        return Finding(
            "processors", Status.GOOD, f"{usable} processors", "the loop and the network do not share one"
        )
    return Finding(
        "processors",
        Status.WARN,
        "1 processor",
        "while the network computes, the loop takes its processor away again and again, and answers come late",
        "give this computer, container or virtual machine a second one",
    )


def governor(system: System) -> Finding | None:
    """Whether processors stay at their full speed."""
    files = system.matching(GOVERNORS)
    chosen = {path: path.read_text().strip() for path in files}
    slow = [path for path, name in chosen.items() if name != "performance"]
    if not files:
        return None
    if not slow:
        return Finding(
            "governor", Status.GOOD, "processors keep their full speed", "a tick costs the same each time"
        )
    names = ", ".join(sorted({chosen[path] for path in slow}))
    return Finding(
        "governor",
        Status.WARN,
        f"{len(slow)} of {len(files)} processors are governed by {names}",
        "a tick after a quiet moment runs at the lowest speed",
        f"echo performance | sudo tee {GOVERNORS}",
        tuple(Write(path, "performance") for path in slow),
    )


def virtual(system: System) -> Finding | None:
    """Whether a host may take the processors away, and whether it did."""
    if not re.search(r"^flags\s*:.*\bhypervisor\b", system.text("/proc/cpuinfo") or "", re.MULTILINE):
        return None
    words = (system.text("/proc/stat") or "cpu 0").split("\n", 1)[0].split()[1:9]
    times = [int(word) for word in words]
    stolen = times[STEAL_FIELD] / max(1, sum(times)) if len(times) > STEAL_FIELD else 0.0
    return Finding(
        "virtual machine",
        Status.WARN,
        f"this is a virtual machine; since its boot the host took {stolen:.2%} of its time",
        "its host may stop it for tens of ms at any time, whatever runs in it: no robot should depend on it",
        "run the robot on metal, or give the machine processors of its own (pinned, not shared)",
    )


def swap(system: System) -> Finding | None:
    """Whether memory may be put out to disk."""
    lines = (system.text("/proc/swaps") or "").splitlines()[1:]
    if not lines:
        return None
    used = sum(int(line.split()[3]) for line in lines)
    return Finding(
        "swap",
        Status.NOTE,
        f"there is swap, {used >> 10} MiB of it in use",
        "the loop's memory is locked and stays; the policy's may have to come back from disk",
        "sudo swapoff -a, on a robot whose memory is enough",
    )
