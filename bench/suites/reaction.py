"""From an event to the motion that answers it, on the live robot in simulation with all of its processes.

In force: until the first written frame whose trajectory answers an observation of the event or later. Its floor is
inference + bus + what sampling costs anybody (the waits for the policy's slot and for the tick's), of the same
events; what lies between is the runtime's own share (``bench/reaction_stages.py``). An empty loop of the servo's
rate and priority runs all the time half a period beside the robot's. Visible: in lock-step against an undisturbed
twin (``runtime/response.py``), the same figures on every machine of one kind.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from spinal.bench import judge
from spinal.bench.bench import Bench
from spinal.bench.buckets import distribution_us
from spinal.bench.disturbance import Watch, reason
from spinal.bench.loads import processes
from spinal.bench.reaction_stages import STAGES, ReactionStages
from spinal.bench.result import Metric, Stage, SuiteResult, Waterfall
from spinal.bench.statistics import Counts, Ratio, quantile, slice_ratio, wilson
from spinal.bench.supervised_robot import SHIPPED, SupervisedRobot, absence, supervised_robot
from spinal.native import clock, layout
from spinal.native.floor import Floor
from spinal.native.histogram import UPPER_EDGES_NS, Histogram
from spinal.native.loop import LoopStats
from spinal.native.shared import Ring
from spinal.runtime.config import load_robot
from spinal.runtime.errors import PolicyError
from spinal.runtime.segments import (
    CONTROLLER_RECORDS,
    CONTROLLER_STATS,
    POLICY_REPORT,
    SIM_POSE,
    SIM_REPORT,
    SUPERVISOR_TAIL,
    PoseReader,
    ReportReader,
    StateReader,
    Writer,
)

OWN_LIMIT_MS = 2.0
WATCH_S = 0.02
SLICES, SHORTEST_SLICE_S = 40, 0.5
EVENTS, QUICK_EVENTS = 100, 8
TAKE = 512
_NONE = np.zeros(len(UPPER_EDGES_NS), np.uint64)


@dataclass
class Run:
    """What a live run left behind."""

    stages: ReactionStages
    late: list[Counts] = field(default_factory=list)
    floor: list[Counts] = field(default_factory=list)
    loop: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    sim: dict[str, Any] = field(default_factory=dict)
    deaths: int = 0
    fifo: str | None = None
    seconds: float = 0.0


def measure(bench: Bench) -> SuiteResult:
    """The live robot, then lock-step. Raises ConfigError, PolicyError, ProcessError and what its start raises."""
    why = absence()
    if why:
        return SuiteResult(metrics=[judge.missing("reaction_ms.p50", "ms", why)], notes=[why])
    options = bench.options
    load, hz, delay_ms = options.load, options.hz, options.delay_ms
    seconds = options.live_seconds or bench.seconds(22.0, 60.0)
    bench.say(f"reaction: {seconds:.0f} s of the live robot")
    with Watch() as watch, processes(["busy"] * load), supervised_robot(bench.say, hz=hz) as live:
        run = follow(live, seconds, delay_ms)
    disturbed, stages = reason(watch.seen, loaded=load > 0), run.stages
    events = options.events or (QUICK_EVENTS if bench.quick else EVENTS)
    conditions = f"{load} busy processes, policy {hz or 'at its own'} Hz, {delay_ms:g} ms of added delay"
    return SuiteResult(
        metrics=[
            *of_reaction(stages, disturbed),
            *of_run(run, disturbed),
            *_visible(bench, events, options.answer_ms),
        ],
        distributions=[
            distribution_us("reaction in force", stages.in_force.counts(), stages.floor.counts()),
            distribution_us("loop lateness", sum(run.late, _NONE), sum(run.floor, _NONE)),
        ],
        waterfalls=[waterfall(stages)],
        notes=[f"live: {conditions}, {run.seconds:.0f} s", *_notes(run, events)],
        disturbance=watch.seen,
    )


def of_reaction(stages: ReactionStages, disturbed: str) -> list[Metric]:
    """In force beside its floor, and the runtime's own share of it."""
    own = stages.own
    return [
        *_beside("reaction_ms", stages.in_force, stages.floor),
        judge.timed(
            "own_ms.p50",
            "ms",
            _ms(own, 0.5) if own.total else float("nan"),
            OWN_LIMIT_MS,
            n=own.total,
            disturbed=disturbed,
            why="the runtime's own share of each reaction",
        ),
        judge.exact("own_ms.p99", "ms", _ms(own, 0.99), n=own.total),
        *_plain("with_sensor_ms", stages.with_sensor),
        judge.exact("first_action_ms", "ms", (stages.first_action_ns or 0) / 1e6)
        if stages.first_action_ns is not None
        else judge.missing("first_action_ms", "ms", "the robot never ran"),
    ]


def of_run(run: Run, disturbed: str) -> list[Metric]:
    """How the robot fared meanwhile."""
    loop, policy, sim = run.loop, run.policy, run.sim
    ticks, running = loop["ticks"], loop["running_ticks"]
    age, compute, bus = loop["age"], loop["compute"], loop["bus_cycle"]
    inference = policy.get("inference_us", {})
    picked, tried = sim.get("success", 0), sim.get("episodes", 0)
    low, high = wilson(picked, tried)
    rate = judge.exact("picked", "", picked / tried if tried else float("nan"), better="higher", n=tried)
    jerk = (loop["jerk_square_sum"] / max(1, loop["jerk_count"])) ** 0.5
    return [
        judge.exact("observation_age_ms.p50", "ms", age["p50"] / 1e6, n=age["n"]),
        judge.exact("observation_age_ms.p99", "ms", age["p99"] / 1e6, n=age["n"]),
        judge.exact("observation_age_ms.max", "ms", age["max"] / 1e6, n=age["n"]),
        judge.exact("starved_ticks", "", float(loop["starved_ticks"]), n=running),
        judge.exact("missed_ticks", "", float(loop["skipped_slots"]), n=ticks),
        judge.sliced("loop_late_us.p50", "us", _late(run, 0.5), None, scale=1e-3),
        judge.sliced("loop_late_us.p99", "us", _late(run, 0.99), None, scale=1e-3),
        judge.sliced("loop_late_us.p999", "us", _late(run, 0.999), None, scale=1e-3),
        judge.exact("compute_us.p50", "us", compute["p50"] / 1e3, n=compute["n"]),
        judge.exact("compute_us.p99", "us", compute["p99"] / 1e3, n=compute["n"]),
        judge.exact("inference_us.p50", "us", inference.get("p50", float("nan")), n=policy.get("runs", 0)),
        judge.exact("inference_us.p99", "us", inference.get("p99", float("nan")), n=policy.get("runs", 0)),
        judge.exact("bus_us.p50", "us", bus["p50"] / 1e3, n=bus["n"]),
        judge.exact("bus_us.p99", "us", bus["p99"] / 1e3, n=bus["n"]),
        msgspec.structs.replace(
            rate, low=low, high=high, why=f"{picked} of {tried}, {low:.2f} to {high:.2f}"
        ),
        judge.exact("pick_s.p50", "s", sim.get("pick_s_median", float("nan")), n=picked),
        judge.exact("seam", "", max(loop["seam"].values()), n=loop["switches"], why="largest relative jump"),
        judge.exact("rms_jerk", "rad/s^3", jerk, n=loop["jerk_count"]),
        judge.exact("limited_ticks", "", float(loop["limited_ticks"]), n=running),
        judge.timed("restarts", "", float(run.deaths), 0.0, disturbed=disturbed),
    ]


def waterfall(stages: ReactionStages) -> Waterfall:
    """Each stage's median, one behind the other; a stage that takes no time is left out."""
    shown, at_us = [], 0.0
    for name, histogram in zip(STAGES, stages.stages, strict=True):
        took_us = _ms(histogram, 0.5) * 1e3
        if histogram.total and histogram.quantile_ns(0.5) > 0:
            shown.append(Stage(name=name, begin_us=at_us, end_us=at_us + took_us))
            at_us += took_us
    return Waterfall(name="one action from sensor to motor, medians", stages=shown)


def follow(live: SupervisedRobot, seconds: float, delay_ms: float) -> Run:
    """Watches over a started robot for ``seconds``, beside an empty loop. Raises PolicyError when it never ran."""
    supervisor, robot = live.supervisor, live.robot
    if robot.policy is None:
        raise PolicyError(f"{robot.name} has no policy", hint="add [policy] to the robot file")
    controller = supervisor.reader(Writer.CONTROLLER)
    ring = Ring(controller, CONTROLLER_RECORDS, supervisor.reader(Writer.SUPERVISOR), SUPERVISOR_TAIL)
    buffer = np.zeros(TAKE, layout.record_dtype(len(robot.joints)))
    stats = LoopStats(controller, CONTROLLER_STATS)
    policy = ReportReader(supervisor.reader(Writer.POLICY), POLICY_REPORT)
    sim = ReportReader(supervisor.reader(Writer.SIM), SIM_REPORT)
    poses = PoseReader(supervisor.reader(Writer.SIM), SIM_POSE)
    run = Run(ReactionStages(robot.policy.period_ns, robot.control.period_ns, held_back=delay_ms > 0))
    supervisor.set_added_delay(round(delay_ms * 1e6))
    slice_s = max(SHORTEST_SLICE_S, seconds / SLICES)
    began_s = sliced_s = time.monotonic()
    with empty_loop(live) as floor:
        run.fifo = floor.fifo
        before = stats.counts("late"), floor.counts()
        while (now_s := time.monotonic()) - began_s < seconds:
            supervisor.watch()
            run.stages.take_samples(poses.take())
            run.stages.take_steps(policy.read().get("steps", ()))
            for records in _taken(ring, buffer):
                run.stages.take_records(records)
            run.stages.settle()
            if now_s - sliced_s >= slice_s:
                sliced_s = now_s
                after = stats.counts("late"), floor.counts()
                run.late.append(after[0] - before[0])
                run.floor.append(after[1] - before[1])
                before = after
            time.sleep(WATCH_S)
    run.seconds = time.monotonic() - began_s
    run.loop = dict(stats.read())
    run.policy, run.sim, run.deaths = policy.read(), sim.read(), live.deaths
    if not run.loop["switches"]:
        raise PolicyError(
            f"the robot never ran: {run.policy.get('complaint') or 'no chunk came into force'}",
            hint="look at the policy's inputs and outputs: spinal check; or measure for longer",
        )
    return run


@contextmanager
def empty_loop(live: SupervisedRobot) -> Iterator[Floor]:
    """The floor of the robot's loop: its rate and priority, half a period away from its ticks."""
    control = live.robot.control
    priority = control.fifo_priority if control.realtime != "off" else 0
    state = StateReader(live.supervisor.reader(Writer.CONTROLLER), len(live.robot.joints)).read()
    now_ns = clock.now_ns()
    slot_ns = state.tick_ns if state is not None else now_ns
    ahead = (now_ns - slot_ns) // control.period_ns + 5
    floor = Floor(control.period_ns, priority)
    floor.start(slot_ns + ahead * control.period_ns + control.period_ns // 2)
    try:
        yield floor
    finally:
        floor.stop()


def _taken(ring: Ring, buffer: NDArray[np.void]) -> Iterator[NDArray[np.void]]:
    while count := ring.take(buffer.view(np.uint8)):
        yield buffer[:count]


def _visible(bench: Bench, events: int, answer_ms: float) -> list[Metric]:
    """Lock-step: no clock of this machine is in it."""
    from spinal.runtime.response import measure_response

    found = measure_response(load_robot(SHIPPED), answer_ms, bench.say, events=events)
    return [
        judge.exact(f"response_ms.{word}", "ms", found[word], n=found["n"])
        for word in ("visible", "p10", "p50", "p90")
    ]


def _late(run: Run, fraction: float) -> Ratio:
    if not run.late:
        return Ratio(*(float("nan"),) * 5, 0, 0)
    return slice_ratio(np.stack(run.late), np.stack(run.floor), UPPER_EDGES_NS, fraction)


def _beside(name: str, histogram: Histogram, floor: Histogram) -> list[Metric]:
    return [
        judge.exact(
            f"{name}.{word}", "ms", _ms(histogram, fraction), floor=_ms(floor, fraction), n=histogram.total
        )
        for word, fraction in (("p50", 0.5), ("p99", 0.99))
    ]


def _plain(name: str, histogram: Histogram) -> list[Metric]:
    return [
        judge.exact(f"{name}.{word}", "ms", _ms(histogram, fraction), n=histogram.total)
        for word, fraction in (("p50", 0.5), ("p99", 0.99))
    ]


def _ms(histogram: Histogram, fraction: float) -> float:
    return quantile(histogram.counts(), UPPER_EDGES_NS, fraction) / 1e6


def _notes(run: Run, events: int) -> list[str]:
    notes = []
    if run.fifo is not None:
        notes.append(f"SCHED_FIFO was refused ({run.fifo}): loop and floor ran at ordinary priority")
    if events < EVENTS:
        notes.append(
            f"response_ms is of {events} events only; the published one is of {EVENTS}: --events {EVENTS}"
        )
    return notes
