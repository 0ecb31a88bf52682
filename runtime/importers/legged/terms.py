"""Observation terms by the names that exporters give them, and what fills each in a card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spinal.runtime.errors import ConfigError, Problem
from spinal.runtime.importers.legged.recipe import Term


@dataclass(frozen=True, slots=True)
class Source:
    """A stream of a card, its unit, and its numbers of one instant (0: one an action channel)."""

    stream: str
    unit: str
    size: int


JOINT_OFFSET = Source("joint_offset", "joint", 0)
JOINT_VELOCITY = Source("joint_velocity", "joint/s", 0)
LAST_ACTION = Source("last_action", "1", 0)
TWIST = Source("goal:twist", "1", 3)
KNOWN: Mapping[str, Source] = {
    "base_lin_vel": Source("stream:{base}.velocity", "m/s", 3),
    "base_ang_vel": Source("stream:{base}.angular_velocity", "rad/s", 3),
    "projected_gravity": Source("stream:{base}.gravity", "1", 3),
    "velocity_commands": TWIST,
    "base_velocity": TWIST,
    "command": TWIST,
    "twist": TWIST,
    "joint_pos": JOINT_OFFSET,
    "joint_pos_rel": JOINT_OFFSET,
    "joint_vel": JOINT_VELOCITY,
    "joint_vel_rel": JOINT_VELOCITY,
    "actions": LAST_ACTION,
    "last_action": LAST_ACTION,
}
"""``joint_pos`` is relative to the default pose in mjlab and Isaac Lab's locomotion, whatever its name says."""
MOTION = ("motion_anchor_pos_b", "motion_anchor_ori_b", "motion_command", "body_pos", "body_ori")
"""Terms of motion tracking: they compare the body with a reference motion."""


def sources_of(terms: tuple[Term, ...], given: Mapping[str, str], where: str) -> list[Source]:
    """What fills each term; ``given``: term -> stream of a card, for what is not known. Raises ConfigError."""
    found, problems = [], []
    tracking = any(term.name in MOTION for term in terms)
    for term in terms:
        source = KNOWN.get(term.name)
        if term.name in given:
            found.append(Source(given[term.name], _unit(given[term.name]), term.size or 0))
        elif tracking and (term.name in MOTION or term.name == "command"):
            said = "compares the body with a reference motion, which is in no file here"
            hint = "motion tracking cannot be imported: its reference and its clock are the planner's part"
            problems.append(Problem(f"term {term.name}", said, hint))
        elif source is None:
            hint = f"say what fills it: --term {term.name}=STREAM; known are {', '.join(KNOWN)}"
            problems.append(Problem(f"term {term.name}", "is not known here", hint))
        else:
            found.append(source)
    if problems:
        raise ConfigError(problems, where)
    return found


def _unit(stream: str) -> str:
    units = {
        "joint_position": "joint",
        "joint_offset": "joint",
        "command": "joint",
        "joint_velocity": "joint/s",
    }
    fields = {
        "position": "m",
        "velocity": "m/s",
        "yaw": "rad",
        "angular_velocity": "rad/s",
        "acceleration": "m/s^2",
    }
    return units.get(stream) or (
        fields.get(stream.rpartition(".")[2], "1") if stream.startswith("stream:") else "1"
    )


def part_of(term: Term, source: Source, actions: int, base: str, where: str) -> tuple[dict[str, Any], int]:
    """The card's part of ``term``, and how many numbers it gives with its history. Raises ConfigError."""
    size = source.size or term.size or actions
    part: dict[str, Any] = {"stream": source.stream.format(base=base), "unit": source.unit}
    if source.stream.startswith("goal:") or source.stream == "last_action":
        part["size"] = size
    if len(term.scale) not in (1, size) or (term.size is not None and term.size != size):
        said = f"has {term.size or len(term.scale)} numbers, and its stream {part['stream']} gives {size}"
        raise ConfigError([Problem(f"term {term.name}", said, "give its stream: --term NAME=STREAM")], where)
    scale = term.scale[:1] if len(set(term.scale)) == 1 else term.scale
    if scale != (1.0,) or term.clip is not None:
        normalise: dict[str, Any] = {"mode": "scale", "scale": list(scale)}
        if term.clip is not None:
            if len(scale) > 1 or scale[0] <= 0:
                said = "is clipped before scales that differ"
                raise ConfigError(
                    [Problem(f"term {term.name}", said, "a card has one pair of bounds")], where
                )
            normalise["clip"] = [bound * scale[0] for bound in term.clip]
        part["normalise"] = normalise
    if term.history > 1:
        part["history"] = term.history
    return part, size * term.history
