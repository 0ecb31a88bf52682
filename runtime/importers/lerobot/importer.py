"""``import lerobot``: a checkpoint becomes a card and its graphs, and both paths are compared first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.decode.ensemble import Ensemble
from spinal.runtime.errors import PolicyError
from spinal.runtime.importers.draft import Draft, digest, policy_name
from spinal.runtime.importers.lerobot.card import Answers, Channels, card_tables, observation_steps
from spinal.runtime.importers.lerobot.checkpoint import ACTION, Checkpoint, Feature
from spinal.runtime.importers.lerobot.dataset import Dataset
from spinal.runtime.importers.lerobot.framework import Framework, require
from spinal.runtime.importers.lerobot.graph import (
    CONDITION,
    PREDICTION,
    SAMPLE,
    TIME,
    export_act,
    export_diffusion,
)
from spinal.runtime.importers.lerobot.normalise import recorded_range
from spinal.runtime.importers.ours import OurPath, observation, to_robot
from spinal.runtime.importers.verify import SAMPLES, Verification, compare
from spinal.runtime.types import Observation, StreamValue

VISION_LANGUAGE = (
    "its vision-language model, tokenizer and cached keys do not export to graphs of fixed shape: run it as an"
    " engine of its own (engine = in the card)"
)
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(
        ("pi0", "pi05", "pi0_fast", "smolvla", "groot", "xvla", "wall_x", "eo1"), VISION_LANGUAGE
    ),
    "vqbet": "it draws its codes at random, and decodes them inside its network",
    "tdmpc": "it plans with a model of the world in each step, which is no graph",
    "sac": "it answers single actions of an environment's own units: import its actor by hand",
}
Array = NDArray[np.float64]


def refuse_type(checkpoint: Checkpoint) -> None:
    """Raises PolicyError for a policy that cannot be exported honestly, with the reason."""
    if checkpoint.type in ("act", "diffusion"):
        return
    why = REFUSED.get(checkpoint.type, "its network is not known here: export it by hand, and write its card")
    raise PolicyError(
        f"a {checkpoint.type or 'nameless'} policy cannot be imported", hint=f"{why}; act and diffusion can"
    )


def import_lerobot(
    checkpoint: Checkpoint,
    channels: Channels,
    dataset: Dataset | None,
    answers: Answers,
    name: str | None = None,
    robot: RobotConfig | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Draft, list[Verification]]:
    """The verified draft. Raises ConfigError, PolicyError; nothing is written."""
    refuse_type(checkpoint)
    versions = require()
    draft = Draft(
        policy_name(name or checkpoint.folder.resolve().name, str(checkpoint.folder)),
        f"LeRobot {checkpoint.type}",
        {},
    )
    draft.tables = card_tables(checkpoint, channels, dataset, answers, draft.name)
    framework = Framework(checkpoint)
    say(f"exporting {checkpoint.type} with {versions}")
    if checkpoint.type == "act":
        _act(draft, checkpoint, framework)
        matched = framework
    else:
        matched = _diffusion(draft, checkpoint, framework, answers)
    draft.notes += _notes(checkpoint)
    path = OurPath(draft, robot)
    if path.stand_in:
        draft.notes.append(
            "percent of a range that is in no file: verified with a stand-in; the robot file's limits will be"
            " taken, or give --calibration"
        )
    say("comparing both paths on random observations")
    drawn = _Drawn(checkpoint, path.card, path.names, robot)
    results = [_compared(checkpoint, path, matched, drawn, versions)]
    if checkpoint.type == "act" and checkpoint.config.get("temporal_ensemble_coeff") is not None:
        results.append(
            _ensembled(path, matched, drawn, versions, float(checkpoint.config["temporal_ensemble_coeff"]))
        )
    return draft, results


def _act(draft: Draft, checkpoint: Checkpoint, framework: Framework) -> None:
    draft.files[draft.model] = export_act(framework)
    coefficient = checkpoint.config.get("temporal_ensemble_coeff")
    if coefficient is not None:
        draft.tables["decoder"] = {"kind": "ensemble", "coefficient": float(coefficient)}


def _diffusion(draft: Draft, checkpoint: Checkpoint, framework: Framework, answers: Answers) -> Framework:
    """Two graphs, looped by our DDIM; returns the framework that samples the same way.

    DDPM draws noise in each of its steps: the same network is sampled by DDIM here, as is common, and that is what
    is compared.
    """
    config = checkpoint.config
    configured = config.get("num_inference_steps") or config["num_train_timesteps"]
    sampler = config.get("noise_scheduler_type")
    if sampler == "DDPM" and answers.ddim_steps is None:
        raise PolicyError(
            f"the checkpoint samples with DDPM in {configured} steps, and draws noise in each of them",
            hint="the same network is sampled with DDIM here: say in how many steps, e.g. --ddim-steps 10",
        )
    if config.get("beta_schedule") != "squaredcos_cap_v2":
        raise PolicyError(
            f"the checkpoint's noise schedule is {config.get('beta_schedule')}",
            hint="squaredcos_cap_v2 is what a card means by diffusion",
        )
    steps = answers.ddim_steps or int(configured)
    encoder, step, condition = export_diffusion(framework)
    file = f"{draft.name}_encoder.onnx"
    draft.files[file] = encoder
    draft.files[draft.model] = step
    draft.tables["decoder"] = {
        "kind": "diffusion",
        "steps": steps,
        "train_steps": int(config["num_train_timesteps"]),
        "prediction": config["prediction_type"],
        "x": SAMPLE,
        "time": TIME,
        "output": PREDICTION,
        "encoder": {"file": file, "sha256": digest(encoder)},
    }
    if config.get("clip_sample", True):
        draft.tables["decoder"]["clip"] = float(config["clip_sample_range"])
    else:
        raise PolicyError(
            "the checkpoint does not clip its samples", hint="a card's diffusion decoder has a clip"
        )
    draft.tables["noise"] = "normal"
    draft.tables["output"]["name"] = PREDICTION
    if sampler != "DDIM" or steps != int(configured):
        draft.notes.append(
            f"sampled with DDIM in {steps} steps; the checkpoint's own is {sampler} in {configured}"
        )
    draft.notes.append(f"the encoder hands {condition} numbers to each of the {steps} steps, as {CONDITION}")
    framework.sample_with_ddim(steps)
    return framework


def _notes(checkpoint: Checkpoint) -> list[str]:
    notes = [
        f"{feature.key} has no statistics: LeRobot does not normalise it, and neither does the card"
        for feature in (*checkpoint.inputs, checkpoint.action)
        if checkpoint.statistics(feature.key) == {}
        and (checkpoint.post if feature.key == ACTION else checkpoint.pre).modes.get(feature.type, "IDENTITY")
        != "IDENTITY"
    ]
    if checkpoint.layout == "buffers":
        notes.append("the older layout: statistics were read from the model's own buffers")
    if checkpoint.pre.half:
        notes.append("LeRobot runs it in half precision; it is exported, and was compared, in float32")
    played, chunk = checkpoint.config.get("n_action_steps"), checkpoint.config.get("chunk_size")
    if (
        played is not None
        and chunk is not None
        and played < chunk
        and checkpoint.config.get("temporal_ensemble_coeff") is None
    ):
        notes.append(
            f"LeRobot executes {played} of {chunk} actions; here the rest stands behind them until the next answer"
        )
    sizes = {f"{f.shape[2]}x{f.shape[1]}" for f in checkpoint.inputs if f.type == "VISUAL"}
    if sizes:
        notes.append(
            f"pictures of another size than {', '.join(sorted(sizes))} are stretched; LeRobot would refuse them"
        )
    return notes


class _Drawn:
    """Random observations, as a robot's and as LeRobot's: joints over what was recorded, any pictures."""

    def __init__(
        self, checkpoint: Checkpoint, card: PolicyCard, names: list[str], robot: RobotConfig | None
    ) -> None:
        self._checkpoint, self._card, self._robot, self._names = checkpoint, card, robot, names
        self._rng = np.random.default_rng(0)
        self.step_ns = card.chunk.step_ns
        self._raw = {own: raw for raw, own in checkpoint.pre.renames.items()}
        self._by_name = {joint.name: joint for joint in card.joints}
        self._now_ns = 0

    def restart(self) -> None:
        """A new run, long after the last."""
        self._now_ns += 10_000_000_000

    def one(self) -> tuple[Observation, dict[str, NDArray[np.float32]]]:
        """One step later: ours, and theirs by the keys that a robot has in LeRobot."""
        self._now_ns += self.step_ns
        theirs: dict[str, NDArray[np.float32]] = {}
        images: dict[str, NDArray[np.uint8]] = {}
        streams: dict[str, StreamValue] = {}
        position = np.zeros(len(self._names))
        inputs = {tensor.name: tensor for tensor in self._card.inputs}
        for feature in self._checkpoint.inputs:
            tensor, key = inputs[feature.key], self._raw.get(feature.key, feature.key)
            kind, name = tensor.source
            if kind == "camera":
                _, height, width = feature.shape
                pixels = self._rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
                images[name] = pixels
                theirs[key] = np.ascontiguousarray(
                    (pixels.astype(np.float32) / np.float32(255)).transpose(2, 0, 1), np.float32
                )
                continue
            numbers = self._recorded(feature)
            if kind == "stream":
                sensor, _, field = name.partition(".")
                streams[sensor] = _sensed(field, numbers, self._now_ns)
            else:
                joints = [self._by_name[n] for n in (tensor.joints or self._by_name)]
                numbers = np.array([_within(joint.unit, x) for joint, x in zip(joints, numbers, strict=True)])
                for joint, number in zip(joints, numbers, strict=True):
                    position[self._names.index(joint.name)] = to_robot(joint, np.array(number), self._robot)
            theirs[key] = numbers.astype(np.float32)
        return observation(self._now_ns, position, images=images, streams=streams), theirs

    def noise(self) -> Array:
        """What a sampler begins from."""
        return self._rng.standard_normal((self._card.chunk.steps, self._card.channels))

    def _recorded(self, feature: Feature) -> Array:
        spread = recorded_range(self._checkpoint, feature.key)
        low, high = (
            spread if spread is not None else (np.full(feature.shape, -1.0), np.full(feature.shape, 1.0))
        )
        return np.asarray(low + (high - low) * self._rng.uniform(size=feature.shape[0]))

    def to_robot(self, actions: Array) -> Array:
        """LeRobot's [step, channel] in rad and m."""
        columns = [to_robot(joint, actions[:, i], self._robot) for i, joint in enumerate(self._card.joints)]
        return np.stack(columns, axis=1)


def _compared(
    checkpoint: Checkpoint, path: OurPath, framework: Framework, drawn: _Drawn, versions: str
) -> Verification:
    """Whole chunks, each after as many observations as the model looks back."""
    noisy = checkpoint.type == "diffusion"
    history = observation_steps(checkpoint)

    def runs() -> Iterator[Any]:
        while True:
            drawn.restart()
            yield [drawn.one() for _ in range(history)], drawn.noise() if noisy else None

    def ours(run: Any) -> Array:
        seen, noise = run
        path.restart()
        for observed, _ in seen[:-1]:
            path.see(observed)
        return path.answer(seen[-1][0], noise)

    def theirs(run: Any) -> Array:
        seen, noise = run
        given = None if noise is None else noise[None].astype(np.float32)
        return drawn.to_robot(framework.chunk([observed for _, observed in seen], given))

    def shortened(run: Any) -> Array:
        return ours(run)[: len(theirs(run))]

    what = f"fill, onnxruntime, {path.card.decoder.kind} and meaning"
    return compare(what, versions, runs(), shortened if noisy else ours, theirs)


def _ensembled(
    path: OurPath, framework: Framework, drawn: _Drawn, versions: str, coefficient: float
) -> Verification:
    """One run of as many steps: what ``select_action`` gives next, against our mean of overlapping chunks."""
    ensemble = Ensemble(coefficient)
    framework.policy.reset()
    path.restart()
    drawn.restart()
    step_ns = path.card.chunk.step_ns

    def ours(run: Any) -> Array:
        observed: Observation = run[0]
        return np.array(ensemble.add(observed.stamp_ns + step_ns, step_ns, path.answer(observed))[0])

    def theirs(run: Any) -> Array:
        return np.asarray(drawn.to_robot(framework.select(run[1])[None])[0])

    def runs() -> Iterator[Any]:
        while True:
            yield drawn.one()

    return compare(
        "the same with temporal ensembling", f"select_action of {versions}", runs(), ours, theirs, SAMPLES
    )


def _within(unit: str, number: float) -> float:
    """Percent end at the range's ends: beyond them a robot of LeRobot's says nothing either."""
    if unit == "percent":
        return float(np.clip(number, 0, 100))
    return float(np.clip(number, -100, 100)) if unit == "signed_percent" else float(number)


def _sensed(field: str, numbers: Array, now_ns: int) -> StreamValue:
    value = StreamValue(np.zeros(3), np.zeros(3), 0.0, now_ns)
    match field:
        case "position":
            return replace(value, position_m=numbers)
        case "velocity":
            return replace(value, velocity_m_s=numbers)
        case "angular_velocity":
            return replace(value, angular_velocity_rad_s=numbers)
        case "acceleration":
            return replace(value, acceleration_m_s2=numbers)
        case "yaw":
            return replace(value, yaw_rad=float(numbers[0]))
    raise PolicyError(
        f"nothing can be compared for a stream's {field}", hint="leave the observation to a planner"
    )


def describe(checkpoint: Checkpoint) -> str:
    """One line for a person."""
    seen = ", ".join(f"{feature.key} {list(feature.shape)}" for feature in checkpoint.inputs)
    return f"{checkpoint.type} ({checkpoint.layout}): {seen} -> {ACTION} {list(checkpoint.action.shape)}"
