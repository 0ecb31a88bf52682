"""Small files as other people's frameworks write them: graphs, metadata, deploy.yaml, statistics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LEGS = tuple(f"{side}_{joint}_joint" for side in ("left", "right") for joint in ("hip", "knee", "ankle"))
DEFAULT = (0.1, -0.4, 0.2, 0.15, -0.45, 0.25)
STIFFNESS = (100.0, 150.0, 40.0, 101.0, 151.0, 41.0)
DAMPING = (2.0, 4.0, 1.0, 2.1, 4.1, 1.1)
ACTION_SCALE = (0.25, 0.5, 0.75, 0.3, 0.55, 0.8)
TERMS = (
    "base_ang_vel",
    "projected_gravity",
    "velocity_commands",
    "joint_pos_rel",
    "joint_vel_rel",
    "last_action",
)
SDK = (5, 0, 3, 1, 4, 2)
"""joint_ids_map: the policy's joint i is the SDK's motor SDK[i]."""


def graph(
    path: Path,
    inputs: Mapping[str, tuple[int, ...]],
    output: tuple[str, tuple[int, ...]],
    metadata: Mapping[str, str] | None = None,
    batch: str | None = None,
) -> Path:
    """A model whose answer is a fixed mixture of all its inputs; ``batch`` names an open first axis."""
    rng = np.random.default_rng(7)
    name, shape = output
    size = int(np.prod(shape))
    nodes, sums, weights = [], [], []
    for index, (key, dims) in enumerate(inputs.items()):
        count = int(np.prod(dims))
        weights += [
            numpy_helper.from_array(
                rng.normal(0, 0.7 / np.sqrt(count), (count, size)).astype(np.float32), f"w{index}"
            ),
            numpy_helper.from_array(np.array([1, count]), f"flat{index}"),
        ]
        nodes += [
            helper.make_node("Reshape", [key, f"flat{index}"], [f"row{index}"]),
            helper.make_node("MatMul", [f"row{index}", f"w{index}"], [f"part{index}"]),
        ]
        sums.append(f"part{index}")
    nodes.append(helper.make_node("Sum", sums, ["whole"]))
    weights.append(numpy_helper.from_array(np.array(shape), "shape"))
    nodes.append(helper.make_node("Reshape", ["whole", "shape"], [name]))
    values = [
        helper.make_tensor_value_info(k, TensorProto.FLOAT, [batch or d[0], *d[1:]])
        for k, d in inputs.items()
    ]
    out = helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch or shape[0], *shape[1:]])
    model = helper.make_model(
        helper.make_graph(nodes, "policy", values, [out], weights),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    for key, value in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, path)
    return path


def csv(values: Any) -> str:
    """As mjlab's exporter joins them."""
    return ",".join(f"{v:.3f}" if isinstance(v, int | float) else str(v) for v in values)


def mjlab_metadata(**changed: str) -> dict[str, str]:
    """Of a robot with as many joints as it drives."""
    return {
        "run_path": "team/project/run",
        "joint_names": csv(LEGS),
        "joint_stiffness": csv(STIFFNESS),
        "joint_damping": csv(DAMPING),
        "default_joint_pos": csv(DEFAULT),
        "action_scale": csv(ACTION_SCALE),
        "observation_names": csv(
            (
                "base_lin_vel",
                "base_ang_vel",
                "projected_gravity",
                "joint_pos",
                "joint_vel",
                "actions",
                "command",
            )
        ),
        "command_names": "twist",
        **changed,
    }


def deploy_yaml(path: Path, changed: str = "") -> Path:
    """unitree_rl_lab's, with gains in the SDK's order; ``changed`` is appended, and YAML's last key wins."""
    stiffness, damping = [0.0] * 6, [0.0] * 6
    for index, motor in enumerate(SDK):
        stiffness[motor], damping[motor] = STIFFNESS[index], DAMPING[index]
    scales = {
        "base_ang_vel": [0.2] * 3,
        "projected_gravity": [1.0] * 3,
        "velocity_commands": [2.0, 2.0, 0.25],
    }
    scales |= {"joint_pos_rel": [1.0] * 6, "joint_vel_rel": [0.05] * 6, "last_action": [1.0] * 6}
    lines = [
        f"joint_ids_map: {list(SDK)}",
        "step_dt: 0.02",
        f"stiffness: {stiffness}",
        f"damping: {damping}",
        f"default_joint_pos: {list(DEFAULT)}",
        "commands:",
        "  base_velocity:",
        "    ranges: {lin_vel_x: [-0.5, 1.0], lin_vel_y: [-0.3, 0.3], ang_vel_z: [-1.2, 1.2], heading: null}",
        "actions:",
        "  JointPositionAction:",
        "    clip: null",
        "    joint_names: [.*]",
        f"    scale: {list(ACTION_SCALE)}",
        f"    offset: {list(DEFAULT)}",
        "    joint_ids: !!python/object/apply:builtins.slice [null, null, null]",
        "observations:",
    ]
    for name in TERMS:
        clip = "[-3.0, 3.0]" if name == "joint_vel_rel" else "null"
        lines.append(f"  {name}: {{params: {{}}, clip: {clip}, scale: {scales[name]}, history_length: 5}}")
    path.write_text("\n".join(lines) + "\n" + changed)
    return path


DEPLOYED = 5 * (9 + 18)
"""Numbers of the observation that ``deploy_yaml`` describes."""


def openpi_statistics(path: Path, size: int) -> Path:
    """norm_stats.json, longer than the robot has joints."""
    rng = np.random.default_rng(3)
    tables = {}
    for key in ("state", "actions"):
        middle, reach = rng.uniform(-0.5, 0.5, size), rng.uniform(0.2, 1.5, size)
        tables[key] = {
            "mean": middle.tolist(),
            "std": (reach / 2).tolist(),
            "q01": (middle - reach).tolist(),
            "q99": (middle + reach).tolist(),
        }
    path.write_text(json.dumps({"norm_stats": tables}))
    return path


def groot_files(folder: Path, percentiles: bool = True, **state: Any) -> tuple[Path, Path]:
    """processor_config.json and statistics.json of an arm of five joints and a hand; one joint never moved."""
    rng = np.random.default_rng(5)

    def numbers(size: int, still: bool = False) -> dict[str, list[float]]:
        low, high = rng.uniform(-2, -0.5, size), rng.uniform(0.5, 2, size)
        if still:
            high[2] = low[2]
        spread = (high - low) / 4
        return {
            "min": (low - 0.2 * (high - low)).tolist(),
            "max": (high + 0.2 * (high - low)).tolist(),
            "mean": ((low + high) / 2).tolist(),
            "std": spread.tolist(),
            "q01": low.tolist(),
            "q99": high.tolist(),
        }

    hand = {"min": [0.0], "max": [0.07], "mean": [0.03], "std": [0.02], "q01": [0.001], "q99": [0.069]}
    statistics = {
        "new_arm": {
            "state": {"arm": numbers(5, still=True), "hand": hand},
            "action": {"arm": numbers(5), "hand": hand},
            "relative_action": {"arm": numbers(5)},
        }
    }
    config = {
        "processor_kwargs": {
            "use_percentiles": percentiles,
            "use_relative_action": True,
            "clip_outliers": True,
            "modality_configs": {
                "new_arm": {
                    "state": {"delta_indices": [0], "modality_keys": ["arm", "hand"], **state},
                    "action": {
                        "delta_indices": list(range(8)),
                        "modality_keys": ["arm", "hand"],
                        "action_configs": [
                            {"rep": "RELATIVE", "type": "NON_EEF", "format": "DEFAULT", "state_key": "arm"},
                            {"rep": "ABSOLUTE", "type": "NON_EEF", "format": "DEFAULT", "state_key": None},
                        ],
                    },
                }
            },
        }
    }
    paths = folder / "processor_config.json", folder / "statistics.json"
    paths[0].write_text(json.dumps(config))
    paths[1].write_text(json.dumps(statistics))
    return paths
