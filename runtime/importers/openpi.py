"""openpi: ``norm_stats.json`` beside a graph, and what only its Python says: quantiles or not, delta mask, horizon.

z-score: (x - mean) / (std + 1e-6), back x * (std + 1e-6) + mean. Quantiles: (x - q01) / (q99 - q01 + 1e-6) * 2 - 1,
back (x + 1) / 2 * (q99 - q01 + 1e-6) + q01. The state is padded with zeros behind its statistics; actions beyond
them are dropped. Statistics of actions are those of the deltas where the mask says so (DeltaActions runs first).
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
from spinal.runtime.importers.onnx_file import OnnxFile, read_onnx
from spinal.runtime.importers.source import read_json
from spinal.runtime.importers.tabular import verify_formulas
from spinal.runtime.importers.verify import Verification

EPS = 1e-6
MODES: Mapping[str, tuple[str, str]] = {"zscore": ("mean", "std"), "quantile": ("q01", "q99")}
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answers:
    """What openpi's configuration says in Python, and the robot."""

    mode: str
    """zscore or quantile"""
    joints: tuple[str, ...]
    """The robot's, in the order of the actions."""
    delta: tuple[bool, ...]
    horizon: int
    step_ms: float
    units: ArmUnit
    gripper_units: GripperUnit
    tensors: Mapping[str, str] = field(default_factory=dict)
    """tensor of the graph -> stream of a card, for cameras and prompts"""
    grippers: tuple[str, ...] | None = None
    state: str = "state"
    output: str = "actions"
    robot: str | None = None
    name: str | None = None


def delta_mask(text: str) -> tuple[bool, ...]:
    """openpi's ``make_bool_mask``: 6,-1 is six times true, once false. Raises ValueError."""
    mask: list[bool] = []
    for word in text.split(","):
        count = int(word)
        if not 1 <= abs(count) <= 256:
            raise ValueError(text)
        mask += [count > 0] * abs(count)
    return tuple(mask)


def read_statistics(path: Path, mode: str) -> dict[str, dict[str, Array]]:
    """state and actions -> the two statistics that ``mode`` needs. Raises ConfigError with every problem."""
    raw = read_json(path, "it is assets/<asset_id>/norm_stats.json of the checkpoint")
    table = raw.get("norm_stats", raw)
    problems, found = [], {}
    for key in ("state", "actions"):
        entry = table.get(key) if isinstance(table, dict) else None
        numbers = {}
        for word in MODES[mode]:
            values = entry.get(word) if isinstance(entry, dict) else None
            try:
                array = np.asarray(values, np.float64)
            except (TypeError, ValueError):
                array = np.array(np.nan)
            if values is None or array.ndim != 1 or not array.size or not np.isfinite(array).all():
                hint = f"--{mode} needs {' and '.join(MODES[mode])} as lists of finite numbers"
                problems.append(Problem(f"{key}.{word}", "is missing, or no list of numbers", hint))
                continue
            numbers[word] = array
        if len({array.size for array in numbers.values()}) > 1:
            problems.append(Problem(key, "has statistics of different lengths", "compute them again"))
        found[key] = numbers
    if problems:
        raise ConfigError(problems, str(path))
    return found


def card_normalisation(statistics: Mapping[str, Array], mode: str, size: int) -> dict[str, Any]:
    """The card's table for the first ``size`` channels: eps is in the spread, as openpi has it both ways."""
    words = MODES[mode]
    low, high = (statistics[word][:size] for word in words)
    names = {"zscore": "mean_std", "quantile": "quantiles"}
    return {"mode": names[mode], words[0]: low.tolist(), words[1]: (high + EPS).tolist()}


def reference(statistics: Mapping[str, Array], mode: str, x: Array, inverse: bool) -> Array:
    """openpi's own formulas, written out: what the card is verified against."""
    low, high = (statistics[word][: x.shape[-1]] for word in MODES[mode])
    if mode == "zscore":
        return x * (high + EPS) + low if inverse else (x - low) / (high + EPS)
    spread = high - low + EPS
    return (x + 1.0) / 2.0 * spread + low if inverse else (x - low) / spread * 2.0 - 1.0


def read_openpi(model: Path, norm_stats: Path, answers: Answers) -> tuple[Draft, dict[str, dict[str, Array]]]:
    """The draft, and the statistics it was made with. Raises ConfigError with every problem."""
    onnx = read_onnx(model)
    statistics = read_statistics(norm_stats, answers.mode)
    names, problems = renamed(answers.joints, {})
    count = len(names)
    for key, table in statistics.items():
        size = next(iter(table.values())).size
        if size < count:
            said = f"has {size} channels, and --joints names {count}"
            problems.append(
                Problem(key, said, "channels beyond the statistics would pass as they are: name fewer")
            )
    mask = (*answers.delta, *[False] * (count - len(answers.delta)))
    if len(answers.delta) > count:
        said = f"has {len(answers.delta)} entries for {count} joints"
        problems.append(Problem("--delta-mask", said, "one for each, counted as make_bool_mask does"))
    problems += _tensor_problems(onnx, answers, count)
    if problems:
        raise ConfigError(problems, str(model))
    joints = []
    for name, delta in zip(names, mask, strict=False):
        gripper = is_gripper(name, answers.grippers)
        row: dict[str, Any] = {
            "name": name,
            "kind": "gripper" if gripper else "arm",
            "unit": answers.gripper_units if gripper else answers.units,
        }
        if any(mask) and not delta:
            row["absolute"] = True
        joints.append(row)
    draft = Draft(policy_name(answers.name or model.stem, str(model)), "openpi", {})
    state_shape = onnx.inputs[answers.state]
    draft.tables = {
        "schema": 1,
        "name": draft.name,
        "version": "imported",
        "representation": "relative" if any(mask) else "absolute",
        "chunk": {"steps": answers.horizon, "step_ms": answers.step_ms},
        "joints": joints,
        "inputs": [
            {
                "name": answers.state,
                "shape": list(state_shape),
                "stream": "joint_position",
                "unit": "joint",
                "normalise": card_normalisation(statistics["state"], answers.mode, count),
            },
            *_other_inputs(onnx, answers),
        ],
        "output": {
            "name": answers.output,
            "shape": list(onnx.outputs[answers.output]),
            "normalise": card_normalisation(statistics["actions"], answers.mode, count),
        },
    }
    if any(row["stream"] == "noise" for row in draft.tables["inputs"]):
        draft.tables["noise"] = "normal"
    if answers.robot is not None:
        draft.tables["robot"] = answers.robot
    draft.files[draft.model] = onnx.data
    return draft, statistics


def _tensor_problems(onnx: OnnxFile, answers: Answers, count: int) -> list[Problem]:
    problems = []
    if answers.state not in onnx.inputs:
        hint = f"name it: --state TENSOR, of {', '.join(onnx.inputs)}"
        problems.append(Problem(answers.state, "is no input of the model", hint))
    elif onnx.inputs[answers.state] != (1, count):
        said = f"is {list(onnx.inputs[answers.state])}, and there are {count} joints"
        hint = "openpi pads its state to 32: cut the padding into the exported graph, which adds the zeros itself"
        problems.append(Problem(answers.state, said, hint))
    if answers.output not in onnx.outputs:
        hint = f"name it: --output TENSOR, of {', '.join(onnx.outputs)}"
        problems.append(Problem(answers.output, "is no output of the model", hint))
    elif onnx.outputs[answers.output] != (1, answers.horizon, count):
        said = f"is {list(onnx.outputs[answers.output])}, and [1, {answers.horizon}, {count}] is expected"
        hint = "--horizon is the model's own; channels behind the joints are cut in the exported graph"
        problems.append(Problem(answers.output, said, hint))
    unfilled = [name for name in onnx.inputs if name != answers.state and name not in answers.tensors]
    problems += [
        Problem(
            name,
            f"{list(onnx.inputs[name])} is filled by nothing",
            f"say what fills it: --tensor {name}=camera:NAME",
        )
        for name in unfilled
    ]
    unknown = [name for name in answers.tensors if name not in onnx.inputs]
    problems += [
        Problem(name, "is no input of the model", f"it has {', '.join(onnx.inputs)}") for name in unknown
    ]
    return problems


def _other_inputs(onnx: OnnxFile, answers: Answers) -> list[dict[str, Any]]:
    """Pictures as openpi's transforms leave them (-1 to 1), and whatever else was named."""
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
            row["image"] = {
                "layout": "hwc" if shape[-1] == 3 else "chw",
                "fit": "letterbox",
                "antialias": True,
                "colours": "rgb",
                "range": "-1_1",
            }
        elif stream.startswith("goal:"):
            row["size"] = int(np.prod(shape[1:]))
        rows.append(row)
    return rows


def import_openpi(model: Path, norm_stats: Path, answers: Answers) -> tuple[Draft, list[Verification]]:
    """The verified draft. Raises ConfigError, PolicyError; nothing is written."""
    draft, statistics = read_openpi(model, norm_stats, answers)
    card = draft.card()
    names = [joint.name for joint in card.joints]
    relative = np.array([card.representation == "relative" and not joint.absolute for joint in card.joints])
    low, high = (statistics["state"][word][: len(names)] for word in MODES[answers.mode])

    def draw(rng: np.random.Generator) -> dict[str, float]:
        numbers = (
            low + rng.uniform(-3, 3, len(names)) * high
            if answers.mode == "zscore"
            else rng.uniform(low, high)
        )
        bounds = {"percent": (0.0, 100.0), "signed_percent": (-100.0, 100.0)}
        return {
            joint.name: float(np.clip(x, *bounds.get(joint.unit, (-np.inf, np.inf))))
            for joint, x in zip(card.joints, numbers, strict=True)
        }

    def vector(values: Mapping[str, float]) -> Array:
        return np.array([values[name] for name in names])

    def state(values: Mapping[str, float]) -> Array:
        return reference(statistics["state"], answers.mode, vector(values), inverse=False)

    def actions(answer: Array, values: Mapping[str, float]) -> Array:
        numbers = reference(statistics["actions"], answers.mode, answer, inverse=True)
        return numbers + np.where(relative, vector(values), 0.0)

    against = f"openpi's formulas ({answers.mode})"
    return draft, verify_formulas(draft, answers.state, against, draw, state, actions)
