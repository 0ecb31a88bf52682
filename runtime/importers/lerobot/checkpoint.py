"""What a LeRobot checkpoint says without running anything of it: config, pipelines, statistics, dataset.

Two layouts: since 0.4 two pipelines stand beside the model (``policy_preprocessor.json``,
``policy_postprocessor.json``, their states in safetensors); before, the statistics are buffers in the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.errors import ConfigError, Problem
from spinal.runtime.importers.lerobot.steps import Pipeline, read_pipeline
from spinal.runtime.importers.source import read_json, read_safetensors, refusal

Statistics = Mapping[str, Mapping[str, NDArray[np.float64]]]
"""feature -> statistic -> numbers; those of images flattened to one number a channel."""

MODEL = "model.safetensors"
PRE, POST = "policy_preprocessor.json", "policy_postprocessor.json"
ACTION, STATE = "action", "observation.state"
EPS = 1e-8
"""Of LeRobot's normalisation, before its pipelines wrote it down."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One entry of ``input_features`` or ``output_features``."""

    key: str
    type: Literal["STATE", "VISUAL", "ENV", "ACTION"]
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint, read and understood."""

    folder: Path
    type: str
    config: Mapping[str, Any]
    inputs: tuple[Feature, ...]
    action: Feature
    pre: Pipeline
    post: Pipeline
    layout: Literal["pipelines", "buffers"]

    def statistics(self, key: str) -> Mapping[str, NDArray[np.float64]]:
        """Those that ``key`` is normalised by; empty when there are none."""
        pipeline = self.post if key == ACTION else self.pre
        return pipeline.statistics.get(key, {})


def read_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in ``folder``. Raises ConfigError for what is missing, unknown or untrustworthy."""
    if not folder.is_dir():
        hint = "name the folder with config.json and model.safetensors (pretrained_model of a training run)"
        raise refusal(folder, "the checkpoint", "is no folder", hint)
    config = read_json(folder / "config.json", "this is no LeRobot checkpoint, or only a part of it")
    inputs, outputs = (_features(config, word, folder) for word in ("input_features", "output_features"))
    actions = [feature for feature in outputs if feature.type == "ACTION"]
    if [feature.key for feature in outputs] != [ACTION] or len(actions) != 1 or len(actions[0].shape) != 1:
        keys = ", ".join(f"{f.key} {list(f.shape)}" for f in outputs) or "nothing"
        raise refusal(folder, "output_features", f"is {keys}", f'one vector is expected, called "{ACTION}"')
    if (folder / PRE).exists() or (folder / POST).exists():
        pre, post = (read_pipeline(folder, name) for name in (PRE, POST))
        layout: Literal["pipelines", "buffers"] = "pipelines"
    else:
        pre, post = _from_buffers(folder, config, (*inputs, actions[0]))
        layout = "buffers"
    return Checkpoint(folder, str(config.get("type", "")), config, inputs, actions[0], pre, post, layout)


def _features(config: Mapping[str, Any], word: str, folder: Path) -> tuple[Feature, ...]:
    table = config.get(word)
    if not isinstance(table, dict) or not table:
        raise refusal(folder / "config.json", word, "is missing", "it is written by LeRobot 0.1 and later")
    found, problems = [], []
    for key, entry in table.items():
        kind, shape = (entry.get("type"), entry.get("shape")) if isinstance(entry, dict) else (None, None)
        whole = isinstance(shape, list) and all(isinstance(n, int) and 0 < n <= 4096 for n in shape)
        if kind not in ("STATE", "VISUAL", "ENV", "ACTION") or not whole or not isinstance(shape, list):
            hint = "STATE, VISUAL, ENV and ACTION can be imported"
            problems.append(Problem(f"{word}.{key}", f"is of type {kind} and shape {shape}", hint))
            continue
        found.append(Feature(key, kind, tuple(shape)))
    if problems:
        raise ConfigError(problems, str(folder / "config.json"))
    return tuple(found)


def _from_buffers(
    folder: Path, config: Mapping[str, Any], features: tuple[Feature, ...]
) -> tuple[Pipeline, Pipeline]:
    """The older layout as pipelines: a feature's buffers are called after it, with underscores for dots."""
    tensors = read_safetensors(folder / MODEL, "normalize_")
    modes = config.get("normalization_mapping")
    if not isinstance(modes, dict):
        said = "has neither processor pipelines nor normalization_mapping"
        hint = "LeRobot before 0.1: load and save it with a newer LeRobot"
        raise refusal(folder, "the checkpoint", said, hint)
    statistics: dict[str, dict[str, NDArray[np.float64]]] = {}
    for feature in features:
        prefix = "unnormalize_outputs" if feature.type == "ACTION" else "normalize_inputs"
        stem = f"{prefix}.buffer_{feature.key.replace('.', '_')}."
        found = {
            name.removeprefix(stem): np.asarray(data, np.float64).ravel()
            for name, data in tensors.items()
            if name.startswith(stem)
        }
        if found:
            statistics[feature.key] = found
    if ACTION not in statistics and modes.get("ACTION") != "IDENTITY":
        said = f"has no {PRE}, and {MODEL} holds no normalisation buffers"
        hint = "the processors belong to the checkpoint: copy the whole folder"
        raise refusal(folder, "the checkpoint", said, hint)
    types = {feature.key: feature.type for feature in features}
    pipeline = Pipeline(types, {str(k): str(v) for k, v in modes.items()}, statistics, EPS)
    return pipeline, pipeline
