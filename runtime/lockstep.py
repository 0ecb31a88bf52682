"""Lock-step: one process, one thread, a manual clock. The same tick, bus protocol, emulator, sensor, filter,
policy step and hand-off as on the robot, many times real time, and the same run for the same seed.

What stands in for time: the wire moves the clock (byte times of the real protocol), physics advances by its
own step between ticks, and a policy's answer is published after the delay that the caller names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spinal.drivers.feetech.configure import configure, setups
from spinal.drivers.sim.cartpick import STEP_NS, CartpickWorld, Start
from spinal.drivers.sim.pose_stream import PoseStream
from spinal.drivers.sim.servos import SimulatedServos
from spinal.native import layout
from spinal.native.clock import ManualClock
from spinal.native.emulator import MemoryTransport
from spinal.native.loop import Loop, LoopStats
from spinal.native.shared import Mailbox, Ring, Segment
from spinal.native.trajectory import TrajectoryWriter
from spinal.runtime import segments
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.controller.plan import feetech_bus, loop_plan
from spinal.runtime.goals import GoalReader, GoalWriter
from spinal.runtime.policy.forecast import Forecast
from spinal.runtime.policy.observe import Observer, pose_inputs
from spinal.runtime.segments import (
    CONTROLLER_RECORDS,
    CONTROLLER_STATE,
    CONTROLLER_STATS,
    POLICY_TRAJECTORY,
    SIM_POSE,
    SUPERVISOR_ORDER,
    SUPERVISOR_TAIL,
    OrderWriter,
    PoseWriter,
    StateReader,
    Writer,
)
from spinal.runtime.types import Observation, State, Trajectory

if TYPE_CHECKING:
    from spinal.native.loop import LoopCounts

EPOCH_NS = 1_000_000_000
SETTLE_NS = 80_000_000
"""The sensors deliver their first samples, the arm at rest."""
FOREVER_NS = 1 << 60


@dataclass(frozen=True, slots=True)
class _Submitted:
    trajectory: Trajectory
    published_ns: int


class LockStep:
    """A simulated robot and its world in lock-step. Build once, ``reset`` for every run.

    ``world``: the task's physics. ``keep_records``: collect every tick's record (``take_records``).
    """

    def __init__(self, robot: RobotConfig, world: CartpickWorld, keep_records: bool = False) -> None:
        self.robot = robot
        self.world = world
        self._plan = loop_plan(robot, self_test=False)
        self._keep_records = keep_records
        self._records: list[np.ndarray[tuple[int], np.dtype[np.void]]] = []
        self.reset(0)

    def reset(self, seed: int, start: Start = "home", sensor_seed: int | None = None) -> None:
        """Begin a run: the world and its sensor at ``seed``, the arm configured, armed and at rest."""
        robot, joints = self.robot, len(self.robot.joints)
        self.world.reset(seed, start)
        (bus,) = robot.buses.values()
        self._servos = SimulatedServos(robot.joints, self.world, bus.baud)
        self._clock = ManualClock(EPOCH_NS)
        wire = MemoryTransport(self._servos.emulator, clock_address=self._clock.address)
        configure(wire, setups(robot.joints))
        self.start_ns = -(-self._clock.now_ns // 20_000_000) * 20_000_000

        made: dict[Writer, Segment] = {writer: segments.create(writer, joints) for writer in Writer}
        state = Mailbox(made[Writer.CONTROLLER], CONTROLLER_STATE)
        records = Ring(made[Writer.CONTROLLER], CONTROLLER_RECORDS, made[Writer.SUPERVISOR], SUPERVISOR_TAIL)
        trajectories = Mailbox(made[Writer.POLICY], POLICY_TRAJECTORY)
        self._loop = Loop(
            self._plan,
            feetech_bus(robot, wire, self._clock),
            made[Writer.CONTROLLER],
            CONTROLLER_STATS,
            state,
            records if self._keep_records else None,
            [Mailbox(made[Writer.SUPERVISOR], SUPERVISOR_ORDER)],
            trajectories,
            self._clock,
        )
        self._ring = records
        self._records.clear()
        self._stats = LoopStats(made[Writer.CONTROLLER], CONTROLLER_STATS)
        self.order = OrderWriter(made[Writer.SUPERVISOR], SUPERVISOR_ORDER)
        self.order.give(layout.ORDER_RUN, 0, FOREVER_NS)
        self._writer = TrajectoryWriter(trajectories)
        self._waiting: list[_Submitted] = []
        self._forecast = Forecast(robot)
        self._sensor = PoseStream(seed if sensor_seed is None else sensor_seed, self.start_ns)
        self._poses = PoseWriter(made[Writer.SIM], SIM_POSE)
        self._state_reader = StateReader(made[Writer.CONTROLLER], joints)
        streams = pose_inputs(robot, made[Writer.SIM], SIM_POSE)
        self.goals = GoalWriter(made[Writer.LINK])
        self._observer = Observer(
            self._state_reader,
            streams,
            bus.max_age_ms * 1_000_000,
            self._forecast,
            GoalReader(made[Writer.LINK]),
        )
        self.next_tick_ns = self.start_ns
        self.advance_to(self.start_ns + SETTLE_NS)

    @property
    def now_ns(self) -> int:
        """How far the world has come: the instant of the next tick."""
        return self.next_tick_ns

    def world_ns(self, t_ns: int) -> int:
        """An instant of the robot's clock as the world's time."""
        return t_ns - self.start_ns

    def advance_to(self, t_ns: int) -> None:
        """Ticks at every slot before ``t_ns``, and physics up to the first slot at or behind it."""
        while self.next_tick_ns < t_ns:
            self._tick()

    def observe(self, t_ns: int, ahead_ns: Sequence[int] = ()) -> Observation | None:
        """The observation at ``t_ns``: the newest tick's state, and the samples that have arrived by then."""
        self._publish(t_ns)
        for sample in self._sensor.released(t_ns):
            self._poses.publish(sample)
        return self._observer.observe(t_ns, ahead_ns)

    @property
    def missing(self) -> str | None:
        """Why the last observation was none."""
        return self._observer.missing

    def submit(self, trajectory: Trajectory, published_ns: int) -> None:
        """Publishes ``trajectory`` at ``published_ns``: the first tick at or after that instant takes it."""
        self._waiting.append(_Submitted(trajectory, published_ns))

    def state(self) -> State:
        """The state that the last tick published."""
        state = self._state_reader.read()
        if state is None:
            raise RuntimeError("no tick has run yet")
        return state

    @property
    def in_force(self) -> Trajectory | None:
        """The trajectory that the last published state names."""
        return self._forecast.in_force(self.state())

    @property
    def mode(self) -> str:
        """The loop's mode."""
        return self._loop.mode

    def stats(self) -> LoopCounts:
        """The loop's counters and histograms."""
        return self._stats.read()

    def take_records(self) -> np.ndarray[tuple[int], np.dtype[np.void]]:
        """All tick records since the run began."""
        return np.concatenate(self._records) if self._records else np.zeros(0, self._record_dtype)

    @property
    def _record_dtype(self) -> np.dtype[np.void]:
        return layout.record_dtype(len(self.robot.joints))

    def _tick(self) -> None:
        tick_ns = self.next_tick_ns
        self._publish(tick_ns)
        self._servos.measure()
        self._clock.now_ns = tick_ns
        self._loop.tick(tick_ns)
        if self._keep_records:
            self._drain()
        self.next_tick_ns += self._plan.dt_ns
        # The step that is under way when the command arrives still drives to the old one.
        for start_ns in range(tick_ns, self.next_tick_ns, STEP_NS):
            self._sensor.capture(start_ns, self.world.block_pose())
            self.world.step()
            if start_ns == tick_ns:
                self._servos.drive(tick_ns + STEP_NS)

    def _publish(self, now_ns: int) -> None:
        due = [one for one in self._waiting if one.published_ns <= now_ns]
        for one in due:
            self._waiting.remove(one)
            path = one.trajectory
            number = self._writer.publish(path, path.position, path.curvature)
            self._forecast.published(number, path, one.published_ns)

    def _drain(self) -> None:
        buffer = np.zeros(4, self._record_dtype)
        while count := self._ring.take(buffer.view(np.uint8)):
            self._records.append(buffer[:count].copy())
