"""unitree_rl_lab's ``params/deploy.yaml``, as its ``export_deploy_cfg`` writes it.

Orders differ inside the file: ``stiffness`` and ``damping`` are in the SDK's, everything else in the policy's;
``joint_ids_map[i]`` is the SDK's number of the policy's joint i. A term is clipped first and then scaled
(``scale_first`` turns that round), each has its own history, the oldest first (``use_gym_history`` interleaves
them).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spinal.runtime.errors import ConfigError, PolicyError, Problem
from spinal.runtime.importers.legged.recipe import Numbers, Recipe, Term, spread
from spinal.runtime.importers.source import read_text, refusal

SLICE = "tag:yaml.org,2002:python/object/apply:builtins.slice"
ACTION = "JointPositionAction"


def load_yaml(path: Path) -> dict[str, Any]:
    """The file's tables. One Python tag is understood, the slice that Isaac Lab writes for "all joints"; any other
    is refused. Raises ConfigError; PolicyError without PyYAML.
    """
    try:
        import yaml
    except ImportError:
        hint = 'pip install "spinal[legged]"'
        raise PolicyError("reading deploy.yaml needs PyYAML, which is not installed", hint=hint) from None

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Plain YAML and slices."""

    def as_slice(loader: Any, node: Any) -> slice:
        values = loader.construct_sequence(node)
        if not 1 <= len(values) <= 3 or not all(value is None or isinstance(value, int) for value in values):
            raise yaml.YAMLError(f"a slice of {values}")
        return slice(*values)

    Loader.add_constructor(SLICE, as_slice)
    text = read_text(path, "it is params/deploy.yaml of the training run")
    try:
        raw = yaml.load(text, Loader=Loader)  # noqa: S506  a SafeLoader and one tag
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        hint = "a tag with Python in it is never loaded; only the slice of Isaac Lab is understood"
        raise refusal(path, path.name, f"cannot be read: {said}", hint) from None
    if not isinstance(raw, dict):
        raise refusal(path, path.name, "is no table", "it is params/deploy.yaml of the training run")
    return raw


def read_deploy(path: Path, actions: int) -> Recipe:
    """What ``path`` says of a policy with so many ``actions``. Raises ConfigError with every problem."""
    raw = load_yaml(path)
    problems: list[Problem] = []
    notes: list[str] = []
    table = raw.get("actions")
    if not isinstance(table, dict) or list(table) != [ACTION] or not isinstance(table[ACTION], dict):
        said = f"has {', '.join(map(str, table)) if isinstance(table, dict) else 'nothing'}"
        raise refusal(path, "actions", said, f"{ACTION} alone can be imported: positions of joints")
    action = table[ACTION]
    scale = _vector(action.get("scale"), f"actions.{ACTION}.scale", actions, problems)
    offset = _vector(action.get("offset"), f"actions.{ACTION}.offset", actions, problems)
    chosen = _joint_ids(action.get("joint_ids"), raw, actions, problems)
    every = len(raw["joint_ids_map"]) if isinstance(raw.get("joint_ids_map"), list) else actions
    default = _vector(raw.get("default_joint_pos"), "default_joint_pos", every, problems)
    gains = [_gains(raw, word, chosen, problems, notes) for word in ("stiffness", "damping")]
    step: Any = raw.get("step_dt")
    if not _is_number(step) or not 0.001 <= step <= 1:
        problems.append(Problem("step_dt", f"is {step!r}", "seconds between two actions"))
    terms = _terms(raw.get("observations"), problems)
    if problems:
        raise ConfigError(problems, str(path))
    return Recipe(
        source=path.name,
        default=None if default is None else tuple(default[index] for index in chosen),
        stiffness=gains[0],
        damping=gains[1],
        action_scale=scale,
        action_offset=offset,
        action_clip=_clip(action.get("clip"), path),
        terms=terms,
        step_ms=float(step) * 1000,
        notes=tuple(notes),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _vector(value: Any, where: str, count: int, problems: list[Problem]) -> Numbers | None:
    if value is None:
        return None
    values = value if isinstance(value, list) else [value]
    found = spread(values, count) if all(map(_is_number, values)) else None
    if found is None:
        problems.append(Problem(where, f"is no list of {count} numbers", f"there are {len(values)}"))
    return found


def _joint_ids(ids: Any, raw: Mapping[str, Any], actions: int, problems: list[Problem]) -> list[int]:
    """Which of the policy's joints an action moves: all (null, or a full slice), or those that are listed."""
    where = raw.get("joint_ids_map")
    every = len(where) if isinstance(where, list) else actions
    if ids is None:
        chosen = list(range(every))
    elif isinstance(ids, slice):
        chosen = list(range(every))[ids]
    elif isinstance(ids, list) and all(isinstance(i, int) and 0 <= i < every for i in ids):
        chosen = list(ids)
    else:
        problems.append(Problem("joint_ids", f"is {ids!r}", f"numbers below {every}, or null"))
        return list(range(actions))
    if len(chosen) != actions:
        said = f"chooses {len(chosen)} joints, and the model answers {actions}"
        problems.append(Problem("joint_ids", said, "the two files belong to one training run"))
        return list(range(actions))
    return chosen


def _gains(
    raw: Mapping[str, Any], word: str, chosen: Sequence[int], problems: list[Problem], notes: list[str]
) -> Numbers | None:
    """In the policy's order, by joint_ids_map."""
    values, places = raw.get(word), raw.get("joint_ids_map")
    if values is None:
        return None
    if not isinstance(values, list) or not all(map(_is_number, values)):
        problems.append(Problem(word, "is no list of numbers", "one a motor, in the SDK's order"))
        return None
    if not isinstance(places, list) or not all(isinstance(i, int) and i >= 0 for i in places):
        said = "is missing, and gains are in the SDK's order"
        problems.append(Problem("joint_ids_map", said, "export the run again"))
        return None
    if sorted(set(places)) != sorted(places):
        problems.append(Problem("joint_ids_map", "names a motor twice", "export the run again"))
        return None
    if max(places, default=0) >= len(values):
        notes.append(
            f"{word} is left out: it has {len(values)} numbers, and joint_ids_map reaches motor {max(places)},"
            " so the file does not say whose they are"
        )
        return None
    return tuple(float(values[places[index]]) for index in chosen)


def _clip(value: Any, path: Path) -> tuple[float, float] | None:
    """Bounds of an action behind scale and offset, the same for every joint."""
    if value is None:
        return None
    rows = value if isinstance(value, list) and value and isinstance(value[0], list) else [value]
    if any(row != rows[0] for row in rows):
        said = "differs from joint to joint"
        raise refusal(
            path, f"actions.{ACTION}.clip", said, "a card has one pair; the robot's limits hold anyway"
        )
    row = rows[0]
    if not isinstance(row, list) or len(row) != 2 or not all(map(_is_number, row)) or not row[0] < row[1]:
        raise refusal(path, f"actions.{ACTION}.clip", f"is {value!r}", "two numbers, the smaller first")
    return float(row[0]), float(row[1])


def _terms(table: Any, problems: list[Problem]) -> tuple[Term, ...] | None:
    if not isinstance(table, dict) or not table:
        problems.append(
            Problem("observations", "is missing", "the terms of the policy's observation, in order")
        )
        return None
    settings = {"use_gym_history", "scale_first"}
    found = []
    for name, entry in table.items():
        if name in settings:
            continue
        where = f"observations.{name}"
        if not isinstance(entry, dict):
            problems.append(Problem(where, "is no table", "scale, clip and history_length of a term"))
            continue
        scale, clip, past = entry.get("scale"), entry.get("clip"), entry.get("history_length", 1)
        scales = scale if isinstance(scale, list) else [1.0 if scale is None else scale]
        if not scales or not all(map(_is_number, scales)):
            problems.append(Problem(f"{where}.scale", f"is {scale!r}", "numbers"))
            continue
        if not isinstance(past, int) or not 0 <= past <= 64:
            problems.append(Problem(f"{where}.history_length", f"is {past!r}", "0 to 64 instants"))
            continue
        bounds = None
        if clip is not None:
            if (
                not isinstance(clip, list)
                or len(clip) != 2
                or not all(map(_is_number, clip))
                or clip[0] >= clip[1]
            ):
                problems.append(Problem(f"{where}.clip", f"is {clip!r}", "two numbers, the smaller first"))
                continue
            bounds = (float(clip[0]), float(clip[1]))
            if table.get("scale_first"):
                bounds = _unscaled(bounds, scales, where, problems)
        found.append(
            Term(
                name,
                tuple(map(float, scales)),
                bounds,
                max(past, 1),
                len(scales) if len(scales) > 1 else None,
            )
        )
    if table.get("use_gym_history") and len(found) > 1 and any(term.history > 1 for term in found):
        said = "interleaves the histories of all terms"
        hint = "a card has one history a part: export with use_gym_history off, as its default is"
        problems.append(Problem("observations.use_gym_history", said, hint))
    return tuple(found)


def _unscaled(
    bounds: tuple[float, float], scales: Sequence[float], where: str, problems: list[Problem]
) -> tuple[float, float] | None:
    """Bounds behind the scale as bounds before it."""
    if len(set(scales)) != 1 or scales[0] <= 0:
        problems.append(
            Problem(f"{where}.clip", "is behind scales that differ", "a card has one pair of bounds")
        )
        return None
    return bounds[0] / scales[0], bounds[1] / scales[0]
