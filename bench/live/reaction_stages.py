"""A reaction taken apart: from what the loop, the policy and the sensor stamped of it, event by event.

An event comes at a random instant (uniform in phase, ten a second) and is answered in the first written frame whose
trajectory answers an observation stamped at or after it, as in ``spinal demo``. Of that time belongs

- to sampling: the wait for the policy's next slot, and for the tick's;
- to the model: its run, and the slots that pass while it runs for the answer before;
- to the bus: reading and writing in that tick;
- to whoever asked for it: a delay that was added on purpose;
- to the runtime: all the rest. Waking late in policy and loop, the slots skipped for it, observing, filling inputs,
  decoding, fitting, handing over, sampling, limiting.

The first four are the floor of that very event; the last is the runtime's own share. Nothing is averaged before it
is subtracted.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinal.native import layout
from spinal.native.histogram import Histogram
from spinal.runtime.segments import PoseSample, StepStamps

EVENT_PERIOD_NS = 100_000_000
KEPT = 1024
"""Steps, samples and switches that wait for each other: ten seconds of them."""
FORBIDS = sum(bit for bit, word in layout.CONDITIONS.items() if word != "no trajectory")

STAGES = (
    "sensor",
    "wait for the policy's slot",
    "observe",
    "inference",
    "decode and fit",
    "hold back",
    "publish",
    "wait for the tick",
    "bus read",
    "hand off, sample, limit",
    "bus write",
)
"""Of one action, from capture to motor, each from where the one before ends."""

COLUMNS = (
    "tick_ns",
    "woke_ns",
    "read_ns",
    "computed_ns",
    "written_ns",
    "observation_stamp_ns",
    "sensor_stamp_ns",
    "mode",
    "conditions",
)
"""Of a tick's record: those of a Switch, in its order, and what they are judged by."""


@dataclass(frozen=True, slots=True)
class Switch:
    """The tick in which a trajectory came into force, and what it answers. All ns."""

    tick_ns: int
    woke_ns: int
    read_ns: int
    computed_ns: int
    written_ns: int
    observed_ns: int
    sensed_ns: int


@dataclass(frozen=True, slots=True)
class Share:
    """One event's reaction: all of it, and what could not be spared. Both ns."""

    total_ns: int
    floor_ns: int

    @property
    def own_ns(self) -> int:
        """The runtime's."""
        return self.total_ns - self.floor_ns


def share_of(
    event_ns: int,
    switch: Switch,
    step: StepStamps,
    free_ns: int,
    policy_period_ns: int,
    tick_period_ns: int,
    held_back: bool = False,
) -> Share:
    """Of an event that ``step``'s trajectory answers, in force with ``switch``.

    ``free_ns``: when the step before, begun when it was, would have ended had the runtime taken no time; slots
    that pass until then are the model's. ``held_back``: answers wait on purpose before they are published; else
    that gap is the runtime's.
    """
    slot_ns = max(_slot_from(event_ns, step.due_ns, policy_period_ns), free_ns)
    wait_ns = min(slot_ns, step.observed_ns) - event_ns
    run_ns = step.run_ended_ns - step.run_began_ns
    added_ns = _held_ns(step, held_back)
    # What is handed over while a tick still reads its bus is taken in that tick.
    tick_slot_ns = _slot_from(step.visible_ns, switch.tick_ns, tick_period_ns)
    wait_tick_ns = max(0, min(tick_slot_ns, switch.tick_ns) - step.visible_ns)
    read_ns = max(0, switch.read_ns - max(switch.woke_ns, step.visible_ns))
    write_ns = switch.written_ns - switch.computed_ns
    floor_ns = wait_ns + run_ns + added_ns + wait_tick_ns + read_ns + write_ns
    return Share(switch.written_ns - event_ns, floor_ns)


def stages_of(switch: Switch, step: StepStamps, arrival_ns: int) -> tuple[int, ...]:
    """How long each of STAGES took, ns. What overlaps the stage before it counts from that one's end."""
    ends = (
        arrival_ns,
        step.observed_ns,
        step.run_began_ns,
        step.run_ended_ns,
        step.fitted_ns,
        step.published_ns,
        step.visible_ns,
        switch.woke_ns,
        switch.read_ns,
        switch.computed_ns,
        switch.written_ns,
    )
    took, at_ns = [], switch.sensed_ns
    for end_ns in ends:
        took.append(max(0, end_ns - at_ns))
        at_ns = max(at_ns, end_ns)
    return tuple(took)


class ReactionStages:
    """Joins records, steps and samples as they come, in bounded memory. One thread.

    Give records of consecutive ticks in order; steps and samples may come again, and later than the records that
    they belong to.
    """

    def __init__(
        self, policy_period_ns: int, tick_period_ns: int, held_back: bool = False, seed: int = 0
    ) -> None:
        self._policy_period_ns, self._tick_period_ns = policy_period_ns, tick_period_ns
        self._held_back = held_back
        self._rng = np.random.default_rng(seed)
        self._slot_ns = 0
        self._observed_ns = 0
        self._waiting: deque[int] = deque()
        self._waiting_sensor: deque[int] = deque()
        self._steps: OrderedDict[int, tuple[StepStamps, int]] = OrderedDict()
        self._newest_ns = self._free_ns = 0
        self._arrivals: OrderedDict[int, int] = OrderedDict()
        self._switches: deque[Switch] = deque(maxlen=KEPT)
        self._answered: deque[tuple[int, Switch]] = deque(maxlen=KEPT)
        self._permitted_ns = 0
        self.first_action_ns: int | None = None
        """From the first tick in which nothing but a missing trajectory kept the arm to its first frame."""
        self.in_force, self.with_sensor = Histogram(), Histogram()
        self.floor, self.own = Histogram(), Histogram()
        self.stages = tuple(Histogram() for _ in STAGES)

    def take_steps(self, steps: Iterable[Sequence[int]]) -> None:
        """As the policy reports them."""
        for stamps in steps:
            step = StepStamps(*stamps)
            if step.observed_ns <= self._newest_ns:
                continue
            self._newest_ns = step.observed_ns
            self._steps[step.observed_ns] = step, self._free_ns
            run_ns = step.run_ended_ns - step.run_began_ns
            self._free_ns = step.observed_ns + run_ns + _held_ns(step, self._held_back)
        _shorten(self._steps)

    def take_samples(self, samples: Iterable[PoseSample]) -> None:
        """Of the sensor that observations are made of."""
        for sample in samples:
            self._arrivals[sample.capture_ns] = sample.arrival_ns
        _shorten(self._arrivals)

    def take_records(self, records: NDArray[np.void]) -> None:
        """Records of consecutive ticks. Events while the robot does not run do not count."""
        columns = (records[name].tolist() for name in COLUMNS)
        for *stamps, mode, conditions in zip(*columns, strict=True):
            self._take(Switch(*stamps), mode, conditions)

    @property
    def unsettled(self) -> int:
        """Events that were answered and wait for their step's stamps."""
        return len(self._answered)

    def settle(self) -> None:
        """Takes apart whatever has come together meanwhile; the rest waits for its step."""
        for _ in range(len(self._answered)):
            event_ns, switch = self._answered.popleft()
            found = self._steps.get(switch.observed_ns)
            if found is None:
                self._answered.append((event_ns, switch))
                continue
            periods = self._policy_period_ns, self._tick_period_ns
            share = share_of(event_ns, switch, *found, *periods, held_back=self._held_back)
            self.floor.record(share.floor_ns)
            self.own.record(share.own_ns)
        for _ in range(len(self._switches)):
            switch = self._switches.popleft()
            found, arrival_ns = self._steps.get(switch.observed_ns), self._arrivals.get(switch.sensed_ns)
            if found is None or arrival_ns is None:
                self._switches.append(switch)
                continue
            for histogram, took_ns in zip(self.stages, stages_of(switch, found[0], arrival_ns), strict=True):
                histogram.record(took_ns)

    def _take(self, tick: Switch, mode: int, conditions: int) -> None:
        if not self._permitted_ns and not conditions & FORBIDS:
            self._permitted_ns = tick.tick_ns
        if mode != layout.MODE_RUNNING:
            self._waiting.clear()
            self._waiting_sensor.clear()
            self._slot_ns = 0
            return
        if self.first_action_ns is None and self._permitted_ns:
            self.first_action_ns = tick.written_ns - self._permitted_ns
        self._add_event(tick.tick_ns)
        if tick.observed_ns > self._observed_ns:
            self._observed_ns = tick.observed_ns
            self._switches.append(tick)
        while self._waiting and self._waiting[0] <= tick.observed_ns:
            event_ns = self._waiting.popleft()
            self.in_force.record(tick.written_ns - event_ns)
            self._answered.append((event_ns, tick))
        while self._waiting_sensor and self._waiting_sensor[0] <= tick.sensed_ns:
            self.with_sensor.record(tick.written_ns - self._waiting_sensor.popleft())

    def _add_event(self, tick_ns: int) -> None:
        if self._slot_ns == 0:
            self._slot_ns = tick_ns
        while tick_ns >= self._slot_ns:
            event_ns = self._slot_ns + int(self._rng.integers(EVENT_PERIOD_NS))
            self._waiting.append(event_ns)
            self._waiting_sensor.append(event_ns)
            self._slot_ns += EVENT_PERIOD_NS


def _slot_from(instant_ns: int, slot_ns: int, period_ns: int) -> int:
    """The first slot at or after ``instant_ns`` on the grid that ``slot_ns`` lies on."""
    return slot_ns - (slot_ns - instant_ns) // period_ns * period_ns


def _held_ns(step: StepStamps, held_back: bool) -> int:
    return step.published_ns - step.fitted_ns if held_back else 0


def _shorten(kept: OrderedDict[int, tuple[StepStamps, int]] | OrderedDict[int, int]) -> None:
    while len(kept) > KEPT:
        kept.popitem(last=False)
