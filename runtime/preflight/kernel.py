"""The kernel: how it preempts, what it counts time with, how much of a processor it leaves to real time."""

from __future__ import annotations

import re

from spinal.runtime.preflight.finding import Finding, Status, System

FAST_CLOCKS = ("tsc", "arch_sys_counter", "kvm-clock")
"""Read without entering the kernel: tens of ns. hpet and acpi_pm take a us each, several times a tick."""
LEAST_SHARE = 0.7
"""Of a processor: a loop and its bus stay below it."""


def preemption(system: System) -> Finding:
    """Whether the kernel lets a loop in at any time."""
    version = system.text("/proc/version") or ""
    kind = next((word for word in ("PREEMPT_RT", "PREEMPT_DYNAMIC", "PREEMPT") if word in version), "")
    if kind == "PREEMPT_RT" or system.text("/sys/kernel/realtime") == "1":
        return Finding(
            "kernel", Status.GOOD, "the kernel is PREEMPT_RT", "a loop wakes within tens of us, always"
        )
    fact = f"the kernel is {kind}, not PREEMPT_RT" if kind else "the kernel is not PREEMPT_RT"
    return Finding(
        "kernel",
        Status.WARN,
        fact,
        "most ticks are on time, and a few in a thousand may be late by 1 ms and more",
        "install a PREEMPT_RT kernel: linux-image-rt-amd64 on Debian, or your board's own",
    )


def clock_source(system: System) -> Finding | None:
    """What CLOCK_MONOTONIC is read from."""
    source = system.text("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    if source is None:
        return None
    if source in FAST_CLOCKS:
        return Finding("clock", Status.GOOD, f"time is read from {source}", "a stamp costs tens of ns")
    return Finding(
        "clock",
        Status.WARN,
        f"time is read from {source}",
        "each stamp enters the kernel and costs about 1 us; a tick takes eight",
        "boot with clocksource=tsc, if dmesg does not call the tsc unstable",
    )


def timer_resolution(system: System) -> Finding | None:
    """Whether a sleep ends at its instant, not at the next jiffy."""
    timers = system.text("/proc/timer_list")
    found = re.search(r"\.hres_active\s*:\s*(\d)", timers or "")
    if found is None:
        return None
    if found.group(1) == "1":
        return Finding("timers", Status.GOOD, "high-resolution timers are on", "a sleep ends at its instant")
    return Finding(
        "timers",
        Status.BAD,
        "high-resolution timers are off",
        "each sleep ends up to 10 ms late, whatever its priority",
        "boot a kernel with CONFIG_HIGH_RES_TIMERS, without highres=off",
    )


def throttling(system: System) -> Finding | None:
    """How much of a processor real-time threads may take before the kernel stops them."""
    runtime = system.text("/proc/sys/kernel/sched_rt_runtime_us")
    period = system.text("/proc/sys/kernel/sched_rt_period_us")
    if runtime is None or period is None:
        return None
    if int(runtime) < 0:
        return Finding(
            "throttling",
            Status.NOTE,
            "real-time threads are never throttled",
            "a loop that runs away keeps its processor from everything else",
            "sudo sysctl kernel.sched_rt_runtime_us=950000",
        )
    share = int(runtime) / int(period)
    if share >= LEAST_SHARE:
        return Finding(
            "throttling",
            Status.GOOD,
            f"real-time threads may take {share:.0%} of a processor",
            "a loop takes a few",
        )
    return Finding(
        "throttling",
        Status.WARN,
        f"real-time threads may take only {share:.0%} of a processor",
        "a loop above that is stopped for the rest of the second",
        "sudo sysctl kernel.sched_rt_runtime_us=950000",
    )


def isolation(system: System) -> Finding | None:
    """Processors that the scheduler leaves alone."""
    isolated = system.text("/sys/devices/system/cpu/isolated")
    if not isolated:
        return None
    return Finding(
        "isolation",
        Status.NOTE,
        f"processors {isolated} are isolated",
        "nothing runs there unless it is put there; a robot started with taskset -c may have them to itself",
    )
