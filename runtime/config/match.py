"""Whether a policy card and a robot belong together, joint by joint and stream by stream."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import zip_longest

from spinal.runtime.config.card import CardJoint, PolicyCard
from spinal.runtime.config.cross import did_you_mean
from spinal.runtime.config.joints import Joint
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import Problem


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
        *_stream_problems(card, robot),
        *_time_problems(card, robot),
    ]
    return CardMatch(rows, tuple(problems), tuple(_embodiment(card, robot)))


def _joint_row(index: int, wanted: CardJoint | None, present: Joint | None) -> JointMatch:
    differences = []
    if wanted is None:
        differences.append("the card ends before it")
    elif present is None:
        differences.append("the robot has no such joint")
    else:
        differences += [
            word for word in ("name", "kind", "unit") if getattr(wanted, word) != getattr(present, word)
        ]
    return JointMatch(index, _shown(wanted), _shown(present), ", ".join(differences))


def _shown(joint: CardJoint | Joint | None) -> str:
    return f"{joint.name} ({joint.kind}, {joint.unit})" if joint else ""


def _joint_problems(rows: tuple[JointMatch, ...], card: PolicyCard, robot: RobotConfig) -> list[Problem]:
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
        if row.difference
    ]


def _stream_problems(card: PolicyCard, robot: RobotConfig) -> list[Problem]:
    problems = []
    for tensor in card.inputs:
        if tensor.sensor is None:
            continue
        name, field = tensor.sensor
        stream = robot.streams.get(name)
        if stream is None:
            hint = did_you_mean(name, robot.streams, "the streams of this robot are")
            said = f"is not there, and the card's input {tensor.name} wants {tensor.stream}"
            problems.append(Problem(f"streams.{name}", said, hint or f"add a section [streams.{name}]"))
        elif field == "velocity" and stream.filter is None:
            said = f"is missing, and the card's input {tensor.name} wants {tensor.stream}"
            problems.append(
                Problem(f"streams.{name}.filter", said, "a pose has a velocity behind a filter only")
            )
    return problems


def _time_problems(card: PolicyCard, robot: RobotConfig) -> list[Problem]:
    if robot.policy is None or card.chunk.duration_ms * robot.policy.hz >= 1000:
        return []
    said = f"is {robot.policy.hz}: a chunk of {card.chunk.duration_ms:g} ms ends before the next one comes"
    least = math.ceil(1000 / card.chunk.duration_ms)
    return [Problem("policy.hz", said, f"run this policy at {least} Hz or more")]


def _embodiment(card: PolicyCard, robot: RobotConfig) -> list[Problem]:
    own = robot.embodiment or robot.name
    if card.robot in (None, own):
        return []
    said = f"is {own}, and the policy was trained for {card.robot}"
    return [Problem("embodiment", said, "same joint names do not mean the same arm: try it slowly first")]
