"""The table of modes and the table of conditions, against an oracle written from the words of ``core/modes.h``."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinal.native import layout, loop
from spinal.native.layout import Condition

MODES = ("off", "ready", "running", "holding", "stopped")
OFF, READY, RUNNING, HOLDING, STOPPED = range(5)

# What each condition leads to, and what makes it go away. Names are for machines: they stay as they are.
TABLE = {
    "no_trajectory": ("hold", "by_itself"),
    "order_hold": ("hold", "by_itself"),
    "order_stale": ("hold", "by_itself"),
    "joint_silent": ("hold", "by_itself"),
    "late": ("hold", "by_itself"),
    "order_stop": ("stop", "on_rearming"),
    "not_armed": ("wait", "by_itself"),
    "not_tested": ("wait", "by_itself"),
    "chunk_old": ("hold", "by_itself"),
    "line_lost": ("hold", "by_itself"),
    "motor_off": ("stop", "on_rearming"),
    "frozen": ("stop", "on_rearming"),
    "following": ("hold", "by_itself"),
    "following_lost": ("stop", "on_rearming"),
    "contact": ("hold", "by_itself"),
    "collision": ("stop", "on_rearming"),
    "hot": ("hold", "by_itself"),
    "overheated": ("stop", "on_rearming"),
    "voltage_low": ("hold", "by_itself"),
    "voltage_failed": ("stop", "on_rearming"),
    "estop": ("stop", "on_rearming"),
    "order_off": ("let_go", "on_rearming"),
    "held_long": ("let_go", "on_rearming"),
    "refused": ("stop", "never"),
    "released": ("let_go", "on_rearming"),
    "not_energised": ("hold", "by_itself"),
    "device_error": ("stop", "on_rearming"),
}
CARE = ("wait", "hold", "stop", "let_go")
NAMES = tuple(TABLE)
ALL = (1 << len(NAMES)) - 1
bit_sets = st.sets(st.integers(0, len(NAMES) - 1)).map(lambda bits: sum(1 << bit for bit in bits))


def names_in(conditions):
    return [name for bit, name in enumerate(NAMES) if conditions >> bit & 1]


def worst(conditions):
    """The worst answer of all that are in force; None when nothing is."""
    return max((TABLE[name][0] for name in names_in(conditions)), key=CARE.index, default=None)


def expected(mode, conditions):
    """(mode, name of the edge or None): the paragraph at the head of modes.h, line by line."""
    answer = worst(conditions)
    if mode == STOPPED:  # only a release leaves it: torque has faded
        return (OFF, "release") if conditions & Condition.RELEASED else (STOPPED, None)
    if mode == OFF:  # what is waited for, what would stop, and a joint or a line that nobody hears
        unheard = conditions & (Condition.JOINT_SILENT | Condition.LINE_LOST)
        waits = any(TABLE[name][0] == "wait" for name in names_in(conditions))
        return (OFF, None) if unheard or waits or answer in ("stop", "let_go") else (READY, "arm")
    if answer in ("stop", "let_go"):
        return STOPPED, "stop"
    if answer == "hold":  # READY holds already
        return (HOLDING, "hold") if mode == RUNNING else (mode, None)
    return {READY: (RUNNING, "begin"), RUNNING: (RUNNING, None), HOLDING: (RUNNING, "go_on")}[mode]


def test_the_table_of_conditions_is_the_one_that_is_written_down():
    assert loop.conditions() == [(name, *row) for name, row in TABLE.items()]
    assert loop.condition(-1) is loop.condition(len(TABLE)) is None


def test_every_condition_has_its_bit_and_words_and_no_two_share_them():
    assert [condition.name.lower() for condition in Condition] == list(NAMES)
    assert [int(condition) for condition in Condition] == [1 << bit for bit in range(len(NAMES))]
    assert set(layout.CONDITIONS) == set(Condition)
    assert len(set(layout.CONDITIONS.values())) == len(Condition)
    assert all(words and words == words.strip() for words in layout.CONDITIONS.values())


def test_names_of_modes_and_rungs_are_those_of_the_layout():
    assert tuple(map(loop.mode_name, range(5))) == MODES
    assert (layout.MODE_OFF, layout.MODE_READY, layout.MODE_RUNNING) == (OFF, READY, RUNNING)
    assert (layout.MODE_HOLDING, layout.MODE_STOPPED) == (HOLDING, STOPPED)
    rungs = [name.removeprefix("RUNG_").lower() for name in vars(layout) if name.startswith("RUNG_")]
    assert [loop.rung_name(getattr(layout, f"RUNG_{name.upper()}")) for name in rungs] == rungs
    assert sorted(rungs, key=lambda name: getattr(layout, f"RUNG_{name.upper()}")) == [
        "fresh",
        "tail",
        "to_rest",
        "hold",
        "damp",
        "off",
    ]
    assert loop.mode_name(5) == loop.rung_name(6) == "?"


@pytest.mark.parametrize("mode", range(5), ids=MODES)
def test_the_edge_taken_for_nothing_each_condition_and_each_pair(mode):
    """Stopped and off are told apart by names, so single conditions and pairs are every class there is."""
    for size in range(3):
        for bits in combinations(range(len(NAMES)), size):
            conditions = sum(1 << bit for bit in bits)
            assert loop.next_mode(mode, conditions) == expected(mode, conditions), names_in(conditions)


@given(st.integers(0, 4), bit_sets)
def test_the_edge_taken_for_any_set(mode, conditions):
    assert loop.next_mode(mode, conditions) == expected(mode, conditions)


@given(st.integers(0, 4), bit_sets)
def test_the_edge_that_is_recorded_is_the_one_that_was_taken(mode, conditions):
    index, (target, name) = loop.edge_index(mode, conditions), loop.next_mode(mode, conditions)
    if index is None:
        assert (target, name) == (mode, None)
    else:
        assert loop.edge(index)[:3] == (MODES[mode], MODES[target], name)


@given(st.integers(0, 4), bit_sets, bit_sets)
def test_more_conditions_are_never_answered_with_less_care(mode, some, more):
    """Off, where nothing moves, is no further from care than stopped."""
    care = {RUNNING: 0, READY: 1, HOLDING: 1, STOPPED: 2, OFF: 2}
    assert care[loop.next_mode(mode, some | more)[0]] >= care[loop.next_mode(mode, some)[0]]


@given(bit_sets)
def test_off_never_leads_straight_to_motion(conditions):
    assert loop.next_mode(OFF, conditions)[0] in (OFF, READY)


@given(bit_sets)
def test_a_condition_to_wait_for_matters_in_off_alone(conditions):
    waiting = conditions | Condition.NOT_ARMED | Condition.NOT_TESTED
    assert loop.next_mode(OFF, waiting) == (OFF, None)
    without = conditions & ~int(Condition.NOT_ARMED | Condition.NOT_TESTED)
    for mode in (READY, RUNNING, HOLDING, STOPPED):
        assert loop.next_mode(mode, waiting) == loop.next_mode(mode, without)


@given(bit_sets)
def test_latched_is_what_does_not_clear_by_itself(conditions):
    names = {name for name in names_in(conditions) if TABLE[name][1] != "by_itself"}
    assert set(names_in(loop.latched(conditions))) == names


@given(st.integers(0, 4), bit_sets)
def test_what_was_latched_keeps_a_stopped_arm_stopped(mode, conditions):
    """From any mode but off: once stopped, only a release leaves, whatever clears."""
    if mode != OFF and loop.next_mode(mode, conditions)[0] == STOPPED:
        left = loop.latched(conditions)
        assert loop.next_mode(STOPPED, left)[0] == (OFF if left & Condition.RELEASED else STOPPED)
        if mode != STOPPED:
            assert left, "a stop that would be forgotten"
            assert loop.next_mode(OFF, left) == (OFF, None), "and it would not arm again by itself"


def test_every_answer_that_stops_is_latched_and_no_other():
    for name, (answer, clearing) in TABLE.items():
        assert (answer in ("stop", "let_go")) == (clearing != "by_itself"), name


@given(bit_sets, st.sampled_from(CARE))
def test_whether_anything_leads_to_an_answer_or_worse(conditions, answer):
    worse = any(CARE.index(TABLE[name][0]) >= CARE.index(answer) for name in names_in(conditions))
    assert loop.leads_to(conditions, answer) == worse


def test_bits_beyond_the_table_say_nothing():
    beyond = 1 << len(NAMES)
    assert loop.latched(beyond | ALL) == loop.latched(ALL)
    assert not loop.leads_to(beyond, "wait")
    for mode in range(5):
        assert loop.next_mode(mode, beyond) == loop.next_mode(mode, 0)


def test_the_edges_are_these_and_every_one_of_them_can_be_taken():
    edges = loop.edges()
    assert [(source, target, name) for source, target, name, _, _ in edges] == [
        ("off", "ready", "arm"),
        ("ready", "stopped", "stop"),
        ("ready", "running", "begin"),
        ("running", "stopped", "stop"),
        ("running", "holding", "hold"),
        ("holding", "stopped", "stop"),
        ("holding", "running", "go_on"),
        ("stopped", "off", "release"),
    ]
    assert loop.edge(-1) is loop.edge(len(edges)) is None
    for source, target, name, when, _ in edges:
        taken = loop.next_mode(MODES.index(source), when & -when)
        assert taken == (MODES.index(target), name)


def test_the_masks_of_the_edges_follow_the_answers():
    """Every bit of an edge's masks has the answer that the edge is about, and none of that answer is left out."""
    bits_of = {
        answer: sum(1 << bit for bit, name in enumerate(NAMES) if TABLE[name][0] == answer) for answer in CARE
    }
    stops = bits_of["stop"] | bits_of["let_go"]
    for _, _, name, when, unless in loop.edges():
        assert (when, unless) == {
            "arm": (0, bits_of["wait"] | stops | Condition.JOINT_SILENT | Condition.LINE_LOST),
            "begin": (0, bits_of["hold"]),
            "stop": (stops, 0),
            "hold": (bits_of["hold"], 0),
            "go_on": (0, bits_of["hold"]),
            "release": (Condition.RELEASED, 0),
        }[name]
