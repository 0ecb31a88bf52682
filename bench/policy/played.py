"""A robot for the policy alone: its state and its block are put into shared memory, as the loop and the tracker do.

What the policy process reads and writes is real, and what it commands comes into force: the state that is played
names its newest trajectory, and its motion is the one that the tick would have made of it. Only the tick itself
and the world are not there, so that nothing but the policy's own work stands in the figures.
"""

from __future__ import annotations

import math

import numpy as np

from spinal.native import layout
from spinal.native.shared import Mailbox
from spinal.native.trajectory import TrajectoryWriter
from spinal.runtime import segments
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.policy.forecast import Forecast
from spinal.runtime.policy.observe import Observer, pose_inputs
from spinal.runtime.segments import (
    CONTROLLER_STATE,
    POLICY_TRAJECTORY,
    SIM_POSE,
    PoseSample,
    PoseWriter,
    StateReader,
    Writer,
)
from spinal.runtime.types import Array, Trajectory

DELAY_NS = 25_000_000
"""From an observation until its trajectory is in force: what the shipped policy measures at 50 Hz."""
STATE_AGE_NS = 2_000_000
"""Half a tick at 250 Hz."""
POSE_AGE_NS, POSE_ARRIVAL_NS = 12_000_000, 1_000_000
BLOCK_M, BLOCK_SWING_M, BLOCK_RAD_S = (0.22, 0.0, 0.02), 0.08, 2.0


class PlayedRobot:
    """Shared memory with everything that a policy reads. Makes no thread; one thread."""

    def __init__(self, robot: RobotConfig) -> None:
        self._robot = robot
        joints = len(robot.joints)
        self._made = {
            writer: segments.create(writer, joints)
            for writer in (Writer.CONTROLLER, Writer.SIM, Writer.POLICY)
        }
        self._states = Mailbox(self._made[Writer.CONTROLLER], CONTROLLER_STATE)
        self._reader = StateReader(self._made[Writer.CONTROLLER], joints)
        self._poses = PoseWriter(self._made[Writer.SIM], SIM_POSE)
        self._writer = TrajectoryWriter(Mailbox(self._made[Writer.POLICY], POLICY_TRAJECTORY))
        self.forecast = Forecast(robot)
        self._record = np.zeros(1, layout.state_dtype(joints))
        self._ticks = self._newest = self._named = self._observed_ns = self._blend_end_ns = 0

    def observer(self) -> Observer:
        """One more that observes this robot, with filters of its own."""
        robot, controller = self._robot, self._made[Writer.CONTROLLER]
        streams = pose_inputs(robot, self._made[Writer.SIM], SIM_POSE)
        oldest_ns = max(bus.max_age_ms for bus in robot.buses.values()) * 1_000_000
        return Observer(StateReader(controller, len(robot.joints)), streams, oldest_ns, self.forecast)

    def publish(self, trajectory: Trajectory, at_ns: int) -> None:
        """As the policy process publishes an answer."""
        self._newest = self._writer.publish(trajectory, trajectory.position, trajectory.curvature)
        self.forecast.published(self._newest, trajectory, at_ns)
        self._observed_ns = trajectory.observation_stamp_ns

    def play(self, now_ns: int) -> None:
        """Puts there what a policy would find at ``now_ns``: a tick's state and one sample of the block."""
        tick_ns = now_ns - STATE_AGE_NS
        commanded = self._commanded(tick_ns)
        if self._newest != self._named:
            self._named = self._newest
            self._blend_end_ns = tick_ns + self._robot.execution.blend_min_ms * 1_000_000
        self._ticks += 1
        head, joints = self._record[0], self._record[0]["joints"]
        head["tick"], head["tick_ns"] = self._ticks, tick_ns
        head["command_ns"] = tick_ns - self._robot.control.period_ns
        head["mode"], head["joint_count"] = layout.MODE_RUNNING, len(commanded)
        head["trajectory_id"], head["observation_stamp_ns"] = self._named, self._observed_ns
        head["in_force_ns"] = self._observed_ns + DELAY_NS if self._named else 0
        head["blend_end_ns"] = self._blend_end_ns
        joints["position"] = joints["commanded_position"] = commanded[:, 0]
        joints["velocity"] = joints["commanded_velocity"] = commanded[:, 1]
        joints["commanded_acceleration"] = commanded[:, 2]
        joints["stamp_ns"], joints["fresh"] = tick_ns, 1
        self._states.publish(self._record.view(np.uint8))
        self._play_block(now_ns)

    def close(self) -> None:
        """Unmaps the shared memory."""
        for segment in self._made.values():
            segment.close()

    def _commanded(self, tick_ns: int) -> Array:
        """What the tick before ``tick_ns`` commanded."""
        state = self._reader.read()
        if state is None:
            middle = [
                (joint.limits.position_min + joint.limits.position_max) / 2 for joint in self._robot.joints
            ]
            return np.array([[position, 0.0, 0.0] for position in middle])
        at_ns = max(tick_ns - self._robot.control.period_ns, state.command_ns)
        motion: Array = self.forecast.motion(state, [at_ns])[0]
        return motion

    def _play_block(self, now_ns: int) -> None:
        captured_ns = now_ns - POSE_AGE_NS
        x, y, z = BLOCK_M
        y += BLOCK_SWING_M * math.sin(BLOCK_RAD_S * captured_ns * 1e-9)
        self._poses.publish(PoseSample(captured_ns, now_ns - POSE_ARRIVAL_NS, x, y, z, 0.3))
