"""A LeRobot checkpoint as a policy card: names, units, streams, normalisation, chunk and decoder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spinal.runtime.config.card import MAX_STEPS
from spinal.runtime.errors import ConfigError
from spinal.runtime.importers import joints
from spinal.runtime.importers.lerobot.checkpoint import ACTION, STATE, Checkpoint, Feature
from spinal.runtime.importers.lerobot.dataset import Dataset
from spinal.runtime.importers.lerobot.normalise import card_normalisation
from spinal.runtime.importers.source import refusal

IMAGES = "observation.images."


@dataclass(frozen=True, slots=True)
class Answers:
    """What a person said beside the files."""

    units: joints.ArmUnit
    gripper_units: joints.GripperUnit
    names: Mapping[str, str] = field(default_factory=dict)
    """channel or camera -> what the robot file calls it"""
    grippers: tuple[str, ...] | None = None
    streams: Mapping[str, str] = field(default_factory=dict)
    """observation key -> stream of a card, for what is neither joints nor a camera"""
    step_ms: float | None = None
    robot: str | None = None
    ddim_steps: int | None = None
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """joint -> what its unit was calibrated on"""


@dataclass(frozen=True, slots=True)
class Channels:
    """Action channels in the model's order: the dataset's names, the robot's, and which are grippers."""

    recorded: tuple[str, ...]
    names: tuple[str, ...]
    grippers: tuple[bool, ...]


def channels_of(
    checkpoint: Checkpoint,
    dataset: Dataset | None,
    answers: Mapping[str, str],
    grippers: Sequence[str] | None,
) -> Channels:
    """Names and order of the action: the dataset's; without one, ``answers`` in their order. Raises ConfigError."""
    size = checkpoint.action.shape[0]
    source = f"the channels of {checkpoint.folder.name}"
    if dataset is not None and ACTION in dataset.names:
        recorded = dataset.names[ACTION]
    elif checkpoint.pre.action_names is not None:
        recorded = checkpoint.pre.action_names
    elif answers:
        recorded = tuple(answers)
    else:
        said = "are not in the checkpoint: neither order nor names of its joints"
        hint = (
            "give the dataset: --dataset FOLDER (its meta/info.json), or all in order: --joints a=a,b=b,..."
        )
        raise refusal(source, "the channels", said, hint)
    if len(recorded) != size:
        said = f"are {len(recorded)} ({', '.join(recorded)}), and the model answers {size}"
        raise refusal(source, "the channels", said, "give the dataset that it was trained on")
    joint_answers = {key: value for key, value in answers.items() if not key.startswith(IMAGES)}
    names, problems = joints.renamed(recorded, joint_answers)
    if problems:
        raise ConfigError(problems, source)
    return Channels(recorded, tuple(names), tuple(joints.is_gripper(name, grippers) for name in names))


def card_tables(
    checkpoint: Checkpoint, channels: Channels, dataset: Dataset | None, answers: Answers, name: str
) -> dict[str, Any]:
    """The card's tables but for decoder and sha256. Raises ConfigError."""
    step_ms = answers.step_ms or (1000.0 / dataset.fps if dataset is not None and dataset.fps else None)
    if step_ms is None:
        hint = "give the dataset, or the time between two actions: --step-ms 33.333"
        raise refusal(checkpoint.folder, "fps", "is in no file", hint)
    steps, first = _chunk(checkpoint)
    pipeline = checkpoint.pre
    rows = []
    for channel, gripper, recorded in zip(channels.names, channels.grippers, channels.recorded, strict=True):
        row: dict[str, Any] = {
            "name": channel,
            "kind": "gripper" if gripper else "arm",
            "unit": answers.gripper_units if gripper else answers.units,
        }
        if channel in answers.ranges:
            row["range"] = list(answers.ranges[channel])
        if pipeline.relative and _excluded(checkpoint, recorded):
            row["absolute"] = True
        rows.append(row)
    if pipeline.relative != checkpoint.post.relative:
        said = "makes actions relative in one pipeline, and not absolute again in the other"
        raise refusal(checkpoint.folder, "relative_actions_processor", said, "both belong together")
    inputs = [
        _input(checkpoint, feature, channels, dataset, answers, step_ms) for feature in checkpoint.inputs
    ]
    output: dict[str, Any] = {"name": ACTION, "shape": [1, steps, len(rows)]}
    normalise = card_normalisation(checkpoint, ACTION, len(rows))
    if normalise is not None:
        output["normalise"] = normalise
    tables: dict[str, Any] = {
        "schema": 1,
        "name": name,
        "version": "imported",
        "representation": "relative" if pipeline.relative else "absolute",
        "chunk": {"steps": steps, "step_ms": step_ms, "first": first},
        "joints": rows,
        "inputs": inputs,
        "output": output,
    }
    if answers.robot is not None:
        tables["robot"] = answers.robot
    return tables


def observation_steps(checkpoint: Checkpoint) -> int:
    """How many instants the model sees, the newest last."""
    return int(checkpoint.config.get("n_obs_steps") or 1)


def _chunk(checkpoint: Checkpoint) -> tuple[int, int]:
    """Steps of a chunk, and the first that is executed."""
    config = checkpoint.config
    if checkpoint.type == "diffusion":
        return int(config["horizon"]), observation_steps(checkpoint) - 1
    if checkpoint.type == "vqbet":
        return int(config["action_chunk_size"]), 0
    return min(int(config["chunk_size"]), MAX_STEPS), 0


def _excluded(checkpoint: Checkpoint, recorded: str) -> bool:
    """LeRobot's own rule: a part of the lower-case name. Without action_names it excludes nothing."""
    pipeline = checkpoint.pre
    return pipeline.action_names is not None and any(word in recorded.lower() for word in pipeline.excluded)


def _input(
    checkpoint: Checkpoint,
    feature: Feature,
    channels: Channels,
    dataset: Dataset | None,
    answers: Answers,
    step_ms: float,
) -> dict[str, Any]:
    history = observation_steps(checkpoint)
    lead = [1, history] if checkpoint.type in ("diffusion", "vqbet") and history > 1 else [1]
    table: dict[str, Any] = {"name": feature.key, "shape": [*lead, *feature.shape]}
    if history > 1:
        table |= {"history": history, "history_step_ms": step_ms}
    raw_key = next((raw for raw, own in checkpoint.pre.renames.items() if own == feature.key), feature.key)
    if feature.type == "VISUAL":
        if len(feature.shape) != 3 or feature.shape[0] != 3:
            said = f"has the shape {list(feature.shape)}"
            raise refusal(checkpoint.folder, feature.key, said, "three colours, height, width are expected")
        table |= {
            "stream": f"camera:{_camera(raw_key, answers)}",
            "image": {"layout": "chw", "fit": "stretch", "colours": "rgb", "range": "0_1"},
        }
        size = 3
    elif feature.key == STATE:
        table |= _state(checkpoint, feature, channels, dataset)
        size = feature.shape[0]
    else:
        stream = answers.streams.get(raw_key)
        if stream is None:
            said = f"({feature.type}, {list(feature.shape)}) is neither joints nor a camera"
            hint = f"say what fills it: --stream {raw_key}=stream:NAME.FIELD"
            raise refusal(checkpoint.folder, feature.key, said, hint)
        field_units = {
            "position": "m",
            "yaw": "rad",
            "velocity": "m/s",
            "angular_velocity": "rad/s",
            "acceleration": "m/s^2",
        }
        table |= {"stream": stream, "unit": field_units.get(stream.rpartition(".")[2], "1")}
        size = feature.shape[0]
    normalise = card_normalisation(checkpoint, feature.key, size)
    if normalise is not None:
        table["normalise"] = normalise
    return table


def _camera(key: str, answers: Answers) -> str:
    short = key.removeprefix(IMAGES).removeprefix("observation.")
    name = answers.names.get(key, answers.names.get(short, short))
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _state(
    checkpoint: Checkpoint, feature: Feature, channels: Channels, dataset: Dataset | None
) -> dict[str, Any]:
    """Which joints the state holds: the dataset's names, each the position of an action channel."""
    recorded = dataset.names.get(STATE) if dataset is not None else None
    if recorded is None:
        recorded = channels.recorded
    if len(recorded) != feature.shape[0]:
        said = f"has {feature.shape[0]} numbers, and {len(recorded)} names ({', '.join(recorded)})"
        raise refusal(checkpoint.folder, STATE, said, "give the dataset that it was trained on")
    own = dict(zip(channels.recorded, channels.names, strict=True))
    unknown = [name for name in recorded if name not in own]
    if unknown:
        said = f"holds {', '.join(unknown)}, which the actions do not"
        hint = "joint positions of the action's own channels can be filled; units of others are not known"
        raise refusal(checkpoint.folder, STATE, said, hint)
    if checkpoint.pre.relative and tuple(recorded) != channels.recorded[: len(recorded)]:
        said = f"stands in the order {', '.join(recorded)}, and relative actions are added to it by position"
        raise refusal(checkpoint.folder, STATE, said, "LeRobot itself would add the wrong joints")
    table: dict[str, Any] = {"stream": "joint_position", "unit": "joint"}
    names = [own[name] for name in recorded]
    if names != list(channels.names):
        table["joints"] = names
    return table
