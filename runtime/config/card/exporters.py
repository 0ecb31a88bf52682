"""What the exporters of walking policies write into a model's metadata, and where it contradicts the card.

mjlab and motion tracking write comma-separated lists (``joint_names``, ``joint_stiffness``, ``joint_damping``,
``default_joint_pos``, ``action_scale``, ``observation_names``, ``command_names``, ``body_names``); holosoma writes
JSON (``kp``, ``kd``, ``dof_names``). Two traps: ``joint_names`` may list all joints and the gains only the actuated
ones, and gains may stand in another order (the motors') than the default pose (the policy's).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose, isfinite, radians

from spinal.runtime.config.card.actions import CardJoint
from spinal.runtime.config.card.card import PolicyCard
from spinal.runtime.config.cross import row_label
from spinal.runtime.errors import Problem

MAX_ENTRIES = 512
_NAMES = {"joint_names": "joints", "dof_names": "joints"}
_NUMBERS = {
    "joint_stiffness": "stiffness",
    "kp": "stiffness",
    "joint_damping": "damping",
    "kd": "damping",
    "default_joint_pos": "default_position",
    "default_joint_positions": "default_position",
    "action_scale": "action_scale",
}
_LISTS = ("observation_names", "command_names", "body_names")
_WORDS = ("anchor_body_name", "run_path")
KEYS = (*_NAMES, *_NUMBERS, *_LISTS, *_WORDS)
"""Metadata keys that are read here."""
_CLOSE = 1e-3
"""Relative; exporters write three digits."""


@dataclass(frozen=True, slots=True)
class ExportedJoint:
    """One joint as the metadata has it; None where it says nothing, or not for which joint."""

    name: str
    default_position: float | None
    stiffness: float | None
    damping: float | None
    action_scale: float | None


@dataclass(frozen=True, slots=True)
class Exported:
    """The metadata of a walking policy. ``observations`` and ``commands`` are terms, in the order of the tensor.

    ``unassigned``: lists that are shorter or longer than the joints, so that nothing says whose they are.
    """

    joints: tuple[ExportedJoint, ...]
    lists: dict[str, tuple[float, ...]]
    observations: tuple[str, ...]
    commands: tuple[str, ...]
    bodies: tuple[str, ...]
    words: dict[str, str]
    unassigned: tuple[str, ...]
    problems: tuple[Problem, ...]


def read_exported(metadata: Mapping[str, str]) -> Exported | None:
    """What ``metadata`` says; None when none of the keys is there. Never raises."""
    if not any(key in metadata for key in KEYS):
        return None
    problems: list[Problem] = []
    names: tuple[str, ...] = ()
    lists: dict[str, tuple[float, ...]] = {}
    for key in (key for key in (*_NAMES, *_NUMBERS, *_LISTS) if key in metadata):
        entries = _entries(metadata[key])
        if entries is None:
            said = f"is no list of {MAX_ENTRIES} entries or fewer"
            problems.append(Problem(f"metadata {key}", said, "export the model again"))
        elif key in _NAMES:
            names = entries
        elif key in _NUMBERS:
            numbers = _numbers(entries)
            if numbers is None:
                problems.append(Problem(f"metadata {key}", "is no list of numbers", "export the model again"))
            else:
                lists[_NUMBERS[key]] = numbers
    unassigned = tuple(word for word, values in lists.items() if len(values) not in (1, len(names)))
    return Exported(
        joints=tuple(
            ExportedJoint(name, *(_of(lists, word, index, len(names)) for word in _COLUMNS))
            for index, name in enumerate(names)
        ),
        lists=lists,
        observations=_entries(metadata.get("observation_names", "")) or (),
        commands=_entries(metadata.get("command_names", "")) or (),
        bodies=_entries(metadata.get("body_names", "")) or (),
        words={key: metadata[key] for key in _WORDS if key in metadata},
        unassigned=unassigned,
        problems=tuple(problems),
    )


_COLUMNS = ("default_position", "stiffness", "damping", "action_scale")


def exported_problems(card: PolicyCard, exported: Exported) -> tuple[list[Problem], list[Problem]]:
    """(problems, warnings) of a card beside what its model's exporter wrote.

    Names and their order, default pose and gains that contradict each other refuse the pair: one of the two is
    wrong, and a walker falls over it. What cannot be assigned to joints is a warning.
    """
    problems = list(exported.problems)
    warnings: list[Problem] = []
    mine = [joint.name for joint in card.joints]
    theirs = [joint.name for joint in exported.joints]
    if theirs:
        problems += _name_problems(mine, theirs)
    by_name = {joint.name: joint for joint in exported.joints}
    for word in ("default_position", "stiffness", "damping"):
        values = exported.lists.get(word)
        if values is None:
            continue
        if word in exported.unassigned:
            # as many as the card's joints: gains of the actuated ones, in the order of the list of names
            actuated = [name for name in theirs if name in mine]
            if len(values) != len(actuated):
                said = f"has {len(values)} numbers for {len(theirs)} joints: nothing says whose they are"
                warnings.append(Problem(f"metadata {word}", said, "the card's own joints say it by name"))
                continue
            given = dict(zip(actuated, values, strict=True))
        else:
            found = {name: getattr(joint, word) for name, joint in by_name.items()}
            given = {name: value for name, value in found.items() if value is not None}
        problems += _value_problems(card, word, given)
    problems += _scale_problems(card, [joint for joint in exported.joints if joint.name in mine])
    return problems, warnings


def _scale_problems(card: PolicyCard, joints: list[ExportedJoint]) -> list[Problem]:
    """The exporter's action scale beside the card's, which is ``scale`` of its output."""
    normalise = card.output.normalise
    theirs = [joint.action_scale for joint in joints if joint.action_scale is not None]
    if len(theirs) != card.channels or [joint.name for joint in joints] != [j.name for j in card.joints]:
        return []
    if normalise is None or normalise.mode != "scale":
        if _same(theirs, [1.0] * len(theirs)):
            return []
        hint = (
            'actions are scaled: output = { ..., normalise = { mode = "scale", scale = ..., offset = ... } }'
        )
        return [Problem("output.normalise", "is not the exporter's action scale", hint)]
    mine = normalise.scale or ()
    if len(mine) not in (1, len(theirs)) or any(joint.unit not in ("rad", "m") for joint in card.joints):
        return []
    given = [*mine] * len(theirs) if len(mine) == 1 else [*mine]
    return [
        Problem(
            f"output.normalise.scale[{k if len(mine) > 1 else 0}]",
            f"is {a:.4g}, and the exporter wrote {b:.4g} for {joints[k].name}",
            "one of the two is wrong: take what the policy was trained with",
        )
        for k, (a, b) in enumerate(zip(given, theirs, strict=True))
        if not isclose(a, b, rel_tol=_CLOSE)
    ]


def _name_problems(mine: list[str], theirs: list[str]) -> list[Problem]:
    missing = [name for name in mine if name not in theirs]
    if missing:
        said = f"lacks {', '.join(missing)}, which the card drives"
        hint = "are these names the robot file's, and the exporter's others? Write down which is which"
        return [Problem("metadata joint_names", said, hint)]
    in_their_order = [name for name in theirs if name in mine]
    if in_their_order != mine:
        first = next(k for k, (a, b) in enumerate(zip(in_their_order, mine, strict=True)) if a != b)
        said = f"is {mine[first]}, and the exporter's order has {in_their_order[first]} there"
        hint = f"the order of the action channels: {', '.join(in_their_order)}"
        return [Problem(row_label("joints", first, {"name": mine[first]}), said, hint)]
    return []


def _value_problems(card: PolicyCard, word: str, given: Mapping[str, float]) -> list[Problem]:
    said = {joint.name: _in_radians(joint, word) for joint in card.joints}
    pairs = {
        name: (value, given[name]) for name, value in said.items() if value is not None and name in given
    }
    wrong = [name for name, (a, b) in pairs.items() if not isclose(a, b, rel_tol=_CLOSE, abs_tol=_CLOSE)]
    if not wrong:
        return []
    swapped = len(wrong) > 1 and _same(sorted(pairs[n][0] for n in wrong), sorted(pairs[n][1] for n in wrong))
    hint = (
        "the same numbers in another order: gains in the motors' order, and names in the policy's?"
        if swapped
        else "one of the two is wrong: take what the policy was trained with"
    )
    return [
        Problem(
            f"{row_label('joints', index, {'name': joint.name})}.{word}",
            f"is {pairs[joint.name][0]:.4g}, and the exporter wrote {pairs[joint.name][1]:.4g}",
            hint,
        )
        for index, joint in enumerate(card.joints)
        if joint.name in wrong
    ]


def _in_radians(joint: CardJoint, word: str) -> float | None:
    """The card's value in the exporter's unit; None where the two cannot be compared."""
    value: float | None = getattr(joint, word)
    if value is None or word != "default_position":
        return value
    if joint.unit == "deg":
        return radians(value)
    return value if joint.unit in ("rad", "m") else None


def _same(one: list[float], other: list[float]) -> bool:
    return all(isclose(a, b, rel_tol=_CLOSE, abs_tol=_CLOSE) for a, b in zip(one, other, strict=True))


def _of(lists: Mapping[str, tuple[float, ...]], word: str, index: int, joints: int) -> float | None:
    values = lists.get(word, ())
    if len(values) == 1:
        return values[0]
    return values[index] if len(values) == joints else None


def _entries(text: str) -> tuple[str, ...] | None:
    """The entries of a comma-separated or JSON list; None for what is neither."""
    text = text.strip()
    if text.startswith("["):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not all(isinstance(entry, str | int | float) for entry in found):
            return None
        entries = tuple(str(entry) for entry in found)
    else:
        entries = tuple(entry.strip() for entry in text.split(",")) if text else ()
    return entries if len(entries) <= MAX_ENTRIES else None


def _numbers(entries: tuple[str, ...]) -> tuple[float, ...] | None:
    try:
        numbers = tuple(float(entry) for entry in entries)
    except ValueError:
        return None
    return numbers if all(map(isfinite, numbers)) else None
