"""What planners' goals amount to for the loop."""

from __future__ import annotations

import numpy as np
import pytest

from spinal.native import layout
from spinal.native.shared import Mailbox
from spinal.runtime import segments
from spinal.runtime.link.envelope import Reason, RefusedError
from spinal.runtime.link.messages import Goal
from spinal.runtime.link.orders import Orders, consider
from spinal.runtime.link.server import AcceptedGoal
from spinal.runtime.segments import LINK_ORDER, Order, OrderReader, OrderWriter, Writer
from spinal.runtime.supervisor.stops import ArmingRequests
from spinal.runtime.types import State

NOW_NS = 5_000_000_000
DEADLINE_NS = NOW_NS + 1_000_000_000


class Link:
    """The link's order mailbox, read as the loop reads it."""

    def __init__(self) -> None:
        self.segment = segments.create(Writer.LINK, 6)
        self.orders = Orders(OrderWriter(self.segment, LINK_ORDER))
        self._mailbox = Mailbox(self.segment, LINK_ORDER)

    def restart(self) -> None:
        self.orders = Orders(OrderWriter(self.segment, LINK_ORDER))

    def obey(self, kind: str, goal_id: int = 1, **parameters: float) -> None:
        goal = Goal(goal_id, kind, parameters)
        self.orders.obey(
            AcceptedGoal(goal, "planner", 1, DEADLINE_NS, NOW_NS, obs_seq=0, provenance=""), NOW_NS
        )

    @property
    def newest(self) -> Order:
        order = OrderReader(self.segment, LINK_ORDER).read()
        assert order is not None
        return order

    @property
    def order(self) -> tuple[int, int]:
        record = np.zeros(1, layout.ORDER)
        assert self._mailbox.read_latest(record.view(np.uint8))
        return int(record[0]["kind"]), int(record[0]["valid_until_ns"])


def test_a_goal_is_an_order_to_run_until_its_own_deadline() -> None:
    link = Link()
    link.obey("pick")
    assert link.order == (layout.ORDER_RUN, DEADLINE_NS)


def test_a_renewed_goal_does_not_end_a_pause() -> None:
    link = Link()
    link.obey("pick")
    link.obey("pause")
    link.obey("pick")
    assert link.order[0] == layout.ORDER_HOLD
    assert link.orders.status == "paused"
    link.obey("go_on")
    assert link.order == (layout.ORDER_RUN, DEADLINE_NS)


def test_a_pause_does_not_expire() -> None:
    link = Link()
    link.obey("pause")
    assert link.order[1] > DEADLINE_NS + 10**15


def test_a_pause_outlives_the_link_process() -> None:
    link = Link()
    link.obey("pause")
    link.restart()
    link.obey("pick")
    assert link.order[0] == layout.ORDER_HOLD


@pytest.mark.parametrize("kind", ["stop", "estop", "relax"])
def test_a_stop_is_latched_against_everything_but_arming(kind: str) -> None:
    link = Link()
    wanted = layout.ORDER_OFF if kind == "relax" else layout.ORDER_STOP
    link.obey(kind)
    for other in ("go_on", "pick", "pause", "speed"):
        link.obey(other, percent=50.0)
        assert link.order == (wanted, NOW_NS + (1 << 60))
    link.restart()
    link.obey("go_on")
    assert link.order[0] == wanted
    assert link.orders.status == ("relaxed" if kind == "relax" else "stopped")


def test_a_stop_behind_a_relax_does_not_switch_torque_on_again() -> None:
    link = Link()
    link.obey("stop")
    link.obey("relax")
    assert link.order[0] == layout.ORDER_OFF
    link.obey("estop")
    assert link.order[0] == layout.ORDER_OFF


def test_arming_ends_a_stop_and_nothing_moves_by_that_alone() -> None:
    link = Link()
    link.obey("pick")
    link.obey("stop")
    link.obey("arm")
    assert link.order == (layout.ORDER_RUN, NOW_NS), "the goal from before has run out"
    assert link.newest.arming == 1
    link.obey("pick")
    assert link.order == (layout.ORDER_RUN, DEADLINE_NS)
    assert link.newest.arming == 1


def test_a_pause_outlives_a_stop() -> None:
    link = Link()
    link.obey("stop")
    link.obey("pause")
    link.obey("arm")
    link.obey("pick")
    assert link.order[0] == layout.ORDER_HOLD
    link.obey("go_on")
    assert link.order[0] == layout.ORDER_RUN


def test_every_arming_counts_and_outlives_the_link_process() -> None:
    link = Link()
    requests = ArmingRequests(link.segment)
    assert not requests.take()
    for count in (1, 2):
        link.obey("arm")
        assert link.newest.arming == count
        assert requests.take()
        assert not requests.take()
    link.restart()
    link.obey("pick")
    assert not requests.take()
    assert not ArmingRequests(link.segment).take(), "what was asked before is not asked again"
    link.obey("arm")
    assert link.newest.arming == 3


def test_a_speed_stays_until_it_is_changed() -> None:
    link = Link()
    link.obey("pick")
    assert link.newest.speed == 1
    link.obey("speed", percent=40)
    assert link.newest == Order(NOW_NS, DEADLINE_NS, layout.ORDER_RUN, 1, 0.4, 0), "the goal goes on"
    for kind in ("pick", "pause", "go_on", "stop", "arm"):
        link.obey(kind)
        assert link.newest.speed == 0.4
    link.restart()
    link.obey("pick")
    assert link.newest.speed == 0.4
    link.obey("speed", percent=0)
    assert link.newest.speed == 0
    link.obey("speed", percent=100)
    assert link.newest.speed == 1


def test_a_speed_does_not_prolong_a_goal_that_the_link_before_had_taken() -> None:
    link = Link()
    link.obey("pick")
    link.restart()
    link.obey("speed", percent=10)
    assert link.order == (layout.ORDER_RUN, DEADLINE_NS)


@pytest.mark.parametrize("percent", [None, "50", True, -1, 100.001])
def test_a_speed_that_is_none_is_refused(percent: object) -> None:
    parameters = {} if percent is None else {"percent": percent}
    with pytest.raises(RefusedError) as caught:
        consider(Goal(1, "speed", parameters), state(layout.MODE_RUNNING))
    assert caught.value.reason is Reason.BAD_PARAMETER
    assert "0 to 100" in str(caught.value)


def state(mode: int) -> State:
    nothing = np.zeros(1)
    values = dict.fromkeys(State.__dataclass_fields__, 0) | {"mode": mode}
    return State(**values | {"position": nothing})


@pytest.mark.parametrize("mode", [layout.MODE_READY, layout.MODE_RUNNING, layout.MODE_HOLDING, None])
def test_only_a_stopped_robot_is_armed_again(mode: int | None) -> None:
    with pytest.raises(RefusedError, match="only a stopped robot") as caught:
        consider(Goal(1, "arm"), None if mode is None else state(mode))
    assert caught.value.reason is Reason.NOT_NOW


@pytest.mark.parametrize("mode", [layout.MODE_STOPPED, layout.MODE_OFF])
def test_a_stopped_robot_is(mode: int) -> None:
    consider(Goal(1, "arm"), state(mode))


@pytest.mark.parametrize("kind", ["pick", "pause", "go_on", "stop", "estop", "relax"])
def test_everything_else_is_always_taken(kind: str) -> None:
    consider(Goal(1, kind), None)
