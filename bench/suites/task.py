"""How often and how smoothly the policy picks, at added delays: ``spinal bench run task``.

Lock-step: the same tick, limiter, bus protocol, emulated servos, sensor, filter and policy step as live, on a
manual clock, so the figures are the same on every machine of one kind. Seeds: evaluation, which nothing was
trained or chosen on. How often it picks belongs to the policy, and is shown; that no tick lacks a fresh chunk and
no switch jumps is promised of any policy, and judged.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from spinal.bench import judge
from spinal.bench.bench import Bench
from spinal.bench.episodes import SHIPPED, Condition, Result
from spinal.bench.episodes import run as run_episodes
from spinal.bench.result import Curve, Metric, SuiteResult, finite

EPISODES, QUICK_EPISODES = 300, 20
DELAYS, QUICK_DELAYS = (0, 2, 4, 6), (0, 4)
LARGEST_SEAM = 1e-9
"""Relative. Rounding leaves some 1e-14; a jump that a servo could show begins at 1e-3."""


def measure(bench: Bench) -> SuiteResult:
    """Runs the episodes of every delay. Raises ConfigError, PolicyError."""
    options = bench.options
    episodes = options.episodes or (QUICK_EPISODES if bench.quick else EPISODES)
    delays = options.delays or (QUICK_DELAYS if bench.quick else DELAYS)
    conditions = [
        Condition(delay_steps=delay, robot=options.robot or SHIPPED, model=options.model, noise=options.noise)
        for delay in delays
    ]
    found = run_episodes(conditions, options.seeds[:episodes], options.processes)
    bench.say("\n".join(table(delays, found)))
    return summary(delays, found)


def summary(delays: Sequence[int], results: Sequence[Result]) -> SuiteResult:
    """The figures of each delay, and success and jerk against it."""
    return SuiteResult(
        metrics=[
            metric
            for delay, result in zip(delays, results, strict=True)
            for metric in metrics(f"{delay}steps", result)
        ],
        curves=curves(delays, results),
    )


def metrics(name: str, result: Result) -> list[Metric]:
    """What the episodes of one condition came to, under ``name``."""
    n = result.episodes
    rate = judge.exact(f"{name}.success", "", result.successes / n, better="higher", n=n)
    return [
        msgspec.structs.replace(rate, low=result.low, high=result.high),
        judge.exact(f"{name}.dropped", "", result.dropped / n, n=n),
        judge.exact(f"{name}.pick_s.median", "s", result.pick_s_median, n=result.successes),
        judge.exact(f"{name}.pick_s.p90", "s", result.pick_s_p90, n=result.successes),
        judge.exact(f"{name}.rms_jerk", "rad/s^3", result.rms_jerk, n=n),
        judge.exact(f"{name}.limited_share", "", result.limited_share, n=n),
        judge.exact(f"{name}.starved_ticks", "", result.starved_ticks, 0, n=n),
        judge.exact(f"{name}.seam", "", result.seam, LARGEST_SEAM, n=n),
        judge.exact(f"{name}.delay_ms", "ms", result.delay_ms, n=n),
    ]


def curves(delays: Sequence[int], results: Sequence[Result]) -> list[Curve]:
    """Success with its 95 % interval, and jerk, against the delay."""
    ordered = sorted(zip(delays, results, strict=True), key=lambda pair: pair[0])
    x = [float(delay) for delay, _ in ordered]
    success: dict[str, list[float | None]] = {
        "picked": [one.successes / one.episodes for _, one in ordered],
        "95 %, low": [one.low for _, one in ordered],
        "95 %, high": [one.high for _, one in ordered],
    }
    jerk: dict[str, list[float | None]] = {"rms jerk": [finite(one.rms_jerk) for _, one in ordered]}
    unit = "policy steps"
    return [
        Curve(
            name="success against delay",
            x_name="added delay",
            x_unit=unit,
            y_name="picked",
            y_unit="",
            x=x,
            lines=success,
        ),
        Curve(
            name="jerk against delay",
            x_name="added delay",
            x_unit=unit,
            y_name="rms jerk",
            y_unit="rad/s^3",
            x=x,
            lines=jerk,
        ),
    ]


def table(delays: Sequence[int], results: Sequence[Result]) -> list[str]:
    """Markdown, ready to paste: a line for each delay."""
    lines = [
        "| added delay | picked | 95 % | dropped | time to pick, median / p90 | rms jerk | limited | starved ticks"
        " | measured delay | largest seam |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for delay, result in zip(delays, results, strict=True):
        lines.append(
            f"| {delay} steps | {result.successes} of {result.episodes} | {result.low:.3f} to {result.high:.3f}"
            f" | {result.dropped} | {result.pick_s_median:.2f} / {result.pick_s_p90:.2f} s"
            f" | {result.rms_jerk:.0f} rad/s^3 | {result.limited_share * 100:.2f} % | {result.starved_ticks}"
            f" | {result.delay_ms:.1f} ms | {result.seam:.0e} |"
        )
    return lines
