"""Execution settings, the shipped ones beside others, by success and jerk: ``spinal bench run front``.

Success inside the limits comes first, then jerk. Lock-step, on the validation seeds, as that is what settings are
chosen on. Nothing is judged: a front is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from spinal.bench import judge
from spinal.bench.bench import Bench
from spinal.bench.episodes import SHIPPED, Condition, Result
from spinal.bench.episodes import run as run_episodes
from spinal.bench.result import Curve, Metric, SuiteResult, finite
from spinal.drivers.sim import seeds

EPISODES, QUICK_EPISODES = 100, 10
DELAYS, QUICK_DELAYS = (0, 2, 4, 6), (4,)

SETTINGS = {
    "shipped": Condition(),
    "no seam smoothing": Condition(execution={"seam_smoothing": 0.0}),
    "seam smoothing 30": Condition(execution={"seam_smoothing": 30.0}),
    "seam smoothing 1000": Condition(execution={"seam_smoothing": 1000.0}),
    "blend from 20 ms": Condition(execution={"blend_min_ms": 20}),
    "blend 160 ms, always": Condition(execution={"blend_min_ms": 160}),
    "no prefix": Condition(prefix=False),
    "no noise": Condition(noise="zero"),
}
"""Changes to the shipped settings, one at a time."""

Front = Mapping[tuple[str, int], Result]
"""By setting and delay in policy steps."""


def measure(bench: Bench) -> SuiteResult:
    """Runs the episodes of every setting at every delay. Raises ConfigError, PolicyError."""
    options = bench.options
    episodes = options.episodes or (QUICK_EPISODES if bench.quick else EPISODES)
    delays = options.delays or (QUICK_DELAYS if bench.quick else DELAYS)
    points = [
        (name, delay, replace(condition, delay_steps=delay, robot=options.robot or SHIPPED))
        for name, condition in SETTINGS.items()
        for delay in delays
    ]
    found = run_episodes(
        [condition for *_, condition in points], seeds.VALIDATION[:episodes], options.processes
    )
    front = {(name, delay): result for (name, delay, _), result in zip(points, found, strict=True)}
    bench.say("\n".join(table(front)))
    return summary(front)


def summary(front: Front) -> SuiteResult:
    """Success, jerk and limited ticks of each point, and success over jerk for each delay."""
    return SuiteResult(
        metrics=[metric for (name, delay), one in front.items() for metric in metrics(name, delay, one)],
        curves=[curve(front, delay) for delay in _delays(front)],
    )


def metrics(setting: str, delay: int, result: Result) -> list[Metric]:
    """Three figures of one setting at one delay; its name without spaces."""
    words = "_".join(setting.replace(",", "").split())
    name, n = f"{words}.{delay}steps", result.episodes
    rate = judge.exact(f"{name}.success", "", result.successes / n, better="higher", n=n)
    return [
        msgspec.structs.replace(rate, low=result.low, high=result.high),
        judge.exact(f"{name}.rms_jerk", "rad/s^3", result.rms_jerk, n=n),
        judge.exact(f"{name}.limited_share", "", result.limited_share, n=n),
    ]


def curve(front: Front, delay: int) -> Curve:
    """Success over jerk: a line of one point for each setting."""
    here = {
        name: one for (name, at), one in front.items() if at == delay and finite(one.rms_jerk) is not None
    }
    x = sorted({one.rms_jerk for one in here.values()})
    return Curve(
        name=f"success over jerk, {delay} steps of delay",
        x_name="rms jerk",
        x_unit="rad/s^3",
        y_name="picked",
        y_unit="",
        x=x,
        lines={
            name: [one.successes / one.episodes if jerk == one.rms_jerk else None for jerk in x]
            for name, one in here.items()
        },
    )


def table(front: Front) -> list[str]:
    """Markdown, ready to paste: a line for each setting; picked %, rms jerk, limited ticks for each delay."""
    delays = _delays(front)
    lines = [
        "| setting | " + " | ".join(f"{delay} steps" for delay in delays) + " |",
        "|---" * (len(delays) + 1) + "|",
    ]
    for name in dict.fromkeys(name for name, _ in front):
        cells = [
            f"{100 * one.successes / one.episodes:.0f} %, {one.rms_jerk:.0f}, {100 * one.limited_share:.1f} %"
            for one in (front[name, delay] for delay in delays)
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _delays(front: Front) -> list[int]:
    return sorted({delay for _, delay in front})
