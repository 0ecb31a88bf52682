"""The robot file: everything about one robot that a person chooses, in one TOML.

Sections stand here in the order of the file. A relative ``policy.model`` belongs to the folder of the
robot file; ``load_robot`` makes it absolute. Checks between sections are in ``cross.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from spinal.runtime.config.cross import cross_problems
from spinal.runtime.config.estop import EstopSettings
from spinal.runtime.config.execution import ExecutionSettings
from spinal.runtime.config.fence import FenceSettings
from spinal.runtime.config.joints import Joint
from spinal.runtime.config.policy import PolicySettings
from spinal.runtime.config.reflexes import ReflexSettings
from spinal.runtime.config.safety import SafetySettings
from spinal.runtime.config.section import PORT_PATTERN, Name, Positive, Section, refuse
from spinal.runtime.errors import Problem

MAX_JOINTS = 64
"""As many joints as the tick carries (SP_MAX_JOINTS)."""


class ControlSettings(Section):
    """[control]: the servo loop."""

    servo_hz: int = Field(ge=50, le=1000, description="ticks per second of the servo loop, 50 to 1000")
    realtime: Literal["require", "prefer", "off"] = Field(
        default="require",
        description='what to do when a real-time permission is refused: "require" refuses to move, "prefer"'
        ' runs and says so, "off" does not ask',
    )
    fifo_priority: int = Field(
        default=45, ge=1, le=49, description="SCHED_FIFO priority of the loop; interrupt threads have 50"
    )
    missed_to_hold: int = Field(
        default=3,
        ge=1,
        le=100,
        description="the robot holds when more periods than this were missed in a row",
    )

    @property
    def period_ns(self) -> int:
        """Nanoseconds between two ticks."""
        return round(1_000_000_000 / self.servo_hz)


class BusSettings(Section):
    """[buses.<name>]: one line with motors on it, and one servo thread for it."""

    protocol: Name = Field(description='the name of a driver, e.g. "feetech"')
    port: str = Field(pattern=PORT_PATTERN, description='"sim", or the path of a device such as /dev/ttyACM0')
    baud: int = Field(ge=9600, le=12_000_000, description="bits per second on the wire")
    reply_timeout_us: int = Field(
        ge=50, le=1_000_000, description="how long to wait for all replies of one read, in us"
    )
    max_age_ms: int = Field(
        default=50,
        ge=1,
        le=10_000,
        description="the robot holds when a joint has not answered for so long, in ms",
    )

    @property
    def simulated(self) -> bool:
        """Whether the port is the simulator's emulator."""
        return self.port == "sim"


class AlphaBetaFilter(Section):
    """A tracker of position and velocity; its gains follow from the two sigmas and each sample's interval."""

    kind: Literal["alpha_beta"] = Field(description='the only kind so far: "alpha_beta"')
    position_sigma_m: Positive = Field(description="standard deviation of the sensor's position noise, in m")
    acceleration_sigma_m_s2: Positive = Field(
        description="how unsteadily the object moves: standard deviation of its acceleration, in m/s^2; more"
        " follows a turn sooner and lets more noise through"
    )
    yaw_gain: float = Field(
        default=0.25,
        gt=0,
        le=1,
        description="the share of a sample's difference in yaw that the estimate takes over, up to 1",
    )
    gate_m: Positive = Field(
        default=0.02,
        description="a sample further than this from where the object can be is put aside, in m; a second one"
        " that agrees with it starts the tracker anew",
    )


class PoseStream(Section):
    """[streams.<name>]: a sensor that says where something is (position in m, yaw in rad)."""

    kind: Literal["pose"] = Field(description='the only kind so far: "pose"')
    source: Literal["sim"] = Field(description='where the samples come from; "sim" is the only one so far')
    rate_hz: float = Field(gt=0, le=10_000, description="samples per second")
    max_age_ms: int = Field(
        ge=1, le=60_000, description="a sample older than this is a fault of the stream, in ms"
    )
    frozen_ms: int = Field(
        default=500,
        ge=0,
        le=60_000,
        description="samples that all say the same for longer than this are a fault of the stream, in ms; 0 for a"
        " sensor that rightly repeats itself",
    )
    filter: AlphaBetaFilter | None = Field(
        default=None, description="the tracker behind the samples; a policy that asks for velocity needs one"
    )


class LinkSettings(Section):
    """[link]: where planners reach the robot. Loopback and ipc only: a tunnel brings them from afar."""

    command_endpoint: str | None = Field(
        default=None,
        description="where commands and plans arrive, tcp on loopback or ipc://; the robot's own runtime"
        " directory when absent",
    )
    state_endpoint: str | None = Field(
        default=None,
        description="where the robot's state is published, tcp on loopback or ipc://; the robot's own runtime"
        " directory when absent",
    )

    @field_validator("command_endpoint", "state_endpoint")
    @classmethod
    def _local(cls, endpoint: str | None) -> str | None:
        complaint = _endpoint_complaint(endpoint) if endpoint is not None else ""
        if complaint:
            hint = "use tcp://127.0.0.1:PORT or ipc:///run/spinal/NAME, and a tunnel from another machine"
            refuse([Problem("", complaint, hint)])
        return endpoint


class SimSettings(Section):
    """[sim]: the simulated world behind every port and stream whose source is "sim"."""

    world: Literal["cartpick"] = Field(description='the simulated world: "cartpick"')
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="the seed of everything random in the world")


class RobotConfig(Section):
    """One robot, checked as a whole. Raises ``ConfigError`` from ``load_robot``, with every problem."""

    schema_version: Literal[1] = Field(alias="schema", description="the version of this file format: 1")
    name: Name = Field(description="the robot's name")
    description: str = Field(default="", description="one line for people")
    embodiment: Name | None = Field(
        default=None, description="the kind of robot that policies are trained for; the name when absent"
    )
    control: ControlSettings = Field(description="the servo loop")
    policy: PolicySettings | None = Field(
        default=None, description="the model that runs; without one the robot only follows a planner's chunks"
    )
    execution: ExecutionSettings = Field(
        default_factory=ExecutionSettings, description="how a chunk becomes a trajectory"
    )
    safety: SafetySettings = Field(
        default_factory=SafetySettings, description="what happens when something is missing or late"
    )
    reflexes: ReflexSettings = Field(
        default_factory=ReflexSettings, description="when a joint holds or stops by itself"
    )
    fence: FenceSettings | None = Field(default=None, description="where the arm may be")
    estop: EstopSettings = Field(
        default_factory=EstopSettings, description="hardware lines that stop the robot"
    )
    buses: Mapping[Name, BusSettings] = Field(min_length=1, description="the lines that motors stand on")
    joints: Annotated[tuple[Joint, ...], Field(strict=False)] = Field(
        min_length=1, max_length=MAX_JOINTS, description="the joints, in the order of state and commands"
    )
    streams: Mapping[Name, PoseStream] = Field(default_factory=dict, description="sensors besides the joints")
    link: LinkSettings = Field(default_factory=LinkSettings, description="where planners reach the robot")
    sim: SimSettings | None = Field(default=None, description="the simulated world")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse(cross_problems(self.model_dump(by_alias=True)))
        if self.fence is not None:
            from spinal.runtime.config.fence_build import (
                fence_problems,
            )  # needs numpy, which most files do not

            refuse(fence_problems(self.fence, self.joints))
        return self

    @property
    def simulated(self) -> bool:
        """Whether every bus is the simulator's."""
        return all(bus.simulated for bus in self.buses.values())

    def joints_on(self, bus: str) -> tuple[Joint, ...]:
        """The joints of one bus, in the order of the file."""
        return tuple(joint for joint in self.joints if joint.bus == bus)


def _endpoint_complaint(endpoint: str) -> str:
    scheme, separator, place = endpoint.partition("://")
    if not separator or scheme not in ("tcp", "ipc"):
        return f'must begin with tcp:// or ipc://, and is "{endpoint}"'
    if scheme == "ipc":
        return "" if place.startswith("/") else f'must name an absolute path, and is "{endpoint}"'
    host, _, port = place.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:
        return f'must end in a port from 1 to 65535, and is "{endpoint}"'
    if host == "localhost":
        return ""
    try:
        loopback = ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = False
    return "" if loopback else f'must stay on this machine, and is "{endpoint}"'
