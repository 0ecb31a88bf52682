"""What planners' goals amount to for the loop."""

from __future__ import annotations

import numpy as np

from spinal.native import layout
from spinal.native.shared import Mailbox
from spinal.runtime import segments
from spinal.runtime.link.messages import Goal
from spinal.runtime.link.process import Orders
from spinal.runtime.link.server import AcceptedGoal
from spinal.runtime.segments import LINK_ORDER, OrderWriter, Writer

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

    def obey(self, kind: str, goal_id: int = 1) -> None:
        goal = Goal(goal_id, kind)  # type: ignore[arg-type]
        self.orders.obey(
            AcceptedGoal(goal, "planner", 1, DEADLINE_NS, NOW_NS, obs_seq=0, provenance=""), NOW_NS
        )

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


def test_a_stop_is_latched_against_everything() -> None:
    link = Link()
    link.obey("stop")
    for kind in ("go_on", "pick", "pause"):
        link.obey(kind)
        assert link.order[0] == layout.ORDER_STOP
    link.restart()
    link.obey("go_on")
    assert link.order[0] == layout.ORDER_STOP
