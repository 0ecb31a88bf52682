"""[reflexes]: from which measurements on a joint holds or stops by itself.

What is judged, and how, is in ``native/core/reflex.h``. The first grade (``hold``) clears by itself, the second
(``stop``) stays until a person arms again. One joint's own thresholds stand in [reflexes.joints.<name>].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from spinal.runtime.config.section import Name, Section

Share = Annotated[float, Field(ge=0, le=0.95)]
Celsius = Annotated[float, Field(ge=0, le=150)]
Volt = Annotated[float, Field(ge=0, le=100)]

GRIPPER_OFF = ("following_hold", "following_stop", "contact_hold", "contact_stop")
"""What is off for a gripper unless its own table says otherwise: an object between the jaws pushes back and keeps
them from their command, and that is what they are for."""


class JointReflexes(Section):
    """[reflexes.joints.<name>]: what is different for one joint, in its own unit (rad, or m for a gripper)."""

    following_hold: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="it holds when the joint is this far from its command, in rad or m",
    )
    following_stop: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="it stops when the joint is this far from its command, in rad or m",
    )
    lag_ms: float | None = Field(
        default=None, ge=0, le=1000, description="how late the servo follows its command, in ms"
    )
    contact_hold: Share | None = Field(
        default=None, description="it holds at this share of the torque it may use; 0 is off"
    )
    contact_stop: float | None = Field(
        default=None,
        ge=0,
        le=100,
        description="it stops at this share of the motor's greatest torque; 0 is off",
    )
    contact_drag: float | None = Field(
        default=None, ge=0, le=1000, description="the share of the duty that one rad/s (or m/s) takes"
    )
    contact_inertia: float | None = Field(
        default=None, ge=0, le=1000, description="the share of the torque that one rad/s^2 (or m/s^2) takes"
    )
    temperature_hold: Celsius | None = Field(
        default=None, description="it holds above this temperature, in degree Celsius; 0 is off"
    )
    temperature_stop: Celsius | None = Field(
        default=None, description="it stops above this temperature, in degree Celsius; 0 is off"
    )
    voltage_hold: Volt | None = Field(default=None, description="it holds below this voltage, in V; 0 is off")
    voltage_stop: Volt | None = Field(default=None, description="it stops below this voltage, in V; 0 is off")
    frozen_travel: float | None = Field(
        default=None,
        gt=0,
        le=10,
        description="how far the command moves before a still sensor is doubted, rad or m",
    )


class ReflexSettings(Section):
    """[reflexes]: thresholds for all joints. 0 switches a grade off."""

    following_hold: float = Field(
        default=0.25,
        ge=0,
        le=10,
        description="an arm joint this far from where it should have followed its command holds, in rad; 0.25 is"
        " 50 ms at an STS3215's top speed, and twice what the simulated arm shows at it",
    )
    following_stop: float = Field(
        default=0.5,
        ge=0,
        le=10,
        description="an arm joint this far from its command stops, in rad; 0.5 is 15 cm at the end of a 0.3 m arm",
    )
    following_ms: int = Field(
        default=100,
        ge=0,
        le=10_000,
        description="how long it must be too far, in ms; 100 lets a joint bump and catch up again",
    )
    lag_ms: float = Field(
        default=25.0,
        ge=0,
        le=1000,
        description="how late the servos follow their commands, in ms; 25 is what the simulated arm shows",
    )
    contact_hold: Share = Field(
        default=0.6,
        description="a joint holds at this share of the torque it may use, beyond what gravity, friction and its"
        " own motion explain; 0.6 leaves room for a payload, 0 is off, as it is for a gripper",
    )
    contact_ms: int = Field(
        default=250,
        ge=0,
        le=10_000,
        description="how long it must push, in ms; 250 lets a hand bump against what it reaches for",
    )
    contact_long_ms: int = Field(
        default=3000,
        ge=0,
        le=600_000,
        description="a joint that pushes for so long stops, in ms, before its motor gets hot; 0 is never",
    )
    contact_stop: float = Field(
        default=2.0,
        ge=0,
        le=100,
        description="a joint stops at once at this share of the motor's greatest torque from outside; a motor"
        " alone makes no more than 1, so 2 is an impact that brakes it harder than it could itself",
    )
    contact_drag: float = Field(
        default=0.22,
        ge=0,
        le=100,
        description="the share of an arm motor's duty that one rad/s takes: 1 / no-load speed, 4.6 rad/s for an"
        " STS3215",
    )
    contact_inertia: float = Field(
        default=0.013,
        ge=0,
        le=100,
        description="the share of an arm motor's torque that one rad/s^2 takes: inertia / stall torque; 0.013 is"
        " that of an STS3215's own gears and a hand-sized link",
    )
    temperature_hold: Celsius = Field(
        default=60.0,
        description="a motor warmer than this holds, in degree Celsius; at 70 an STS3215 switches itself off and"
        " the arm would drop",
    )
    temperature_stop: Celsius = Field(
        default=66.0,
        description="a motor warmer than this stops, in degree Celsius; 66 leaves time to bring the arm down",
    )
    voltage_hold: Volt = Field(
        default=4.7,
        description="a supply below this holds, in V; 4.7 suits a 5 V supply, the weakest that a 7.4 V STS3215 is"
        " used with: for 12 V write 10.5",
    )
    voltage_stop: Volt = Field(
        default=4.3,
        description="a supply below this stops, in V; at 4.0 an STS3215 gives up: for 12 V write 9.5",
    )
    frozen_ms: int = Field(
        default=100,
        ge=0,
        le=10_000,
        description="how long a sensor may say the same while its command moves on, in ms; 100 is many of a"
        " servo's own measurements; 0 is off",
    )
    frozen_travel: float = Field(
        default=0.03,
        gt=0,
        le=10,
        description="how far the command moves before that counts, in rad of the motor's shaft; 0.03 is 20 counts"
        " of an STS3215, more than friction holds back",
    )
    device_error_ms: int = Field(
        default=50,
        ge=0,
        le=10_000,
        description="how long a motor must say that it protects itself (overload, current, heat, encoder) until the"
        " arm stops, in ms; 50 is a dozen replies. A gripper's overload and current do not count, 0 is off",
    )
    clear_ms: int = Field(
        default=500,
        ge=0,
        le=600_000,
        description="what held clears when its cause has been gone for so long, in ms; 500 does not stutter",
    )
    joints: Mapping[Name, JointReflexes] = Field(
        default_factory=dict, description="what is different for single joints"
    )


DEFAULTS: Mapping[str, Any] = {
    name: field.default for name, field in ReflexSettings.model_fields.items() if name != "joints"
}
