"""A joint that pushes, is pushed, is jammed, carries something, or hits."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reflex_rig import DT_NS, LIMITS, MS, at, said, series, servo_run, spells

from spinal.native.layout import Condition
from spinal.native.reflex import Reflex


@settings(max_examples=40)
@given(st.integers(20, 140), st.sampled_from([-1, 1]))
def test_a_joint_that_is_jammed_in_motion_is_a_contact_in_time(block_at, side):
    """Within 60 ms for what it pushes to be believed, the configured time, and a tick."""
    requests = [1.9 * side] * 100 + [-1.9 * side] * 250
    limits = LIMITS._replace(following_hold=0, following_stop=0)
    conditions, loads = servo_run(requests, limits, blocked_from=block_at)
    due = math.ceil((60 + 250) / 4) + 1
    pushing = [(a, b) for sign in (-1, 1) for a, b in spells([int(sign * x > 0.95) for x in loads], 1)]
    jammed = [(max(a, block_at), b) for a, b in pushing if b - max(a, block_at) > due]
    assert jammed
    for begin, end in jammed:
        assert all(c & Condition.CONTACT for c in conditions[begin + due : end])


@pytest.mark.parametrize("side", [-1, 1])
def test_contact_trips_once_its_residual_has_lasted_and_not_a_tick_before(side):
    reflex, first = Reflex(LIMITS), None
    for k in range(120):
        got = reflex.tick(at(k), load=side * (0.9 if k >= 20 else 0.001 * (k % 2)))
        beyond = abs(reflex.outside - reflex.rest) > 0.6
        first = k if beyond and first is None else first
        assert bool(got & Condition.CONTACT) == (first is not None and (k - first) * DT_NS >= 250 * MS)
    assert first - 20 <= 60 / 4
    assert math.copysign(1, reflex.outside) == side


def test_what_a_joint_carries_becomes_its_rest_and_is_no_contact():
    limits = LIMITS._replace(frozen_ns=0)
    reflex = Reflex(limits)
    for k in range(1500):
        assert not reflex.tick(at(k), load=0.3)
    assert reflex.rest == pytest.approx(0.3, abs=1e-3)
    got = [reflex.tick(at(k), load=-0.5) for k in range(1500, 1600)]
    ((begin, _),) = spells(got, Condition.CONTACT)
    assert 62 < begin <= 62 + 15, "0.8 from its rest, for 250 ms"


@pytest.mark.parametrize("seconds", [0.5, 5, 50])
def test_however_slowly_a_push_grows_all_that_a_motor_has_is_a_contact(seconds):
    rise = round(seconds * 250)
    got = said(LIMITS, series(rise + 100, load=lambda k: min(1.0, k / rise)))
    ((begin, _),) = spells(got, Condition.CONTACT)
    assert begin <= rise + 80


def test_the_rest_does_not_learn_while_something_is_suspected():
    reflex = Reflex(LIMITS)
    for k in range(40):
        reflex.tick(at(k), load=0.9)
    learnt = reflex.rest
    for k in range(40, 400):
        reflex.tick(at(k), load=0.9)
        assert reflex.rest == learnt
    for k in range(400, 400 + 124):  # held, until the window is over
        assert reflex.tick(at(k), load=0.0) & Condition.CONTACT or k > 400 + 130
        assert reflex.rest == learnt


def test_contact_clears_by_itself_and_stops_when_it_goes_on_for_long():
    def load(k):
        return 0.9 if 50 <= k < 450 or k >= 700 else 0.0

    got = said(LIMITS._replace(frozen_ns=0), series(1700, load=load))
    contact, again = spells(got, Condition.CONTACT)
    assert contact[0] < 450 + 125 < contact[1] < 450 + 125 + 10
    ((collision, end),) = spells(got, Condition.COLLISION)
    assert again[0] < collision
    residual_from = again[0] - round(250 / 4 + 0.5)
    assert abs(collision - (residual_from + 750)) <= 1
    assert end == again[1] == 1700


def test_never_for_long_is_never():
    got = said(LIMITS._replace(contact_long_ns=0, frozen_ns=0), series(3000, load=0.95))
    assert not spells(got, Condition.COLLISION)
    assert spells(got, Condition.CONTACT)


def stopped_within(seconds, speed=4.7, load=1.0):
    """A joint at full speed that something brings to rest in so long, its motor pushing on."""
    return series(
        80,
        command=lambda k: 0.0188 * k,
        velocity=lambda k: speed * max(0.0, min(1.0, 1 - (k - 30) * 0.004 / seconds)),
        position=lambda k: 0.0188 * min(k, 32) + 1e-4 * k,
        load=lambda k: load if k >= 30 else speed * 0.22,
    )


def test_an_impact_stops_at_once_and_a_brake_of_its_own_does_not():
    got = said(LIMITS, stopped_within(0.016))
    ((begin, _),) = spells(got, Condition.COLLISION)
    assert 30 < begin <= 35, "within 20 ms"
    # 4.7 rad/s in 60 ms is what its own motor can brake: duty against the motion
    braked = said(LIMITS._replace(following_hold=0, following_stop=0), stopped_within(0.06, load=-0.5))
    assert not spells(braked, Condition.COLLISION)


@given(
    st.integers(1, 60), st.sampled_from([1e9, -1e9, 50.0, -50.0, 2.0]), st.sampled_from(["velocity", "load"])
)
def test_one_garbled_sample_of_any_size_is_no_collision(when, size, word):
    ticks = series(90, load=lambda k: 0.5 + 0.001 * (k % 2))
    ticks[when] = ticks[when]._replace(**{word: size})
    assert not spells(said(LIMITS, ticks), Condition.COLLISION)


def test_a_gripper_like_joint_with_contact_off_pushes_for_ever():
    limits = LIMITS._replace(
        contact_hold=0, contact_stop=0, following_hold=0, following_stop=0, load_limit=0.5
    )
    got = said(limits, series(3000, command=lambda k: 0.001 * k, load=0.5, position=0.01))
    assert not any(got)
