"""What each stream of a card says of an observation, as numbers in the card's units and order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import CardJoint, Part
from spinal.runtime.config.card.fed import FedCard
from spinal.runtime.config.card.inputs import FIELD_SIZES
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.decode import Meaning
from spinal.runtime.decode.units import JointUnits
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.fill.memory import Memory
from spinal.runtime.types import Observation, StreamValue

Array = NDArray[np.float64]
Source = Callable[[Observation], Array]


class Sources:
    """Makes the source of each part: a size, and a function that answers [size] numbers."""

    def __init__(
        self, card: FedCard, robot: RobotConfig | None, meaning: Meaning | None, memory: Memory
    ) -> None:
        self._card, self._robot, self._meaning, self._memory = card, robot, meaning, memory

    def of(self, part: Part, room: int, of: str) -> tuple[int, Source]:
        """``room``: how many numbers the tensor has for it, for streams of any size; ``of`` names it in errors.

        Raises PolicyError for what this robot or a policy's observation does not have.
        """
        kind, name = part.source
        match kind:
            case "joints":
                return self._joints(part, name, of)
            case "stream":
                sensor, _, field = name.partition(".")
                return self._sensor(sensor, field, of)
            case "goal":
                return goal_source(part, name, part.size or room, of)
        return self._of_chunk(name, part.size or room, of)

    def _joints(self, part: Part, stream: str, of: str) -> tuple[int, Source]:
        by_name = {joint.name: joint for joint in self._card.joints}
        chosen: list[CardJoint] = []
        for wanted in part.joints or tuple(by_name):
            if wanted not in by_name:
                raise PolicyError(
                    f"{of} names the joint {wanted}, which the card does not have",
                    hint=f"its joints are {', '.join(by_name)}",
                )
            chosen.append(by_name[wanted])
        units = self._units(chosen)
        match stream:
            case "joint_position":
                return len(chosen), lambda observation: units.position(observation.position)
            case "joint_velocity":
                return len(chosen), lambda observation: units.velocity(observation.velocity)
            case "command":
                return len(chosen), lambda observation: units.position(observation.command[:, 0])
            case "joint_offset":
                unset = [joint.name for joint in chosen if joint.default_position is None]
                if unset:
                    raise PolicyError(
                        f"{of} is less the default pose, and {', '.join(unset)} has none",
                        hint="write joints[].default_position into the card",
                    )
                default = np.array([joint.default_position for joint in chosen], np.float64)
                return len(chosen), lambda observation: units.position(observation.position) - default
        index = units.index

        def load(observation: Observation) -> Array:
            if observation.load is None:
                raise PolicyError(f"{of}: this robot measures no load", hint="its bus has to read it")
            return np.asarray(observation.load[index])

        return len(chosen), load

    def _units(self, joints: Sequence[CardJoint]) -> JointUnits:
        return JointUnits(joints, self._robot.joints if self._robot else None, self._card.joints)

    def _sensor(self, name: str, field: str, of: str) -> tuple[int, Source]:
        read = FIELDS[field]

        def sensor(observation: Observation) -> Array:
            value = read(observation.streams[name])
            if value is None:
                raise PolicyError(
                    f"{of}: stream {name} says no {field}", hint="another sensor, or another policy"
                )
            return value

        return FIELD_SIZES[field], sensor

    def _of_chunk(self, stream: str, room: int, of: str) -> tuple[int, Source]:
        steps, channels = self._card.chunk.steps, self._card.channels
        match stream:
            case "prefix":
                return steps * channels, lambda observation: self._prefix(observation).ravel()
            case "mask":
                count = np.arange(steps)
                return steps, lambda observation: (count < len(observation.ahead)).astype(np.float64)
            case "noise":
                if self._card.noise == "zero":
                    still = np.zeros(steps * channels)
                    return steps * channels, lambda observation: still
                return steps * channels, lambda observation: self._memory.normal(steps * channels)
            case "last_action":
                if room == channels:
                    return channels, self._memory.last_action
                if room == steps * channels:
                    return room, lambda observation: self._memory.last_chunk.ravel()
                raise PolicyError(
                    f"{of} takes {room} numbers of last_action, of which there are {channels}",
                    hint=f"an action's {channels} numbers, or the chunk's {steps * channels}",
                )
        if self._meaning is not None:
            raise PolicyError(
                f"{of}: a policy step has no {stream}",
                hint="it belongs to a residual model: [policy.residual] of the robot file",
            )
        if stream == "chunk_index":
            return 1, lambda observation: np.array([float(observation.chunk_index)])
        units = self._units(self._card.joints)
        rows = steps * len(self._card.joints)
        return rows, lambda observation: units.position(_coming(observation, of)).ravel()

    def _prefix(self, observation: Observation) -> Array:
        """[step, channel]: what is executed anyway, then the last of it, in the model's own numbers."""
        if self._meaning is None:
            raise ValueError("a model without actions has no prefix")
        steps, ahead = self._card.chunk.steps, observation.ahead
        last = ahead[-1] if len(ahead) else observation.command[:, 0]
        targets = np.concatenate([ahead, np.repeat(last[None], steps - len(ahead), axis=0)])
        return self._meaning.to_model(targets, self._meaning.base(observation))


def goal_source(part: Part, kind: str, size: int, of: str) -> tuple[int, Source]:
    """The planner's newest goal of ``kind``: ``size`` numbers, or bytes of text with zeros behind them.

    The source raises PolicyError for a goal that is missing, too old or too long, unless the card calls it
    optional: then zeros stand for it.
    """
    zeros = np.zeros(size)
    max_age_ns = None if part.max_age_ms is None else round(part.max_age_ms * 1e6)

    def fault(observation: Observation) -> str | None:
        goal = observation.goals.get(kind)
        if goal is None:
            return "the planner gave none yet"
        age_ns = observation.stamp_ns - goal.stamp_ns
        if observation.stamp_ns > goal.valid_until_ns or (max_age_ns is not None and age_ns > max_age_ns):
            return f"it is {max(0, age_ns) // 1_000_000} ms old"
        if isinstance(goal.payload, bytes):
            if len(goal.payload) > size:
                return f"it has {len(goal.payload)} bytes, and the model takes {size}"
        elif goal.payload.size != size:
            return f"it has {goal.payload.size} numbers, and the model takes {size}"
        return None

    def source(observation: Observation) -> Array:
        said = fault(observation)
        if said is not None:
            if part.optional:
                return zeros
            raise PolicyError(
                f"{of}: no goal {kind}: {said}", hint="the arm holds until the planner sends one"
            )
        payload = observation.goals[kind].payload
        if not isinstance(payload, bytes):
            return payload.ravel().astype(np.float64)
        numbers = np.zeros(size)
        numbers[: len(payload)] = np.frombuffer(payload, np.uint8)
        return numbers

    return size, source


def _coming(observation: Observation, of: str) -> Array:
    if observation.coming is None:
        raise PolicyError(f"{of}: no chunk is under way", hint="it is asked once the policy has answered")
    return observation.coming


def _gravity(value: StreamValue) -> Array | None:
    """The unit vector of gravity as the body sees it, from its orientation."""
    if value.orientation_wxyz is None:
        return None
    w, x, y, z = value.orientation_wxyz
    return np.array([2 * (w * y - x * z), -2 * (w * x + y * z), 2 * (x * x + y * y) - 1])


FIELDS: dict[str, Callable[[StreamValue], Array | None]] = {
    "position": lambda value: value.position_m,
    "velocity": lambda value: value.velocity_m_s,
    "yaw": lambda value: np.array([value.yaw_rad]),
    "orientation": lambda value: value.orientation_wxyz,
    "angular_velocity": lambda value: value.angular_velocity_rad_s,
    "acceleration": lambda value: value.acceleration_m_s2,
    "gravity": _gravity,
}
