"""Trains the flow on recordings: a fixed number of iterations from fixed seeds, on one thread."""

import argparse
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spinal.launch.policies.cartpick import dataset
from spinal.launch.policies.cartpick.model import LIMIT, LONGEST_PREFIX, ChunkFlow, Inputs, features
from spinal.launch.policies.cartpick.pipeline import HORIZON, JOINTS

BATCH = 512
LEARNING_RATE = 1e-3
WARM_UP = 200
AVERAGE = 0.999
NO_PREFIX = 0.4
"""Share of the undisturbed windows that train without a prefix; the rest draws its length."""


class Windows(NamedTuple):
    """Training windows: row numbers [n] of the observations, and how many leading steps were disturbed."""

    row: NDArray[np.int64]
    disturbed_steps: NDArray[np.int64]


def windows(recording: dataset.Recording) -> Windows:
    """Every window of 20 steps inside one pick whose disturbed steps, if any, end within the first 8."""
    row = np.arange(len(recording.segment) - HORIZON + 1)
    one_pick = recording.segment[row] == recording.segment[row + HORIZON - 1]
    row = row[one_pick & recording.seen[row]]
    disturbed = recording.disturbed[row[:, None] + np.arange(HORIZON)]
    steps = np.where(disturbed.any(1), HORIZON - np.argmax(disturbed[:, ::-1], axis=1), 0)
    usable = steps <= LONGEST_PREFIX
    return Windows(row[usable], steps[usable])


class Examples(NamedTuple):
    """What the loop draws batches from: features [n, F], flow targets [n, 20, 6], disturbed steps [n]."""

    condition: Tensor
    target: Tensor
    disturbed_steps: Tensor


def prepare(net: ChunkFlow, recording: dataset.Recording, normalise: bool) -> Examples:
    """Set the network's normalisation from the data, or keep the one it has, and apply it."""
    picked = windows(recording)
    inputs = Inputs(*(torch.from_numpy(getattr(recording, name)[picked.row]) for name in Inputs._fields))
    raw = features(inputs)
    chunk = torch.from_numpy(recording.executed[picked.row[:, None] + np.arange(HORIZON)])
    disturbed = torch.from_numpy(picked.disturbed_steps)
    if normalise:
        net.feature_mean[:] = raw.mean(0)
        net.feature_scale[:] = raw.std(0).clamp_min(1e-3)
        net.chunk_scale[:] = (chunk - inputs.command[:, None])[disturbed == 0].std(0) + 1e-4
    target = net.to_flow(chunk, inputs.command).clamp(-LIMIT, LIMIT)
    return Examples(net.condition(inputs), target, disturbed)


def loss(net: ChunkFlow, examples: Examples, batch: Tensor) -> Tensor:
    """Flow-matching loss of a batch of rows, the given prefix left out of it."""
    y = examples.target[batch]
    z, when = torch.randn_like(y), torch.rand(len(batch), 1)
    least = examples.disturbed_steps[batch].float()
    length = least + torch.floor(torch.rand(len(batch)) * (LONGEST_PREFIX + 1 - least))
    length = torch.where((torch.rand(len(batch)) < NO_PREFIX) & (least == 0), torch.zeros(()), length)
    mask = (torch.arange(HORIZON)[None] < length[:, None]).float()
    given, free = mask[..., None], 1 - mask[..., None]
    x = given * y + free * (when[..., None] * y + (1 - when[..., None]) * z)
    with torch.autocast("cpu", torch.bfloat16):
        v = net.velocity(examples.condition[batch], x, when, mask)
    return (((v.float() - (y - z)) ** 2) * free).sum() / (free.sum() * JOINTS)


def train(
    recording: dataset.Recording, iterations: int, seed: int = 0, start: Path | None = None
) -> ChunkFlow:
    """A network trained with AdamW, cosine decay, clipped gradients and averaged weights.

    With ``start`` it goes on from these weights and keeps their normalisation.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    net = ChunkFlow()
    if start is not None:
        net.load_state_dict(torch.load(start, weights_only=True))
    with torch.no_grad():
        examples = prepare(net, recording, normalise=start is None)
    parameters = list(net.parameters())
    print(f"{len(examples.target)} windows, {sum(p.numel() for p in parameters)} parameters", flush=True)
    optimiser = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=1e-4)
    average = [p.detach().clone() for p in parameters]
    smooth = float("nan")
    for iteration in range(iterations):
        done = iteration / iterations
        rate = min(1.0, iteration / WARM_UP) * (0.5 * (1 + math.cos(math.pi * done)) + 0.01)
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * rate
        value = loss(net, examples, torch.randint(0, len(examples.target), (BATCH,)))
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        keep = min(AVERAGE, (iteration + 1) / (iteration + 11))
        with torch.no_grad():
            for kept, parameter in zip(average, parameters, strict=True):
                kept.lerp_(parameter, 1 - keep)
        smooth = value.item() if math.isnan(smooth) else 0.99 * smooth + 0.01 * value.item()
        if (iteration + 1) % 1000 == 0:
            print(f"{iteration + 1}/{iterations} loss {smooth:.4f}", flush=True)
    with torch.no_grad():
        for kept, parameter in zip(average, parameters, strict=True):
            parameter.copy_(kept)
    return net


def main() -> None:
    """Train a policy on a recording and save its weights."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("output", type=Path)
    parser.add_argument("--start", type=Path, help="weights to go on from")
    parser.add_argument("--iterations", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    recording = dataset.joined([dataset.load(path) for path in arguments.recordings])
    net = train(recording, arguments.iterations, arguments.seed, arguments.start)
    torch.save(net.state_dict(), arguments.output)


if __name__ == "__main__":
    main()
