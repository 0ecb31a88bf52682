"""GR00T N1.7: ``processor_config.json`` and ``statistics.json`` of a checkpoint, ``modality.json`` of its dataset.

A modality is a list of groups, one behind the other. Of a group: 2 (x - low) / (high - low) - 1 with q01 and q99
(``use_percentiles``) or min and max; 0 where the two are close; kept within -1 and 1 on its way in with
``clip_outliers``, on its way out always. Groups of ``mean_std_embedding_keys``: (x - mean) / std, and as they are
where std is 0. Relative groups use the statistics ``relative_action``, and are added to the last state of their
state_key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.errors import ConfigError, Problem
from spinal.runtime.importers.draft import Draft, policy_name
from spinal.runtime.importers.groot_files import Answers, Embodiment, read_embodiment
from spinal.runtime.importers.joints import is_gripper, renamed
from spinal.runtime.importers.onnx_file import OnnxFile, read_onnx
from spinal.runtime.importers.tabular import Values, verify_formulas
from spinal.runtime.importers.verify import Verification

Array = NDArray[np.float64]


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
