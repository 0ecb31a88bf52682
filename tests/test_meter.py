"""Reaction figures from tick records, on records made by hand."""

from __future__ import annotations

import numpy as np

from spinal.native import layout
from spinal.runtime.cli.meter import ReactionMeter

TICK_NS = 4_000_000
PERIOD_NS = 20_000_000
DELAY_NS = 6_000_000
START_NS = 1_000_000_000


def records(ticks: int, mode: int = layout.MODE_RUNNING) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """A robot whose policy observes each 20 ms, and whose answers are in force 6 ms later."""
    made = np.zeros(ticks, layout.record_dtype(2))
    made["tick_ns"] = START_NS + TICK_NS * np.arange(ticks)
    made["written_ns"] = made["tick_ns"] + 1_200_000
    made["observation_stamp_ns"] = (made["tick_ns"] - DELAY_NS) // PERIOD_NS * PERIOD_NS
    made["sensor_stamp_ns"] = made["observation_stamp_ns"] - 10_000_000
    made["mode"] = mode
    return made


def test_reaction_lies_between_the_delay_and_the_delay_and_a_period() -> None:
    meter = ReactionMeter()
    meter.take(records(5000))
    assert meter.in_force.total > 190  # ten a second for 20 s
    assert meter.in_force.quantile_ns(0) >= DELAY_NS
    assert meter.in_force.max_ns <= DELAY_NS + PERIOD_NS + TICK_NS + 1_200_000
    middle = DELAY_NS + PERIOD_NS / 2 + TICK_NS / 2 + 1_200_000
    assert abs(meter.in_force.quantile_ns(0.5) - middle) < 2_500_000


def test_the_sensor_adds_its_age() -> None:
    meter = ReactionMeter()
    meter.take(records(5000))
    added = meter.with_sensor.quantile_ns(0.5) - meter.in_force.quantile_ns(0.5)
    assert abs(added - 10_000_000) < 2_500_000


def test_records_in_parts_give_the_same_as_whole() -> None:
    whole, parts = ReactionMeter(), ReactionMeter()
    made = records(2000)
    whole.take(made)
    for part in np.array_split(made, 37):
        parts.take(part)
    assert parts.in_force.summary() == whole.in_force.summary()


def test_events_of_a_robot_that_does_not_run_do_not_count() -> None:
    meter = ReactionMeter()
    meter.take(records(5000, layout.MODE_HOLDING))
    assert meter.in_force.total == 0


def test_a_frozen_policy_answers_nothing() -> None:
    meter = ReactionMeter()
    made = records(5000)
    made["observation_stamp_ns"][2500:] = made["observation_stamp_ns"][2500]
    meter.take(made)
    assert meter.in_force.total <= 105
