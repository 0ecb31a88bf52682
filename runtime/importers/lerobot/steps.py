"""A processor pipeline's steps, each known by its registered name; what is unknown is refused by that name.

A step that is named by ``class`` is a Python path: LeRobot imports it. We never do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.section import FILE_NAME_PATTERN
from spinal.runtime.errors import ConfigError, Problem
from spinal.runtime.importers.source import read_json, read_safetensors, refusal

WITHOUT_EFFECT = ("to_batch_processor", "to_batch_processor_observation", "to_batch_processor_action")
"""Steps that change neither numbers nor names: our tensors have their batch of 1."""
LANGUAGE = re.compile(r"token|task|new_?line|conversation|qwen|vlm")
MODES = ("IDENTITY", "MEAN_STD", "MIN_MAX", "QUANTILES", "QUANTILE10")


@dataclass(slots=True)
class Pipeline:
    """What a pipeline does, in the only order that a card can say: rename, relative, normalise, or back."""

    types: Mapping[str, str] = field(default_factory=dict)
    """feature -> STATE, VISUAL, ENV or ACTION, as the normaliser knows them."""
    modes: Mapping[str, str] = field(default_factory=dict)
    """feature type -> mode"""
    statistics: Mapping[str, Mapping[str, NDArray[np.float64]]] = field(default_factory=dict)
    eps: float = 0.0
    observation_keys: tuple[str, ...] | None = None
    """The only observations that are normalised; None: all."""
    renames: Mapping[str, str] = field(default_factory=dict)
    """a robot's key -> the policy's"""
    relative: bool = False
    excluded: tuple[str, ...] = ()
    """Parts of names of channels that stay absolute."""
    action_names: tuple[str, ...] | None = None
    steps: tuple[str, ...] = ()
    """The registered names, in order."""
    half: bool = False
    """Whether the framework casts to half precision."""

    def mode(self, key: str) -> str:
        """How ``key`` is normalised. Without statistics LeRobot leaves it as it is."""
        kind = self.types.get(key)
        if kind is None or key not in self.statistics:
            return "IDENTITY"
        if kind != "ACTION" and self.observation_keys is not None and key not in self.observation_keys:
            return "IDENTITY"
        return self.modes.get(kind, "IDENTITY")


def read_pipeline(folder: Path, name: str) -> Pipeline:
    """The pipeline in ``folder``/``name``. Raises ConfigError with every step that is not understood."""
    path = folder / name
    raw = read_json(path, "the two processor files belong together: copy the whole checkpoint")
    steps = raw.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise refusal(path, "steps", "is no list of tables", "copy the file again")
    pipeline, problems, order = Pipeline(), [], []
    for index, step in enumerate(steps):
        where = f"steps[{index}]"
        word = step.get("registry_name")
        if not isinstance(word, str):
            said = f'is the Python class "{step.get("class")}"'
            hint = "code of a checkpoint is never run: ask its author for the registered steps of LeRobot"
            problems.append(Problem(where, said, hint))
            continue
        order.append(word)
        config = step.get("config") or {}
        try:
            problems += _apply(pipeline, word, config, step.get("state_file"), folder, where)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problems.append(Problem(where, f"({word}) is not as LeRobot writes it: {error}", "copy it again"))
    pipeline.steps = tuple(order)
    problems += _order_problems(order)
    if problems:
        raise ConfigError(problems, str(path))
    return pipeline


def _apply(
    pipeline: Pipeline, word: str, config: Mapping[str, Any], state: Any, folder: Path, where: str
) -> list[Problem]:
    match word:
        case "rename_observations_processor":
            pipeline.renames = {str(k): str(v) for k, v in config.get("rename_map", {}).items()}
        case "device_processor":
            pipeline.half = config.get("float_dtype") not in (None, "float32", "float64")
        case "normalizer_processor" | "unnormalizer_processor":
            return _normaliser(pipeline, config, state, folder, where)
        case "relative_actions_processor":
            pipeline.relative = bool(config.get("enabled", False))
            pipeline.excluded = tuple(
                str(name).lower() for name in config.get("exclude_joints") or () if name
            )
            names = config.get("action_names")
            pipeline.action_names = None if names is None else tuple(map(str, names))
        case "absolute_actions_processor":
            pipeline.relative = bool(config.get("enabled", False))
        case _ if word in WITHOUT_EFFECT:
            pass
        case _ if LANGUAGE.search(word):
            said = f"({word}) prepares language for a vision-language model"
            hint = (
                "its tokenizer and its image towers cannot be exported here: run it as an engine of its own"
            )
            return [Problem(where, said, hint)]
        case _:
            said = f'is "{word}", which is not known here'
            hint = "what it does to the numbers would be missing: import it by hand, with a card of your own"
            return [Problem(where, said, hint)]
    return []


def _normaliser(
    pipeline: Pipeline, config: Mapping[str, Any], state: Any, folder: Path, where: str
) -> list[Problem]:
    pipeline.eps = float(config.get("eps", 1e-8))
    pipeline.types = {str(k): str(v["type"]) for k, v in config["features"].items()}
    pipeline.modes = {str(k): str(v) for k, v in config["norm_map"].items()}
    keys = config.get("normalize_observation_keys")
    pipeline.observation_keys = None if keys is None else tuple(map(str, keys))
    unknown = sorted({mode for mode in pipeline.modes.values() if mode not in MODES})
    if unknown:
        return [Problem(where, f"normalises by {', '.join(unknown)}", f"known are {', '.join(MODES)}")]
    if state is None:
        return []
    if not isinstance(state, str) or not re.match(FILE_NAME_PATTERN, state):
        return [Problem(where, f"has its state in {state!r}", "it is a file in the checkpoint's folder")]
    statistics: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name, data in read_safetensors(folder / state).items():
        key, _, statistic = name.rpartition(".")
        statistics.setdefault(key, {})[statistic] = np.asarray(data, np.float64).ravel()
    pipeline.statistics = statistics
    return []


def _order_problems(order: list[str]) -> list[Problem]:
    """A card has one place for each; what stands twice, or the other way round, would be something else."""
    problems = [
        Problem("steps", f"has {word} {order.count(word)} times", "once is what a card can say")
        for word in sorted(set(order))
        if order.count(word) > 1 and word not in WITHOUT_EFFECT and word != "device_processor"
    ]
    first = {word: order.index(word) for word in order}
    for early, late in (
        ("relative_actions_processor", "normalizer_processor"),
        ("unnormalizer_processor", "absolute_actions_processor"),
        ("rename_observations_processor", "normalizer_processor"),
    ):
        if early in first and late in first and first[early] > first[late]:
            hint = "a card reads the reference in the joints' units, before normalisation"
            problems.append(Problem("steps", f"has {early} behind {late}", hint))
    return problems
