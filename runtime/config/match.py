"""Whether a policy card and a robot belong together, joint by joint and stream by stream.

``match_card`` compares what stands in the two files. ``start_problems`` compares the pose that a policy starts from
with the one that was measured, before it is armed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from spinal.runtime.config.card import CardJoint, PolicyCard
from spinal.runtime.config.card.beside import BesideCard
from spinal.runtime.config.card.decoders import FlowDecoder
from spinal.runtime.config.card.fed import FedCard
from spinal.runtime.config.card.load import ONNXRUNTIME
from spinal.runtime.config.card.units import unit_line
from spinal.runtime.config.cross import did_you_mean, row_label
from spinal.runtime.config.joints import Joint
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import Problem

_STREAM_FIELDS = {"pose": ("position", "yaw", "velocity")}
"""Kind of a robot's stream: what a policy can have of it."""
_ROUNDING = 1e-6
"""What a limit and a default pose may differ by, having been rounded on their ways."""


@dataclass(frozen=True, slots=True)
class JointMatch:
    """One row of the comparison: what either side has at ``index``, and how the two differ.

    A side that ends earlier is empty; ``difference`` is empty when the two agree.
    """

    index: int
    card: str
    robot: str
    difference: str


@dataclass(frozen=True, slots=True)
class CardMatch:
    """The whole comparison. ``problems`` refuse the pair, ``warnings`` do not."""

    joints: tuple[JointMatch, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def match_card(card: PolicyCard, robot: RobotConfig) -> CardMatch:
    """Compares every joint, stream and time of ``card`` with ``robot``; never raises."""
    rows = tuple(
        _joint_row(index, wanted, present)
        for index, (wanted, present) in enumerate(zip_longest(card.joints, robot.joints))
    )
    problems = [
        *_joint_problems(rows, card, robot),
        *_default_problems(card, robot),
        *_stream_problems(card, robot),
        *_pose_problems(card, robot),
        *_engine_problems(card, robot),
        *_strategy_problems(card, robot),
        *_time_problems(card, robot),
    ]
    return CardMatch(rows, tuple(problems), (*_embodiment(card, robot), *_camera_warnings(card)))


def match_beside(card: BesideCard, robot: RobotConfig) -> CardMatch:
    """The same for a model that runs beside the policy; joints are compared where it sees or moves any."""
    rows: tuple[JointMatch, ...] = ()
    problems: list[Problem] = []
    if card.joints:
        pairs = enumerate(zip_longest(card.joints, robot.joints))
        rows = tuple(_joint_row(index, wanted, present) for index, (wanted, present) in pairs)
        problems = [*_joint_problems(rows, card, robot), *_default_problems(card, robot)]
    problems += _stream_problems(card, robot)
    return CardMatch(rows, tuple(problems), (*_embodiment(card, robot), *_camera_warnings(card)))


def _joint_row(index: int, wanted: CardJoint | None, present: Joint | None) -> JointMatch:
    differences = []
    if wanted is None:
        differences.append("the card ends before it")
    elif present is None:
        differences.append("the robot has no such joint")
    else:
        differences += [word for word in ("name", "kind") if getattr(wanted, word) != getattr(present, word)]
        if unit_line(wanted, present) is None:
            differences.append("unit")
        elif _default_outside(wanted, present):
            differences.append("default pose")
    return JointMatch(index, _shown(wanted), _shown(present), ", ".join(differences))


def _shown(joint: CardJoint | Joint | None) -> str:
    return f"{joint.name} ({joint.kind}, {joint.unit})" if joint else ""


def _joint_problems(rows: tuple[JointMatch, ...], card: FedCard, robot: RobotConfig) -> list[Problem]:
    wanted, present = [j.name for j in card.joints], [j.name for j in robot.joints]
    reordered = wanted != present and sorted(wanted) == sorted(present)
    hint = (
        f"the same joints in another order: sort [[joints]] as {', '.join(wanted)}"
        if reordered
        else "a policy drives the joints it was trained for: take its robot file, or another policy"
    )
    return [
        Problem(
            f"joints[{row.index}]",
            f"differs ({row.difference}): the card has {row.card or 'none'}, the robot {row.robot or 'none'}",
            hint,
        )
        for row in rows
        if row.difference not in ("", "default pose")
    ]


def _default_outside(wanted: CardJoint, present: Joint) -> bool:
    default = _default(wanted, present)
    limits = present.limits
    return default is not None and not (
        limits.position_min - _ROUNDING <= default <= limits.position_max + _ROUNDING
    )


def _default(wanted: CardJoint, present: Joint) -> float | None:
    """The pose that the model starts from, in rad or m."""
    line = unit_line(wanted, present)
    if wanted.default_position is None or line is None:
        return None
    return line[0] * wanted.default_position + line[1]


def _default_problems(card: FedCard, robot: RobotConfig) -> Iterator[Problem]:
    for index, (wanted, present) in enumerate(zip(card.joints, robot.joints, strict=False)):
        if wanted.name == present.name and _default_outside(wanted, present):
            span = f"{present.limits.position_min:g} to {present.limits.position_max:g} {present.unit}"
            said = f"may go from {span}, and the policy starts from {_default(wanted, present):.4g}"
            hint = "is the unit right, and the zero of the joint? The robot could not take that pose"
            yield Problem(f"{row_label('joints', index, {'name': present.name})}.limits", said, hint)


def start_problems(card: PolicyCard, robot: RobotConfig, position: Sequence[float]) -> tuple[Problem, ...]:
    """Joints that stand too far from where the policy starts; none for a policy that may start anywhere.

    ``position``: measured, [joint] in the robot file's order, in rad and m. The card and the robot match. A walker
    whose observation is the offset from its default pose falls when it begins far from it (0.46 rad was seen).
    """
    within = card.starts_within_rad
    if within is None:
        return ()
    if len(position) != len(robot.joints):
        raise ValueError(f"{len(position)} positions for {len(robot.joints)} joints")
    wanted = {joint.name: joint for joint in card.joints}
    problems = []
    for index, (present, measured) in enumerate(zip(robot.joints, position, strict=True)):
        default = _default(wanted[present.name], present) if present.name in wanted else None
        if default is None or present.kind != "arm" or abs(measured - default) <= within:
            continue  # a comparison with NaN is false: what is not known is not near
        off = abs(measured - default)
        said = f"stands at {measured:.3f} rad, {off:.3f} from {default:.3f}, where the policy starts"
        hint = (
            f"bring it within {within:g} rad of its default pose, then arm; start_tolerance_rad of the card"
        )
        problems.append(Problem(row_label("joints", index, {"name": present.name}), said, hint))
    return tuple(problems)


def _stream_problems(card: FedCard, robot: RobotConfig) -> list[Problem]:
    problems = []
    for tensor, part in [(owner, part) for owner in card.inputs for part in owner.filled_by]:
        if part.sensor is None:
            continue
        name, field = part.sensor
        stream = robot.streams.get(name)
        wants = f"the card's input {tensor.name} wants {part.stream}"
        if stream is None:
            hint = did_you_mean(name, robot.streams, "the streams of this robot are")
            hint = hint or f"add a section [streams.{name}]"
            problems.append(Problem(f"streams.{name}", f"is not there, and {wants}", hint))
        elif field not in _STREAM_FIELDS.get(stream.kind, (field,)):
            hint = f"it says {', '.join(_STREAM_FIELDS[stream.kind])}"
            problems.append(Problem(f"streams.{name}", f"is of kind {stream.kind}, and {wants}", hint))
        elif field == "velocity" and stream.kind == "pose" and stream.filter is None:
            said = f"is missing, and {wants}"
            hint = "a pose has a velocity behind a filter only"
            problems.append(Problem(f"streams.{name}.filter", said, hint))
    return problems


def _camera_warnings(card: FedCard) -> Iterator[Problem]:
    for tensor in card.inputs:
        kind, name = tensor.source if tensor.stream else ("", "")
        if kind == "camera":
            said = f"is not in the robot file, and the card's input {tensor.name} wants its pictures"
            yield Problem(f"camera {name}", said, "the policy answers nothing until something publishes them")


def _pose_problems(card: PolicyCard, robot: RobotConfig) -> Iterator[Problem]:
    if card.pose is None:
        return
    links = [link.name for link in robot.fence.links] if robot.fence else []
    if card.pose.link not in links:
        hint = did_you_mean(card.pose.link, links, "the links of this robot are")
        said = f"has no link {card.pose.link}, whose pose the policy answers"
        yield Problem("fence.links", said, hint or "describe how the arm is built under [[fence.links]]")


def _engine_problems(card: PolicyCard, robot: RobotConfig) -> Iterator[Problem]:
    if card.engine == ONNXRUNTIME or robot.policy is None:
        return
    engines = robot.policy.engines
    if card.engine not in engines:
        hint = did_you_mean(card.engine, engines, "the engines of this robot are")
        said = "is not there, and the card says that this engine runs the model"
        yield Problem(
            f"policy.engines.{card.engine}", said, hint or f"add a section [policy.engines.{card.engine}]"
        )


def _strategy_problems(card: PolicyCard, robot: RobotConfig) -> Iterator[Problem]:
    strategy = robot.execution.strategy
    if strategy == "prefix" and not card.prefix.max_steps:
        said = "is prefix, and the policy was not trained with one"
    elif strategy in ("rtc", "velocity_mask") and not isinstance(card.decoder, FlowDecoder):
        said = f"is {strategy}, which guides a flow, and the card's decoder is {card.decoder.kind}"
    else:
        return
    yield Problem("execution.strategy", said, '"auto" takes the best that the policy allows')


def _time_problems(card: PolicyCard, robot: RobotConfig) -> Iterator[Problem]:
    if robot.policy is None:
        return
    lasts_ms, period_ms = card.chunk.duration_ms, 1000 / robot.policy.hz
    if lasts_ms < period_ms:
        said = f"is {robot.policy.hz}: a chunk of {lasts_ms:g} ms ends before the next one comes"
        least = math.ceil(1000 / lasts_ms) if lasts_ms else robot.control.servo_hz
        yield Problem("policy.hz", said, f"run this policy at {least} Hz or more")
    elif card.inference_ms is not None and card.inference_ms >= lasts_ms:
        said = f"cannot help: an inference takes {card.inference_ms:g} ms, and a chunk lasts {lasts_ms:g} ms"
        yield Problem(
            "policy.hz", said, "the arm would stand still between chunks: take a faster model or engine"
        )


def _embodiment(card: PolicyCard | BesideCard, robot: RobotConfig) -> list[Problem]:
    own = robot.embodiment or robot.name
    if card.robot in (None, own):
        return []
    said = f"is {own}, and the policy was trained for {card.robot}"
    return [Problem("embodiment", said, "same joint names do not mean the same arm: try it slowly first")]
