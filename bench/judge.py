"""From a measured figure to a verdict. Pure: what it is given is all that it knows.

- An exact or deterministic figure passes or fails by itself.
- A ratio of slices passes when the ratio is inside its limit; fails when the whole 95 % interval is outside;
  between, and whenever the machine was disturbed or too few slices came, it is inconclusive. That is not a pass.
"""

from __future__ import annotations

import math
from typing import Literal

from spinal.bench.result import Metric, Verdict, finite
from spinal.bench.statistics import FEWEST_SLICES, Ratio

Better = Literal["lower", "higher"]


def exact(
    name: str,
    unit: str,
    value: float,
    limit: float | None = None,
    *,
    better: Better = "lower",
    floor: float | None = None,
    n: int | None = None,
    why: str = "",
) -> Metric:
    """A figure that the machine's mood does not move; a value that is not finite fails where there is a limit."""
    ratio = value / floor if floor else None
    bound = value if floor is None else ratio
    verdict = Verdict.INFO
    if limit is not None:
        inside = (
            bound is not None
            and math.isfinite(bound)
            and (bound <= limit if better == "lower" else bound >= limit)
        )
        verdict = Verdict.PASS if inside else Verdict.FAIL
    return Metric(
        name=name,
        unit=unit,
        value=finite(value),
        floor=floor,
        ratio=None if ratio is None else finite(ratio),
        limit=limit,
        better=better,
        n=n,
        verdict=verdict,
        why=why,
    )


def timed(
    name: str,
    unit: str,
    value: float,
    limit: float,
    *,
    low: float | None = None,
    high: float | None = None,
    n: int | None = None,
    disturbed: str = "",
    why: str = "",
) -> Metric:
    """A duration with an absolute limit, lower is better. Over it on a disturbed machine it is inconclusive.

    ``low``, ``high``: its 95 % interval, where one is known: over the limit only when all of it is.
    """
    verdict = Verdict.PASS if value <= limit else Verdict.FAIL
    if not math.isfinite(value):
        verdict, why = Verdict.FAIL, why or "nothing was measured"
    elif value > limit and disturbed:
        verdict, why = Verdict.INCONCLUSIVE, disturbed
    elif value > limit and low is not None and low <= limit:
        verdict, why = Verdict.INCONCLUSIVE, why or "its interval reaches below the limit: measure longer"
    return Metric(
        name=name,
        unit=unit,
        value=finite(value),
        limit=limit,
        low=low,
        high=high,
        n=n,
        verdict=verdict,
        why=why,
    )


def sliced(
    name: str, unit: str, found: Ratio, limit: float | None, *, scale: float = 1.0, disturbed: str = ""
) -> Metric:
    """A ratio of slices. ``scale``: from the unit of ``found`` to ``unit``. Without a limit it is only shown."""
    verdict, why = Verdict.INFO, ""
    if limit is not None:
        if found.slices < FEWEST_SLICES:
            verdict, why = Verdict.INCONCLUSIVE, f"{found.slices} usable slices, {FEWEST_SLICES} are needed"
        elif disturbed:
            verdict, why = Verdict.INCONCLUSIVE, disturbed
        elif found.ratio <= limit:
            verdict = Verdict.PASS
        elif found.low > limit:
            verdict = Verdict.FAIL
        else:
            verdict, why = (
                Verdict.INCONCLUSIVE,
                "the interval of the ratio reaches over the limit: measure longer",
            )
    return Metric(
        name=name,
        unit=unit,
        value=finite(found.value * scale),
        floor=finite(found.floor * scale),
        ratio=finite(found.ratio),
        limit=limit,
        low=finite(found.low),
        high=finite(found.high),
        n=found.n,
        verdict=verdict,
        why=why,
    )


def missing(name: str, unit: str, why: str) -> Metric:
    """A figure that was asked for and could not be measured."""
    return Metric(name=name, unit=unit, value=None, verdict=Verdict.ABSENT, why=why)


def worst(metrics: list[Metric]) -> Verdict:
    """fail before inconclusive before pass; ``info`` when nothing was judged."""
    seen = {metric.verdict for metric in metrics}
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
    return next((verdict for verdict in order if verdict in seen), Verdict.INFO)
