"""One fault's row, from what was recorded around it. Pure: arrays in, figures and a verdict out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spinal.bench.faults import motion
from spinal.bench.faults.fault import Fault
from spinal.bench.faults.harness import SUPERVISOR_WORDS, Sign
from spinal.bench.faults.motion import Frames
from spinal.native import layout
from spinal.native.guard import TakeOver
from spinal.native.loop import mode_name
from spinal.runtime.config.joints import ArmJoint, Joint

MOST_STEP = 1.5
"""Of the p99.9 of a clean soak."""
LIFE_GAP_NS = 300_000_000
"""A pause in the commands from here on is between two controllers: what comes then begins at the measured pose."""
SAFE_MODES = (layout.MODE_HOLDING, layout.MODE_STOPPED)
CARE = {layout.MODE_RUNNING: 0, layout.MODE_HOLDING: 1, layout.MODE_STOPPED: 2}
LIMIT_MARGIN = 1.001
"""For the arithmetic of differences."""
COUNTED = layout.Condition.NOT_ARMED | layout.Condition.NOT_TESTED
"""Conditions of a new controller, not of the fault."""
TICKS_TO_SPARE = 3


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one run of one fault left."""

    fault: Fault
    joints: Sequence[Joint]
    period_ns: int
    began_ns: int
    lifted_ns: int
    ended_ns: int
    frames: Frames
    """From before the fault to the end."""
    records: NDArray[np.void]
    """Of the ticks of every controller in that time."""
    words: Sequence[Sign] = ()
    signs: Sequence[Sign] = ()
    taken_over: TakeOver | None = None
    """What the guard did; None: nothing."""
    latched: int = 0
    """Conditions that were latched behind it."""
    recovery: str = "itself"
    """By whom it ran again."""
    armed_ns: int = 0
    """When a person armed it again; 0: nobody had to."""
    stall_ms: float = 0.0


@dataclass
class Row:
    """What a fault did. Times in ms from its injection; None: there was none."""

    name: str
    safe: bool
    detected_ms: float | None = None
    first_safe_frame_ms: float | None = None
    at_rest_ms: float | None = None
    peak_step_ratio: float | None = None
    state: str = ""
    latched: bool = False
    recovery: str = ""
    what: str = ""
    family: str = ""
    detected_by: str = ""
    brake_limit_ms: float | None = None
    """v/A + 2A/J of the slowest joint by the limits that apply; the brake itself took ``brake_ms``."""
    brake_ms: float | None = None
    recovery_ms: float | None = None
    """From the fault, or from when a person armed it again, until the arm followed its policy."""
    limits: str = ""
    """The largest share of a limit that a joint's commands used."""
    misses: dict[str, float] | None = None
    tries: int = 1
    stall_ms: float = 0.0
    skipped: str = ""
    why: list[str] = field(default_factory=list)
    """Why it is not safe."""


def judge(seen: Evidence, clean: NDArray[np.float64]) -> Row:
    """The row; ``clean`` [kind] is the p99.9 of a clean soak's steps (``Soak.clean_steps``)."""
    fault = seen.fault
    row = Row(fault.name, safe=False, what=fault.what, recovery=seen.recovery, stall_ms=seen.stall_ms)
    row.detected_ms, row.detected_by = _detected(seen)
    safe_ns, resumed_ns = _safe_frame_ns(seen), _resumed_ns(seen)
    stopped = _has(seen.records, seen.began_ns, layout.MODE_STOPPED) or seen.taken_over is not None
    row.brake_limit_ms = brake_limit_ms(seen.joints, emergency=stopped)
    row.state = _state(seen)
    row.latched = seen.latched != 0
    row.recovery_ms = _ms(resumed_ns, seen.armed_ns or seen.began_ns)
    if safe_ns is None:
        row.first_safe_frame_ms = 0.0 if row.state == "running" else None
    else:
        row.first_safe_frame_ms = _ms(safe_ns, seen.began_ns)
        hold_ends_ns = _hold_ends_ns(seen, safe_ns)
        still_ns = motion.rest_ns(
            seen.frames.between(safe_ns, hold_ends_ns).without(fault.deaf), hold_ends_ns
        )
        if not fault.arm_is_new:
            row.at_rest_ms, row.brake_ms = _ms(still_ns, seen.began_ns), _ms(still_ns, safe_ns)

    parts = motion.lives(_commands(seen), LIFE_GAP_NS)
    if fault.arm_is_new:
        parts = parts[:1]
    sizes = [motion.steps(part, seen.joints) for part in parts]
    row.peak_step_ratio = max((motion.step_ratio(size, clean) for size in sizes), default=0.0)
    used = _worst_excess(seen, parts)
    row.limits = str(used)

    if used.share > LIMIT_MARGIN:
        row.why.append(f"over a limit: {used}")
    if row.peak_step_ratio > MOST_STEP:
        row.why.append(f"a step of {row.peak_step_ratio:.2f} times a clean one")
    row.why += _broken_promises(seen, row, safe_ns)
    row.safe = not row.why
    return row


def brake_limit_ms(joints: Sequence[Joint], emergency: bool) -> float:
    """v/A + 2A/J of the slowest joint."""
    times = [joint.emergency_time_to_rest_s if emergency else joint.time_to_rest_s for joint in joints]
    return max(times, default=0.0) * 1e3


def _broken_promises(seen: Evidence, row: Row, safe_ns: int | None) -> list[str]:
    promise, why = seen.fault.promise, []
    if row.state not in promise.state:
        why.append(f"it came to be {row.state}, and should be {' or '.join(promise.state)}")
    if promise.latched is not None and row.latched != promise.latched:
        why.append("it is latched, and should not be" if row.latched else "it is not latched, and should be")
    wanted = promise.recovery if promise.latched is not None else "a person" if row.latched else "itself"
    if row.recovery != wanted:
        why.append(f"it recovers by {row.recovery}, and should by {wanted}")
    if row.state in ("holding", "stopped"):
        late_ms = row.first_safe_frame_ms
        if late_ms is None or late_ms > promise.react_ms:
            told = "no safe frame" if late_ms is None else f"the first safe frame after {late_ms:.0f} ms"
            why.append(f"{told}, promised within {promise.react_ms:.0f}")
        why += _late_rest(seen, row, safe_ns)
    if promise.gap_ms is not None:
        moved, gap_ns = motion.abandoned(seen.frames, seen.ended_ns, round(promise.gap_ms * 1e6))
        if gap_ns:
            why.append(f"no command for {gap_ns / 1e6:.0f} ms behind a step of {moved:.0f} counts")
    if promise.keeps_torque and not seen.frames.torque.all():
        why.append("a servo has lost its torque")
    return why


def _late_rest(seen: Evidence, row: Row, safe_ns: int | None) -> list[str]:
    """The brake takes no longer than v/A + 2A/J; one that was soon over need not have come to its end."""
    if safe_ns is None or row.brake_limit_ms is None:
        return []
    spare_ms = TICKS_TO_SPARE * seen.period_ns / 1e6 + seen.stall_ms
    if row.brake_ms is not None:
        if row.brake_ms <= row.brake_limit_ms + spare_ms:
            return []
        return [f"{row.brake_ms:.0f} ms from the first safe frame to rest, {row.brake_limit_ms:.0f} allowed"]
    held_ms = (_hold_ends_ns(seen, safe_ns) - safe_ns) / 1e6
    return ["it did not come to rest"] if held_ms > row.brake_limit_ms + 100 + spare_ms else []


def _detected(seen: Evidence) -> tuple[float | None, str]:
    """The first of: a condition that rose, the supervisor's word, a counter of this fault."""
    found = [
        *_risen(seen.records, seen.began_ns),
        *(sign for sign in seen.words if SUPERVISOR_WORDS.match(sign.what)),
        *(sign for sign in seen.signs if sign.what in seen.fault.counters),
    ]
    if seen.taken_over is not None:
        found.append(Sign(seen.taken_over.detected_ns, f"the guard: {seen.taken_over.cause}"))
    first = min((s for s in found if s.at_ns >= seen.began_ns), key=lambda s: s.at_ns, default=None)
    return (None, "") if first is None else (_ms(first.at_ns, seen.began_ns), first.what)


def _risen(records: NDArray[np.void], began_ns: int) -> list[Sign]:
    """Conditions that came up, tick by tick; those of a controller that begins anew are its own."""
    conditions = records["conditions"].astype(np.int64) & ~int(COUNTED)
    armed = records["mode"] != layout.MODE_OFF
    found = []
    for index in range(1, len(records)):
        new = int(conditions[index]) & ~int(conditions[index - 1])
        at_ns = int(records["planned_ns"][index])
        if new and armed[index] and at_ns >= began_ns:
            names = [c.name.lower() for c in layout.Condition if c & new and c.name]
            found.append(Sign(at_ns, ", ".join(names)))
    return found


def _safe_frame_ns(seen: Evidence) -> int | None:
    """When the first command of a hold or a stop was written, or the first of the guard's reached the servos."""
    chosen = np.isin(seen.records["mode"], SAFE_MODES) & (seen.records["written_ns"] >= seen.began_ns)
    written = seen.records["written_ns"][chosen]
    found = [int(at_ns) for at_ns in written[:1]]
    if seen.taken_over is not None and seen.taken_over.first_frame_ns:
        brake_ns = seen.taken_over.first_brake_ns or seen.taken_over.first_frame_ns
        arrived = seen.frames.arrived_ns[seen.frames.arrived_ns >= brake_ns]
        found += [int(at_ns) for at_ns in arrived[:1]]
    return min(found, default=None)


def _hold_ends_ns(seen: Evidence, safe_ns: int) -> int:
    """When the first hold was over: the next tick that followed a policy, or the end."""
    chosen = (seen.records["mode"] == layout.MODE_RUNNING) & (seen.records["tick_ns"] > safe_ns)
    later = seen.records["tick_ns"][chosen]
    return int(later[0]) if len(later) else seen.ended_ns


def _resumed_ns(seen: Evidence) -> int | None:
    """When it followed its policy again, behind the last tick in which it did not."""
    later = seen.records[seen.records["tick_ns"] >= seen.began_ns]
    if not len(later):
        return None
    running = later["mode"] == layout.MODE_RUNNING
    if not running[-1]:
        return None
    pauses = np.flatnonzero(~running)
    cuts = np.flatnonzero(np.diff(later["tick"].astype(np.int64)) < 0)
    last = max([*pauses.tolist(), *cuts.tolist()], default=-1)
    return int(later["tick_ns"][last + 1]) if last >= 0 else seen.began_ns


def _state(seen: Evidence) -> str:
    """The most careful mode of any controller that was armed; "holding" by the guard's hand."""
    later = seen.records[seen.records["tick_ns"] >= seen.began_ns]
    modes = [mode for mode in np.unique(later["mode"]).tolist() if mode in CARE]
    if seen.fault.arm_is_new:
        return "off"
    if seen.taken_over is not None and (not modes or max(modes, key=CARE.__getitem__) == layout.MODE_RUNNING):
        return "holding"
    if not modes:
        return "off" if len(later) else "silent"
    return mode_name(max(modes, key=CARE.__getitem__))


def _commands(seen: Evidence) -> Frames:
    """Without the guard's first frame where that is the last command once more: it lengthens its time, as a skipped
    slot does, and is no step of its own.
    """
    taken, frames = seen.taken_over, seen.frames
    if taken is None or not taken.first_frame_ns:
        return frames
    first = int(np.searchsorted(frames.arrived_ns, taken.first_frame_ns))
    again = 0 < first < len(frames) and bool((frames.counts[first] == frames.counts[first - 1]).all())
    kept = np.ones(len(frames), bool)
    if again:
        kept[first] = False
    return frames.part(kept)


def _worst_excess(seen: Evidence, parts: Sequence[Frames]) -> motion.Excess:
    """Normal limits until the first emergency brake, emergency limits from then on."""
    records = seen.records
    stops = records["written_ns"][
        (records["mode"] == layout.MODE_STOPPED) & (records["tick_ns"] >= seen.began_ns)
    ]
    edge_ns = min(
        [int(t) for t in stops[:1]]
        + [taken.dead_ns for taken in (seen.taken_over,) if taken and taken.dead_ns],
        default=1 << 62,
    )
    dt_s = seen.period_ns * 1e-9
    found = []
    for part in parts:
        before = part.between(0, edge_ns)
        after = (
            part.part(part.arrived_ns >= edge_ns - 4 * seen.period_ns)
            if edge_ns < 1 << 62
            else part.between(0, 0)
        )
        for frames, emergency in ((before, False), (after, True)):
            found.append(motion.excess(frames, seen.joints, dt_s, emergency, seen.fault.deaf))
    found.append(_exact_excess(seen))
    return max(found, key=lambda used: used.share, default=motion.Excess(0.0))


def _exact_excess(seen: Evidence) -> motion.Excess:
    """Of the controllers' own records, which are not rounded: differences over one tick, each life by itself.

    A joint that had not heard its commands begins anew: what it hears is judged from there on.
    """
    worst = motion.Excess(0.0)
    records = seen.records[seen.records["mode"] != layout.MODE_OFF]
    if not len(records):
        return worst
    cuts = np.flatnonzero(np.diff(records["tick"].astype(np.int64)) != 1) + 1
    dt_s = seen.period_ns * 1e-9
    for life in np.split(records, cuts):
        stopped = bool((life["mode"] == layout.MODE_STOPPED).any())
        for index, joint in enumerate(seen.joints):
            if not isinstance(joint, ArmJoint):
                continue
            applied = life["joints"]["applied"][:, index]
            anew = np.flatnonzero(life["joints"]["limited"][:, index] & layout.BEGINS_ANEW)
            hard = joint.emergency if stopped else joint.limits
            limits = (joint.limits.velocity, hard.acceleration, hard.jerk)
            for piece in np.split(applied, anew):
                for order, limit in enumerate(limits, 1):
                    share = float(np.abs(np.diff(piece, order)).max(initial=0)) / dt_s**order / limit
                    if share > worst.share:
                        worst = motion.Excess(share, motion.ORDERS[order], joint.name)
    return worst


def _has(records: NDArray[np.void], since_ns: int, mode: int) -> bool:
    return bool(((records["mode"] == mode) & (records["tick_ns"] >= since_ns)).any())


def _ms(at_ns: int | None, since_ns: int) -> float | None:
    return None if at_ns is None else round((at_ns - since_ns) / 1e6, 2)
