"""From an event to the motion that answers it, on the live robot in simulation with all of its processes.

In force: until the first written frame whose trajectory answers an observation of the event or later. Its floor is
inference + bus + what sampling costs anybody (the waits for the policy's slot and for the tick's), of the same
events; what lies between is the runtime's own share (``bench/live/reaction_stages.py``). An empty loop of the
servo's rate and priority runs all the time half a period beside the robot's. Visible: in lock-step against an
undisturbed twin (``runtime/response.py``), the same figures on every machine of one kind.
"""

from __future__ import annotations

import msgspec
import numpy as np

from spinal.bench import judge
from spinal.bench.bench import Bench
from spinal.bench.buckets import distribution_us
from spinal.bench.disturbance import Watch, reason
from spinal.bench.live.reaction_run import Run, follow
from spinal.bench.live.reaction_stages import STAGES, ReactionStages
from spinal.bench.live.supervised_robot import SHIPPED, absence, supervised_robot
from spinal.bench.loads import processes
from spinal.bench.result import Metric, Stage, SuiteResult, Waterfall
from spinal.bench.statistics import Ratio, quantile, slice_ratio, wilson
from spinal.native.histogram import UPPER_EDGES_NS, Histogram
from spinal.runtime.config import load_robot

OWN_LIMIT_MS = 2.0
EVENTS, QUICK_EVENTS = 100, 8
_NONE = np.zeros(len(UPPER_EDGES_NS), np.uint64)


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
    conditions = f"{load} busy processes, policy {run.hz:g} Hz, {delay_ms:g} ms of added delay"
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
            _ms(own, 0.5),
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
