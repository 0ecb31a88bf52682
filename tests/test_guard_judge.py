"""What the guard calls a lost controller: decisions alone, without processes, threads or time."""

from dataclasses import replace

import pytest
from guard_rig import PLAN
from hypothesis import given
from hypothesis import strategies as st
from loop_rig import MS

from spinal.native.guard import Judge, says_stopped

POLL_NS = PLAN.poll_ns


def begun(**changes):
    """The judge of a controller that has ticked; its last heartbeat is 1."""
    judge = Judge(replace(PLAN, **changes))
    assert judge.wake(1) is None
    return judge


def wakes_until_a_cause(judge, heartbeat_ns, **sight):
    for count in range(1, 1000):
        cause = judge.wake(heartbeat_ns, **sight)
        if cause:
            return count, cause
    raise AssertionError("never")


def test_a_running_controller_that_does_not_tick_is_silent_at_its_limit():
    assert wakes_until_a_cause(begun(), 1) == (PLAN.silent_ns // POLL_NS, "silent")


def test_one_that_a_signal_stopped_is_lost_sooner():
    assert wakes_until_a_cause(begun(), 1, stopped=True) == (-(-PLAN.stopped_ns // POLL_NS), "stopped")


def test_stopped_counts_only_while_it_lasts():
    judge = begun()
    for _ in range(5):
        for _ in range(7):
            assert judge.wake(1, stopped=True) is None
        assert judge.wake(1, stopped=False) is None


def test_a_heartbeat_ends_silence_and_stop():
    judge = begun()
    for beat in range(2, 6):
        for _ in range(7):
            assert judge.wake(beat - 1, stopped=True) is None
        assert judge.wake(beat) is None
        assert judge.silent_ns == 0
    assert judge.longest_silence_ns == 7 * POLL_NS


def test_before_the_first_heartbeat_only_death_counts():
    judge = Judge(PLAN, heartbeat_ns=77)
    for _ in range(10_000):
        assert judge.wake(77, stopped=True) is None
        assert not judge.looks(77)
    assert judge.wake(77, exited=True) == "died"


def test_a_heartbeat_that_goes_back_is_one():
    """Another boot's clock may be behind that of the controller before."""
    judge = Judge(PLAN, heartbeat_ns=77)
    assert judge.wake(5) is None
    assert wakes_until_a_cause(judge, 5)[1] == "silent"


@pytest.mark.parametrize(
    "sight", [{"heartbeat_ns": 1}, {"heartbeat_ns": 2}, {"heartbeat_ns": 1, "stopped": True}]
)
def test_death_is_seen_at_once_whatever_else_is(sight):
    assert begun().wake(exited=True, **sight) == "died"


def test_it_looks_at_the_process_only_when_ticks_are_missing():
    judge = begun()
    looked = []
    for _ in range(6):
        looked.append(judge.looks(1))
        judge.wake(1)
    assert looked == [False, False, False, True, True, True], "more than a period and a wake-up"
    assert not judge.looks(2)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=200))
def test_it_is_what_a_count_of_wake_ups_says(sights):
    judge, beat, silent, stopped = begun(), 1, 0, 0
    for beats, is_stopped in sights:
        beat += beats
        silent = 0 if beats else silent + 1
        stopped = stopped + 1 if is_stopped and not beats else 0
        expected = (
            "stopped"
            if stopped * POLL_NS >= PLAN.stopped_ns
            else "silent"
            if silent * POLL_NS >= PLAN.silent_ns
            else None
        )
        assert judge.wake(beat, stopped=is_stopped) == expected
        if expected:
            return


@pytest.mark.parametrize(
    ("stat", "said"),
    [
        (b"41 (python3) T 1 41 41 0", True),
        (b"41 (python3) t 1 41 41 0", True),
        (b"41 (python3) S 1 41 41 0", False),
        (b"41 (python3) R 1 41 41 0", False),
        (b"41 (a) T (b) S 1 41 41 0", False),
        (b"41 (a) S (b) T 1 41 41 0", True),
        (b"41 (()) T 1", True),
        (b"41 (cut off) ", False),
        (b"41 (cut off)", False),
        (b"41 (T", False),
        (b"", False),
    ],
)
def test_the_state_stands_behind_the_name(stat, said):
    assert says_stopped(stat) is said


@pytest.mark.parametrize(
    "changes", [{"poll_ns": 0}, {"poll_ns": 16 * MS}, {"silent_ns": 14 * MS}, {"dt_ns": 0}]
)
def test_a_plan_that_cannot_be_kept_is_refused(changes):
    with pytest.raises(ValueError, match="plan"):
        Judge(replace(PLAN, **changes))
