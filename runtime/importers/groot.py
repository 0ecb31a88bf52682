"""GR00T N1.7: ``processor_config.json`` and ``statistics.json`` of a checkpoint, ``modality.json`` of its dataset.

A modality is a list of groups, one behind the other. Of a group: 2 (x - low) / (high - low) - 1 with q01 and q99
(``use_percentiles``) or min and max; 0 where the two are close; kept within -1 and 1 on its way in with
``clip_outliers``, on its way out always. Groups of ``mean_std_embedding_keys``: (x - mean) / std, and as they are
where std is 0. Relative groups use the statistics ``relative_action``, and are added to the last state of their
state_key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.errors import ConfigError, Problem
from spinal.runtime.importers.draft import Draft, policy_name
from spinal.runtime.importers.joints import ArmUnit, GripperUnit, is_gripper, renamed
from spinal.runtime.importers.lerobot.dataset import read_dataset
from spinal.runtime.importers.onnx_file import OnnxFile, read_onnx
from spinal.runtime.importers.source import read_json, refusal
from spinal.runtime.importers.tabular import Values, verify_formulas
from spinal.runtime.importers.verify import Verification

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


def read_groot(model: Path, config: Path, statistics: Path, answers: Answers) -> tuple[Draft, Embodiment]:
    """The draft, and what it was made from. Raises ConfigError with every problem."""
    onnx = read_onnx(model)
    embodiment = read_embodiment(config, statistics, answers)
    joints = [joint for group in embodiment.action for joint in group.joints]
    names, problems = renamed(joints, {})
    state = sum(len(group.joints) for group in embodiment.state)
    problems += _tensor_problems(onnx, answers, embodiment.horizon, len(names), state)
    strangers = sorted({j for group in embodiment.state for j in group.joints} - set(names))
    if strangers:
        said = f"holds {', '.join(strangers)}, which the actions do not"
        problems.append(Problem("state", said, "units of such joints are not known"))
    if problems:
        raise ConfigError(problems, str(model))
    relative = any(group.relative for group in embodiment.action)
    rows = []
    for group in embodiment.action:
        for name in group.joints:
            gripper = is_gripper(name, answers.grippers)
            row: dict[str, Any] = {
                "name": name,
                "kind": "gripper" if gripper else "arm",
                "unit": answers.gripper_units if gripper else answers.units,
            }
            if relative and not group.relative:
                row["absolute"] = True
            rows.append(row)
    draft = Draft(policy_name(answers.name or model.stem, str(model)), f"GR00T ({answers.tag})", {})
    draft.tables = {
        "schema": 1,
        "name": draft.name,
        "version": "imported",
        "representation": "relative" if relative else "absolute",
        "chunk": {"steps": embodiment.horizon, "step_ms": answers.step_ms},
        "joints": rows,
        "inputs": [_state(onnx, answers, embodiment), *_other_inputs(onnx, answers)],
        "output": {
            "name": answers.output,
            "shape": list(onnx.outputs[answers.output]),
            "normalise": _output_normalisation(embodiment),
        },
    }
    if any(row.get("stream") == "noise" for row in draft.tables["inputs"]):
        draft.tables["noise"] = "normal"
    if answers.robot is not None:
        draft.tables["robot"] = answers.robot
    draft.files[draft.model] = onnx.data
    return draft, embodiment


def _state(onnx: OnnxFile, answers: Answers, embodiment: Embodiment) -> dict[str, Any]:
    parts = []
    for group in embodiment.state:
        if group.mean_std:
            normalise: dict[str, Any] = {
                "mode": "mean_std",
                "mean": group.numbers["mean"].tolist(),
                "std": _spread(group.numbers["std"]),
                "mask": (group.numbers["std"] != 0).tolist(),
            }
        else:
            low, high = (group.numbers[word] for word in embodiment.words)
            flat = np.isclose(high, low)
            gain = np.where(flat, 0.0, 2 / np.where(flat, 1.0, high - low))
            normalise = {"mode": "scale", "scale": gain.tolist(), "offset": ((low + high) / 2).tolist()}
            if embodiment.clip:
                normalise["clip"] = [-1.0, 1.0]
        parts.append(
            {
                "stream": "joint_position",
                "unit": "joint",
                "joints": list(group.joints),
                "normalise": normalise,
            }
        )
    return {"name": answers.state, "shape": list(onnx.inputs[answers.state]), "parts": parts}


def _output_normalisation(embodiment: Embodiment) -> dict[str, Any]:
    if embodiment.action[0].mean_std:
        mean, std = (np.concatenate([g.numbers[word] for g in embodiment.action]) for word in ("mean", "std"))
        return {"mode": "mean_std", "mean": mean.tolist(), "std": _spread(std), "mask": (std != 0).tolist()}
    low, high = (np.concatenate([g.numbers[word] for g in embodiment.action]) for word in embodiment.words)
    return {
        "mode": "scale",
        "scale": ((high - low) / 2).tolist(),
        "offset": ((low + high) / 2).tolist(),
        "clip": [-1.0, 1.0],
    }


def _spread(std: Array) -> list[float]:
    """With 1 where it is 0: such a channel is masked, and nothing is divided by it."""
    return [float(x) if x else 1.0 for x in std]


def _tensor_problems(
    onnx: OnnxFile, answers: Answers, horizon: int, channels: int, state: int
) -> list[Problem]:
    problems = []
    shape = onnx.inputs.get(answers.state)
    if shape is None or int(np.prod(shape)) != state:
        said = f"is {list(shape)}" if shape else "is no input of the model"
        hint = (
            f"the state's groups give {state} numbers; --state TENSOR names it, of {', '.join(onnx.inputs)}"
        )
        problems.append(Problem(answers.state, said, hint))
    out = onnx.outputs.get(answers.output)
    if out != (1, horizon, channels):
        said = f"is {list(out)}" if out else "is no output of the model"
        hint = (
            f"[1, {horizon}, {channels}] is expected; --output TENSOR names it, of {', '.join(onnx.outputs)}"
        )
        problems.append(Problem(answers.output, said, hint))
    problems += [
        Problem(name, "is filled by nothing", f"say what fills it: --tensor {name}=camera:NAME")
        for name in onnx.inputs
        if name != answers.state and name not in answers.tensors
    ]
    problems += [
        Problem(name, "is no input of the model", f"it has {', '.join(onnx.inputs)}")
        for name in answers.tensors
        if name not in onnx.inputs
    ]
    return problems


def _other_inputs(onnx: OnnxFile, answers: Answers) -> list[dict[str, Any]]:
    rows = []
    for name, stream in answers.tensors.items():
        shape = onnx.inputs[name]
        row: dict[str, Any] = {
            "name": name,
            "shape": list(shape),
            "dtype": onnx.types[name],
            "stream": stream,
        }
        if stream.startswith("camera:"):
            layout = "hwc" if shape[-1] == 3 else "chw"
            row["image"] = {"layout": layout, "fit": "stretch", "colours": "rgb", "range": "0_255"}
        elif stream.startswith("goal:"):
            row["size"] = int(np.prod(shape[1:]))
        rows.append(row)
    return rows


def reference_state(embodiment: Embodiment, values: Values) -> Array:
    """GR00T's own formulas, written out: joint -> number, as the model sees it."""
    rows = []
    for group in embodiment.state:
        x = np.array([values[joint] for joint in group.joints], np.float64)
        z = np.zeros_like(x)
        if group.mean_std:
            moving = group.numbers["std"] != 0
            z[moving] = (x[moving] - group.numbers["mean"][moving]) / group.numbers["std"][moving]
            z[~moving] = x[~moving]
        else:
            low, high = (group.numbers[word] for word in embodiment.words)
            moving = ~np.isclose(high, low)
            z[moving] = 2 * ((x[moving] - low[moving]) / (high[moving] - low[moving])) - 1
            z = np.clip(z, -1, 1) if embodiment.clip else z
        rows.append(z)
    return np.concatenate(rows)


def reference_actions(embodiment: Embodiment, numbers: Array, values: Values) -> Array:
    """Likewise [step, channel] of the model's answer, in the dataset's units, absolute."""
    columns, at = [], 0
    for group in embodiment.action:
        z = numbers[:, at : at + len(group.joints)]
        at += len(group.joints)
        if group.mean_std:
            moving = group.numbers["std"] != 0
            x = np.where(moving, z * group.numbers["std"] + group.numbers["mean"], z)
        else:
            low, high = (group.numbers[word] for word in embodiment.words)
            x = (np.clip(z, -1, 1) + 1) / 2 * (high - low) + low
        if group.relative:
            x = x + np.array([values[joint] for joint in group.joints], np.float64)
        columns.append(x)
    return np.concatenate(columns, axis=1)


def import_groot(
    model: Path, config: Path, statistics: Path, answers: Answers
) -> tuple[Draft, list[Verification]]:
    """The verified draft. Raises ConfigError, PolicyError; nothing is written."""
    draft, embodiment = read_groot(model, config, statistics, answers)
    card = draft.card()

    def draw(rng: np.random.Generator) -> dict[str, float]:
        values = {joint.name: 0.0 for joint in card.joints}
        for group in embodiment.state:
            if group.mean_std:
                numbers = (
                    group.numbers["mean"] + 3 * rng.uniform(-1, 1, len(group.joints)) * group.numbers["std"]
                )
            else:
                low, high = (group.numbers[word] for word in embodiment.words)
                numbers = (low + high) / 2 + 0.7 * (high - low) * rng.uniform(-1, 1, len(group.joints))
            values |= dict(zip(group.joints, numbers.tolist(), strict=True))
        bounds = {"percent": (0.0, 100.0), "signed_percent": (-100.0, 100.0)}
        return {
            joint.name: float(np.clip(values[joint.name], *bounds.get(joint.unit, (-np.inf, np.inf))))
            for joint in card.joints
        }

    return draft, verify_formulas(
        draft,
        answers.state,
        "GR00T's formulas",
        draw,
        lambda values: reference_state(embodiment, values),
        lambda answer, values: reference_actions(embodiment, answer, values),
    )
