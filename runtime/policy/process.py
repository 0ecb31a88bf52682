"""The policy process: an observation becomes a trajectory, at the policy's rate.

Run by the supervisor: ``python -m spinal.runtime.policy.process --wiring JSON``. Not real-time: the tick
follows the last trajectory while this process thinks, and holds at its end if no other comes.
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from dataclasses import dataclass
from functools import partial

from spinal.native import clock
from spinal.native.histogram import Histogram
from spinal.native.shared import Mailbox
from spinal.native.trajectory import TrajectoryWriter
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import PolicyError
from spinal.runtime.goals import GoalReader
from spinal.runtime.policy.background import Background
from spinal.runtime.policy.beside import load_detector, load_residual
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


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the policy was asked, and what was known of the answer's delay."""

    due_ns: int
    observation: Observation
    delay_ns: int
    added_delay_ns: int


class PolicyProcess:
    """A warm policy between shared memory and shared memory. One thread; another where a residual outruns it."""

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
        self._residual, self._detector = load_residual(robot), load_detector(robot)
        # A residual that is faster than the policy corrects while the policy thinks, in a thread of its own.
        faster = self._residual is not None and self._residual.faster
        self._thinker = Background(nicer=0) if faster else None
        self._asked: _Asked | None = None
        self._base_delay_ns, self._due_ns = FIRST_DELAY_NS, 0
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
        period_ns = self._period_ns
        if self._residual is not None and self._residual.faster:
            period_ns = self._residual.period_ns
        next_ns = clock.now_ns() + period_ns
        report_ns = collect_ns = self._due_ns = next_ns
        while not stop.asked:
            clock.sleep_until_ns(next_ns)
            now_ns = clock.now_ns()
            self._late.record_late(now_ns - next_ns, period_ns)
            self._segment.beat(now_ns)
            if self._thinker is None:
                self._one_step(next_ns, now_ns)
            else:
                self._one_correction(self._thinker, now_ns)
            now_ns = clock.now_ns()
            if now_ns >= report_ns:
                self._report(now_ns)
                report_ns = now_ns + REPORT_PERIOD_NS
            if now_ns >= collect_ns:
                gc.collect(1)
                collect_ns = now_ns + COLLECT_PERIOD_NS
            next_ns += max(1, (now_ns - next_ns) // period_ns) * period_ns

    def _one_step(self, due_ns: int, now_ns: int) -> None:
        asked = self._ask(due_ns, now_ns)
        if asked is not None:
            try:
                self._answered(asked, self._infer(asked))
            except PolicyError as error:
                self._failed(str(error))
        self._behind(asked)

    def _one_correction(self, thinker: Background, now_ns: int) -> None:
        """While the policy thinks in its thread, what it answered before is corrected.

        Until it has answered, this thread leaves the policy and what exchanges it alone.
        """
        outcome, asked = thinker.take(), self._asked
        if asked is not None and outcome is not None:
            self._asked = None
            if outcome.error is not None:
                self._failed(str(outcome.error))
            else:
                self._answered(asked, outcome.value)
            self._behind(asked)
            self._hear()
        else:
            self._correct()
        if self._asked is None and now_ns >= self._due_ns:
            due_ns = self._due_ns
            self._due_ns += max(1, (now_ns - due_ns) // self._period_ns) * self._period_ns
            asked = self._asked = self._ask(due_ns, now_ns)
            if asked is None:
                self._behind(None)
            else:
                thinker.begin(lambda: self._infer(asked))

    def _ask(self, due_ns: int, now_ns: int) -> _Asked | None:
        """What the policy is to answer now; None where nothing is due, or something is missing."""
        self._exchange.begin_step(self._observer.newest, now_ns)
        order = self._orders.read() if self._test is not None else None
        if self._test is not None and order is not None:
            self._test.choose(order.goal)
        if not self._step.strategy.due(now_ns):
            return None
        delay_ns = self._delay.delay_ns
        observation = self._observer.observe(now_ns, self._step.ahead_ns(delay_ns))
        state = self._observer.newest
        if state is not None and state.trajectory_id:
            self._delay.saw(state.observation_stamp_ns, state.in_force_ns)
        if observation is None:
            self._blind += 1
            self._complaint = self._observer.missing
            self._keep_alive.idle(self._exchange.active, now_ns)
            if self._detector is not None:
                self._detector.look(None)
            return None
        if self._detector is not None and self._detector.hold is not None:
            self._complaint = self._detector.hold
            if self._residual is not None:
                self._residual.forget()
            self._keep_alive.idle(self._exchange.active, now_ns)
            self._detector.look(observation)
            return None
        return _Asked(due_ns, observation, delay_ns, self._settings.added_delay_ns)

    def _infer(self, asked: _Asked) -> Chunk:
        """The policy's answer, in whichever thread it thinks."""
        began_ns = clock.now_ns()
        self._keep_alive.ran(began_ns)
        early = None if self._residual is not None else partial(self._publish_early, asked)
        chunk = self._step.infer(asked.observation, early)
        self._inference.record(clock.now_ns() - began_ns)
        if self._thinker is not None and asked.added_delay_ns:
            clock.sleep_until_ns(asked.observation.stamp_ns + asked.added_delay_ns)
        return chunk

    def _answered(self, asked: _Asked, chunk: Chunk) -> None:
        """``chunk`` goes to the tick, corrected where there is a residual."""
        ended_ns = clock.now_ns()
        self._complaint = None
        observation = asked.observation
        executed = self._step.executed(chunk, ended_ns)
        trajectory = None
        if self._residual is not None:
            self._residual.begin(executed, self._step.card, observation.epoch)
            self._base_delay_ns = asked.delay_ns
            trajectory = self._corrected()
        if trajectory is None:
            trajectory = self._step.execution.trajectory(
                executed, observation.command, ended_ns, asked.delay_ns
            )
        fitted_ns = clock.now_ns()
        if self._thinker is None and asked.added_delay_ns:
            clock.sleep_until_ns(observation.stamp_ns + asked.added_delay_ns)
        published_ns, visible_ns = self._publish(trajectory)
        if self._thinker is not None:  # by the time that anybody looks, a corrected one may be in force
            self._delay.saw(observation.stamp_ns, published_ns + self._tick_ns)
        began_ns, ended_ns = self._step.run_ns
        stamps = (asked.due_ns, observation.stamp_ns, began_ns, ended_ns, fitted_ns, published_ns, visible_ns)
        self._steps.append(StepStamps(*stamps))
        self._runs += 1

    def _failed(self, why: str) -> None:
        self._complaint = why
        self._bad_answers += 1

    def _behind(self, asked: _Asked | None) -> None:
        """What has time until the answer is out."""
        if asked is not None and self._detector is not None:
            self._detector.look(asked.observation)
        self._exchange.end_step(clock.now_ns())
        if self._test is not None:
            self._test.end_step(clock.now_ns())

    def _correct(self) -> None:
        trajectory = self._corrected()
        if trajectory is not None:
            self._publish(trajectory)

    def _corrected(self) -> Trajectory | None:
        """The newest answer corrected on a fresh observation; None where there is nothing to be published."""
        if self._residual is None:
            return None
        now_ns = clock.now_ns()
        seen = self._observer.observe(now_ns, self._residual.ahead_ns(now_ns))
        chunk = self._residual.correct(seen) if seen is not None else None
        if seen is None or chunk is None:
            return None
        execution = self._step.execution
        return execution.trajectory(chunk, seen.command, clock.now_ns(), self._base_delay_ns)

    def _publish(self, trajectory: Trajectory) -> tuple[int, int]:
        """(when it was published, when the tick can see it)."""
        published_ns = clock.now_ns()
        number = self._writer.publish(trajectory, trajectory.position, trajectory.curvature)
        visible_ns = clock.now_ns()
        self._forecast.published(number, trajectory, published_ns)
        return published_ns, visible_ns

    def _publish_early(self, asked: _Asked, chunk: Chunk, done: float) -> None:
        """What of an answer is final is executed before all is; the delay is that of its first part."""
        now_ns = clock.now_ns()
        observation = asked.observation
        self._publish(self._step.trajectory(chunk, observation.command, now_ns, asked.delay_ns))
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
        if self._asked is None:  # the policy's own thread has it until it has answered
            self._hear()
        self._reports.publish(
            {
                "runs": self._runs,
                "blind": self._blind,
                "bad_answers": self._bad_answers,
                "complaint": self._complaint or self._beside_complaint,
                "inference_us": summary_us(self._inference.summary()),
                "late_us": summary_us(self._late.summary()),
                "delay_ms": round(self._delay.delay_ns / 1e6, 2),
                "providers": self._exchange.active.engine.providers,
                "policy": self._test.name if self._test is not None else self._exchange.active.name,
                "exchange": self._exchange.report,
                "ab": self._test.report if self._test is not None else None,
                "steps": list(self._steps),
                "residual": self._residual.report if self._residual is not None else None,
                "detector": self._detector.report if self._detector is not None else None,
            }
        )

    @property
    def _beside_complaint(self) -> str | None:
        """Of the models beside the policy."""
        for name, beside in (("residual", self._residual), ("detector", self._detector)):
            if beside is not None and beside.complaint is not None:
                return f"{name}: {beside.complaint}"
        return None


if __name__ == "__main__":
    sys.exit(run_child(__doc__, run))
