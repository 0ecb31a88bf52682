"""What planners say to the policy, from a client's call to the policy's own reader."""

import msgspec
import numpy as np
import pytest
from link_frames import serving

from spinal.native import layout
from spinal.runtime import segments
from spinal.runtime.goals import GoalReader, GoalWriter
from spinal.runtime.link.arrays import Array
from spinal.runtime.link.client import PlannerClient
from spinal.runtime.link.endpoints import in_directory
from spinal.runtime.link.envelope import Gate, Reason, RefusedError
from spinal.runtime.link.goals import MAX_TEXT_BYTES, PolicyGoals
from spinal.runtime.link.messages import Goal
from spinal.runtime.link.orders import Orders
from spinal.runtime.link.server import AcceptedGoal, LinkServer
from spinal.runtime.segments import GOAL_BYTES, LINK_ORDER, OrderReader, OrderWriter, Writer
from spinal.runtime.types import Goal as PolicyGoal

SECOND_NS = 1_000_000_000
NOW_NS = 50 * SECOND_NS
BOUND_MS = 5000


class Link:
    """The link's goals, and the policy that reads them."""

    def __init__(self):
        self.segment = segments.create(Writer.LINK, 6)
        self.goals = PolicyGoals(GoalWriter(self.segment))
        self.reader = GoalReader(self.segment)

    def say(self, kind="follow", now_ns=NOW_NS, valid_s=2, **parameters):
        goal = Goal(7, kind, parameters)
        self.goals.consider(goal, now_ns)
        accepted = AcceptedGoal(goal, "planner", 1, now_ns + valid_s * SECOND_NS, now_ns, 0, "")
        self.goals.take(accepted, now_ns)

    def heard(self):
        return self.reader.read()


@pytest.fixture
def link():
    return Link()


def vector(*numbers, dtype=np.float32):
    return Array.of(np.array(numbers, dtype))


def test_nothing_is_heard_before_anything_is_said(link):
    assert link.heard() == {}


def test_each_kind_arrives_as_it_was_said(link):
    link.say(
        text="pick the red one",
        embedding=vector(1, 2),
        latent=vector(3, dtype=np.float64),
        waypoint=Array.of(np.float32([[1, 2], [3, 4]])),
        twist=vector(1, 0, 0, 0, 0, 1),
    )
    heard = link.heard()
    assert heard["text"].payload == b"pick the red one"
    said = {"embedding": [1, 2], "latent": [3], "waypoint": [1, 2, 3, 4], "twist": [1, 0, 0, 0, 0, 1]}
    for kind, numbers in said.items():
        assert heard[kind].payload.dtype == np.float32
        assert heard[kind].payload.tolist() == numbers
        assert (heard[kind].stamp_ns, heard[kind].valid_until_ns) == (NOW_NS, NOW_NS + 2 * SECOND_NS)


def test_text_may_be_bytes_of_any_language(link):
    link.say(text=Array.of(np.frombuffer("赤い方".encode(), np.uint8)))
    assert link.heard()["text"].payload.decode() == "赤い方"


def test_the_newest_of_a_kind_wins_and_the_other_kinds_stay(link):
    link.say(text="left", latent=vector(1), valid_s=20)
    link.say(latent=vector(2), now_ns=NOW_NS + SECOND_NS)
    heard = link.heard()
    assert heard["latent"].payload.tolist() == [2]
    assert heard["text"].payload == b"left"
    assert heard["latent"].seq > heard["text"].seq


def test_a_reader_that_comes_late_hears_it_all(link):
    link.say(text="left", latent=vector(1))
    for k in range(20):
        link.say(latent=vector(k))
    late = GoalReader(link.segment).read()
    assert set(late) == {"text", "latent"}
    assert late["latent"].payload.tolist() == [19]


def test_what_has_run_out_makes_room(link):
    link.say(text="left", valid_s=1)
    link.say(latent=vector(1), now_ns=NOW_NS + 2 * SECOND_NS)
    assert set(link.heard()) == {"latent"}


@pytest.mark.parametrize("kind", ["stop", "estop", "relax", "arm"])
def test_a_stop_ends_what_was_said(link, kind):
    link.say(text="left", valid_s=60)
    link.say(kind)
    assert link.heard() == {}


@pytest.mark.parametrize("kind", ["pause", "go_on", "speed"])
def test_a_pause_does_not(link, kind):
    link.say(text="left", valid_s=60)
    link.say(kind)
    assert set(link.heard()) == {"text"}


@pytest.mark.parametrize(
    ("kind", "parameters", "said"),
    [
        ("pause", {"text": "x"}, "text belongs to pick or follow, not to pause"),
        ("follow", {"text": 3}, "text is a string"),
        ("follow", {"text": vector(1)}, "text is a string"),
        ("follow", {"text": Array.of(np.uint8([0xFF, 0xFE]))}, "text is not UTF-8"),
        ("follow", {"text": Array.of(np.zeros(MAX_TEXT_BYTES + 1, np.uint8))}, "4097 bytes, at most 4096"),
        ("follow", {"latent": "x"}, "latent is an array of floats"),
        ("follow", {"latent": Array.of(np.zeros(0, np.float32))}, "with at least one"),
        ("follow", {"latent": Array.of(np.zeros(3, np.int64))}, "latent is an array of floats"),
        ("follow", {"latent": vector(1e300, dtype=np.float64)}, "numbers beyond float32"),
        ("follow", {"latent": Array.of(np.zeros(16384, np.float32))}, f"together they may have {GOAL_BYTES}"),
    ],
)
def test_what_cannot_reach_the_policy_is_refused_and_nothing_changes(link, kind, parameters, said):
    link.say(text="left")
    with pytest.raises(RefusedError, match=said) as raised:
        link.say(kind, **parameters)
    assert raised.value.reason == Reason.BAD_PARAMETER
    assert set(link.heard()) == {"text"}


def test_together_they_must_fit_too(link):
    half = Array.of(np.zeros(9000, np.float32))
    link.say(embedding=half)
    with pytest.raises(RefusedError, match="together"):
        link.say(latent=half)
    link.say(latent=half, now_ns=NOW_NS + 3 * SECOND_NS)  # the other has run out
    assert set(link.heard()) == {"latent"}


def test_the_slot_takes_the_largest_and_no_more(link):
    writer = GoalWriter(link.segment)
    writer.publish([PolicyGoal("latent", 1, 0, 1, np.zeros((GOAL_BYTES - 100) // 4, np.float32))])
    assert link.heard()["latent"].payload.size == (GOAL_BYTES - 100) // 4
    with pytest.raises(ValueError, match="goals of"):
        writer.publish([PolicyGoal("latent", 1, 0, 1, np.zeros(GOAL_BYTES // 4, np.float32))])


def test_bytes_that_are_no_goals_are_refused_by_the_reader(link):
    link.goals._writer._mailbox.publish((5).to_bytes(8, "little") + b"\x93\xc1abc\0\0\0")
    with pytest.raises(msgspec.MsgspecError):
        link.heard()


def test_following_is_an_order_to_run_until_its_deadline(link):
    orders = Orders(OrderWriter(link.segment, LINK_ORDER))
    goal = Goal(9, "follow", {"text": "x"})
    orders.obey(AcceptedGoal(goal, "planner", 1, NOW_NS + SECOND_NS, NOW_NS, 0, ""), NOW_NS)
    order = OrderReader(link.segment, LINK_ORDER).read()
    assert (order.kind, order.valid_until_ns) == (layout.ORDER_RUN, NOW_NS + SECOND_NS)
    assert (orders.goal_id, order.goal) == (9, 1)


def test_a_planner_says_it_over_the_link(link, tmp_path):
    place = in_directory(tmp_path)
    gate = Gate(consider=lambda goal: link.goals.consider(goal, NOW_NS))
    with LinkServer(place, gate=gate) as server, PlannerClient(place, src="vlm") as client:
        with serving(server) as goals:
            client.connect(BOUND_MS)
            first = client.follow(
                text="to the left, é", latent=np.arange(3), valid_for_ms=900, timeout_ms=BOUND_MS
            )
            again = client.follow(latent=np.zeros(16384), valid_for_ms=900, timeout_ms=BOUND_MS)
            with pytest.raises(ValueError, match="NaN"):
                client.follow(twist=[np.nan], valid_for_ms=900)
        assert first.accepted
        assert (again.accepted, again.reason) == (False, "bad_parameter")
    for accepted in goals:
        link.goals.take(accepted, accepted.received_ns)
    heard = link.heard()
    assert heard["text"].payload.decode() == "to the left, é"
    assert heard["latent"].payload.tolist() == [0, 1, 2]
    left_ns = heard["latent"].valid_until_ns - heard["latent"].stamp_ns
    assert 0 < left_ns <= 900_000_000
