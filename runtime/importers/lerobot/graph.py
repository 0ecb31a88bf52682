"""A LeRobot network as ONNX graphs of fixed shapes: normalisation, history and sampling stay outside, in the card.

Needs the extra ``lerobot``. Weights are embedded; what an exporter writes about its machine is removed.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spinal.runtime.config.card import MAX_STEPS
from spinal.runtime.config.model_file import MAX_MODEL_BYTES
from spinal.runtime.errors import PolicyError
from spinal.runtime.importers.lerobot.checkpoint import ACTION, STATE
from spinal.runtime.importers.lerobot.framework import Framework

OPSET = 18
IMAGES = "observation.images"
CONDITION, SAMPLE, TIME, PREDICTION = "condition", "sample", "timestep", "prediction"


def export_act(framework: Framework) -> bytes:
    """ACT's graph: every input feature -> ``action`` [1, steps, channels]; the latent is zero, as it infers."""
    import torch

    keys = [feature.key for feature in framework.checkpoint.inputs]
    images = list(framework.config.image_features)

    class Graph(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = framework.policy.model

        def forward(self, *tensors: Any) -> Any:
            batch: dict[str, Any] = dict(zip(keys, tensors, strict=True))
            if images:
                batch[IMAGES] = [batch[key] for key in images]
            return self.network(batch)[0][:, :MAX_STEPS]

    shapes = [(1, *feature.shape) for feature in framework.checkpoint.inputs]
    return export(Graph(), keys, [torch.randn(shape) for shape in shapes], [ACTION])


def export_diffusion(framework: Framework) -> tuple[bytes, bytes, int]:
    """Diffusion's encoder (features -> ``condition``), its step (``sample``, ``timestep``, ``condition`` ->
    ``prediction``), and how long the condition is.
    """
    import torch

    keys = [feature.key for feature in framework.checkpoint.inputs]
    images = list(framework.config.image_features)
    history = framework.config.n_obs_steps
    lead = (1, history) if history > 1 else (1,)

    class Encoder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = framework.policy.diffusion

        def forward(self, *tensors: Any) -> Any:
            shaped = [tensor if history > 1 else tensor.unsqueeze(1) for tensor in tensors]
            batch: dict[str, Any] = dict(zip(keys, shaped, strict=True))
            if images:
                batch[IMAGES] = torch.stack([batch[key] for key in images], dim=-4)
            return self.network._prepare_global_conditioning(batch)

    class Step(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = framework.policy.diffusion.unet

        def forward(self, sample: Any, timestep: Any, condition: Any) -> Any:
            return self.network(sample, timestep, global_cond=condition)

    if STATE not in keys:
        raise PolicyError(
            f"the policy has no {STATE}", hint="LeRobot's diffusion policy is conditioned on it"
        )
    tensors = [torch.randn((*lead, *feature.shape)) for feature in framework.checkpoint.inputs]
    with torch.no_grad():
        condition = Encoder()(*tensors)
    encoder = export(Encoder(), keys, tensors, [CONDITION])
    sample = torch.randn(1, framework.config.horizon, framework.config.action_feature.shape[0])
    step = export(Step(), [SAMPLE, TIME, CONDITION], [sample, torch.tensor([3.0]), condition], [PREDICTION])
    return encoder, step, int(condition.shape[1])


def export(module: Any, inputs: Sequence[str], arguments: Sequence[Any], outputs: Sequence[str]) -> bytes:
    """``module`` as one ONNX file: fixed shapes, its weights in it, nothing about where it was made."""
    import onnx
    import torch

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        levels = {name: logging.getLogger(name).level for name in ("onnxscript", "torch.onnx", "onnx_ir")}
        for name in levels:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            program = torch.onnx.export(
                module.eval(),
                tuple(arguments),
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
            program.save(str(path), external_data=False)
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
        model = onnx.load(path)
    strip(model)
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    if len(data) > MAX_MODEL_BYTES:
        raise PolicyError(
            f"the exported network has {len(data) >> 20} MiB, and {MAX_MODEL_BYTES >> 20} is the limit",
            hint="run a network of that size as an engine of its own",
        )
    return bytes(data)


def strip(model: Any) -> None:
    """Removes what an exporter adds about its machine: source paths, stack traces, descriptions."""
    model.doc_string = ""
    del model.metadata_props[:]
    for graph in [model.graph, *model.functions]:
        graph.doc_string = ""
        del graph.metadata_props[:]
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer]
    for value in values:
        value.doc_string = ""
        del value.metadata_props[:]
