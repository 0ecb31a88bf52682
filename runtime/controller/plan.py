"""From a robot file to the native loop: periods, limits, and the bus that it drives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spinal.native.clock import ManualClock
from spinal.native.feetech_bus import FeetechBus
from spinal.runtime.config.budget import bus_budget
from spinal.runtime.config.fence_build import fence_of
from spinal.runtime.config.joints import Joint
from spinal.runtime.config.limits import JointLimits, command_limits, emergency_limits
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.controller.reflexes import reflex_limits
from spinal.runtime.errors import BusError
from spinal.runtime.types import State

if TYPE_CHECKING:
    from spinal.native.feetech_bus import NativeTransport
    from spinal.native.loop import HasAddress, ReflexLimits


NEVER_NS = 1 << 60


@dataclass(frozen=True, slots=True)
class SafetyPlan:
    """What the loop does when something is missing, late or odd; see ``native/core/loop.h``. By default nothing."""

    tail_limit_ns: int = NEVER_NS
    let_go_after_ns: int = 0
    fade_ns: int = 2_000_000_000
    self_test_ticks: int = 0
    arming_speed: float = 0.0
    ease_travel: float = 0.0
    ease_speed: float = 0.0
    reflexes: tuple[ReflexLimits, ...] = ()
    grips: tuple[float, ...] = ()
    """By joint: where the command of a gripper begins that has held on; NaN: where it stands."""
    fence: HasAddress | None = None


@dataclass(frozen=True, slots=True)
class LoopPlan:
    """What ``spinal.native.loop.Loop`` needs to know; see ``native/core/loop.h``."""

    dt_ns: int
    read_budget_ns: int
    joint_age_limit_ns: int
    missed_to_hold: int
    limits: tuple[JointLimits, ...]
    emergency: tuple[JointLimits, ...]
    grippers: tuple[bool, ...]
    fifo_priority: int
    lock_memory: bool
    safety: SafetyPlan
    cpu: int = -1


def the_bus(robot: RobotConfig) -> str:
    """The name of the robot's one bus. Raises BusError when it has several: one loop drives one line so far."""
    if len(robot.buses) != 1:
        raise BusError(
            f"{robot.name} has {len(robot.buses)} buses ({', '.join(robot.buses)}); one is supported so far",
            hint="put all motors on one bus, or run one robot file per bus",
        )
    (name,) = robot.buses
    protocol = robot.buses[name].protocol
    if protocol != "feetech":
        raise BusError(
            f'bus {name} speaks "{protocol}", for which there is no native driver',
            hint='use protocol = "feetech"',
        )
    return name


def loop_plan(robot: RobotConfig, self_test: bool = True) -> LoopPlan:
    """The plan of the loop that drives all joints of ``robot``. On a manual clock there is nothing to test."""
    bus = robot.buses[the_bus(robot)]
    wants_realtime = robot.control.realtime != "off"
    return LoopPlan(
        dt_ns=robot.control.period_ns,
        read_budget_ns=bus.reply_timeout_us * 1000,
        joint_age_limit_ns=bus.max_age_ms * 1_000_000,
        missed_to_hold=robot.control.missed_to_hold,
        limits=tuple(command_limits(joint) for joint in robot.joints),
        emergency=tuple(emergency_limits(joint) for joint in robot.joints),
        grippers=tuple(joint.kind == "gripper" for joint in robot.joints),
        fifo_priority=robot.control.fifo_priority if wants_realtime else 0,
        lock_memory=wants_realtime,
        safety=safety_plan(robot, self_test),
    )


def held_grips(robot: RobotConfig, last: State | None) -> tuple[float, ...]:
    """What the controller before commanded of each gripper, m, if its motors have had torque since; else NaN.

    A gripper holds by the force of a command that it cannot reach.
    """
    holds = last is not None and last.energised
    return tuple(
        float(last.commanded[index, 0])
        if last is not None and holds and joint.kind == "gripper"
        else math.nan
        for index, joint in enumerate(robot.joints)
    )


def safety_plan(robot: RobotConfig, self_test: bool = True) -> SafetyPlan:
    """What ``robot``'s file says of ages, arming, reflexes and the fence."""
    safety = robot.safety
    return SafetyPlan(
        tail_limit_ns=safety.tail_max_ms * 1_000_000,
        let_go_after_ns=round(safety.let_go_after_s * 1e9),
        fade_ns=round(safety.fade_s * 1e9),
        self_test_ticks=round(safety.self_test_s * robot.control.servo_hz) if self_test else 0,
        arming_speed=safety.arming_speed,
        ease_travel=safety.ease_travel,
        ease_speed=safety.ease_speed,
        reflexes=tuple(reflex_limits(robot.reflexes, joint) for joint in robot.joints),
        fence=fence_of(robot),
    )


def feetech_bus(
    robot: RobotConfig, transport: NativeTransport, clock: ManualClock | None = None, health: bool = True
) -> FeetechBus:
    """The robot's bus over ``transport``.

    ``health``: its motors are asked about themselves as often as its budget allows; not for who only writes.
    """
    name = the_bus(robot)
    budget = bus_budget(robot, name)
    joints = [_wire_joint(joint) for joint in robot.joints]
    every = budget.health_every if budget and health else 0
    return FeetechBus(joints, robot.buses[name].baud, transport, clock, every)


def _wire_joint(joint: Joint) -> tuple[int, float, float, float, float, float]:
    """(id, zero_count, unit_per_count, count_min, count_max, torque_limit) of a joint."""
    ends = [
        joint.count_at_zero + joint.counts_per_unit * position
        for position in (joint.limits.position_min, joint.limits.position_max)
    ]
    zero, scale = float(joint.count_at_zero), 1 / joint.counts_per_unit
    return joint.id, zero, scale, min(ends), max(ends), joint.limits.torque_fraction
