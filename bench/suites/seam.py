"""Smoothness where chunks meet, beside bandwidth: ``spinal bench run seam``. Exact: no clock is read.

Chunks that disagree are executed by the methods of the field and by Spinal's own code, from the policy's answer to
the last command. A low-pass filter has little jerk and loses what dexterity is made of, so no figure of jerk stands
here without the gain at 5 and 10 Hz and the answer to a step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from spinal.bench import judge
from spinal.bench.bench import Bench
from spinal.bench.result import Metric, SuiteResult
from spinal.bench.seam import curves, feed, jerk_limited, linear, spline, trial
from spinal.bench.seam.feed import TICK_NS, Feed
from spinal.bench.seam.played import Method
from spinal.bench.seam.spinal_loop import SpinalPlayed, relative_jump, spinal
from spinal.bench.seam.trial import Trial

GAIN_5HZ, GAIN_10HZ = 0.95, 0.7
LARGEST_OVERSHOOT = 0.15
LARGEST_SEAM = 1e-9
"""Relative; rounding leaves some 1e-14."""
BELOW_QUEUE = 300.0
"""Times less rms jerk than lerobot's queue."""

SPINAL, NO_PREFIX = "spinal", "spinal_no_prefix"
"""The second: with a policy that is not told what is executed until its answer is in force."""
PEERS: Mapping[str, Method] = {
    "naive": linear.naive,
    "lerobot_queue": linear.queue,
    "lerobot_average": linear.average,
    "act_ensemble": linear.ensemble,
    "beast_c0": spline.joined(degree=4, controls=12, fixed=1),
    **{f"spline_c2_{n}": spline.joined(spline.QUINTIC, n, fixed=3) for n in (8, 12, 16, 20, 25)},
    **{f"decay_{n}_{ms}ms": spline.decay(n, ms / 1e3) for n in (16, 25) for ms in (100, 200, 300)},
}
RUCKIG = {"ruckig_5000": (60.0, 5000.0), "ruckig_400": (15.0, 400.0)}
"""Acceleration and jerk, rad/s^2 and rad/s^3."""
SETTINGS: Mapping[str, Callable[[Feed], SpinalPlayed]] = {
    "spinal_seam_0": spinal(seam_smoothing=0.0),
    "spinal_seam_10": spinal(seam_smoothing=10.0),
    "spinal_seam_1000": spinal(seam_smoothing=1000.0),
    "spinal_smoothing_0_005": spinal(smoothing=0.005),
    "spinal_smoothing_0_1": spinal(smoothing=0.1),
    "spinal_blend_160": spinal(blend_min_ms=160),
}
"""Changes to the shipped settings, one at a time."""
WAYS: Mapping[str, Callable[[Feed], SpinalPlayed]] = {
    "spinal_cubic": spinal(interpolation="cubic"),
    "spinal_quintic": spinal(interpolation="quintic"),
    "spinal_beast_12": spinal(controls=12),
    "spinal_beast_25": spinal(controls=25),
}
"""Other ways from an answer to a path: through every action, or the decoder's own control points as they are."""

HZ, QUICK_HZ = tuple(range(1, 16)), (2, 5, 8, 10)
SHOWN = ("lerobot_queue", "spline_c2_16", "decay_25_200ms", SPINAL, NO_PREFIX)


def measure(bench: Bench) -> SuiteResult:
    """Plays the benchmark by every method."""
    fed = feed.disagreeing()
    methods: dict[str, Method] = {**PEERS, SPINAL: spinal(), NO_PREFIX: spinal(prefix=False), **SETTINGS}
    if not bench.quick:
        methods |= WAYS
    notes = []
    if jerk_limited.PRESENT:
        methods["spinal_ruckig"] = spinal(interpolation="ruckig")
        methods |= {name: jerk_limited.ruckig(*limits) for name, limits in RUCKIG.items()}
    else:
        notes.append("ruckig is not installed, so it is not compared: pip install 'spinal[bench]'")
    trials = {name: trial.run(name, method, fed) for name, method in methods.items()}
    if not bench.quick:
        bench.say("\n".join(table(list(trials.values()))))
    return SuiteResult(
        metrics=metrics(trials),
        curves=[
            curves.front(
                trials,
                dict.fromkeys(SETTINGS, "spinal, other settings") | dict.fromkeys(WAYS, "spinal, other ways"),
            ),
            curves.gains({name: methods[name] for name in SHOWN}, QUICK_HZ if bench.quick else HZ),
            curves.steps([trials[name] for name in SHOWN]),
            *curves.seam([trials[name] for name in ("naive", "lerobot_queue", SPINAL)], fed),
        ],
        notes=notes,
    )


def metrics(trials: Mapping[str, Trial]) -> list[Metric]:
    """Spinal's own figures, judged; then what the others have, to compare."""
    ours = trials[SPINAL]
    others = [one for name, one in trials.items() if not name.startswith(SPINAL)]
    found = [*_promises(ours, trials["lerobot_queue"]), *_figures(ours, others)]
    for one in trials.values():
        if one is not ours:
            found += _compared(one)
    return found


def _promises(ours: Trial, queue: Trial) -> list[Metric]:
    played = ours.played
    assert isinstance(played, SpinalPlayed)
    jump, measured = relative_jump(played)
    own = max(
        played.counts["seam"]["position"],
        played.counts["seam"]["velocity"],
        played.counts["seam"]["acceleration"],
    )
    return [
        judge.exact(f"{SPINAL}.gain_5hz", "", ours.gain_5hz, GAIN_5HZ, better="higher"),
        judge.exact(f"{SPINAL}.gain_10hz", "", ours.gain_10hz, GAIN_10HZ, better="higher"),
        judge.exact(f"{SPINAL}.overshoot", "", ours.step.overshoot, LARGEST_OVERSHOOT),
        judge.exact(f"{SPINAL}.seam.commands", "", jump, LARGEST_SEAM, n=measured),
        judge.exact(f"{SPINAL}.seam.loop", "", own, LARGEST_SEAM, n=played.counts["switches"]),
        judge.exact(
            f"{SPINAL}.jerk_below_queue",
            "x",
            queue.rms_jerk / ours.rms_jerk,
            BELOW_QUEUE,
            better="higher",
        ),
        judge.exact(f"{SPINAL}.starved_ticks", "", played.counts["starved_ticks"], 0),
        judge.exact(
            f"{SPINAL}.first_action_ms",
            "ms",
            played.first_action_ms,
            1.0,
            floor=(feed.DELAY * feed.STEP_NS + TICK_NS) * 1e-6,
        ),
    ]


def _figures(ours: Trial, others: Sequence[Trial]) -> list[Metric]:
    played = ours.played
    assert isinstance(played, SpinalPlayed)
    alike = min((one for one in others if one.keeps_as_much_as(ours)), key=_rms_jerk, default=None)
    truest = min((ours, *others), key=_rms_error)
    return [
        judge.exact(
            f"{SPINAL}.rms_jerk",
            "rad/s^3",
            ours.rms_jerk,
            floor=None if alike is None else alike.rms_jerk,
            why="no other method keeps as much bandwidth" if alike is None else f"floor: {alike.name}",
        ),
        judge.exact(f"{SPINAL}.max_jerk", "rad/s^3", ours.max_jerk),
        judge.exact(f"{SPINAL}.max_acceleration", "rad/s^2", ours.max_acceleration),
        judge.exact(f"{SPINAL}.ldlj", "", ours.ldlj, better="higher"),
        judge.exact(f"{SPINAL}.sparc", "", ours.sparc, better="higher"),
        judge.exact(
            f"{SPINAL}.rms_error", "rad", ours.rms_error, floor=truest.rms_error, why=f"floor: {truest.name}"
        ),
        judge.exact(f"{SPINAL}.deviation.rms", "rad", ours.rms_deviation),
        judge.exact(f"{SPINAL}.deviation.max", "rad", ours.max_deviation),
        judge.exact(f"{SPINAL}.rise_10_ms", "ms", ours.step.rise_10_ms),
        judge.exact(f"{SPINAL}.rise_50_ms", "ms", ours.step.rise_50_ms),
        judge.exact(f"{SPINAL}.rise_90_ms", "ms", ours.step.rise_90_ms),
        judge.exact(f"{SPINAL}.limited_share", "", float(np.mean(played.limited))),
        judge.exact(f"{SPINAL}.blend_ms.p50", "ms", played.counts["blend"]["p50"] * 1e-6),
    ]


def _compared(one: Trial) -> list[Metric]:
    return [
        judge.exact(f"{one.name}.rms_jerk", "rad/s^3", one.rms_jerk),
        judge.exact(f"{one.name}.gain_5hz", "", one.gain_5hz, better="higher"),
        judge.exact(f"{one.name}.gain_10hz", "", one.gain_10hz, better="higher"),
        judge.exact(f"{one.name}.rise_50_ms", "ms", one.step.rise_50_ms),
        judge.exact(f"{one.name}.overshoot", "", one.step.overshoot),
        judge.exact(f"{one.name}.rms_error", "rad", one.rms_error),
    ]


def _rms_jerk(one: Trial) -> float:
    return one.rms_jerk


def _rms_error(one: Trial) -> float:
    return one.rms_error


def table(trials: Sequence[Trial]) -> list[str]:
    """Markdown, ready to paste: a line for each method."""
    lines = [
        "| method | rms jerk | max jerk | max abs(a) | LDLJ | SPARC | jump of q, v, a at a swap | rms error"
        " | deviation, rms / max | gain 5 / 10 Hz | 10 / 50 / 90 % ms | overshoot |",
        "|---" * 12 + "|",
    ]
    for one in trials:
        rises = (one.step.rise_10_ms, one.step.rise_50_ms, one.step.rise_90_ms)
        lines.append(
            f"| {one.name} | {one.rms_jerk:,.0f} | {one.max_jerk:,.0f} | {one.max_acceleration:,.0f}"
            f" | {one.ldlj:.1f} | {one.sparc:.2f} | {', '.join(f'{jump:.0e}' for jump in one.jump)}"
            f" | {one.rms_error:.4f} | {one.rms_deviation:.4f} / {one.max_deviation:.3f}"
            f" | {one.gain_5hz:.2f} / {one.gain_10hz:.2f}"
            f" | {' / '.join('-' if math.isnan(rise) else f'{rise:.0f}' for rise in rises)}"
            f" | {100 * one.step.overshoot:.0f} % |"
        )
    return lines
