"""A scripted picker that sees the true state: where the training data's actions come from.

Every policy step it plans a whole chunk from what is being commanded and where the block truly is:

1. The phase follows from the true state alone: approach above the block, descend onto it once the hand
   moves with it, close, and lift once the fingers have stopped on its faces.
2. The phase gives a target that moves with the block. The block is carried forward at its present
   velocity, by the servo's lag more than the waypoint's instant, so that the arm and not the command
   is on the block.
3. The tool point, the roll and the jaw follow their targets under bounds on velocity, acceleration and
   jerk that stay well inside the robot's own limits.
4. Inverse kinematics turns the path into joint positions.

It keeps nothing between steps but the acceleration it asked for last.
"""

import math
from typing import NamedTuple

import numpy as np

from spinal.drivers.sim import arm6
from spinal.drivers.sim.cartpick import BLOCK_HALF_M, JAW_CLOSED_M, LIFT_POINT_M, CartpickWorld
from spinal.launch.policies.cartpick.pipeline import HORIZON, STEP_NS
from spinal.runtime.types import Array

_DT = STEP_NS * 1e-9
GRASP_HEIGHT_M = 0.036
HOVER_HEIGHT_M = 0.078
AROUND_HEIGHT_M = 0.066
"""Below it the fingers are beside the block and can only go on."""
SOON_S = 0.06
ARM_LAG_S = 0.024
"""Servo lag behind a ramp, half a tick, and the wire."""
QUARTER = math.pi / 2
LARGEST_ROLL = 2.2


class Follower(NamedTuple):
    """Follows a moving target in one or two coordinates under bounds (velocity is relative to it)."""

    velocity_most: float
    acceleration_most: float
    jerk_most: float
    settle_s: float = 0.07

    def step(
        self, x: Array, v: Array, a: Array, target: Array, target_v: Array
    ) -> tuple[Array, Array, Array]:
        """Position, velocity and acceleration [n] after one policy step."""
        error = target - x
        distance = math.hypot(*error)
        speed = min(
            self.velocity_most, distance / self.settle_s, math.sqrt(1.2 * self.acceleration_most * distance)
        )
        wanted_v = target_v + error * (speed / max(distance, 1e-9))
        wanted_a = _shorten((wanted_v - v) / (0.5 * self.settle_s), self.acceleration_most)
        a = a + _shorten(wanted_a - a, self.jerk_most * _DT)
        return x + v * _DT + a * (0.5 * _DT * _DT), v + a * _DT, a


HAND = Follower(velocity_most=0.7, acceleration_most=5.0, jerk_most=160.0)
LIFTING = Follower(velocity_most=0.35, acceleration_most=4.0, jerk_most=130.0)
HEIGHT = Follower(velocity_most=0.35, acceleration_most=3.5, jerk_most=110.0)
ROLL = Follower(velocity_most=4.0, acceleration_most=45.0, jerk_most=1500.0)
JAW_SPEED_M_S = 0.15


class Truth(NamedTuple):
    """What the expert may see and no policy does: the true state of arm and block."""

    joint_position: Array
    joint_velocity: Array
    block_pose: tuple[float, float, float, float]
    block_velocity: Array

    @classmethod
    def of(cls, world: CartpickWorld) -> "Truth":
        """The world's present state."""
        return cls(world.joint_position(), world.joint_velocity(), world.block_pose(), world.block_velocity())


class Expert:
    """Plans chunks for one robot; ``begin`` at the start of every run."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget the last run."""
        self._acceleration = [np.zeros(2), np.zeros(1), np.zeros(1)]

    def plan(self, command: Array, truth: Truth) -> Array:
        """The chunk [20, 6] from the present instant on.

        ``command`` [6, 3] is the motion being commanded, ``truth`` the state that the plan answers.
        """
        position, velocity = command[:, 0], command[:, 1]
        joints, joints_v, (bx, by, bz, block_yaw), block_v = truth
        tool = arm6.fk(joints)
        tool_v = arm6.jacobian(joints) @ joints_v[:5]
        roll_now, jaw = float(joints[4]), float(joints[5])
        commanded = arm6.fk(position)
        commanded_v = arm6.jacobian(position) @ velocity[:5]
        jaw_command = float(position[5])

        off = math.hypot(bx - tool[0], by - tool[1])
        drift = (block_v - tool_v) * SOON_S
        off_soon = math.hypot(bx - tool[0] + drift[0], by - tool[1] + drift[1])
        in_hand = off < 0.016 and abs(bz - tool[2]) < 0.025
        closing = jaw_command < 0.5 * arm6.JAW_OPEN
        stopped = BLOCK_HALF_M[1] - 0.004 < jaw < BLOCK_HALF_M[1] + 0.0025 and abs(joints_v[5]) < 0.01
        turned = abs(_roll(math.atan2(by, bx) - block_yaw, roll_now) - roll_now)

        grip, height, hand = arm6.JAW_OPEN, HOVER_HEIGHT_M, HAND
        lifting = closing and stopped and in_hand
        if lifting:
            grip, height, hand = JAW_CLOSED_M, LIFT_POINT_M[2], LIFTING
        elif (tool[2] < GRASP_HEIGHT_M + 0.012 and off < 0.014 and turned < 0.3) or (closing and in_hand):
            grip, height = JAW_CLOSED_M, GRASP_HEIGHT_M
        elif jaw > 0.019 and (
            (max(off, off_soon) < 0.010 and turned < 0.25) or (tool[2] < AROUND_HEIGHT_M and off < 0.018)
        ):
            height = GRASP_HEIGHT_M

        xy, xy_v = commanded[:2], commanded_v[:2]
        z, z_v = commanded[2:], commanded_v[2:]
        roll, roll_v = position[4:5], velocity[4:5]
        a, a_z, a_roll = self._acceleration
        path = np.empty((HORIZON, 5))
        still = np.zeros(2)
        for step in range(HORIZON):
            ahead = _DT * (step + 1) + ARM_LAG_S
            if lifting:
                target, target_v, turn = np.array(LIFT_POINT_M[:2]), still, float(position[4])
            else:
                target_v = block_v[:2]
                target = np.array((bx, by)) + target_v * ahead
                turn = _roll(math.atan2(target[1], target[0]) - block_yaw, roll_now)
            xy, xy_v, a = hand.step(xy, xy_v, a, target, target_v)
            z, z_v, a_z = HEIGHT.step(z, z_v, a_z, np.array([height]), still[:1])
            roll, roll_v, a_roll = ROLL.step(roll, roll_v, a_roll, np.array([turn]), still[:1])
            jaw_command += max(-JAW_SPEED_M_S * _DT, min(JAW_SPEED_M_S * _DT, grip - jaw_command))
            path[step] = *xy, z[0], roll[0], jaw_command
            if step == 0:
                self._acceleration = [a, a_z, a_roll]
        arm = arm6.ik(path[:, 0], path[:, 1], path[:, 2], path[:, 3])
        return np.concatenate([arm, path[:, 4:]], axis=1)


def _roll(square: float, roll_now: float) -> float:
    """The roll that squares the fingers to the block, a quarter turn or less away and off the stops."""
    roll = roll_now + math.remainder(square - roll_now, QUARTER)
    while abs(roll) > LARGEST_ROLL:
        roll -= math.copysign(QUARTER, roll)
    return roll


def _shorten(vector: Array, most: float) -> Array:
    length = math.hypot(*vector)
    return vector * (most / length) if length > most else vector
