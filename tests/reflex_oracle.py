"""What the reflexes of one joint must say, written plainly over the whole history at once. Slow on purpose.

From the words of ``core/reflex.h``: nothing here is carried from tick to tick but the two filters.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from spinal.native.layout import Condition
from spinal.native.loop import ReflexLimits

OBSERVER_S, REST_S, REST_SHARE = 0.02, 0.4, 0.8
MARGIN_SHARE, MARGIN_CELSIUS, MARGIN_VOLT = 0.2, 3.0, 0.2
SATURATED_SHARE = 0.98

OFF = ReflexLimits(*[0.0] * 13, *[0] * 7)
"""Every reflex switched off."""


class Tick(NamedTuple):
    """What the joint is told and says in one tick; rad, share, ns, V and degree Celsius."""

    tick_ns: int
    command: float = 0.0
    position: float = 0.0
    velocity: float = 0.0
    load: float = 0.0
    fresh: bool = True
    health: tuple[int, float, float] | None = None
    energised: bool = True
    error: int = 0


def run_starts(flags, times):
    """For each entry, when the unbroken run of True that it stands in began; None where it is False."""
    starts = []
    for k, flag in enumerate(flags):
        if not flag:
            starts.append(None)
        else:
            starts.append(starts[-1] if k and starts[-1] is not None else times[k])
    return starts


class Grades(NamedTuple):
    beyond: list
    """Since when it is beyond the first threshold, at each judgement; None: it is not."""
    held: list
    stop: list
    beyond_stop: list


def grades(times, sizes, hold, stop, margin, lasting_ns, clear_ns):
    """The two grades of one cause at each of its judgements."""
    sizes = np.asarray(sizes, dtype=float)
    broken = ~np.isfinite(sizes)
    with np.errstate(invalid="ignore"):
        over = broken | ((hold != 0) & ~(sizes <= hold))
        over_stop = broken | ((stop != 0) & ~(sizes <= stop))
        dirty = broken | ((hold != 0) & ~(sizes <= hold - margin))
    since, since_stop = run_starts(over, times), run_starts(over_stop, times)
    raised = [start is not None and t - start >= lasting_ns for start, t in zip(since, times, strict=True)]
    held = []
    for k in range(len(times)):
        last = max((j for j in range(k + 1) if raised[j]), default=None)
        cleared = last is None or any(
            times[m] - times[max(j for j in range(m + 1) if dirty[j])] >= clear_ns
            for m in range(last + 1, k + 1)
        )
        held.append(not cleared)
    stops = [
        start is not None and t - start >= lasting_ns for start, t in zip(since_stop, times, strict=True)
    ]
    return Grades(since, held, stops, since_stop)


def share(elapsed_s, time_s):
    return elapsed_s / (time_s + elapsed_s) if elapsed_s > 0 else 0.0


def lagged_commands(ticks, lag_s):
    """The command as a first-order servo follows it, from where it stood when torque came."""
    lagged = [ticks[0].command]
    for before, tick in pairwise(ticks):
        part = share((tick.tick_ns - before.tick_ns) * 1e-9, lag_s)
        lagged.append(lagged[-1] + part * (tick.command - lagged[-1]))
    return lagged


def contacts(first, fresh, limits):
    """Grades of contact at each fresh sample; ``first``: the first tick with torque on."""
    velocities = [first.velocity if np.isfinite(first.velocity) else 0.0] * 2
    speed = velocities[0]
    then_ns, outside, rest = first.tick_ns, 0.0, 0.0
    room = max(0.0, REST_SHARE * (limits.load_limit - limits.contact_hold))
    times, sizes, found = [], [], None
    for tick in fresh:
        elapsed_s = (tick.tick_ns - then_ns) * 1e-9
        middle = float(np.median([*velocities[-2:], tick.velocity])) if np.isfinite(tick.velocity) else np.nan
        load = min(1.0, max(-1.0, tick.load)) if np.isfinite(tick.load) else np.nan
        with np.errstate(all="ignore"):
            change = np.float64(middle - speed) / elapsed_s if elapsed_s > 0 else 0.0
            torque = load - limits.contact_drag * np.float64(middle) - limits.contact_inertia * change
        size = np.nan
        if np.isfinite(torque):
            outside += share(elapsed_s, OBSERVER_S) * (float(np.clip(torque, -100.0, 100.0)) - outside)
            speed = middle
            size = abs(outside - rest)
        if np.isfinite(tick.velocity):
            velocities.append(tick.velocity)
        times.append(tick.tick_ns)
        sizes.append(size)
        margin = MARGIN_SHARE * limits.contact_hold
        found = grades(
            times, sizes, limits.contact_hold, limits.contact_stop, margin, limits.contact_ns, limits.clear_ns
        )
        if found.beyond[-1] is None and not found.held[-1]:
            rest = float(np.clip(rest + share(elapsed_s, REST_S) * (outside - rest), -room, room))
        then_ns = tick.tick_ns
    if found is None:
        return [], []
    long_ns = limits.contact_long_ns
    stops = [
        impact is not None or (long_ns > 0 and since is not None and t - since >= long_ns)
        for impact, since, t in zip(found.beyond_stop, found.beyond, times, strict=True)
    ]
    return found.held, stops


def frozen(fresh, lagged, limits):
    """At each fresh sample, whether the sensor counts as frozen."""
    result, start, too_far_ns = [], 0.0, None
    for k, (tick, command) in enumerate(zip(fresh, lagged, strict=True)):
        same = k > 0 and tick[2:5] == fresh[k - 1][2:5]  # position, velocity, load
        pushes = tick.velocity == 0 and abs(tick.load) >= SATURATED_SHARE * limits.load_limit
        if not same or pushes:
            start, too_far_ns = command, None
        if too_far_ns is None and not abs(command - start) <= limits.frozen_travel:
            too_far_ns = tick.tick_ns
        still_ns = tick.tick_ns - too_far_ns if too_far_ns is not None else None
        result.append(limits.frozen_ns != 0 and still_ns is not None and still_ns >= limits.frozen_ns)
    return result


def energised_stretches(ticks):
    """Indices of each unbroken stretch with torque on."""
    stretches, current = [], []
    for k, tick in enumerate(ticks):
        if tick.energised:
            current.append(k)
        elif current:
            stretches.append(current)
            current = []
    return [*stretches, current] if current else stretches


def motion_conditions(ticks, limits):
    """Following, contact and frozen at each tick of one stretch with torque on."""
    lagged = lagged_commands(ticks, limits.lag_s)
    places = [k for k, tick in enumerate(ticks) if tick.fresh]
    fresh = [ticks[k] for k in places]
    away = [abs(lagged[k] - ticks[k].position) for k in places]
    margin = MARGIN_SHARE * limits.following_hold
    following = grades(
        [tick.tick_ns for tick in fresh],
        away,
        limits.following_hold,
        limits.following_stop,
        margin,
        limits.following_ns,
        limits.clear_ns,
    )
    contact, collision = contacts(ticks[0], fresh, limits)
    still = frozen(fresh, [lagged[k] for k in places], limits)
    times = [tick.tick_ns for tick in fresh]
    protects = run_starts([bool(tick.error & limits.device_bits) for tick in fresh], times)
    conditions, newest = [], 0
    for k in range(len(ticks)):
        if k in places:
            j = places.index(k)
            newest = (
                (Condition.FOLLOWING if following.held[j] else 0)
                | (Condition.FOLLOWING_LOST if following.stop[j] else 0)
                | (Condition.CONTACT if contact[j] else 0)
                | (Condition.COLLISION if collision[j] else 0)
                | (Condition.FROZEN if still[j] else 0)
                | (
                    Condition.DEVICE_ERROR
                    if protects[j] is not None and times[j] - protects[j] >= limits.device_ns
                    else 0
                )
            )
        conditions.append(newest)
    return conditions


def health_conditions(ticks, limits):
    """Heat and supply at each tick, from the readings that had arrived by then."""
    readings = []
    conditions = []
    for tick in ticks:
        if tick.health and tick.health[0] and (not readings or tick.health[0] != readings[-1][0]):
            readings.append(tick.health)
        volts = [(stamp, volt) for stamp, volt, _ in readings if volt != 0]
        heats = [(stamp, celsius) for stamp, _, celsius in readings if celsius != 0]
        found = 0
        for known, sign, hold, stop, margin, bits in (
            (
                heats,
                1,
                limits.temperature_hold,
                limits.temperature_stop,
                MARGIN_CELSIUS,
                (Condition.HOT, Condition.OVERHEATED),
            ),
            (
                volts,
                -1,
                limits.voltage_hold,
                limits.voltage_stop,
                MARGIN_VOLT,
                (Condition.VOLTAGE_LOW, Condition.VOLTAGE_FAILED),
            ),
        ):
            if known:
                stamps, values = zip(*known, strict=True)
                sizes = [sign * value for value in values]
                got = grades(list(stamps), sizes, sign * hold, sign * stop, margin, 1, limits.clear_ns)
                found |= (bits[0] if got.held[-1] else 0) | (bits[1] if got.stop[-1] else 0)
        conditions.append(found)
    return conditions


def conditions_of(ticks, limits):
    """The conditions of every tick, as the joint's reflexes must say them."""
    result = health_conditions(ticks, limits)
    for stretch in energised_stretches(ticks):
        for k, found in zip(stretch, motion_conditions([ticks[k] for k in stretch], limits), strict=True):
            result[k] |= found
    return [int(conditions) for conditions in result]
