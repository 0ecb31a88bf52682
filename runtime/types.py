"""The steps of an action, one frozen type each, in the order in which they happen.

    State -> Observation -> Chunk -> Trajectory -> (in the tick: Setpoint -> Command)

Every instant is CLOCK_MONOTONIC in integer ns. Arrays over joints follow the robot file's order; units are
rad for arm joints and m for grippers, per second where it says velocity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class State:
    """What the tick measured last and what it commanded last."""

    tick: int
    tick_ns: int
    command_ns: int
    """The instant that ``commanded`` belongs to."""
    mode: int
    conditions: int
    trajectory_id: int
    observation_stamp_ns: int
    """Of the observation that the trajectory in force answers; 0: none in force."""
    in_force_ns: int
    """The tick that took it."""
    blend_end_ns: int
    """When its mismatch at the switch has decayed."""
    at_rest: bool
    rung: int
    """How far down the ladder the arm is (layout.RUNG_*), and since when."""
    rung_ns: int
    latched: int
    """The conditions that stay until a new arming."""
    energised: bool
    """Whether torque is on by the loop's hand."""
    speed_scale: float
    """Share of the velocity limits in force."""
    position: Array
    velocity: Array
    load: Array
    stamp_ns: NDArray[np.int64]
    """Per joint, the instant of its sample."""
    commanded: Array
    """[joint, 3]: position, velocity, acceleration."""


@dataclass(frozen=True, slots=True)
class StreamValue:
    """An external sensor's estimate, carried to the observation's instant."""

    position_m: Array
    velocity_m_s: Array
    yaw_rad: float
    capture_ns: int
    """When the newest sample in it was true."""
    orientation_wxyz: Array | None = None
    angular_velocity_rad_s: Array | None = None
    acceleration_m_s2: Array | None = None
    """What an inertial sensor says of its body, in the body's frame; None where the sensor says none."""


@dataclass(frozen=True, slots=True)
class Image:
    """A camera's picture."""

    pixels: NDArray[np.uint8]
    """[height, width, 3], red, green, blue."""
    capture_ns: int
    """When its exposure was half over."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a planner wants of a policy: the newest of its kind, which holds until ``valid_until_ns``."""

    kind: str
    """text, embedding, latent, waypoint or twist."""
    seq: int
    """Rises with each that the robot took, of whatever kind."""
    stamp_ns: int
    """When the robot took it."""
    valid_until_ns: int
    payload: NDArray[np.float32] | bytes
    """Finite numbers; for text its UTF-8 bytes."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that a policy may see, put at one instant."""

    stamp_ns: int
    position: Array
    velocity: Array
    command: Array
    """[joint, 3]: the commanded motion at ``stamp_ns``."""
    ahead: Array
    """[step, joint]: positions that are commanded at the next policy steps, before any answer can be in force."""
    joints_age_ns: int
    """Of the oldest joint sample."""
    streams: Mapping[str, StreamValue]
    under_way: Trajectory | None = None
    """What is in force at ``stamp_ns``, or published and about to be: what an answer replaces."""
    load: Array | None = None
    """[joint], the share of each motor's greatest torque, with its sign."""
    images: Mapping[str, Image] = field(default_factory=dict)
    """The newest picture of each camera."""
    goals: Mapping[str, Goal] = field(default_factory=dict)
    """The planner's newest goal of each kind, those that are too old among them: who needs one looks."""
    epoch: int = 0
    """Rises when what was observed before is not continued: armed again, or something was missing meanwhile."""
    coming: Array | None = None
    """[waypoint, joint]: for a residual model, the policy's own actions at the coming waypoints."""
    chunk_index: int = 0
    """Which action of its chunk the first of them is."""

    @property
    def goal(self) -> Goal | None:
        """The planner's newest goal, of whatever kind."""
        return max(self.goals.values(), key=lambda goal: goal.seq, default=None)

    @property
    def sensor_stamp_ns(self) -> int:
        """Capture of the oldest external sample in it; the observation's own instant without streams."""
        return min((value.capture_ns for value in self.streams.values()), default=self.stamp_ns)


@dataclass(frozen=True, slots=True)
class Spline:
    """A clamped uniform B-spline over a chunk: knots [0]*p ++ linspace(0, 1, N-p+1) ++ [1]*p.

    It ends with the chunk's last action. A gripper's column is not read: grippers are steps.
    """

    degree: int
    """1 to 5 for what is to be executed as it is."""
    controls: Array
    """[control point, channel], in the numbers of the actions that it comes with."""
    duration_s: float


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a policy answered: actions with absolute times, and what they answer."""

    observation_stamp_ns: int
    sensor_stamp_ns: int
    first_ns: int
    """The instant at which ``actions[0]`` is to be reached."""
    step_ns: int
    actions: Array
    """[step, joint], absolute joint targets."""
    given: int
    """As many of the first actions are no answer: they are what is commanded until one can be in force."""
    decoder: str
    under_way: Trajectory | None = None
    """What it replaces; see Observation."""
    spline: Spline | None = None
    """The answer itself, where it was a spline of joint targets: executed as it is, with nothing fitted."""
    base: Array | None = None
    """[joint]: what relative actions were added to, the state at the observation; None where they are absolute."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """Timed waypoints for the tick: a spline per arm joint, steps for grippers.

    The spline is the cubic that ``position`` and ``curvature`` are of; with a ``degree`` it is the clamped uniform
    B-spline of ``controls`` between the same ends. ``position`` then says where it is at each waypoint, for those
    who look ahead, and where the grippers are; ``curvature`` is empty.
    """

    observation_stamp_ns: int
    sensor_stamp_ns: int
    published_ns: int
    origin_ns: int
    step_ns: int
    fresh_for_ns: int
    blend_min_ns: int
    blend_max_ns: int
    blend_share: float
    position: Array
    """[waypoint, joint]"""
    curvature: Array
    """[waypoint, joint]: second derivative of the spline at the waypoint."""
    degree: int = 0
    """0: a cubic; 1 to 5: a B-spline of that degree."""
    controls: Array | None = None
    """[control point, joint] of a B-spline: knots [0]*p ++ linspace(0, 1, N-p+1) ++ [1]*p over the whole."""

    @property
    def end_ns(self) -> int:
        """The instant of the last waypoint."""
        return self.origin_ns + (len(self.position) - 1) * self.step_ns
