"""The link suite: its arithmetic on messages made by hand, its bare echo, and a live robot that obeys."""

import numpy as np
import pytest

from spinal.bench.bench import Bench
from spinal.bench.link import echo_client
from spinal.bench.link.conversation import ORDERED_TO_HOLD, Message, Sent, Tick, converse
from spinal.bench.link.echo_client import Echo, bare_echo, goal_frame
from spinal.bench.live import supervised_robot
from spinal.bench.result import Verdict
from spinal.bench.suites import link
from spinal.native import layout
from spinal.runtime.errors import LinkError, ProcessError
from spinal.runtime.link.messages import Goal, decode_envelope, decode_payload

US, MS = 1000, 1_000_000
TICK_NS = 4 * MS
READ, COMPUTE, WRITE = 900 * US, 5 * US, 3 * US


def tick(at_ns, mode=layout.MODE_HOLDING, conditions=ORDERED_TO_HOLD):
    computed = at_ns + READ + COMPUTE
    return Tick(at_ns, at_ns + READ, computed, computed + WRITE, mode, conditions)


def messages(count=80, order_us=300, missed=0):
    """One at each phase of the tick; ``missed``: so many obeyed a tick later than they could have been."""
    made = []
    for n in range(count):
        sent = n * 10 * TICK_NS + TICK_NS * n // count
        judged = -(-(sent - READ) // TICK_NS) * TICK_NS
        obeyed = judged + (TICK_NS if n < missed else 0)
        kind = "pause" if n % 2 == 0 else "go_on"
        stamps = (sent, sent + 2 * order_us * US, sent + order_us * US)
        made.append(Message(kind, *stamps, tick(obeyed), tick(judged), 200 * US))
    return made


def found(sent, disturbed=""):
    return {metric.name: metric for metric in link.summary(sent, disturbed).metrics}


def test_own_is_the_mean_of_what_the_messages_lost():
    metrics = found(Sent(messages(80, missed=8)))
    assert metrics["pause_own_ms"].value == pytest.approx(4 * 4 / 40)
    assert metrics["go_on_own_ms"].value == pytest.approx(4 * 4 / 40)
    assert metrics["pause_own_ms"].verdict is Verdict.PASS
    assert metrics["pause_own_ms"].low < 0.4 < metrics["pause_own_ms"].high
    assert metrics["ack_us.p50"].ratio == pytest.approx(3.0)
    assert metrics["order_us.p50"].value == pytest.approx(300)
    assert metrics["pause_ms.p50"].floor <= metrics["pause_ms.p50"].value


def test_a_slow_link_is_caught():
    slow = found(Sent(messages(80, order_us=1500, missed=60)))
    assert slow["order_us.p50"].verdict is Verdict.FAIL
    assert slow["pause_own_ms"].verdict is Verdict.FAIL
    told = found(Sent(messages(80, order_us=1500, missed=60)), "stolen")
    assert told["order_us.p50"].verdict is Verdict.INCONCLUSIVE
    assert told["pause_own_ms"].verdict is Verdict.INCONCLUSIVE


def test_one_stall_does_not_fail_it():
    """Its interval reaches below the limit: inconclusive, which is not a pass either."""
    late = np.zeros(80, np.int64)
    late[7] = 200 * MS
    assert link.own("own", late, "").verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("lost", "refused"), [(1, 0), (0, 1)])
def test_what_is_lost_or_refused_fails(lost, refused):
    metrics = found(Sent(messages(), refused=refused, lost=lost))
    assert metrics["lost"].verdict is (Verdict.FAIL if lost else Verdict.PASS)
    assert metrics["refused"].verdict is (Verdict.FAIL if refused else Verdict.PASS)
    assert metrics["lost"].n == 81


def test_a_kind_without_effect_is_absent_and_none_at_all_is_an_error():
    only = [message for message in messages() if message.kind == "pause"]
    assert found(Sent(only))["go_on_ms.p50"].verdict is Verdict.ABSENT
    with pytest.raises(LinkError, match="no message had an effect"):
        link.summary(Sent(), "")


def test_stages_add_up_to_what_was_in_force():
    one = messages(1)[0]
    shown = link.waterfall([one]).stages
    assert [stage.name for stage in shown] == list(link.STAGES)
    assert shown[-1].end_us == pytest.approx(one.in_force_ns / 1e3)


def test_a_robot_that_holds_for_another_reason_obeys_nobody():
    assert tick(0).obeys("pause")
    assert not tick(0, conditions=1).obeys("pause")
    assert not tick(0).obeys("go_on")
    assert tick(0, layout.MODE_RUNNING, 0).obeys("go_on")


def test_the_echo_sends_what_a_planner_sends():
    envelope = decode_envelope(goal_frame())
    assert isinstance(decode_payload(envelope), Goal)


def test_the_echo_answers():
    with bare_echo() as echo:
        assert echo.round_trip_ns() > 0
        assert echo.round_trip_ns() > 0


def test_an_echo_that_is_gone_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(echo_client, "SILENCE_MS", 30)
    echo = Echo(f"ipc://{tmp_path}/nobody")
    try:
        with pytest.raises(ProcessError, match="fell silent"):
            echo.round_trip_ns()
    finally:
        echo.close()


def test_an_echo_that_does_not_start_is_one_line(monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(ProcessError, match="did not start"), bare_echo():
        pass


def test_without_a_simulator_it_is_absent(monkeypatch):
    monkeypatch.setattr(supervised_robot, "find_spec", lambda name: None)
    metrics = link.measure(Bench(quick=True)).metrics
    assert [metric.verdict for metric in metrics] == [Verdict.ABSENT]


def test_a_live_robot_obeys():
    if supervised_robot.absence():
        pytest.skip(supervised_robot.absence())
    with supervised_robot.supervised_robot(lambda line: None, planner=False) as live, bare_echo() as echo:
        sent = converse(live, echo, 1.0)
    assert {message.kind for message in sent.messages} == {"pause", "go_on"}
    assert sent.refused == 0
    for message in sent.messages:
        assert message.sent_ns < message.ordered_ns < message.obeyed.written_ns
        assert message.floor_ns <= message.in_force_ns
        assert message.obeyed.obeys(message.kind)
