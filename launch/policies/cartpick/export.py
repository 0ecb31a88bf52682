"""Writes the trained network as one ONNX file, with nothing in it about where it was made, and its card."""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from spinal.drivers.sim import arm6
from spinal.launch.policies.cartpick.model import LONGEST_PREFIX, ChunkFlow, Inputs
from spinal.launch.policies.cartpick.pipeline import HORIZON, JOINTS, STEP_NS

VERSION = "0.2.0"
NOISE = "normal"
"""What fills the noise input at run time."""
INFERENCE_MS = 1.0
"""What an answer takes, with room for a core that others use too."""
INPUTS = {
    "joint_position": ("joint_position", (1, JOINTS), "joint"),
    "joint_velocity": ("joint_velocity", (1, JOINTS), "joint/s"),
    "command": ("command", (1, JOINTS), "joint"),
    "block_position": ("stream:block.position", (1, 3), "m"),
    "block_yaw": ("stream:block.yaw", (1, 1), "rad"),
    "block_velocity": ("stream:block.velocity", (1, 3), "m/s"),
    "prefix": ("prefix", (1, HORIZON, JOINTS), "joint"),
    "mask": ("mask", (1, HORIZON), "1"),
    "noise": ("noise", (1, HORIZON, JOINTS), "1"),
}
"""Tensor: the stream that fills it, its shape, its unit."""
LARGEST_DIFFERENCE = 1e-5
"""Most that a target of the exported graph may differ from the network's own, rad or m."""


def strip(model: onnx.ModelProto) -> None:
    """Remove what an exporter adds about its machine: source paths, stack traces, descriptions."""
    model.doc_string = ""
    del model.metadata_props[:]
    graphs = [model.graph, *model.functions]
    for graph in graphs:
        graph.doc_string = ""
        del graph.metadata_props[:]
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        value.doc_string = ""
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]


def example() -> list[torch.Tensor]:
    """One plausible value of every input, in the order of ``INPUTS``."""
    joints = torch.tensor([[*arm6.ik(0.17, 0.02, 0.1, 0.3).tolist(), arm6.JAW_OPEN]])
    prefix = joints[:, None] + 0.01 * torch.arange(HORIZON)[None, :, None]
    return [
        joints.float(),
        torch.full((1, JOINTS), 0.1),
        joints.float() + 0.01,
        torch.tensor([[0.18, -0.03, 0.04]]),
        torch.tensor([[0.5]]),
        torch.tensor([[0.1, -0.05, 0.0]]),
        prefix.float(),
        (torch.arange(HORIZON)[None] < 3).float(),
        torch.randn(1, HORIZON, JOINTS, generator=torch.Generator().manual_seed(0)),
    ]


def export(net: ChunkFlow, path: Path) -> float:
    """Export, strip, check against the network; returns the largest difference, which must be small."""
    net.eval()
    tensors = example()
    arguments = (Inputs(*tensors[:6]), *tensors[6:])
    torch.onnx.export(
        net,
        arguments,
        str(path),
        input_names=list(INPUTS),
        output_names=["chunk"],
        opset_version=18,
        dynamo=True,
        external_data=False,
    )
    model = onnx.load(path)
    strip(model)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = {name: value.numpy() for name, value in zip(INPUTS, tensors, strict=True)}
    with torch.no_grad():
        expected = net(*arguments).numpy()
    difference = float(np.abs(session.run(None, feed)[0] - expected).max())
    if difference > LARGEST_DIFFERENCE:
        raise ValueError(f"the exported graph differs from the network by {difference:g}")
    return difference


def card(model: bytes) -> str:
    """The card of an exported model, TOML."""
    joints = [("gripper", "m") if name == "gripper" else ("arm", "rad") for name in arm6.JOINTS]
    lines = [
        "# Written by export.py beside the model: what it eats, what it answers, and for which joints.",
        "schema = 1",
        'name = "cartpick"',
        f'version = "{VERSION}"',
        f'sha256 = "{hashlib.sha256(model).hexdigest()}"',
        'robot = "so101"',
        'representation = "absolute"',
        f'noise = "{NOISE}"',
        f"inference_ms = {INFERENCE_MS}  # 0.3 to 0.5 on a quiet core; ten times as much is a fault",
        f"chunk = {{ steps = {HORIZON}, step_ms = {STEP_NS // 1_000_000} }}",
        f"prefix = {{ max_steps = {LONGEST_PREFIX} }}",
        f'output = {{ name = "chunk", shape = [1, {HORIZON}, {JOINTS}] }}',
        "joints = [",
        *(
            f'  {{ name = "{name}", kind = "{kind}", unit = "{unit}" }},'
            for name, (kind, unit) in zip(arm6.JOINTS, joints, strict=True)
        ),
        "]",
        "inputs = [",
        *(
            f'  {{ name = "{name}", stream = "{stream}", shape = {list(shape)}, unit = "{unit}" }},'
            for name, (stream, shape, unit) in INPUTS.items()
        ),
        "]",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Export trained weights as ONNX, with the card beside it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    net = ChunkFlow()
    net.load_state_dict(torch.load(arguments.weights, weights_only=True))
    difference = export(net, arguments.output)
    arguments.output.with_suffix(".card.toml").write_text(card(arguments.output.read_bytes()))
    print(f"{arguments.output}: {arguments.output.stat().st_size} bytes, differs by {difference:g}")


if __name__ == "__main__":
    main()
