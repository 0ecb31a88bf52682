"""The policy process: an observation becomes a trajectory, at the policy's rate.

Run by the supervisor: ``python -m spinal.runtime.policy.process --wiring JSON``. Not real-time: the tick
follows the last trajectory while this process thinks, and holds at its end if no other comes.
"""

from __future__ import annotations

import gc
import sys
from collections import deque

from spinal.native import clock
from spinal.native.histogram import Histogram
from spinal.native.shared import Mailbox
from spinal.native.trajectory import TrajectoryWriter
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import PolicyError
from spinal.runtime.goals import GoalReader
from spinal.runtime.policy.background import Background
from spinal.runtime.policy.blind import blind_test
from spinal.runtime.policy.delay import DelayMeter
from spinal.runtime.policy.exchange import Exchange, Request
from spinal.runtime.policy.forecast import Forecast
from spinal.runtime.policy.keep_alive import KeepAlive
from spinal.runtime.policy.live_step import LiveStep
from spinal.runtime.policy.loaded import load
from spinal.runtime.policy.observe import Observer, pose_inputs
from spinal.runtime.policy.session import bound_memory
from spinal.runtime.segments import (
    LINK_ORDER,
    LINK_POLICY,
    POLICY_REPORT,
    POLICY_TRAJECTORY,
    SIM_POSE,
    SUPERVISOR_SETTINGS,
    OrderReader,
    ReportReader,
    ReportWriter,
    SettingsReader,
    StateReader,
    StepStamps,
    Writer,
)
from spinal.runtime.types import Chunk, Observation, Trajectory
from spinal.runtime.wiring import StopRequest, Wiring, run_child, set_nice, summary_us

REPORT_PERIOD_NS = 200_000_000
COLLECT_PERIOD_NS = 5_000_000_000
FIRST_DELAY_NS = 5_000_000
KEPT_STEPS = 24
"""Steps whose stamps stand in a report: more than fit between two reports at 100 Hz."""


def run(wiring: Wiring, stop: StopRequest) -> None:
    """Answers observations until asked to end. Raises ConfigError, PolicyError."""
    robot = wiring.load_robot()
    if robot.policy is None:
        raise PolicyError(f"{robot.name} has no policy", hint="add [policy] to the robot file")
    refused = set_nice(robot.policy.nice) if robot.policy.nice else None
    if refused:
        print(f"policy: nice {robot.policy.nice} was refused: {refused}", file=sys.stderr, flush=True)
    PolicyProcess(wiring, robot).run(stop)


class PolicyProcess:
    """A warm policy between shared memory and shared memory. One thread."""

    def __init__(self, wiring: Wiring, robot: RobotConfig) -> None:
        if robot.policy is None:
            raise ValueError("a robot without a policy")
        bound_memory(robot.policy.options.memory_mib)
        self._exchange = Exchange(
            robot,
            load(robot, wiring.seed),
            lambda model: load(robot, wiring.seed, model),
            Background(),
            wiring.seed,
        )
        self._step = LiveStep(self._exchange)
        self._test = blind_test(robot, self._exchange, wiring.seed) if robot.policy.ab is not None else None
        self._orders = OrderReader(wiring.attach(Writer.LINK), LINK_ORDER)
        self._requests = ReportReader(wiring.attach(Writer.LINK), LINK_POLICY)
        self._request = int(self._requests.read().get("number", 0))
        self._period_ns = robot.policy.period_ns
        self._tick_ns = robot.control.period_ns
        self._keep_alive = KeepAlive(robot.policy.keep_alive_ms * 1_000_000)
        own = wiring.attach(Writer.POLICY)
        self._segment = own
        self._writer = TrajectoryWriter(Mailbox(own, POLICY_TRAJECTORY))
        self._reports = ReportWriter(own, POLICY_REPORT)
        self._settings = SettingsReader(wiring.attach(Writer.SUPERVISOR), SUPERVISOR_SETTINGS)
        states = StateReader(wiring.attach(Writer.CONTROLLER), len(robot.joints))
        streams = pose_inputs(robot, wiring.attach(Writer.SIM), SIM_POSE) if robot.streams else {}
        joints_max_age_ns = max(bus.max_age_ms for bus in robot.buses.values()) * 1_000_000
        self._forecast = Forecast(robot)
        goals = GoalReader(wiring.attach(Writer.LINK))
        self._observer = Observer(states, streams, joints_max_age_ns, self._forecast, goals)
        self._delay = DelayMeter(FIRST_DELAY_NS)
        self._inference, self._late = Histogram(), Histogram()
        self._runs = self._blind = self._bad_answers = 0
        self._complaint: str | None = None
        self._steps: deque[StepStamps] = deque(maxlen=KEPT_STEPS)

    def run(self, stop: StopRequest) -> None:
        """Steps until asked to end. Late: phase is kept, the step that is overdue runs at once, the ones before
        it are skipped, so a policy that needs long answers as often as it can."""
        gc.collect()
        gc.freeze()
        gc.disable()
        self._report(0)
        next_ns = clock.now_ns() + self._period_ns
        report_ns = collect_ns = next_ns
        while not stop.asked:
            clock.sleep_until_ns(next_ns)
            now_ns = clock.now_ns()
            self._late.record_late(now_ns - next_ns, self._period_ns)
            self._segment.beat(now_ns)
            self._one_step(next_ns, now_ns)
            self._exchange.end_step(clock.now_ns())
            if self._test is not None:
                self._test.end_step(clock.now_ns())
            now_ns = clock.now_ns()
            if now_ns >= report_ns:
                self._report(now_ns)
                report_ns = now_ns + REPORT_PERIOD_NS
            if now_ns >= collect_ns:
                gc.collect(1)
                collect_ns = now_ns + COLLECT_PERIOD_NS
            next_ns += max(1, (now_ns - next_ns) // self._period_ns) * self._period_ns

    def _one_step(self, due_ns: int, now_ns: int) -> None:
        self._exchange.begin_step(self._observer.newest, now_ns)
        order = self._orders.read() if self._test is not None else None
        if self._test is not None and order is not None:
            self._test.choose(order.goal)
        if not self._step.strategy.due(now_ns):
            return
        delay_ns = self._delay.delay_ns
        observation = self._observer.observe(now_ns, self._step.ahead_ns(delay_ns))
        state = self._observer.newest
        if state is not None and state.trajectory_id:
            self._delay.saw(state.observation_stamp_ns, state.in_force_ns)
        if observation is None:
            self._blind += 1
            self._complaint = self._observer.missing
            self._keep_alive.idle(self._exchange.active, now_ns)
            return
        try:
            trajectory = self._answer(observation, delay_ns)
        except PolicyError as error:
            self._bad_answers += 1
            self._complaint = str(error)
            return
        self._complaint = None
        fitted_ns = clock.now_ns()
        added_ns = self._settings.added_delay_ns
        if added_ns:
            clock.sleep_until_ns(observation.stamp_ns + added_ns)
        published_ns = clock.now_ns()
        number = self._writer.publish(trajectory, trajectory.position, trajectory.curvature)
        visible_ns = clock.now_ns()
        self._forecast.published(number, trajectory, published_ns)
        began_ns, ended_ns = self._step.run_ns
        stamps = (due_ns, observation.stamp_ns, began_ns, ended_ns, fitted_ns, published_ns, visible_ns)
        self._steps.append(StepStamps(*stamps))
        self._runs += 1

    def _answer(self, observation: Observation, delay_ns: int) -> Trajectory:
        began_ns = clock.now_ns()
        self._keep_alive.ran(began_ns)
        chunk = self._step.infer(
            observation, lambda part, done: self._publish_early(part, observation, delay_ns)
        )
        ended_ns = clock.now_ns()
        self._inference.record(ended_ns - began_ns)
        return self._step.trajectory(chunk, observation.command, ended_ns, delay_ns)

    def _publish_early(self, chunk: Chunk, observation: Observation, delay_ns: int) -> None:
        """What of an answer is final is executed before all is; the delay is that of its first part."""
        now_ns = clock.now_ns()
        trajectory = self._step.trajectory(chunk, observation.command, now_ns, delay_ns)
        number = self._writer.publish(trajectory, trajectory.position, trajectory.curvature)
        self._forecast.published(number, trajectory, now_ns)
        self._delay.saw(observation.stamp_ns, now_ns + self._tick_ns)

    def _hear(self) -> None:
        """What was asked for through the link since the last report."""
        told = self._requests.read()
        if told.get("number", 0) > self._request:
            self._request = told["number"]
            self._obey(Request.of(told))

    def _obey(self, request: Request) -> None:
        if request.action == "reveal" and self._test is not None:
            self._exchange.note(request, "revealed", self._test.reveal())
        elif request.action == "reveal":
            self._exchange.note(request, "refused", "no blind test is under way")
        elif self._test is not None:
            self._exchange.note(request, "refused", "a blind test is under way: it has its two policies")
        else:
            self._exchange.ask(request, clock.now_ns())

    def _report(self, now_ns: int) -> None:
        self._segment.beat(now_ns or clock.now_ns())
        self._hear()
        self._reports.publish(
            {
                "runs": self._runs,
                "blind": self._blind,
                "bad_answers": self._bad_answers,
                "complaint": self._complaint,
                "inference_us": summary_us(self._inference.summary()),
                "late_us": summary_us(self._late.summary()),
                "delay_ms": round(self._delay.delay_ns / 1e6, 2),
                "providers": self._exchange.active.engine.providers,
                "policy": self._test.name if self._test is not None else self._exchange.active.name,
                "exchange": self._exchange.report,
                "ab": self._test.report if self._test is not None else None,
                "steps": list(self._steps),
            }
        )


if __name__ == "__main__":
    sys.exit(run_child(__doc__, run))
