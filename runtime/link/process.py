"""The link process: planners' goals become orders for the loop, its state goes out to whoever listens.

Run by the supervisor: ``python -m spinal.runtime.link.process --wiring JSON``. An accepted goal is an order
that is valid until the goal's own deadline: a planner that falls silent lets it run out, and the robot holds.
What goals amount to stands in ``orders.py``.
"""

from __future__ import annotations

import sys
from typing import Any

from spinal.native import clock
from spinal.native.loop import LoopStats, conditions, mode_name, rung_name
from spinal.runtime.goals import GoalWriter
from spinal.runtime.link.arrays import Array
from spinal.runtime.link.endpoints import Endpoints
from spinal.runtime.link.envelope import Gate
from spinal.runtime.link.goals import PolicyGoals
from spinal.runtime.link.messages import Goal, StateReport
from spinal.runtime.link.orders import Orders, consider
from spinal.runtime.link.policy_requests import PolicyRequests, printable
from spinal.runtime.link.server import LinkServer
from spinal.runtime.segments import (
    CONTROLLER_STATS,
    LINK_ORDER,
    LINK_REPORT,
    POLICY_REPORT,
    SIM_REPORT,
    OrderWriter,
    ReportReader,
    ReportWriter,
    StateReader,
    Writer,
)
from spinal.runtime.types import State
from spinal.runtime.wiring import StopRequest, Wiring, run_child

POLL_MS = 10
STATE_PERIOD_NS = 50_000_000
CONDITION_NAMES = tuple(name for name, _, _ in conditions())


def run(wiring: Wiring, stop: StopRequest) -> None:
    """Serves planners until asked to end. Raises LinkError."""
    LinkProcess(wiring).run(stop)


class LinkProcess:
    """Sockets on one side, shared memory on the other. One thread."""

    def __init__(self, wiring: Wiring) -> None:
        robot = wiring.load_robot()
        self._segment = wiring.attach(Writer.LINK)
        self._orders = Orders(OrderWriter(self._segment, LINK_ORDER))
        self._goals = PolicyGoals(GoalWriter(self._segment))
        self._requests = PolicyRequests(self._segment)
        self._policy = ReportReader(wiring.attach(Writer.POLICY), POLICY_REPORT) if robot.policy else None
        self._reports = ReportWriter(self._segment, LINK_REPORT)
        controller = wiring.attach(Writer.CONTROLLER)
        self._states = StateReader(controller, len(robot.joints))
        self._stats = LoopStats(controller, CONTROLLER_STATS)
        self._sim = ReportReader(wiring.attach(Writer.SIM), SIM_REPORT) if robot.simulated else None
        self._server = LinkServer(
            Endpoints(wiring.command_endpoint, wiring.state_endpoint),
            src=robot.name,
            gate=Gate(consider=self._consider),
        )

    def _consider(self, goal: Goal) -> None:
        consider(goal, self._states.read(), self._exchange.get("status", ""))
        self._goals.consider(goal, clock.now_ns())

    def run(self, stop: StopRequest) -> None:
        """Serves until asked to end."""
        with self._server as server:
            state_ns = 0
            while not stop.asked:
                for accepted in server.poll(POLL_MS):
                    if self._requests.pass_on(accepted):
                        continue
                    now_ns = clock.now_ns()
                    self._goals.take(accepted, now_ns)
                    self._orders.obey(accepted, now_ns)
                now_ns = clock.now_ns()
                self._segment.beat(now_ns)
                if now_ns >= state_ns:
                    state_ns = now_ns + STATE_PERIOD_NS
                    state = self._states.read()
                    if state is not None:
                        server.publish(self._state_report(state, now_ns))
                    self._publish_counters()

    @property
    def _exchange(self) -> dict[str, Any]:
        """How far an exchange of policies stands."""
        told: dict[str, Any] = (self._policy.read() if self._policy else {}).get("exchange", {})
        return told

    def _state_report(self, state: State, now_ns: int) -> StateReport:
        counts = self._stats.read()
        world = self._sim.read() if self._sim else {}
        policy, exchange = self._policy.read() if self._policy else {}, self._exchange
        detector = policy.get("detector") or {}
        age_ns = now_ns - state.observation_stamp_ns if state.trajectory_id else 0
        return StateReport(
            mode=mode_name(state.mode),
            tick=state.tick,
            stamp_ns=state.tick_ns,
            position=Array.of(state.position),
            velocity=Array.of(state.velocity),
            command_position=Array.of(state.commanded[:, 0]),
            trajectory_id=state.trajectory_id,
            observation_age_ns=max(0, age_ns),
            goal_id=self._orders.goal_id,
            goal_status=self._orders.status,
            limited_ticks=counts["limited_ticks"],
            starved_ticks=counts["starved_ticks"],
            missed_ticks=counts["skipped_slots"],
            episodes=world.get("episodes", 0),
            successes=world.get("success", 0),
            rung=rung_name(state.rung),
            conditions=names_of(state.conditions),
            latched=names_of(state.latched),
            speed=state.speed_scale,
            energised=state.energised,
            policy=printable(policy.get("policy", "")),
            exchange=exchange.get("status", ""),
            exchange_goal=exchange.get("goal", 0),
            exchange_detail=printable(exchange.get("why", "")),
            verdict=detector.get("label", ""),
            verdict_probability=detector.get("probability", 0.0),
            verdict_since_ns=detector.get("since_ns", 0),
        )

    def _publish_counters(self) -> None:
        counters = self._server.counters
        self._reports.publish(
            {
                "messages": counters.messages,
                "goals": counters.goals,
                "rejected": sum(counters.rejected.values()),
                "rejected_by": {reason: count for reason, count in counters.rejected.items() if count},
                "round_trip_us": counters.round_trip_us,
                "status": self._orders.status,
            }
        )


def names_of(bits: int) -> tuple[str, ...]:
    """The stable names of conditions."""
    return tuple(name for bit, name in enumerate(CONDITION_NAMES) if bits >> bit & 1)


if __name__ == "__main__":
    sys.exit(run_child(__doc__, run))
