"""The ladder, rung by rung: what the arm does while more and more is missing, until torque is off."""

import errno
from itertools import pairwise

import numpy as np
import pytest
from loop_rig import DT_NS, EMERGENCY, MS
from memory_rig import MemoryRig
from test_loop_modes import assert_inside, assert_moves_inside

from spinal.native import layout
from spinal.native.layout import Condition

RUNGS = ("fresh", "tail", "to_rest", "hold", "damp", "off")


def watched(rig, ticks):
    """[(rung, since)] of every tick before this one, as the next one published it."""
    told = []
    for _ in range(ticks):
        rig.tick()
        told.append((int(rig.state["rung"]), int(rig.state["rung_ns"])))
    return told


def test_rungs_are_taken_in_their_order_with_stamps_and_counters():
    rig = MemoryRig(tail_limit_ns=300 * MS, let_go_after_ns=200 * MS, fade_ns=100 * MS)
    assert watched(rig, 2)[0][0] == layout.RUNG_OFF
    rig.running(steps=100, fresh_for_ns=60 * MS)
    began_ns = rig.next_ns - DT_NS
    told = watched(rig, 300)
    order = list(dict.fromkeys(rung for rung, _ in told))
    assert [RUNGS[rung] for rung in order] == list(RUNGS)
    since = {RUNGS[rung]: stamp for rung, stamp in told}
    assert since["fresh"] == began_ns
    assert since["tail"] == began_ns + 60 * MS + DT_NS
    assert since["to_rest"] == began_ns + 300 * MS + DT_NS
    assert 0 < since["hold"] - since["to_rest"] <= 150 * MS
    # the tick that takes the rung begins to count, and one is needed to see that the time is over
    assert since["damp"] == since["hold"] + 200 * MS + DT_NS
    assert since["off"] == since["damp"] + 100 * MS
    for (rung, stamp), (later_rung, later_stamp) in pairwise(told):
        assert (stamp == later_stamp) == (rung == later_rung)
    counted = rig.stats["rungs"]
    assert sum(counted.values()) == rig.stats["ticks"]
    spans = {name: since[after] - since[name] for name, after in pairwise(RUNGS)}
    for name in ("fresh", "tail", "to_rest", "damp"):
        assert counted[name] == spans[name] // DT_NS, name


def test_the_tail_is_not_followed_beyond_its_limit():
    rig = MemoryRig(tail_limit_ns=200 * MS).running(steps=100)
    begun = len(rig.seen) - 1
    rig.tick(100)
    modes = [record["mode"] for record in rig.seen[begun:]]
    assert modes.count(layout.MODE_RUNNING) == 200 // 4 + 1, "0, 4, ... 200 ms of age"
    (change,) = rig.transitions[-1:]
    assert (change.risen, change.modes) == (Condition.CHUNK_OLD, (layout.MODE_RUNNING, layout.MODE_HOLDING))
    assert change.joint == -1
    assert_moves_inside(rig.commands()[begun:])
    assert rig.state["at_rest"]
    rig.publish(rig.path())
    rig.tick()
    assert rig.loop.mode == "running", "it clears by itself"


def test_a_chunk_that_answers_something_too_old_is_not_begun():
    rig = MemoryRig(tail_limit_ns=200 * MS).running(steps=100)
    rig.tick(100)
    changes = len(rig.transitions)
    old_ns = rig.next_ns - 201 * MS
    rig.publish(rig.path(steps=100, observation_stamp_ns=old_ns))
    rig.tick(20)
    assert rig.loop.mode == "holding"
    assert len(rig.transitions) == changes
    assert rig.conditions & Condition.CHUNK_OLD
    rig.publish(rig.path(steps=100, observation_stamp_ns=rig.next_ns - 150 * MS))
    rig.tick()
    assert rig.loop.mode == "running"


@pytest.mark.parametrize("cause", ["held long", "ordered", "ordered in motion"])
def test_torque_fades_in_steps_and_ends_in_off_latched(cause):
    rig = MemoryRig(let_go_after_ns=100 * MS if cause == "held long" else 0, fade_ns=1000 * MS)
    rig.running(steps=120 if cause == "ordered in motion" else 10)
    if cause == "ordered in motion":
        rig.tick(30)
        assert not rig.state["at_rest"]
    elif cause == "ordered":
        rig.tick_until("holding")
    if cause != "held long":
        rig.order(layout.ORDER_OFF, giver=1, now_ns=rig.next_ns, valid_for_ns=1)
    rig.tick_until("stopped")
    begun = len(rig.seen) - 1
    assert rig.transitions[-1].risen & (Condition.HELD_LONG | Condition.ORDER_OFF)
    rig.tick_until("off")
    shares = [share for share, _ in rig.bus.torque_shares]
    assert shares[0] == shares[1] == 1, "on with the first goals, and at the start of the fade"
    faded = np.array(shares[1:])
    assert (np.diff(faded) < 0).all()
    assert -np.diff(faded).min() <= 0.021, "in steps of a fiftieth"
    assert faded[-1] == 0
    assert (np.diff(rig.commands()[begun + 40 :], axis=0) == 0).all(), "the goals stay meanwhile"
    assert_inside(rig, EMERGENCY)
    assert not rig.state["energised"]
    # and a person has to come: orders to run and a new chunk change nothing
    orders = len(rig.bus.torque_shares)
    writes = rig.bus.writes
    for giver in (0, 1):
        rig.order(layout.ORDER_RUN, giver=giver)
    rig.publish(rig.path())
    rig.tick(100)
    assert (rig.loop.mode, len(rig.bus.torque_shares), rig.bus.writes) == ("off", orders, writes)
    assert rig.conditions & Condition.RELEASED
    assert RUNGS[int(rig.state["rung"])] == "off"
    # a controller that starts afresh arms again
    rig.loop = rig.new_loop()
    rig.tick_until("ready", limit=3)


def test_an_arm_that_moves_comes_to_rest_before_it_lets_go():
    rig = MemoryRig(fade_ns=100 * MS).running(steps=120, swing=0.8)
    rig.tick(40)
    rig.order(layout.ORDER_OFF)
    while len(rig.bus.torque_shares) == 1:
        rig.tick()
        assert len(rig.seen) < 400
    assert rig.state["at_rest"]


def test_it_does_not_let_go_where_nobody_asked_for_it():
    rig = MemoryRig(let_go_after_ns=0, fade_ns=100 * MS).running(steps=10)
    rig.tick(1000)
    assert rig.loop.mode == "holding"
    assert rig.bus.torque_shares == [(1.0, 1)]


def test_an_arm_that_goes_on_before_its_time_is_over_does_not_let_go():
    rig = MemoryRig(let_go_after_ns=200 * MS, fade_ns=100 * MS).running(steps=10)
    for _ in range(5):
        rig.tick(80)
        rig.publish(rig.path(steps=10))
        rig.tick()
        assert rig.loop.mode == "running"
    assert len(rig.bus.torque_shares) == 1


def test_torque_comes_with_the_first_goals_and_not_before_they_are_written():
    rig = MemoryRig(position=(0.3, -0.4, 0.01))
    rig.bus.fail(write=-errno.EIO)
    rig.tick(10)
    assert rig.loop.mode == "ready"
    assert rig.bus.torque_shares == [], "an old goal still stands in the motors"
    rig.bus.fail()
    rig.tick()
    assert rig.bus.torque_shares == [(1.0, 1)]
    assert rig.bus.goals == [0.3, -0.4, 0.01]
    assert rig.positions == [0.3, -0.4, 0.01]


def test_a_bus_that_knows_of_no_torque_is_driven_and_let_go_all_the_same():
    rig = MemoryRig(tells=False, fade_ns=100 * MS).ready()
    rig.tick()
    assert rig.state["energised"]
    rig.order(layout.ORDER_OFF)
    rig.tick_until("off")
    assert rig.bus.torque_shares == []
    assert rig.conditions & Condition.RELEASED


def test_a_refused_command_is_a_defect_and_stays():
    rig = MemoryRig().running(steps=100)
    rig.bus.fail(write=-errno.EINVAL)
    rig.tick()
    rig.bus.fail()
    rig.tick()
    assert rig.loop.mode == "stopped"
    assert rig.transitions[-1].risen == Condition.REFUSED
    rig.tick(50)
    assert rig.loop.mode == "stopped"


def test_a_line_that_fails_is_held_after_the_joints_age_and_goes_on():
    rig = MemoryRig().running(steps=120)
    rig.tick(10)
    rig.bus.fail(read=-errno.EIO)
    needed = rig.tick_until("holding", limit=30)
    assert needed == 13, "50 ms and a tick"
    rig.tick(3)
    assert rig.conditions & Condition.LINE_LOST
    rig.bus.fail()
    rig.tick()
    assert rig.loop.mode == "running"


def test_what_is_published_for_the_guard_is_what_the_bus_was_given_in_that_tick():
    rig = MemoryRig().running(steps=60)
    for k in range(80):
        if k == 40:
            rig.order(layout.ORDER_STOP)
        rig.tick()
        command = rig.command
        assert (command["tick"], command["tick_ns"]) == (rig.seen[-1]["tick"], rig.seen[-1]["tick_ns"])
        assert command["mode"] == rig.seen[-1]["mode"]
        assert command["joints"]["position"].tolist() == rig.bus.goals
        assert command["joints"]["position"].tolist() == rig.seen[-1]["joints"]["applied"].tolist()
        assert command["energised"] == 1
    before = rig.command["tick"]
    rig.bus.fail(write=-errno.EIO)
    rig.tick()
    assert rig.command["tick"] == before + 1, "published before it is written"


def test_nothing_begins_before_the_motors_have_taken_torque():
    rig = MemoryRig()
    rig.bus.fail(torque=-errno.EIO)
    rig.order(layout.ORDER_RUN)
    rig.order(layout.ORDER_RUN, giver=1)
    rig.tick(2)
    rig.publish(rig.path_from(rig.next_ns))
    rig.tick(5)
    assert rig.loop.mode == "ready"
    assert rig.conditions == Condition.NOT_ENERGISED
    assert rig.state["energised"] == 0
    rig.bus.fail()
    rig.tick(3)
    assert rig.loop.mode == "running"
