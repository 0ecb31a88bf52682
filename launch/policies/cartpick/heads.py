"""The shipped network taken apart for guidance: an encoder, and one step of the flow with its Jacobian's transpose.

The shipped graph unrolls its five steps and answers at once; whoever guides the flow from outside (real-time
chunking, arXiv 2506.07339) needs each step.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from spinal.launch.policies.cartpick.export import LARGEST_DIFFERENCE, example, strip
from spinal.launch.policies.cartpick.model import FLOW_STEPS, NOISE_SCALE, ChunkFlow, Inputs
from spinal.launch.policies.cartpick.pipeline import HORIZON, JOINTS

MEASURED = "2.6 to 3.2 guided, on a quiet core; ten times as much is a fault"
ENCODER, STEP = "cartpick_encoder.onnx", "cartpick_flow.onnx"
INFERENCE_MS = 5.0
"""What an answer of five guided steps takes, with room for a core that others use too."""


class Encoder(nn.Module):  # type: ignore[misc, unused-ignore]
    """Normalised features [B, F] of an observation."""

    def __init__(self, net: ChunkFlow) -> None:
        super().__init__()
        self.net = net

    def forward(self, inputs: Inputs) -> Tensor:
        """The condition of every step."""
        return self.net.condition(inputs)


class Step(nn.Module):  # type: ignore[misc, unused-ignore]
    """Velocity [B, 20, 6] at ``x`` and ``time`` [B], and ``error`` times the Jacobian of x + (1 - t) v."""

    def __init__(self, net: ChunkFlow) -> None:
        super().__init__()
        self.net = net

    def forward(self, condition: Tensor, x: Tensor, time: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
        """The backward pass is written out: an exported graph has no other."""
        net = self.net
        when = time[:, None]
        angle = when * net.frequencies
        embedding = torch.cat([torch.sin(angle), torch.cos(angle)], dim=-1)
        mask = torch.zeros_like(x[:, :, 0])
        h = net.enter(torch.cat([condition, x.flatten(1), mask, embedding], dim=-1))
        kept: list[tuple[Tensor, Tensor]] = []
        for norm, first, second, at in zip(net.norms, net.first, net.second, net.times, strict=True):
            inner = first(norm(h)) + at(embedding)
            kept.append((h, inner))
            h = h + second(nn.functional.silu(inner))
        velocity = net.leave(h).view(-1, HORIZON, JOINTS)

        back = ((1 - when)[..., None] * error).flatten(1) @ net.leave.weight
        layers = list(zip(net.norms, net.first, net.second, kept, strict=True))
        for norm, first, second, (before, inner) in reversed(layers):
            gate = torch.sigmoid(inner)
            slope = gate * (1 + inner * (1 - gate))
            back = back + _through_norm(norm, before, (back @ second.weight * slope) @ first.weight)
        begin = condition.shape[1]
        through = back @ net.enter.weight[:, begin : begin + HORIZON * JOINTS]
        return velocity, error + through.view(-1, HORIZON, JOINTS)


def _through_norm(norm: nn.LayerNorm, h: Tensor, back: Tensor) -> Tensor:
    """A gradient behind a layer norm, in front of it."""
    centred = h - h.mean(-1, keepdim=True)
    spread = torch.sqrt((centred * centred).mean(-1, keepdim=True) + norm.eps)
    unit, back = centred / spread, back * norm.weight
    return (back - back.mean(-1, keepdim=True) - unit * (back * unit).mean(-1, keepdim=True)) / spread


def export(net: ChunkFlow, folder: Path) -> None:
    """Both graphs into ``folder``, checked: five unguided steps are what the whole network answers."""
    tensors = example()
    inputs = Inputs(*tensors[:6])
    condition = net.condition(inputs)
    x = torch.randn(1, HORIZON, JOINTS, generator=torch.Generator().manual_seed(1))
    time = torch.tensor([0.4])
    _write(Encoder(net), (inputs,), folder / ENCODER, list(Inputs._fields), ["condition"])
    _write(
        Step(net),
        (condition, x, time, 0.1 * x),
        folder / STEP,
        ["condition", "x", "time", "error"],
        ["velocity", "vjp"],
    )
    encoder, step = (
        onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"])
        for name in (ENCODER, STEP)
    )
    feed = {name: value.numpy() for name, value in zip(Inputs._fields, inputs, strict=True)}
    (features,) = encoder.run(None, feed)
    at = NOISE_SCALE * x.numpy()
    for k in range(FLOW_STEPS):
        asked = {
            "condition": features,
            "x": at,
            "time": np.array([k / FLOW_STEPS], np.float32),
            "error": np.zeros_like(at),
        }
        at = at + step.run(None, asked)[0] / FLOW_STEPS
    answer = at * net.chunk_scale.numpy() + inputs.command.numpy()[:, None]
    with torch.no_grad():
        whole = net(inputs, torch.zeros_like(x), torch.zeros(1, HORIZON), x).numpy()
    difference = float(np.abs(answer - whole).max())
    if difference > LARGEST_DIFFERENCE:
        raise ValueError(f"five steps differ from the network by {difference:g}")
    print(
        f"five steps differ from the network by {difference:g}, the Jacobian by {jacobian_difference(net):g}"
    )


def jacobian_difference(net: ChunkFlow) -> float:
    """The largest between the written-out backward pass and autograd's, over a few random points."""
    generator = torch.Generator().manual_seed(2)
    condition = net.condition(Inputs(*example()[:6])).detach()
    worst = 0.0
    for when in (0.0, 0.3, 0.8):
        x, error = (torch.randn(1, HORIZON, JOINTS, generator=generator) for _ in range(2))
        time = torch.tensor([when])

        def ahead(at: Tensor, time: Tensor = time) -> Tensor:
            return at + (1 - time)[:, None, None] * Step(net)(condition, at, time, torch.zeros_like(at))[0]

        (expected,) = torch.autograd.functional.vjp(ahead, x, error)[1:]
        with torch.no_grad():
            worst = max(worst, float((Step(net)(condition, x, time, error)[1] - expected).abs().max()))
    return worst


def card(net: ChunkFlow, folder: Path, shipped: str) -> str:
    """The shipped card, with the flow looped from outside in place of the unrolled graph."""
    digest = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (ENCODER, STEP)}
    scale = ", ".join(f"{number:.9g}" for number in net.chunk_scale.flatten().tolist())
    lines = ["# Written by heads.py beside the model: the shipped policy with its flow looped from outside."]
    decoder = (
        f'decoder = {{ kind = "flow", steps = {FLOW_STEPS}, noise_at = 0, x = "x", time = "time",'
        f' velocity = "velocity", noise_scale = {NOISE_SCALE}, error = "error", vjp = "vjp",'
        f' encoder = {{ file = "{ENCODER}", sha256 = "{digest[ENCODER]}" }} }}'
    )
    output = (
        f'output = {{ name = "velocity", shape = [1, {HORIZON}, {JOINTS}],'
        f' normalise = {{ mode = "scale", scale = [{scale}] }} }}'
    )
    changed = {
        "name": 'name = "cartpick_flow"',
        "sha256": f'sha256 = "{digest[STEP]}"',
        "representation": 'representation = "relative"\nrelative_to = "command"',
        "inference_ms": f"inference_ms = {INFERENCE_MS}  # {MEASURED}",
        "prefix": decoder,
        "output": output,
    }
    for line in shipped.splitlines()[1:]:
        if not any(f'stream = "{stream}"' in line for stream in ("prefix", "mask", "noise")):
            lines.append(changed.get(line.partition(" = ")[0], line))
    return "\n".join(lines) + "\n"


def _write(
    module: nn.Module, arguments: tuple[object, ...], path: Path, inputs: list[str], outputs: list[str]
) -> None:
    torch.onnx.export(
        module.eval(),
        arguments,
        str(path),
        input_names=inputs,
        output_names=outputs,
        opset_version=18,
        dynamo=True,
        external_data=False,
    )
    model = onnx.load(path)
    strip(model)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def main() -> None:
    """Write the two graphs and their card beside an exported policy."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("model", type=Path, help="what was exported from them, with its card beside it")
    arguments = parser.parse_args()
    net, folder = ChunkFlow(), arguments.model.parent
    net.load_state_dict(torch.load(arguments.weights, weights_only=True))
    export(net.eval(), folder)
    shipped = arguments.model.with_suffix(".card.toml").read_text()
    (folder / STEP).with_suffix(".card.toml").write_text(card(net, folder, shipped))


if __name__ == "__main__":
    main()
