"""Metadata in the ONNX file: CSV as mjlab and BeyondMimic's motion tracking write it, JSON gains as holosoma does.

Their exporters round to three decimals. ``joint_names`` lists the robot's joints in its own order, gains and action
scale only the driven ones, in the same order: with passive joints the two differ in length.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from spinal.runtime.importers.legged.recipe import Numbers, Recipe, Term, spread
from spinal.runtime.importers.source import refusal


def read_metadata(
    metadata: Mapping[str, str], actions: int, source: str, driven: Sequence[str] | None
) -> Recipe:
    """What ``metadata`` says of a policy with so many ``actions``; empty when it says nothing.

    ``driven``: the joints that it moves, where the file lists more. Raises ConfigError.
    """
    if "joint_names" not in metadata:
        kp, kd = (_json(metadata, key, actions, source) for key in ("kp", "kd"))
        return Recipe(source="holosoma metadata" if kp or kd else "", stiffness=kp, damping=kd)
    names = _words(metadata["joint_names"])
    if not names:
        raise refusal(source, "joint_names", "is empty", "export the model again")
    chosen = list(range(len(names)))
    notes = []
    if len(names) != actions:
        if driven is None:
            said = f"lists {len(names)} joints ({', '.join(names)}), and the model drives {actions}"
            hint = "say which it drives, in the robot's order: --driven NAME,NAME,..."
            raise refusal(source, "joint_names", said, hint)
        unknown = [name for name in driven if name not in names]
        if unknown or len(driven) != actions:
            said = f"names {len(driven)} joints of {actions}" + (
                f", {', '.join(unknown)} unknown" if unknown else ""
            )
            raise refusal(source, "--driven", said, f"the file knows {', '.join(names)}")
        chosen = [names.index(name) for name in driven]
        notes.append(f"passive joints, which the model does not drive: {len(names) - actions}")
    numbers = {
        key: _per_action(metadata, key, len(names), chosen, source)
        for key in ("joint_stiffness", "joint_damping", "default_joint_pos", "action_scale")
    }
    notes.append("the exporter's numbers are rounded to three decimals")
    return Recipe(
        source="mjlab metadata",
        joints=tuple(names[index] for index in chosen),
        default=numbers["default_joint_pos"],
        stiffness=numbers["joint_stiffness"],
        damping=numbers["joint_damping"],
        action_scale=numbers["action_scale"],
        terms=_terms(metadata, source),
        all_joints=tuple(names),
        notes=tuple(notes),
    )


def _per_action(
    metadata: Mapping[str, str], key: str, joints: int, chosen: Sequence[int], source: str
) -> Numbers | None:
    """One number an action, of a list that has one for each joint, or for each driven one, or a single one."""
    if key not in metadata:
        return None
    values = _numbers(metadata[key], key, source)
    if len(values) == joints:
        return tuple(values[index] for index in chosen)
    found = spread(values, len(chosen))
    if found is None:
        said = f"has {len(values)} numbers, and there are {joints} joints, of which {len(chosen)} are driven"
        raise refusal(source, key, said, "export the model again")
    if len(values) > 1 and list(chosen) != sorted(chosen):
        said = "has a number for each driven joint in the robot's order, and --driven names them in another"
        raise refusal(source, key, said, "name them in the order of joint_names")
    return found


def _terms(metadata: Mapping[str, str], source: str) -> tuple[Term, ...] | None:
    if "observation_names" not in metadata:
        return None
    names = _words(metadata["observation_names"])
    lists: dict[str, list[int]] = {}
    for key in ("observation_history_lengths", "observation_dims"):
        if key not in metadata:
            continue
        values = [int(value) for value in _numbers(metadata[key], key, source)]
        if len(values) != len(names) or min(values, default=1) < 1:
            raise refusal(source, key, f"is {metadata[key]} for {len(names)} terms", "export the model again")
        lists[key] = values
    past = lists.get("observation_history_lengths", [1] * len(names))
    return tuple(Term(name, history=steps) for name, steps in zip(names, past, strict=True))


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.strip("[]").split(",") if word.strip()]


def _numbers(text: str, key: str, source: str) -> list[float]:
    try:
        values = [float(word) for word in _words(text)]
    except ValueError:
        values = []
    if not values or not all(map(math.isfinite, values)):
        raise refusal(source, key, f"is no list of numbers: {text[:60]}", "export the model again")
    return values


def _json(metadata: Mapping[str, str], key: str, actions: int, source: str) -> Numbers | None:
    if key not in metadata:
        return None
    try:
        raw: Any = json.loads(metadata[key])
        values = [float(value) for value in (raw if isinstance(raw, list) else [raw])]
    except (ValueError, TypeError, RecursionError):
        raise refusal(
            source, key, f"is no JSON list of numbers: {metadata[key][:60]}", "export it again"
        ) from None
    found = spread(values, actions)
    if found is None or not all(map(math.isfinite, found)):
        said = f"has {len(values)} numbers for {actions} actions"
        raise refusal(source, key, said, "gains of each joint that is driven")
    return found
