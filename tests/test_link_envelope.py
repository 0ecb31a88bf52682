"""The gate, as properties: what it lets through, whatever comes."""

from itertools import count

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from link_frames import SECOND_NS, frame, pick, report

from spinal.runtime.link.envelope import MAX_VALIDITY_NS, SESSION_IDLE_NS, Gate, Reason, RefusedError
from spinal.runtime.link.messages import MAX_FRAME_BYTES, VERSION, Ack, Goal, Heartbeat

NOW_NS = 5 * SECOND_NS


def say_hello(gate: Gate, src: str = "planner", seq: int = 1, now_ns: int = NOW_NS) -> int:
    verdict = gate.admit(frame(src=src, seq=seq), now_ns)
    assert verdict.ack.accepted, verdict.ack
    return verdict.session_id


def goal_frame(session_id: int, seq: int = 2, left_ns: int = SECOND_NS, **fields: object) -> bytes:
    return frame(pick(), session_id=session_id, seq=seq, valid_until_ns=NOW_NS + left_ns, **fields)


def test_a_goal_in_its_session_and_time_is_accepted():
    gate = Gate()
    verdict = gate.admit(goal_frame(say_hello(gate), clock_err_ns=1000), NOW_NS)
    assert verdict.ack == Ack(2, True)
    assert verdict.message == pick()
    assert verdict.deadline_ns == NOW_NS + SECOND_NS - 1000


REFUSED = {
    Reason.OVERSIZED: lambda session: b"\0" * (MAX_FRAME_BYTES + 1),
    Reason.MALFORMED: lambda session: b"garbage",
    Reason.VERSION: lambda session: goal_frame(session, v=VERSION + 256),
    Reason.UNKNOWN_KIND: lambda session: frame(report(), session_id=session, seq=2),
    Reason.OTHER_SESSION: lambda session: goal_frame(session ^ 1),
    Reason.REPLAYED: lambda session: goal_frame(session, seq=1),
    Reason.EXPIRED: lambda session: goal_frame(session, left_ns=0),
    Reason.TOO_FAR: lambda session: goal_frame(session, left_ns=MAX_VALIDITY_NS + 1),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_each_refusal_is_counted_and_says_why(reason):
    gate = Gate()
    data = REFUSED[reason](say_hello(gate))
    verdict = gate.admit(data, NOW_NS)
    assert verdict.ack.reason == reason
    assert verdict.ack.detail
    assert verdict.message is None
    assert gate.rejected == {reason: 1}


def test_a_goal_may_be_refused_by_the_robot_itself():
    def consider(goal):
        raise RefusedError(Reason.NOT_NOW, f"no {goal.kind} while it rains")

    gate = Gate(consider=consider)
    session = say_hello(gate)
    verdict = gate.admit(goal_frame(session), NOW_NS)
    assert verdict.ack == Ack(2, False, "not_now", "no pick while it rains")
    assert verdict.message is None
    assert gate.rejected == {Reason.NOT_NOW: 1}
    assert gate.accepted == {"heartbeat": 1}
    late = gate.admit(goal_frame(session, seq=3, left_ns=0), NOW_NS)
    assert late.ack.reason == "expired", "the robot is asked only about goals that passed the gate"


def test_a_newer_minor_version_is_understood():
    gate = Gate()
    assert gate.admit(goal_frame(say_hello(gate), v=VERSION + 7), NOW_NS).ack.accepted


def test_a_malformed_payload_is_named_and_spends_its_number():
    gate = Gate()
    session = say_hello(gate)
    bad = frame(msgspec.Raw(b"\x93\x01\xa5dance\x80"), session_id=session, seq=2)
    assert gate.admit(bad, NOW_NS).ack.reason == Reason.MALFORMED
    assert gate.admit(goal_frame(session, seq=2), NOW_NS).ack.reason == Reason.REPLAYED


def test_a_goal_without_a_session_or_under_anothers_name_is_refused():
    gate = Gate()
    session = say_hello(gate)
    assert gate.admit(goal_frame(0), NOW_NS).ack.reason == Reason.OTHER_SESSION
    assert gate.admit(goal_frame(session, src="impostor"), NOW_NS).ack.reason == Reason.OTHER_SESSION


def test_a_recording_of_one_start_does_not_play_to_the_next():
    first, second = Gate(), Gate()
    session = say_hello(first)
    recording = [frame(), goal_frame(session), goal_frame(session, seq=3)]
    assert first.admit(recording[1], NOW_NS).ack.accepted
    verdicts = [second.admit(data, NOW_NS) for data in recording]
    assert [verdict.ack.reason for verdict in verdicts[1:]] == [Reason.OTHER_SESSION] * 2


def test_a_restarted_planner_retires_its_former_session():
    gate = Gate()
    before = say_hello(gate)
    after = say_hello(gate)
    assert gate.admit(goal_frame(before), NOW_NS).ack.reason == Reason.OTHER_SESSION
    assert gate.admit(goal_frame(after), NOW_NS).ack.accepted


def test_sessions_are_bounded_and_the_quiet_make_room():
    gate = Gate(max_sessions=2)
    quiet = say_hello(gate, "a")
    say_hello(gate, "b", now_ns=NOW_NS + 1)
    refused = gate.admit(frame(src="c"), NOW_NS + 2)
    assert refused.ack.reason == Reason.TOO_MANY_SESSIONS
    late_ns = NOW_NS + SESSION_IDLE_NS
    say_hello(gate, "c", now_ns=late_ns)
    assert gate.admit(goal_frame(quiet, src="a"), NOW_NS).ack.reason == Reason.OTHER_SESSION


def test_a_heartbeat_needs_no_deadline():
    gate = Gate()
    session = say_hello(gate)
    verdict = gate.admit(frame(Heartbeat(7), session_id=session, seq=2), NOW_NS)
    assert verdict.message == Heartbeat(7)


messages = st.tuples(
    st.sampled_from(["hello", "beat", "goal"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["a", "b", "stranger"]),
    st.integers(1, 12),
    st.integers(-3, 70),
    st.integers(0, 3),
    st.integers(0, 2),
)


@given(st.lists(messages, max_size=40))
def test_only_fresh_ordered_timely_messages_pass(script):
    ids = count(100)
    gate = Gate(draw_session_id=lambda: next(ids))
    open_sessions: dict[str, int] = {}
    last_seq: dict[int, int] = {}
    now_ns = NOW_NS
    for kind, src, owner, seq, left_s, error_s, step_s in script:
        now_ns += step_s * SECOND_NS
        session = 0 if kind == "hello" else open_sessions.get(owner, 99)
        deadline_ns = now_ns + (left_s - error_s) * SECOND_NS
        data = frame(
            pick() if kind == "goal" else Heartbeat(1),
            src=src,
            session_id=session,
            seq=seq,
            valid_until_ns=now_ns + left_s * SECOND_NS,
            clock_err_ns=error_s * SECOND_NS,
        )
        verdict = gate.admit(data, now_ns)
        in_order = kind == "hello" or (session in last_seq and owner == src and seq > last_seq[session])
        timely = kind != "goal" or now_ns < deadline_ns <= now_ns + MAX_VALIDITY_NS
        assert verdict.ack.accepted == (in_order and timely), verdict
        assert (verdict.message is not None) == verdict.ack.accepted
        if kind == "hello":
            last_seq.pop(open_sessions.get(src, 0), None)
            open_sessions[src] = session = verdict.session_id
        if in_order:
            last_seq[session] = seq
    assert gate.accepted.total() + gate.rejected.total() == len(script)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=50))
def test_accepted_numbers_only_rise(numbers):
    gate = Gate()
    session = say_hello(gate)
    passed = [n for n in numbers if gate.admit(goal_frame(session, seq=n), NOW_NS).ack.accepted]
    assert passed == sorted(set(passed))
    assert max(numbers) == 1 or max(passed) == max(numbers)


@given(st.binary(max_size=200), st.integers(0, 1 << 62))
def test_the_gate_never_raises_and_answers_everything(data, now_ns):
    gate = Gate()
    verdict = gate.admit(data, now_ns)
    assert not isinstance(verdict.message, Goal)
    assert gate.accepted.total() + gate.rejected.total() == 1
