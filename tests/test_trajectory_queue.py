"""Which chunk is in force, whatever arrives when: the native loop against a model (bench/seam/queue.py)."""

import numpy as np
import pytest
from loop_rig import DT_NS, MS, SteppedRig

from spinal.bench.seam import queue
from spinal.native import layout


@pytest.mark.parametrize("seed", range(4))
def test_no_tick_is_starved_none_executed_twice_and_nothing_stale(seed):
    found = queue.run(30_000, seed)
    assert set(found.faults.values()) == {0}, found
    assert found.running > 0.95 * found.ticks
    assert found.switches > 500


def test_the_model_tries_everything():
    found = queue.run(60_000, 11)
    for name in (
        "dropped",
        "overtaken",
        "unseen",
        "missed_slots",
        "outages",
        "outage_ticks",
        "policy_restarts",
        "loop_restarts",
    ):
        assert getattr(found, name) > 1, name


@pytest.mark.parametrize(
    ("fault", "spoil"),
    [
        ("another", lambda model: setattr(model, "_choose", lambda: None)),
        ("elsewhen", lambda model: setattr(model, "_tick_ns", model._tick_ns)),
    ],
)
def test_a_model_that_disagrees_is_seen(fault, spoil, monkeypatch):
    """A check that cannot fail is none: a store that takes any chunk, and chunks that lie about their instant."""
    if fault == "another":
        monkeypatch.setattr(queue.QueueModel, "_choose", _take_any)
    else:
        monkeypatch.setattr(queue, "_told", _told_late)
    assert queue.run(30_000, 0).faults[fault] > 0


def _take_any(model):
    model._force = model._newest


def _told_late(times_ns, code):
    return np.stack(
        [queue.RATE * (times_ns - queue.EPOCH_NS + 1000) * 1e-9, np.full(len(times_ns), code)], axis=1
    )


def test_what_waits_for_the_loop_to_run_is_not_replaced_by_what_answers_an_older_observation():
    rig = SteppedRig()
    rig.tick_until("ready")
    rig.publish(rig.path_from(rig.next_ns, swing=0.1))
    rig.tick()
    rig.publish(rig.path_from(rig.next_ns - 5 * MS, swing=0.2))
    rig.tick()
    assert rig.stats["rejected"]["stale"] == 1
    for giver in (0, 1):
        rig.order(layout.ORDER_RUN, giver=giver)
    rig.tick(2)
    assert rig.loop.mode == "running"
    assert rig.state["trajectory_id"] == 1
    newer = rig.path_from(rig.next_ns)
    rig.order(layout.ORDER_HOLD)
    rig.tick(2)
    rig.publish(newer)
    rig.tick()
    rig.publish(rig.path_from(rig.next_ns + DT_NS))
    rig.order(layout.ORDER_RUN)
    rig.tick(100)
    assert rig.state["trajectory_id"] == 4
