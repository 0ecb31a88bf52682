"""LeRobot itself: its policy and its processors, loaded from a checkpoint and run. Needs the extra ``lerobot``.

Nothing is fetched: the checkpoint's own weights replace those that its backbone was once initialised from.
Pipelines are loaded only after ``steps.py`` has understood each step: LeRobot would import a class by its path.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.errors import PolicyError
from spinal.runtime.importers.lerobot.checkpoint import ACTION, MODEL, Checkpoint
from spinal.runtime.importers.source import safetensors_names

os.environ.setdefault("HF_HUB_OFFLINE", "1")
BUFFERS = ("normalize_inputs.", "normalize_targets.", "unnormalize_outputs.")


def require() -> str:
    """LeRobot's and torch's versions. Raises PolicyError when the extra is missing."""
    try:
        return f"lerobot {version('lerobot')}, torch {version('torch')}"
    except PackageNotFoundError as error:
        raise PolicyError(
            f"{error.name or 'lerobot'} is not installed, and its own code builds the network",
            hint='pip install "spinal[lerobot]", in an environment of its own: the robot needs none of it',
        ) from None


class Framework:
    """A policy as LeRobot runs it, on the CPU."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        import torch
        from lerobot.configs.policies import PreTrainedConfig
        from lerobot.policies.factory import get_policy_class, make_pre_post_processors

        torch.manual_seed(0)
        self.checkpoint = checkpoint
        folder = str(checkpoint.folder)
        config = PreTrainedConfig.from_pretrained(folder, local_files_only=True)
        config.device = "cpu"
        for word, value in (("pretrained_backbone_weights", None), ("compile_model", False)):
            if hasattr(config, word):
                setattr(config, word, value)
        self.config = config
        strict = checkpoint.layout == "pipelines"
        self.policy = get_policy_class(checkpoint.type).from_pretrained(
            folder, config=config, local_files_only=True, strict=strict
        )
        self.policy.to("cpu").eval()
        if not strict:
            self._check_weights()
        if checkpoint.layout == "pipelines":
            device = {"device_processor": {"device": "cpu", "float_dtype": None}}
            self.pre, self.post = make_pre_post_processors(
                config,
                pretrained_path=folder,
                preprocessor_overrides=device if "device_processor" in checkpoint.pre.steps else {},
                postprocessor_overrides=device if "device_processor" in checkpoint.post.steps else {},
            )
        else:
            statistics = {
                key: {word: self._shaped(key, values) for word, values in table.items()}
                for key, table in checkpoint.pre.statistics.items()
            }
            self.pre, self.post = make_pre_post_processors(config, dataset_stats=statistics)

    def _shaped(self, key: str, values: NDArray[np.float64]) -> Any:
        import torch

        tensor = torch.as_tensor(values, dtype=torch.float32)
        return tensor.reshape(-1, 1, 1) if self.checkpoint.pre.types.get(key) == "VISUAL" else tensor

    def _check_weights(self) -> None:
        """The older layout holds more than the network; that it holds all of it is for us to see."""
        held = set(safetensors_names(self.checkpoint.folder / MODEL))
        missing = [
            name for name in self.policy.state_dict() if name not in held and not name.startswith(BUFFERS)
        ]
        if missing:
            raise PolicyError(
                f"{MODEL} lacks {len(missing)} of the network's tensors, {missing[0]} first",
                hint="install the LeRobot that wrote the checkpoint, and import it with that",
            )

    def chunk(
        self, observations: list[Mapping[str, NDArray[np.float32]]], noise: NDArray[np.float32] | None = None
    ) -> NDArray[np.float64]:
        """[step, channel] in its own units, after ``observations``, the newest last, by a robot's own keys."""
        import torch

        with torch.no_grad():
            self.policy.reset()
            batch: dict[str, Any] = {}
            for observation in observations:
                batch = self.pre({key: torch.from_numpy(value) for key, value in observation.items()})
                self._remember(batch)
            batch.pop(ACTION, None)
            if noise is not None:
                answer = self.policy.predict_action_chunk(batch, noise=torch.from_numpy(noise))
            else:
                answer = self.policy.predict_action_chunk(batch)
            return np.asarray(self.post(answer)[0].numpy(), np.float64)

    def sample_with_ddim(self, steps: int) -> None:
        """Makes a diffusion policy sample with LeRobot's own DDIM scheduler in so many steps."""
        from lerobot.policies.diffusion.modeling_diffusion import _make_noise_scheduler

        config = self.config
        self.policy.diffusion.noise_scheduler = _make_noise_scheduler(
            "DDIM",
            num_train_timesteps=config.num_train_timesteps,
            beta_start=config.beta_start,
            beta_end=config.beta_end,
            beta_schedule=config.beta_schedule,
            clip_sample=config.clip_sample,
            clip_sample_range=config.clip_sample_range,
            prediction_type=config.prediction_type,
        )
        self.policy.diffusion.num_inference_steps = steps

    def select(self, observation: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
        """[channel]: the one action that ``select_action`` gives next, queues and ensembling included."""
        import torch

        with torch.no_grad():
            batch = self.pre({key: torch.from_numpy(value) for key, value in observation.items()})
            return np.asarray(self.post(self.policy.select_action(batch))[0].numpy(), np.float64)

    def _remember(self, batch: dict[str, Any]) -> None:
        """Puts an observation into the queues of a policy that has some, as its ``select_action`` does."""
        import torch
        from lerobot.policies.utils import populate_queues

        if getattr(self.policy, "_queues", None) is None:
            return
        given = {key: value for key, value in batch.items() if key != ACTION and torch.is_tensor(value)}
        if self.config.image_features:
            given["observation.images"] = torch.stack(
                [given[key] for key in self.config.image_features], dim=-4
            )
            batch["observation.images"] = given["observation.images"]
        self.policy._queues = populate_queues(self.policy._queues, given)
