"""Spinal itself, from the policy's answer to the command: what the robot would be told, to the last bit.

The shipped robot file's settings, forecast, decoder and fit, and the native loop with its hand-off and limiter, on
a manual clock before ideal servos. Only the network is missing: the feed answers in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import resources
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spinal.bench.seam.feed import (
    DELAY,
    EXECUTED,
    STEP_NS,
    STEP_S,
    TICK_NS,
    Array,
    Feed,
)
from spinal.bench.seam.played import Played
from spinal.native import layout
from spinal.native.clock import ManualClock
from spinal.native.loop import Loop, LoopStats
from spinal.native.mirror import MirrorTransport
from spinal.native.shared import Mailbox, Ring
from spinal.native.trajectory import TrajectoryWriter
from spinal.runtime import segments
from spinal.runtime.config.joints import ArmJoint
from spinal.runtime.config.load import load_robot
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.controller.plan import feetech_bus, loop_plan
from spinal.runtime.decode import decode_chunk
from spinal.runtime.policy.forecast import Forecast
from spinal.runtime.policy.observe import Observer
from spinal.runtime.policy.step import Execution
from spinal.runtime.segments import Writer
from spinal.runtime.trajectory.bspline import basis
from spinal.runtime.types import Spline

if TYPE_CHECKING:
    from spinal.native.loop import LoopCounts

EPOCH_NS = 1_000_000_000
SETTLE_TICKS = 10
"""Until the loop has armed, at rest."""
SHIPPED = Path(str(resources.files("spinal.launch") / "robots" / "so101_sim.toml"))
FOREVER_NS = 1 << 60
BEAST_DEGREE = 4
QUINTIC_TICKS = 6
"""A fifth-degree polynomial is known from six points."""


@dataclass(frozen=True, slots=True)
class SpinalPlayed(Played):
    """With what the loop says of itself."""

    counts: LoopCounts
    first_action_ms: float
    """From the first observation to the first command that answers it."""
    limited: Array
    """[tick]: 1 where the limiter changed what was asked of any joint."""
    straight: Array
    """[swap]: 1 where the limiter let through every command that ``after`` was found from."""


def shipped(joints: int) -> RobotConfig:
    """The shipped robot with ``joints`` joints like its shoulder, at the feed's rates."""
    robot = load_robot(SHIPPED)
    (like,) = (joint for joint in robot.joints if joint.name == "shoulder_lift")
    assert isinstance(like, ArmJoint)
    assert robot.policy is not None
    return robot.model_copy(
        update={
            "joints": tuple(
                like.model_copy(update={"name": f"joint_{number}", "id": number})
                for number in range(1, joints + 1)
            ),
            "streams": {},
            "fence": None,  # its links are those of another arm
            "control": robot.control.model_copy(
                update={"servo_hz": 1_000_000_000 // TICK_NS, "realtime": "off"}
            ),
            "policy": robot.policy.model_copy(update={"hz": 1_000_000_000 // (EXECUTED * STEP_NS)}),
        }
    )


def spinal(
    prefix: bool = True, controls: int = 0, **execution: float | str
) -> Callable[[Feed], SpinalPlayed]:
    """``execution``: changes to [execution] of the shipped robot file. ``prefix``: whether a chunk is told what is
    executed until it is in force, as the shipped policy's are. ``controls``: the policy answers with so many points
    of a spline (BEAST), fitted to each chunk by least squares, and they are executed as they are."""

    def play(feed: Feed) -> SpinalPlayed:
        robot = shipped(feed.joints)
        changed = robot.execution.model_copy(update=execution)
        loop = _LockStep(robot.model_copy(update={"execution": changed}))
        return loop.play(feed, prefix, controls)

    return play


class _LockStep:
    """One robot, one run."""

    def __init__(self, robot: RobotConfig) -> None:
        joints = len(robot.joints)
        self._joints = joints
        self._clock = ManualClock(EPOCH_NS)
        self._servos = MirrorTransport()  # kept: the bus holds its address only
        made = {writer: segments.create(writer, joints) for writer in Writer}
        controller, supervisor = made[Writer.CONTROLLER], made[Writer.SUPERVISOR]
        self._records = Ring(controller, segments.CONTROLLER_RECORDS, supervisor, segments.SUPERVISOR_TAIL)
        trajectories = Mailbox(made[Writer.POLICY], segments.POLICY_TRAJECTORY)
        self._loop = Loop(
            loop_plan(robot, self_test=False),
            feetech_bus(robot, self._servos, self._clock),
            controller,
            segments.CONTROLLER_STATS,
            Mailbox(controller, segments.CONTROLLER_STATE),
            self._records,
            [Mailbox(supervisor, segments.SUPERVISOR_ORDER)],
            trajectories,
            self._clock,
        )
        self._order = segments.OrderWriter(supervisor, segments.SUPERVISOR_ORDER)
        self._order.give(layout.ORDER_RUN, 0, FOREVER_NS)
        self._stats = LoopStats(controller, segments.CONTROLLER_STATS)
        self._writer = TrajectoryWriter(trajectories)
        self._state = segments.StateReader(controller, joints)
        self._forecast = Forecast(robot)
        (bus,) = robot.buses.values()
        self._observer = Observer(self._state, {}, bus.max_age_ms * 1_000_000, self._forecast)
        self._execution = Execution.of(robot, STEP_NS)
        self._begin_ns = EPOCH_NS + SETTLE_TICKS * TICK_NS
        self._motion: list[Array] = []
        self._next_ns = EPOCH_NS

    def play(self, feed: Feed, prefix: bool, controls: int = 0) -> SpinalPlayed:
        """Ticks through the whole feed: an answer is published right behind the tick at its swap."""
        limited = []
        for k, chunk in enumerate(feed.chunks):
            observed_ns = self._begin_ns + k * EXECUTED * STEP_NS
            self._run_before(observed_ns)
            ahead = [STEP_NS * (i + 1) for i in range(DELAY)] if prefix else []
            observation = self._observer.observe(observed_ns, ahead)
            if observation is None:
                raise RuntimeError(f"no observation of chunk {k}: {self._observer.missing}")
            answer = decode_chunk(chunk[None].astype(np.float32), observation, STEP_NS)
            if controls:
                answer = replace(answer, spline=_tokens(chunk, controls))
            published_ns = observed_ns + DELAY * STEP_NS + 1
            self._run_before(published_ns)
            path = self._execution.trajectory(answer, observation.command, published_ns, DELAY * STEP_NS)
            number = self._writer.publish(path, path.position, path.curvature)
            self._forecast.published(number, path, published_ns)
            limited.append(self._take_limited())
        self._run_before(self._begin_ns + feed.ticks * TICK_NS + 1)
        limited.append(self._take_limited())
        return self._played(feed, np.concatenate(limited))

    def _run_before(self, t_ns: int) -> None:
        """Every tick before ``t_ns``; each tells what was commanded by the one before."""
        while self._next_ns < t_ns:
            self._clock.now_ns = self._next_ns
            self._loop.tick(self._next_ns)
            state = self._state.read()
            assert state is not None
            self._motion.append(state.commanded)
            self._next_ns += TICK_NS

    def _take_limited(self) -> Array:
        """[tick]: whether any joint was limited, for the ticks since the last call."""
        taken = np.zeros(segments.RECORD_SLOTS, layout.record_dtype(self._joints))
        count = self._records.take(taken.view(np.uint8))
        found: Array = (taken[:count]["joints"]["limited"] != 0).any(axis=1).astype(np.float64)
        return found

    def _played(self, feed: Feed, limited: Array) -> SpinalPlayed:
        motion = np.stack(self._motion)[SETTLE_TICKS + 1 :]
        limited = limited[SETTLE_TICKS : SETTLE_TICKS + feed.ticks]
        if self._loop.mode != "running" or len(motion) != feed.ticks:
            raise RuntimeError(f"the loop is {self._loop.mode} after {len(motion)} of {feed.ticks} commands")
        swaps = np.array([feed.swap_tick(k) for k in range(len(feed.chunks))])
        moved = np.flatnonzero((motion != motion[0]).any(axis=(1, 2)))
        return SpinalPlayed(
            position=np.ascontiguousarray(motion[:, :, 0]),
            before=motion[swaps],
            after=np.stack([behind(motion, swap) for swap in swaps]),
            counts=self._stats.read(),
            first_action_ms=float(moved[0] * TICK_NS * 1e-6) if len(moved) else float("nan"),
            limited=limited,
            straight=np.array(
                [not limited[swap : swap + QUINTIC_TICKS + 1].any() for swap in swaps], np.float64
            ),
        )


def _tokens(chunk: Array, controls: int) -> Spline:
    """``chunk`` [step, joint] as a BEAST encoder fits it: degree 4, from its first action to its last."""
    weights = basis(BEAST_DEGREE, controls, len(chunk) - 1)
    points: Array = np.linalg.lstsq(weights, chunk)[0].astype(np.float64)
    return Spline(BEAST_DEGREE, points, (len(chunk) - 1) * STEP_S)


def behind(motion: Array, swap: int) -> Array:
    """[joint, 3]: the motion at tick ``swap`` as the commands behind it tell, without looking at it.

    ``motion`` [tick, joint, 3]. Up to the next waypoint it is a polynomial of the fifth degree, so six positions,
    five velocities or four accelerations give its value one tick before them, to rounding.
    """
    columns = []
    for order in range(3):
        known = QUINTIC_TICKS - order
        weights = np.array([(-1) ** (i + 1) * comb(known, i) for i in range(1, known + 1)], np.float64)
        columns.append(np.tensordot(weights, motion[swap + 1 : swap + 1 + known, :, order], axes=1))
    return np.stack(columns, axis=1)


def relative_jump(played: SpinalPlayed) -> tuple[float, int]:
    """(the largest jump of position, velocity or acceleration at a swap, swaps), relative as the loop has it.

    From the commands alone. Swaps at which the limiter was at work are left out: what it emits is no polynomial.
    NaN when there is no other.
    """
    chosen = played.straight > 0
    before, after = played.before[chosen], played.after[chosen]
    if not len(before):
        return float("nan"), 0
    apart = np.abs(after - before) / np.maximum(1, np.maximum(np.abs(before), np.abs(after)))
    return float(apart.max()), len(before)
