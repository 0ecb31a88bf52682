"""Success and jerk against the delay of inference, by how one chunk meets the next: ``spinal bench run delays``.

Every method drives the same network, on the same seeds, through the same tick and limiter in lock-step, and is told
the same measured delay. The shipped network was trained with prefixes; real-time chunking guides the same network
without one, and what is not ours is executed without our smoothing across the seam. Differences of success are
paired seed by seed. Evaluation seeds, which nothing was chosen on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

import msgspec

from spinal.bench import judge
from spinal.bench.bench import Bench
from spinal.bench.episodes import SHIPPED, Condition, Result, run_each
from spinal.bench.result import Curve, Metric, SuiteResult, Verdict, finite
from spinal.bench.statistics import paired_difference
from spinal.runtime.rollout import Episode

EPISODES, QUICK_EPISODES = 100, 6
DELAYS, QUICK_DELAYS = tuple(range(9)), (0, 4)
SPEEDS, QUICK_SPEEDS = (1.0, 1.5, 2.0, 3.0), (1.0, 2.0)
SPINAL = "spinal"
FLOW = Path(str(resources.files("spinal.launch") / "policies" / "cartpick" / "cartpick_flow.onnx"))
"""The shipped network with its flow looped from outside, so that it can be guided."""
PLAIN: Mapping[str, float | str] = {"seam_smoothing": 0.0}
RAW: Mapping[str, float | str] = {
    "seam_smoothing": 0.0,
    "smoothing": 0.0,
    "blend_min_ms": 1,
    "blend_max_ms": 1,
}
"""Straight through the waypoints, and at a switch as fast to the new ones as the limiter lets it."""

METHODS: Mapping[str, Condition] = {
    SPINAL: Condition(),
    "prefix": Condition(execution={**PLAIN, "strategy": "prefix"}),
    "rtc": Condition(execution={**PLAIN, "strategy": "rtc"}, model=FLOW),
    "ensembling": Condition(execution={**PLAIN, "strategy": "ensemble"}),
    "naive_switch": Condition(execution={**PLAIN, "strategy": "latest"}),
    "naive_raw": Condition(execution={**RAW, "strategy": "latest"}),
    "wait": Condition(execution={**PLAIN, "strategy": "wait"}),
}
"""``naive_switch``: each answer when it is there, told nothing; its seam decays in the tick, as everybody's.
``wait``: ten actions, then the arm stands until the next answer, as a loop without overlap does."""

PACES: Mapping[str, Mapping[str, float | str]] = {
    "as it is": {},
    "1x at the gripper": {"speed_at_gripper": 1.0},
    "1x where it lags": {"speed_error": 0.1},
}
"""What of [execution] slows a faster execution down, besides the delay."""

Table = Mapping[tuple[str, int], list[Episode]]
"""By method and delay in policy steps: an episode a seed."""
Paced = Mapping[tuple[float, str], Result]
"""By speed, and what slows it down."""


def measure(bench: Bench) -> SuiteResult:
    """Runs every method at every delay, then ours at other speeds. Raises ConfigError, PolicyError."""
    options = bench.options
    episodes = options.episodes or (QUICK_EPISODES if bench.quick else EPISODES)
    delays = options.delays or (QUICK_DELAYS if bench.quick else DELAYS)
    speeds = QUICK_SPEEDS if bench.quick else SPEEDS
    points = [(name, delay) for name in METHODS for delay in delays]
    conditions = [replace(METHODS[name], delay_steps=delay, robot=SHIPPED) for name, delay in points]
    faster = [(speed, pace) for speed in speeds for pace in PACES if speed > 1 or not PACES[pace]]
    conditions += [
        Condition(execution={"speed": speed, **PACES[pace]}, robot=SHIPPED) for speed, pace in faster
    ]
    found = run_each(conditions, options.seeds[:episodes], options.processes)
    table = dict(zip(points, found[: len(points)], strict=True))
    paced = {point: Result.of(one) for point, one in zip(faster, found[len(points) :], strict=True)}
    bench.say("\n".join([*lines(table), "", *speed_lines(paced)]))
    return summary(table, paced)


def summary(table: Table, paced: Paced) -> SuiteResult:
    """Figures of every point, how ours stands against each other, and the curves."""
    results = {point: Result.of(one) for point, one in table.items()}
    metrics = [
        metric for (name, delay), one in results.items() for metric in _figures(f"{name}.{delay}steps", one)
    ]
    metrics += [judged(table, delay, name) for delay in _delays(table) for name in METHODS if name != SPINAL]
    for (speed, pace), one in paced.items():
        metrics += _figures(f"{SPINAL}.{speed:g}x.{'_'.join(pace.split())}", one)
    return SuiteResult(metrics=metrics, curves=[*curves(results), speed_curve(paced)])


def judged(table: Table, delay: int, other: str) -> Metric:
    """Ours less the other's rate of success, with its 95 % interval: fails when all of it lies below 0."""
    ours, theirs = (
        [episode.outcome == "success" for episode in table[name, delay]] for name in (SPINAL, other)
    )
    difference, low, high = paired_difference(ours, theirs)
    metric = judge.exact(f"{SPINAL}.over.{other}.{delay}steps", "", difference, better="higher", n=len(ours))
    worse = high < 0 and delay >= 1
    return msgspec.structs.replace(
        metric, low=low, high=high, limit=0.0, verdict=Verdict.FAIL if worse else Verdict.PASS
    )


def _figures(name: str, result: Result) -> list[Metric]:
    n = result.episodes
    rate = judge.exact(f"{name}.success", "", result.successes / n, better="higher", n=n)
    return [
        msgspec.structs.replace(rate, low=result.low, high=result.high),
        judge.exact(f"{name}.rms_jerk", "rad/s^3", result.rms_jerk, n=n),
        judge.exact(f"{name}.limited_share", "", result.limited_share, n=n),
        judge.exact(f"{name}.starved_ticks", "", result.starved_ticks, n=n),
        judge.exact(f"{name}.pick_s.median", "s", result.pick_s_median, n=result.successes),
    ]


def curves(results: Mapping[tuple[str, int], Result]) -> list[Curve]:
    """Success and jerk against the delay, a line for each method."""
    delays = sorted({delay for _, delay in results})
    x = [float(delay) for delay in delays]
    success: dict[str, list[float | None]] = {}
    jerk: dict[str, list[float | None]] = {}
    for name in METHODS:
        row = [results[name, delay] for delay in delays]
        success[name] = [one.successes / one.episodes for one in row]
        jerk[name] = [finite(one.rms_jerk) for one in row]
    unit = "policy steps"
    return [
        Curve(
            name=name,
            x_name="delay of inference",
            x_unit=unit,
            y_name=y_name,
            y_unit=y_unit,
            x=x,
            lines=shown,
        )
        for name, y_name, y_unit, shown in (
            ("success by method against delay", "picked", "", success),
            ("jerk by method against delay", "rms jerk", "rad/s^3", jerk),
        )
    ]


def speed_curve(paced: Paced) -> Curve:
    """Success against the speed of execution; at 1 there is nothing to slow down."""
    speeds = sorted({speed for speed, _ in paced})
    lines: dict[str, list[float | None]] = {}
    for pace in PACES:
        row = [paced.get((speed, pace)) or paced[speed, "as it is"] for speed in speeds]
        lines[pace] = [one.successes / one.episodes for one in row]
    return Curve(
        name="success against speed",
        x_name="speed",
        x_unit="times as taught",
        y_name="picked",
        y_unit="",
        x=speeds,
        lines=lines,
    )


def lines(table: Table) -> list[str]:
    """Markdown, ready to paste: picked and rms jerk of each method at each delay, and ours less the best other."""
    delays = _delays(table)
    shown = [
        "| delay | " + " | ".join(METHODS) + " | ours less the best other (95 %) |",
        "|---" * (len(METHODS) + 2) + "|",
    ]
    for delay in delays:
        results = {name: Result.of(table[name, delay]) for name in METHODS}
        cells = [f"{one.successes} of {one.episodes}, {one.rms_jerk:,.0f}" for one in results.values()]
        best = max((name for name in METHODS if name != SPINAL), key=lambda name: results[name].successes)
        metric = judged(table, delay, best)
        apart = f"{metric.value:+.2f} ({metric.low:+.2f} to {metric.high:+.2f}), {best}"
        shown.append(f"| {delay} | " + " | ".join(cells) + f" | {apart} |")
    return shown


def speed_lines(paced: Paced) -> list[str]:
    """Markdown: ours at other speeds."""
    return [
        "| speed | slower | picked | 95 % | time to pick, median | rms jerk | limited |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {speed:g}x | {pace} | {one.successes} of {one.episodes} | {one.low:.2f} to {one.high:.2f}"
            f" | {one.pick_s_median:.2f} s | {one.rms_jerk:,.0f} rad/s^3 | {one.limited_share * 100:.1f} % |"
            for (speed, pace), one in paced.items()
        ),
    ]


def _delays(table: Table) -> Sequence[int]:
    return sorted({delay for _, delay in table})
