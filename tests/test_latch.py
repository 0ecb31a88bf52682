"""What keeps a stopped robot stopped, on states made by hand."""

import dataclasses

import numpy as np
import pytest

from spinal.native.layout import Condition
from spinal.native.loop import conditions
from spinal.runtime.supervisor.latch import FINAL, LATCHING, Latch, latched_by
from spinal.runtime.types import State


def state(latched):
    values = {field.name: 0 for field in dataclasses.fields(State)}
    arrays = {name: np.zeros(1) for name in ("position", "velocity", "load", "stamp_ns", "commanded")}
    return State(**{**values, **arrays, "latched": int(latched)})


def test_nothing_is_latched_before_the_first_state_or_without_a_condition():
    assert latched_by(None, 5) is None
    assert latched_by(state(0), 5) is None


@pytest.mark.parametrize("condition", list(Condition))
def test_what_clears_by_itself_does_not_latch(condition):
    clearing = {name.upper(): rule for name, _, rule in conditions()}[condition.name]
    latch = latched_by(state(condition), 7)
    assert (latch is None) == (clearing == "by_itself")
    if latch is not None:
        assert latch == Latch(condition, 7)
        assert latch.final == (clearing == "never")
    assert bool(FINAL & condition) <= bool(LATCHING & condition)


def test_the_cause_is_named_and_the_stop_that_follows_from_it_is_not():
    latch = latched_by(state(Condition.COLLISION | Condition.ORDER_STOP | Condition.NO_TRAJECTORY), 0)
    assert latch.cause == "a joint pushes hard against something"
    assert latched_by(state(Condition.ORDER_STOP), 0).cause == "ordered to stop"
    both = latched_by(state(Condition.ESTOP | Condition.OVERHEATED), 0)
    assert both.cause == "a motor is overheated, emergency stop"
