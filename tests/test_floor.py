"""The empty loop that lateness is judged beside."""

import gc
import os
import time

import pytest
from waiting import until

from spinal.native.floor import Floor


def test_it_counts_every_slot_and_may_be_read_meanwhile():
    floor = Floor(1_000_000)
    assert floor.counts().sum() == 0
    began = time.monotonic_ns()
    floor.start(began)
    with pytest.raises(RuntimeError, match="runs already"):
        floor.start()
    until(lambda: floor.counts().sum() >= 50, "the floor wakes")
    floor.stop()
    floor.stop()
    slots = (time.monotonic_ns() - began) // 1_000_000
    assert 50 <= floor.summary()["n"] <= slots + 1, "skipped slots are counted, none is invented"
    assert floor.fifo == "not asked"


def test_one_that_nobody_keeps_ends():
    before = set(os.listdir("/proc/self/task"))
    floor = Floor(1_000_000)
    floor.start()
    (thread,) = set(os.listdir("/proc/self/task")) - before
    del floor
    gc.collect()
    until(lambda: thread not in os.listdir("/proc/self/task"), "the floor's thread ends")


def test_a_period_is_positive():
    with pytest.raises(ValueError, match="period"):
        Floor(0)
