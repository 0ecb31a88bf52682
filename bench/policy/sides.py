"""The two sides of the policy suite: the runtime's own path, and bare onnxruntime beside it.

A call of either fills a row of instants (``COLUMNS``). Both make an observation first, each with an observer of
its own, so that neither starts its inference from colder caches than the other; both copy the same inputs into
fixed buffers and their answer out of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from spinal.bench.policy.models import IMAGE
from spinal.bench.policy.played import DELAY_NS, PlayedRobot
from spinal.native.clock import now_ns as clock_ns
from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.decode import decode_chunk
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.delay import COLD_RUNS, WINDOW, DelayMeter
from spinal.runtime.policy.observe import Observer
from spinal.runtime.policy.session import WARM_UP_RUNS, Session
from spinal.runtime.policy.step import Execution, PolicyStep
from spinal.runtime.trajectory.interpolation import Smooth
from spinal.runtime.types import Chunk, Observation

Row = NDArray[np.int64]
OBSERVATIONS = 16


class Column(IntEnum):
    """The instants of one call, in their order. A call that saw nothing leaves zeros."""

    BEGAN = 0
    PLANNED = 1
    """The delay to expect is known."""
    OBSERVED = 2
    FILLED = 3
    RAN = 4
    ANSWERED = 5
    """Decoded (ours), copied out (bare)."""
    FITTED = 6
    PUBLISHED = 7


class StampedSession(Session):
    """A Session that says when it began and ended."""

    began_ns = ended_ns = 0

    def run(self) -> None:
        """One inference, with its two instants."""
        self.began_ns = clock_ns()
        super().run()
        self.ended_ns = clock_ns()


class Step(Protocol):
    """From an observation to a chunk."""

    def ahead_ns(self, delay_ns: int) -> tuple[int, ...]:
        """How far its observations look ahead."""
        ...

    def infer(self, observation: Observation) -> Chunk:
        """The chunk that answers."""
        ...


class DirectStep:
    """For a model with inputs that no card can name yet: tensors straight into the session, decoded as any."""

    def __init__(self, card: PolicyCard, session: Session) -> None:
        self._session, self._values = session, values_for(card)
        self._step_ns = card.chunk.step_ns

    def ahead_ns(self, delay_ns: int) -> tuple[int, ...]:
        """It freezes nothing."""
        return ()

    def infer(self, observation: Observation) -> Chunk:
        """The chunk for the same inputs every time."""
        for name, value in self._values.items():
            self._session.inputs[name][...] = value
        self._session.run()
        return decode_chunk(self._session.output, observation, self._step_ns)


class Side(Protocol):
    """One call of a side."""

    def call(self, row: Row) -> None:
        """Answers once, with its instants in ``row``."""
        ...


class RobotSide:
    """The whole step of the policy process: delay, observation, inference, decoder, fit, publication."""

    def __init__(self, played: PlayedRobot, execution: Execution) -> None:
        self._played, self._execution = played, execution
        self._observer = played.observer()
        self._delay = DelayMeter(DELAY_NS)
        for number in range(1, COLD_RUNS + WINDOW + 1):  # its window is full, as after two seconds on a robot
            self._delay.saw(number, number + DELAY_NS)

    def use(self, step: Step, session: StampedSession) -> None:
        """From now on with these."""
        self._step, self._session = step, session

    def call(self, row: Row) -> None:
        """In the order of ``PolicyProcess``."""
        began_ns = clock_ns()
        delay_ns = self._delay.delay_ns
        planned_ns = clock_ns()
        observation = self._observer.observe(began_ns, self._step.ahead_ns(delay_ns))
        state = self._observer.newest
        if state is not None and state.trajectory_id:
            self._delay.saw(state.observation_stamp_ns, state.in_force_ns)
        if observation is None:
            return
        observed_ns = clock_ns()
        chunk = self._step.infer(observation)
        answered_ns = clock_ns()
        trajectory = self._execution.trajectory(chunk, observation.command, answered_ns, delay_ns)
        fitted_ns = clock_ns()
        self._played.publish(trajectory, fitted_ns)
        published_ns = clock_ns()
        row[:] = (
            began_ns,
            planned_ns,
            observed_ns,
            self._session.began_ns,
            self._session.ended_ns,
            answered_ns,
            fitted_ns,
            published_ns,
        )


class StepSide:
    """The same from observation to chunk, for a model without a robot: its observations are random."""

    def __init__(self, observations: Sequence[Observation]) -> None:
        self._observations = observations
        self._calls = 0

    def use(self, step: Step, session: StampedSession) -> None:
        """From now on with these."""
        self._step, self._session = step, session

    def call(self, row: Row) -> None:
        """Answers the next observation."""
        observation = self._observations[self._calls % len(self._observations)]
        self._calls += 1
        began_ns = clock_ns()
        self._step.infer(observation)
        answered_ns = clock_ns()
        session = self._session
        row[:] = (began_ns,) * 3 + (session.began_ns, session.ended_ns) + (answered_ns,) * 3


class BareSide:
    """onnxruntime as its documentation says: IO binding to fixed buffers, the options of ``Session``, no more."""

    def __init__(
        self, model: Path, card: PolicyCard, providers: Sequence[str], observer: Observer | None = None
    ) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = ort.InferenceSession(str(model), options, providers=list(providers))
        self.providers: list[str] = self._session.get_providers()
        self._binding = self._session.io_binding()
        self._values = values_for(card)
        self._inputs = {name: np.zeros_like(value) for name, value in self._values.items()}
        for name, buffer in self._inputs.items():
            self._binding.bind_input(name, "cpu", 0, np.float32, buffer.shape, buffer.ctypes.data)
        self._output = np.zeros(card.output.shape, np.float32)
        where = self._output.ctypes.data
        self._binding.bind_output(card.output.name, "cpu", 0, np.float32, card.output.shape, where)
        self._answer = self._output.copy()
        self._observer = observer
        for _ in range(WARM_UP_RUNS):
            self._session.run_with_iobinding(self._binding)

    def call(self, row: Row) -> None:
        """Observes, for warmth alone; then copies in, runs, copies out."""
        began_ns = clock_ns()
        if self._observer is not None:
            self._observer.observe(began_ns)
        observed_ns = clock_ns()
        for name, value in self._values.items():
            self._inputs[name][...] = value
        filled_ns = clock_ns()
        self._session.run_with_iobinding(self._binding)
        ran_ns = clock_ns()
        self._answer[...] = self._output
        answered_ns = clock_ns()
        row[:] = (began_ns, began_ns, observed_ns, filled_ns, ran_ns) + (answered_ns,) * 3


class Pair:
    """Both sides of one model, each with a session of its own.

    ``renew`` makes both sessions anew. Where a session's weights lie in memory decides how they share the caches,
    a matter of luck that lasts as long as the session and moves its time by 10 % and more. A slice that has
    sessions of its own draws that luck anew, so that it is in the interval and not in the figure.
    """

    def __init__(
        self, model: Path, card: PolicyCard, providers: Sequence[str], robot: RobotConfig | None
    ) -> None:
        """``robot``: whose policy it is; None for a model without one."""
        self._model, self._card, self._wanted = model, card, providers
        self._played = PlayedRobot(robot) if robot is not None else None
        self._ours: RobotSide | StepSide
        self._execution = execution_for(card, robot)
        if self._played is not None:
            self._ours = RobotSide(self._played, self._execution)
        else:
            self._ours = StepSide(random_observations(len(card.joints)))
        self._observer = self._played.observer() if self._played is not None else None
        self.providers: list[str] = []

    def renew(self, bare_first: bool) -> tuple[Side, Side]:
        """(ours, bare) with new sessions; which is made first may decide which lies better.

        Raises PolicyError when the model does not load, or not where it should. Call it before any thread of the
        process asks for real-time priority: onnxruntime's threads inherit it.
        """
        bare = self._make_bare() if bare_first else None
        session = StampedSession(self._model, self._card, self._wanted)
        self._ours.use(self._step(session), session)
        bare = bare or self._make_bare()
        self.providers = session.providers
        if bare.providers != session.providers:
            raise PolicyError(f"ours runs on {session.providers[0]} and bare on {bare.providers[0]}", hint="")
        return self._ours, bare

    def play(self, now_ns: int) -> None:
        """What a call at ``now_ns`` is to see."""
        if self._played is not None:
            self._played.play(now_ns)

    def close(self) -> None:
        """Unmaps what was made."""
        if self._played is not None:
            self._played.close()

    def _make_bare(self) -> BareSide:
        return BareSide(self._model, self._card, self._wanted, self._observer)

    def _step(self, session: Session) -> Step:
        if any(tensor.stream == IMAGE for tensor in self._card.inputs):
            return DirectStep(self._card, session)
        return PolicyStep(self._card, session, self._execution)


def execution_for(card: PolicyCard, robot: RobotConfig | None) -> Execution:
    """As the robot file says, or as the shipped one does for a model without a robot."""
    step_ns = card.chunk.step_ns
    if robot is not None:
        return Execution.of(robot, step_ns)
    return Execution(
        step_ns=step_ns,
        interpolation=Smooth(0.02, 200.0),
        blend_min_ns=60_000_000,
        blend_max_ns=160_000_000,
        blend_share=0.5,
        period_ns=step_ns,
        late_periods=3,
        grippers=(False,) * len(card.joints),
    )


def values_for(card: PolicyCard) -> dict[str, NDArray[np.float32]]:
    """Random inputs for ``card``, the same every time; a mask of zeros."""
    rng = np.random.default_rng(0)
    values = {tensor.name: rng.standard_normal(tensor.shape, np.float32) for tensor in card.inputs}
    for tensor in card.inputs:
        if tensor.stream == "mask":
            values[tensor.name][...] = 0
    return values


def random_observations(joints: int) -> list[Observation]:
    """Observations of a robot with so many joints, the same every time."""
    rng = np.random.default_rng(0)
    return [
        Observation(
            stamp_ns=1_000_000_000,
            position=rng.normal(size=joints),
            velocity=rng.normal(size=joints),
            command=rng.normal(size=(joints, 3)),
            ahead=np.zeros((0, joints)),
            joints_age_ns=0,
            streams={},
        )
        for _ in range(OBSERVATIONS)
    ]
