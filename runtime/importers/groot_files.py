"""GR00T N1.7's files: what ``processor_config.json`` and ``statistics.json`` say of one embodiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.errors import ConfigError, Problem
from spinal.runtime.importers.joints import ArmUnit, GripperUnit
from spinal.runtime.importers.lerobot.dataset import read_dataset
from spinal.runtime.importers.source import read_json, refusal

Array = NDArray[np.float64]
Numbers = dict[str, Array]


@dataclass(frozen=True, slots=True)
class Group:
    """A stretch of the state or of the action."""

    key: str
    joints: tuple[str, ...]
    numbers: Numbers
    mean_std: bool = False
    relative: bool = False


@dataclass(frozen=True, slots=True)
class Embodiment:
    """What one tag means."""

    state: tuple[Group, ...]
    action: tuple[Group, ...]
    horizon: int
    percentiles: bool
    clip: bool

    @property
    def words(self) -> tuple[str, str]:
        """The statistics of a range."""
        return ("q01", "q99") if self.percentiles else ("min", "max")


@dataclass(frozen=True, slots=True)
class Answers:
    """What no file says."""

    tag: str
    joints: Mapping[str, tuple[str, ...]]
    """group -> the robot's joints in it, in order"""
    step_ms: float
    units: ArmUnit
    gripper_units: GripperUnit
    tensors: Mapping[str, str] = field(default_factory=dict)
    grippers: tuple[str, ...] | None = None
    state: str = "state"
    output: str = "action"
    robot: str | None = None
    name: str | None = None


def groups_of(
    given: Mapping[str, str], modality: Path | None, dataset: Path | None
) -> dict[str, tuple[str, ...]]:
    """group -> joints: as ``given`` (``a+b``), else the stretch of the dataset's names that modality.json says.

    Raises ConfigError.
    """
    groups = {key: tuple(filter(None, text.split("+"))) for key, text in given.items()}
    if modality is None:
        return groups
    if dataset is None:
        raise refusal(
            modality,
            "--modality",
            "says where groups begin and end",
            "give the names too: --dataset INFO.json",
        )
    raw, names = read_json(modality, "it is meta/modality.json of the dataset"), read_dataset(dataset).names
    for word, feature in (("state", "observation.state"), ("action", "action")):
        table = raw.get(word)
        for key, stretch in (table if isinstance(table, dict) else {}).items():
            begin, end = (stretch.get(end) if isinstance(stretch, dict) else None for end in ("start", "end"))
            whole = names.get(feature, ())
            if not isinstance(begin, int) or not isinstance(end, int) or not 0 <= begin < end <= len(whole):
                said = f"is {stretch!r}, and {feature} has {len(whole)} names"
                raise refusal(modality, f"{word}.{key}", said, "start and end within the dataset's names")
            found = tuple(name.removesuffix(".pos") for name in whole[begin:end])
            if groups.setdefault(key, found) != found and key not in given:
                said = f"is {', '.join(found)} here and {', '.join(groups[key])} in the state"
                raise refusal(modality, f"{word}.{key}", said, f"name its joints: --joints {key}=A+B")
    return groups


def read_embodiment(config: Path, statistics: Path, answers: Answers) -> Embodiment:
    """What the two files say of ``answers.tag``. Raises ConfigError with every problem."""
    raw = read_json(config, "it is processor_config.json of the checkpoint")
    kwargs = raw.get("processor_kwargs")
    modalities = kwargs.get("modality_configs") if isinstance(kwargs, dict) else None
    numbers = read_json(statistics, "it is statistics.json of the checkpoint")
    if not isinstance(modalities, dict) or not isinstance(kwargs, dict):
        raise refusal(config, "processor_kwargs.modality_configs", "is missing", "GR00T N1.7 writes it")
    if not isinstance(modalities.get(answers.tag), dict) or not isinstance(numbers.get(answers.tag), dict):
        known = ", ".join(sorted({*modalities} & {*numbers})) or "none"
        raise refusal(config, answers.tag, "is no embodiment of both files", f"--tag is one of: {known}")
    tag, own = modalities[answers.tag], numbers[answers.tag]
    problems: list[Problem] = []
    percentiles = bool(kwargs.get("use_percentiles", False))
    words = ("q01", "q99") if percentiles else ("min", "max")
    groups = {word: _groups(word, tag, own, words, answers, kwargs, problems) for word in ("state", "action")}
    horizon = len((tag.get("action") or {}).get("delta_indices") or ())
    if not problems:
        problems += _relative_problems(groups)
    if (tag.get("action") or {}).get("delta_indices") != list(range(horizon)):
        problems.append(
            Problem("action.delta_indices", "is not 0, 1, 2, ...", "a chunk has one action a step")
        )
    if (tag.get("state") or {}).get("delta_indices") != [0]:
        hint = (
            "a state of several instants is laid out instant by instant, over all groups: no card says that"
        )
        problems.append(Problem("state.delta_indices", "is not [0]", hint))
    if problems:
        raise ConfigError(problems, f"{config.name} ({answers.tag})")
    return Embodiment(
        groups["state"], groups["action"], horizon, percentiles, bool(kwargs.get("clip_outliers", True))
    )


def _groups(
    word: str,
    tag: Mapping[str, Any],
    own: Mapping[str, Any],
    words: tuple[str, str],
    answers: Answers,
    kwargs: Mapping[str, Any],
    problems: list[Problem],
) -> tuple[Group, ...]:
    table = tag.get(word)
    keys = table.get("modality_keys") if isinstance(table, dict) else None
    if not isinstance(table, dict) or not isinstance(keys, list) or not keys:
        problems.append(Problem(f"{word}.modality_keys", "is missing", "the groups, in order"))
        return ()
    encoded = table.get("sin_cos_embedding_keys") or ()
    if word == "state" and encoded:
        said = f"are {', '.join(map(str, encoded))}: sines and cosines of the joints"
        hint = (
            "a card has no such stream: put sine and cosine into the exported graph, take the keys out here"
        )
        problems.append(Problem("state.sin_cos_embedding_keys", said, hint))
    standard = table.get("mean_std_embedding_keys") or ()
    actions = table.get("action_configs") or [None] * len(keys)
    if len(actions) != len(keys):
        problems.append(
            Problem(f"{word}.action_configs", "is not as long as modality_keys", "one for each group")
        )
        return ()
    found = []
    for key, action in zip(keys, actions, strict=True):
        relative = False
        if word == "action" and isinstance(action, dict):
            kind, rep = str(action.get("type", "")).upper(), str(action.get("rep", "")).upper()
            if kind == "EEF":
                said = f"is a pose ({action.get('format')})"
                hint = "poses are not imported: write the card's [pose] by hand, its frame is the robot's"
                problems.append(Problem(f"action {key}", said, hint))
                continue
            if rep not in ("RELATIVE", "ABSOLUTE"):
                hint = "RELATIVE and ABSOLUTE groups can stand together in a card"
                problems.append(Problem(f"action {key}", f"has rep {rep or 'nothing'}", hint))
                continue
            relative = rep == "RELATIVE" and bool(kwargs.get("use_relative_action", False))
            state_key = action.get("state_key") or key
            if relative and answers.joints.get(state_key, answers.joints.get(key)) != answers.joints.get(key):
                said = f"is relative to the state of {state_key}, which has other joints"
                problems.append(Problem(f"action {key}", said, "a card adds each joint's own position"))
        section = "relative_action" if relative else word
        wanted = ("mean", "std") if key in standard else words
        entry = (own.get(section) or {}).get(key) if isinstance(own.get(section), dict) else None
        numbers = _statistics(entry, wanted, f"{section}.{key}", problems)
        joints = answers.joints.get(key)
        size = next((array.size for array in numbers.values()), 0)
        if joints is None or (numbers and len(joints) != size):
            said = f"has {size} numbers" + (f", and --joints names {len(joints)}" if joints else "")
            problems.append(Problem(f"{word} {key}", said, f"name them: --joints {key}=JOINT+JOINT+..."))
            continue
        found.append(Group(key, joints, numbers, key in standard, relative))
    return tuple(found)


def _statistics(entry: Any, words: tuple[str, str], where: str, problems: list[Problem]) -> Numbers:
    numbers = {}
    for word in words:
        try:
            array = np.asarray(entry[word], np.float64)
        except (TypeError, KeyError, ValueError, IndexError):
            array = np.array(np.nan)
        if array.ndim == 2 and (array == array[0]).all():
            array = array[0]
        if array.ndim != 1 or not array.size or not np.isfinite(array).all():
            said = "differs from step to step" if array.ndim == 2 else "is missing, or no list of numbers"
            problems.append(Problem(f"{where}.{word}", said, "one finite number a channel"))
            continue
        numbers[word] = array
    if len({array.size for array in numbers.values()}) > 1:
        problems.append(Problem(where, "has statistics of different lengths", "compute them again"))
    return numbers


def _relative_problems(groups: Mapping[str, tuple[Group, ...]]) -> list[Problem]:
    """A card has one normalisation for all channels of an action."""
    kinds = {group.mean_std for group in groups["action"]}
    if len(kinds) > 1:
        hint = (
            "ranges are kept within -1 and 1, mean and std are not: a card has one of the two for its output"
        )
        return [Problem("action.mean_std_embedding_keys", "names some groups and not others", hint)]
    return []
