"""A cycle on the wire: one sync read and one sync write of the shipped robot's servos, in the real loop.

Its floor is a bare client (``bench/bus/bare.py``): the same bytes over the same kind of line, questions of health
included, against the same emulated servos with the same wire time, at the same rate and priority, half a period
apart. What both share is the wire, the kernel and the servos; what ours has on top is codec, joints, deadline, and
the loop.

    steady     socketpair beside the bare client, at the servo's rate
    pty        the same loop over a pty, as other people's programs have it, beside a socketpair
    flat out   as many cycles as the wire takes, beside the bare client's
    buses      1, 2 and 4 lines in one group: their replies travel at the same time
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from spinal.bench import judge
from spinal.bench.bench import Bench
from spinal.bench.buckets import counts_of, distribution_us
from spinal.bench.bus.bare_client import Cycles, bare_client
from spinal.bench.bus.cycles import cut, unomitted
from spinal.bench.bus.rig import BusRig
from spinal.bench.disturbance import Watch, reason
from spinal.bench.result import Curve, Distribution, Metric, SuiteResult, Verdict
from spinal.bench.statistics import Counts, quantile, slice_ratio
from spinal.native import clock
from spinal.native.histogram import UPPER_EDGES_NS
from spinal.runtime.config import load_robot
from spinal.runtime.config.budget import bus_budget
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.controller.plan import loop_plan, the_bus
from spinal.runtime.errors import BusError, ProcessError

P50_LIMIT, P99_LIMIT = 1.05, 1.3
"""Ours over the bare client's. Most of both is wire, so 5 % of a cycle is some 50 us of ours."""
LEAST_SHARE = 0.95
"""Of the bare client's rate, flat out."""
SLICE_S = 0.25
GROUPS = (1, 2, 4)
LONGEST_S = 600.0
"""Cycles are kept one by one, so a soak is no longer than that here."""
START_S = 0.7
"""Until a process of Python stands and its first slot comes."""
DRAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Losses:
    """What did not come through: replies and packets of ours, bytes of the lines'; and who else was in trouble."""

    missing_replies: int = 0
    bad_packets: int = 0
    failed_writes: int = 0
    unwritten_bytes: int = 0
    servos_late_ns: int = 0
    """At worst, the emulated servos behind their own wire time."""
    bare_held_ns: int = 0
    """The bare client's longest cycle, beyond its median."""


def measure(bench: Bench) -> SuiteResult:
    """All conditions, one after the other. Raises BusError, ConfigError, ProcessError."""
    robot = load_robot(Path(str(resources.files("spinal.launch") / "robots" / "so101_sim.toml")))
    steady_s = min(LONGEST_S, bench.seconds(6.5, 30.0, 0.7))
    short_s = min(LONGEST_S, bench.seconds(1.5, 6.0, 0.1))
    group_s = min(LONGEST_S, bench.seconds(0.8, 4.0, 0.05))
    bench.say(f"bus: {steady_s:.0f} s beside a bare client")
    result = _steady(robot, steady_s)
    bench.say("bus: over a pty, flat out, in groups")
    parts = [result, _pty(robot, short_s), _flat_out(robot, short_s), _groups(robot, group_s)]
    return SuiteResult(
        metrics=[metric for part in parts for metric in part.metrics],
        distributions=[shown for part in parts for shown in part.distributions],
        curves=[shown for part in parts for shown in part.curves],
        notes=[note for part in parts for note in part.notes],
        disturbance=result.disturbance,
    )


def taken_apart(records: NDArray[np.void]) -> Cycles:
    """The bus's share of each tick: from waking to the last reply, and the write."""
    reading = records["read_ns"] - records["woke_ns"]
    writing = records["written_ns"] - records["computed_ns"]
    return Cycles(records["woke_ns"].copy(), reading + writing)


def of_steady(
    ours: Cycles, bare: Cycles, period_ns: int, wire_read_us: float, disturbed: str
) -> tuple[list[Metric], list[Distribution]]:
    """Figures of a loop and the bare client that ran at the same time. Cycles longer than a period count for the
    slots that they took away, too."""
    begin_ns = max(ours.begin_ns[0], bare.begin_ns[0])
    end_ns = min(ours.begin_ns[-1], bare.begin_ns[-1])
    borders_ns = np.arange(begin_ns, end_ns + 1, round(SLICE_S * 1e9))
    ours_cut = cut(ours.begin_ns, ours.took_ns, borders_ns)
    bare_cut = cut(bare.begin_ns, bare.took_ns, borders_ns)
    metrics = [
        judge.sliced(
            f"cycle_us.{word}",
            "us",
            slice_ratio(ours_cut, bare_cut, UPPER_EDGES_NS, fraction),
            limit,
            scale=1e-3,
            disturbed=disturbed,
        )
        for word, fraction, limit in (("p50", 0.5, P50_LIMIT), ("p99", 0.99, P99_LIMIT))
    ]
    beyond = quantile(counts_of(ours.took_ns), UPPER_EDGES_NS, 0.5) / 1e3 - wire_read_us
    metrics.append(
        judge.exact(
            "cycle_over_wire_us.p50",
            "us",
            beyond,
            n=len(ours.took_ns),
            why="what the bytes alone do not take",
        )
    )
    ours_all, bare_all = (counts_of(unomitted(side.took_ns, period_ns)) for side in (ours, bare))
    return metrics, [distribution_us("bus cycle", ours_all, bare_all)]


def of_losses(name: str, losses: Losses, cycles: int, slack_ns: int, disturbed: str) -> list[Metric]:
    """Nothing may be lost. ``slack_ns``: what a cycle may take beyond the usual before a reply counts as missing;
    where emulated servos or the bare client were held up for longer than that, it was the machine."""
    why = disturbed
    if losses.servos_late_ns > slack_ns:
        why = why or f"the emulated servos themselves answered {losses.servos_late_ns / 1e6:.1f} ms late"
    if losses.bare_held_ns > slack_ns:
        why = why or f"the bare client was held up for {losses.bare_held_ns / 1e6:.1f} ms as well"
    lost = {"missing_replies": losses.missing_replies, "bad_packets": losses.bad_packets}
    lost |= {"failed_writes": losses.failed_writes, "unwritten_bytes": losses.unwritten_bytes}
    return [
        judge.timed(f"{name}.{word}", "", float(count), 0.0, n=cycles, disturbed=why)
        for word, count in lost.items()
    ]


def of_rate(ours_hz: float, bare_hz: float, most_hz: float, cycles: int, disturbed: str) -> list[Metric]:
    """Cycles a second over what the bytes allow, beside the same of the bare client."""
    metric = judge.exact(
        "flat_out.rate_over_maximum",
        "",
        ours_hz / most_hz,
        LEAST_SHARE,
        better="higher",
        floor=bare_hz / most_hz,
        n=cycles,
        why=f"{ours_hz:.0f} of {most_hz:.0f} cycles a second",
    )
    if metric.verdict is Verdict.FAIL and disturbed:
        metric = msgspec.structs.replace(metric, verdict=Verdict.INCONCLUSIVE, why=disturbed)
    return [metric]


def _steady(robot: RobotConfig, seconds: float) -> SuiteResult:
    plan, budget = loop_plan(robot), bus_budget(robot, the_bus(robot))
    if budget is None:
        raise ProcessError("the shipped robot's bus has no budget", hint="see runtime/config/budget.py")
    start_ns = clock.now_ns() + round(START_S * 1e9)
    with Watch() as watch, BusRig(robot) as rig:
        with bare_client(robot, plan.dt_ns, start_ns + plan.dt_ns // 2, seconds) as bare_cycles:
            ours = taken_apart(_drive(rig, start_ns, seconds))
        bare = bare_cycles.read()
        losses = _losses(rig, bare.longest_ns - bare.median_ns)
        notes = _notes(rig)
    disturbed = reason(watch.seen, loaded=False)
    read_us = float(budget.read_us)
    slack_ns = plan.read_budget_ns - round(budget.cycle_us * 1e3)
    metrics, shown = of_steady(ours, bare, plan.dt_ns, read_us, disturbed)
    budgeted_us = budget.read_us + budget.write_us
    wire = judge.exact(
        "wire_us", "us", rig.wire_ns / 1e3, 1.0, floor=budgeted_us, why="bytes of a cycle, beside its budget"
    )
    return SuiteResult(
        metrics=[*metrics, wire, *of_losses("lost", losses, len(ours.took_ns), slack_ns, disturbed)],
        distributions=shown,
        notes=notes,
        disturbance=watch.seen,
    )


def _pty(robot: RobotConfig, seconds: float) -> SuiteResult:
    """Not judged: a pty's bytes go through a kernel worker of ordinary priority, which is not ours to mend."""
    start_ns = clock.now_ns() + 50_000_000
    try:
        with BusRig(robot, "pty") as over_pty, BusRig(robot) as beside:
            half_ns = over_pty.period_ns // 2
            found = _drive_both(over_pty, beside, (start_ns, start_ns + half_ns), seconds)
            losses = _losses(over_pty, 0)
    except (OSError, BusError) as error:
        why = f"no pty: {error}"
        return SuiteResult(metrics=[judge.missing("pty.cycle_us.p50", "us", why)])
    pty, socketpair = (counts_of(taken_apart(records).took_ns) for records in found)
    metrics = []
    for word, fraction in (("p50", 0.5), ("p99", 0.99)):
        value, floor = _us(pty, fraction), _us(socketpair, fraction)
        n = int(pty.sum())
        metrics.append(judge.exact(f"pty.cycle_us.{word}", "us", value, floor=floor, n=n))
        metrics.append(judge.exact(f"pty.worker_delay_us.{word}", "us", value - floor, n=n))
    metrics.append(judge.exact("pty.missing_replies", "", float(losses.missing_replies), n=int(pty.sum())))
    return SuiteResult(metrics=metrics)


def _flat_out(robot: RobotConfig, seconds: float) -> SuiteResult:
    start_ns = clock.now_ns() + round(START_S * 1e9)
    budget = bus_budget(robot, the_bus(robot))
    with BusRig(robot) as probe:
        wire_ns = probe.wire_ns
        mean_ns = wire_ns + (
            probe.health_wire_ns / budget.health_every if budget and budget.health_every else 0
        )
    with Watch() as watch, BusRig(robot, period_ns=wire_ns) as rig:
        with bare_client(robot, 0, start_ns, seconds) as bare_cycles:
            ours = taken_apart(_drive(rig, start_ns, seconds))
        bare = bare_cycles.read()
        losses = _losses(rig, bare.longest_ns - bare.median_ns)
    disturbed = reason(watch.seen, loaded=False)
    cycles = len(ours.took_ns)
    missing = judge.exact("flat_out.missing_replies", "", float(losses.missing_replies), n=cycles)
    return SuiteResult(metrics=[*of_rate(ours.hz, bare.hz, 1e9 / mean_ns, cycles, disturbed), missing])


def _groups(robot: RobotConfig, seconds: float) -> SuiteResult:
    """Not judged here: what a tick costs against buses is the suite ``scale``'s."""
    taken: list[Counts] = []
    missing = 0
    for buses in GROUPS:
        with BusRig(robot, buses=buses) as rig:
            taken.append(counts_of(taken_apart(_drive(rig, clock.now_ns() + 20_000_000, seconds)).took_ns))
            missing += _losses(rig, 0).missing_replies
    one = _us(taken[0], 0.5)
    metrics = [
        judge.exact(f"buses.{buses}.cycle_us.p50", "us", _us(counts, 0.5), floor=one, n=int(counts.sum()))
        for buses, counts in zip(GROUPS, taken, strict=True)
    ]
    metrics.append(judge.exact("buses.missing_replies", "", float(missing)))
    lines: dict[str, list[float | None]] = {
        word: [_us(counts, fraction) for counts in taken] for word, fraction in (("p50", 0.5), ("p99", 0.99))
    }
    curve = Curve(
        name="bus cycle against buses",
        x_name="buses",
        x_unit="",
        y_name="cycle",
        y_unit="us",
        x=[float(buses) for buses in GROUPS],
        lines=lines,
    )
    return SuiteResult(metrics=metrics, curves=[curve])


def _drive(rig: BusRig, start_ns: int, seconds: float) -> NDArray[np.void]:
    """The records of ``seconds`` from ``start_ns`` on."""
    rig.start(start_ns)
    (records,) = _wait_and_take([rig], start_ns + round(seconds * 1e9))
    return records


def _drive_both(
    one: BusRig, other: BusRig, starts_ns: tuple[int, int], seconds: float
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    for rig, start_ns in zip((one, other), starts_ns, strict=True):
        rig.start(start_ns)
    first, second = _wait_and_take([one, other], starts_ns[0] + round(seconds * 1e9))
    return first, second


def _wait_and_take(rigs: Sequence[BusRig], end_ns: int) -> list[NDArray[np.void]]:
    """Sleeps, and now and then empties the rings; stops the loops at ``end_ns``."""
    taken: list[list[NDArray[np.void]]] = [[] for _ in rigs]
    while True:
        left_s = (end_ns - clock.now_ns()) / 1e9
        time.sleep(max(0.0, min(DRAIN_S, left_s)))
        if left_s <= 0:
            for rig in rigs:
                rig.stop()
        for rig, parts in zip(rigs, taken, strict=True):
            parts.append(rig.take())
        if left_s <= 0:
            break
    found = [np.concatenate(parts) for parts in taken]
    if any(len(records) < 2 for records in found):
        raise ProcessError("the loop ran no two cycles", hint="measure longer, or give the machine some rest")
    return found


def _losses(rig: BusRig, bare_held_ns: int) -> Losses:
    counts = rig.counts
    return Losses(
        missing_replies=counts["missing_replies"],
        bad_packets=counts["bad_packets"],
        failed_writes=counts["failed_writes"],
        unwritten_bytes=rig.unwritten_bytes,
        servos_late_ns=rig.servos_late_ns,
        bare_held_ns=bare_held_ns,
    )


def _notes(rig: BusRig) -> list[str]:
    if rig.fifo is None:
        return []
    return [f"SCHED_FIFO was refused ({rig.fifo}): loop, servos and floor ran at ordinary priority"]


def _us(counts: Counts, fraction: float) -> float:
    return quantile(counts, UPPER_EDGES_NS, fraction) / 1e3
