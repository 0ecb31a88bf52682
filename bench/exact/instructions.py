"""From profiles to figures: instructions of one tick over joints, beside the baseline, function by function."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from spinal.bench import judge
from spinal.bench.exact.baseline import OWN, PREFIX, SHOWN_SHARE, UNIT, Baseline, judge_instructions, name_of
from spinal.bench.exact.callgrind import ENTRY, Profile, profile
from spinal.bench.exact.toolchain import Built, Toolchain
from spinal.bench.result import Curve, Metric, SuiteResult

JOINTS = (6, 14, 28, 57)
"""57 are on two buses: at most 32 servos fit on one."""
KINDS = ("plain", "hand_off")
TICKS = 320
"""A multiple of 5, at which a chunk comes, and of 64, at which page faults are counted."""
REPEATS = 3
STRAIGHT = 0.05
"""Largest distance from the straight line over joints, as a share of the tick."""

Profiles = Mapping[tuple[int, str], Profile]


def measure(
    built: Built, tools: Toolchain, known: Baseline | None, sizes: Sequence[int] = JOINTS
) -> SuiteResult:
    """Of every size and kind, the first of them three times. Raises UnavailableError without valgrind."""
    wanted = [(joints, kind, 0) for joints in sizes for kind in KINDS]
    wanted += [(sizes[0], KINDS[0], number) for number in range(1, REPEATS)]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        running = {
            one: pool.submit(profile, built, one[0], one[1], TICKS, one[2]) for one in reversed(wanted)
        }  # the long ones first
        try:
            found = {one: future.result() for one, future in running.items()}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    profiles = {(joints, kind): one for (joints, kind, number), one in found.items() if number == 0}
    again = [found[sizes[0], KINDS[0], number].total for number in range(REPEATS)]
    metrics = [repeatable(again)]
    curves = []
    for kind in KINDS:
        for joints in sizes:
            one = profiles[joints, kind]
            metrics.append(judge_instructions(name_of(joints, kind), one.per_tick, one.own, known, tools))
        metrics += straight(kind, sizes, [profiles[joints, kind].per_tick for joints in sizes])
        curves += by_function(kind, sizes, profiles)
    return SuiteResult(metrics=metrics, curves=curves)


def repeatable(totals: Sequence[int]) -> Metric:
    """Whether runs of the same configuration came to the same number, to the last instruction."""
    alike = len(set(totals)) == 1
    why = "" if alike else f"the same run came to {', '.join(f'{total:,}' for total in totals)}"
    return judge.exact(f"{PREFIX}spread", "over 3 runs", max(totals) - min(totals), 0, n=len(totals), why=why)


def straight(kind: str, sizes: Sequence[int], values: Sequence[float]) -> list[Metric]:
    """The least-squares line over joints: what a joint costs, and how far a point is off at most."""
    slope, base = (float(part) for part in np.polyfit(sizes, values, 1))
    off = [abs(value - (base + slope * joints)) / value for joints, value in zip(sizes, values, strict=True)]
    worst = max(range(len(sizes)), key=off.__getitem__)
    why = f"{slope:,.0f} a joint and {base:,.0f} for the tick; furthest off at {sizes[worst]} joints"
    return [
        judge.exact(f"{PREFIX}per_joint.{kind}", "a joint", slope),
        judge.exact(f"{PREFIX}off_the_line.{kind}", "", off[worst], STRAIGHT, n=len(sizes), why=why),
    ]


def by_function(kind: str, sizes: Sequence[int], profiles: Profiles) -> list[Curve]:
    """Instructions over joints of each function: with what it calls, and its own alone."""
    ticks = [profiles[joints, kind] for joints in sizes]
    return [
        _curve(f"{PREFIX}{kind}", "with what it calls", sizes, ticks, [_inside(one) for one in ticks]),
        _curve(f"{PREFIX}{kind}{OWN}", "its own", sizes, ticks, [one.own for one in ticks]),
    ]


def _inside(one: Profile) -> dict[str, float]:
    """The tick and what it calls, without its callers."""
    whole = one.inclusive[ENTRY]
    return {name: cost for name, cost in one.inclusive.items() if cost < whole or name == ENTRY}


def _curve(
    name: str,
    what: str,
    sizes: Sequence[int],
    ticks: Sequence[Profile],
    columns: Sequence[Mapping[str, float]],
) -> Curve:
    shown = {
        function
        for one, column in zip(ticks, columns, strict=True)
        for function, cost in column.items()
        if cost >= one.per_tick * SHOWN_SHARE
    }
    return Curve(
        name=name,
        x_name="joints",
        x_unit="",
        y_name=what,
        y_unit=UNIT,
        x=[float(joints) for joints in sizes],
        lines={
            function: [round(column.get(function, 0.0), 3) for column in columns]
            for function in sorted(shown)
        },
    )
