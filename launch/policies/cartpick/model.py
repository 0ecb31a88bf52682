"""The network: features of an observation, and the velocity field of a flow over chunks.

Inputs are what the pipeline measures, in SI units; everything that is particular to the task (kinematics,
relative vectors, symmetry of the block) is computed in here and so ends up inside the exported graph.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spinal.drivers.sim.arm6 import FOREARM, HAND, SHOULDER_HEIGHT, SHOULDER_OFFSET, UPPER_ARM
from spinal.launch.policies.cartpick.pipeline import HORIZON, JOINTS

FLOW_STEPS = 5
LONGEST_PREFIX = 8
NOISE_SCALE = 0.5
"""Of the noise that an answer starts from. Chosen on validation: none of it averages over what the expert would do
in different ways, all of it changes its mind from chunk to chunk."""
LIMIT = 6.0
"""Normalised features and targets are kept within this many standard deviations."""


class Inputs(NamedTuple):
    """A batch of observations: [B, 6] three times, block position [B, 3], yaw [B, 1], velocity [B, 3]."""

    joint_position: Tensor
    joint_velocity: Tensor
    command: Tensor
    block_position: Tensor
    block_yaw: Tensor
    block_velocity: Tensor


def tool_point(joints: Tensor) -> Tensor:
    """Forward kinematics: tool points [B, 3] of joint positions [B, 6]."""
    pan, lift = joints[:, 0:1], joints[:, 1:2]
    elbow = lift + joints[:, 2:3]
    wrist = elbow + joints[:, 3:4]
    out = UPPER_ARM * torch.sin(lift) + FOREARM * torch.sin(elbow) + HAND * torch.sin(wrist)
    up = UPPER_ARM * torch.cos(lift) + FOREARM * torch.cos(elbow) + HAND * torch.cos(wrist)
    radius = SHOULDER_OFFSET + out
    return torch.cat([radius * torch.cos(pan), radius * torch.sin(pan), SHOULDER_HEIGHT + up], dim=1)


def features(inputs: Inputs) -> Tensor:
    """What the network sees of an observation, [B, F], not yet normalised."""
    joints, command, block = inputs.joint_position, inputs.command, inputs.block_position
    from_tool = block - tool_point(joints)
    from_command = block - tool_point(command)
    azimuth = torch.atan2(block[:, 1:2], block[:, 0:1])
    radius = torch.sqrt(block[:, 0:1] ** 2 + block[:, 1:2] ** 2)
    cos, sin = torch.cos(azimuth), torch.sin(azimuth)

    def polar(xyz: Tensor) -> Tensor:
        along = xyz[:, 0:1] * cos + xyz[:, 1:2] * sin
        across = xyz[:, 1:2] * cos - xyz[:, 0:1] * sin
        return torch.cat([along, across, xyz[:, 2:3]], dim=1)

    near, near_command = polar(from_tool), polar(from_command)
    # A quarter turn of the block changes nothing: four times the angle.
    square_off = 4 * (azimuth - inputs.block_yaw - joints[:, 4:5])
    square = 4 * (azimuth - inputs.block_yaw)
    roll = 2 * command[:, 4:5]
    return torch.cat(
        [
            joints,
            inputs.joint_velocity,
            command,
            command - joints,
            block,
            azimuth,
            radius,
            near,
            near_command,
            torch.tanh(near / 0.01),
            torch.tanh(near_command / 0.01),
            polar(inputs.block_velocity),
            torch.sin(square_off),
            torch.cos(square_off),
            torch.sin(square),
            torch.cos(square),
            torch.sin(roll),
            torch.cos(roll),
        ],
        dim=1,
    )


FEATURES = 4 * JOINTS + 3 + 2 + 4 * 3 + 3 + 6


class ChunkFlow(nn.Module):  # type: ignore[misc, unused-ignore]
    """A residual MLP that gives the flow's velocity for a whole chunk, about half a million parameters.

    Chunks are relative to the last command and divided by their spread at each step. Positions of a chunk
    that are given (the prefix) enter as they are, marked by the mask (training-time real-time chunking,
    arXiv 2512.05964).
    """

    feature_mean: Tensor
    feature_scale: Tensor
    chunk_scale: Tensor
    frequencies: Tensor

    def __init__(self, width: int = 256, blocks: int = 3) -> None:
        super().__init__()
        self.register_buffer("feature_mean", torch.zeros(FEATURES))
        self.register_buffer("feature_scale", torch.ones(FEATURES))
        self.register_buffer("chunk_scale", torch.ones(HORIZON, JOINTS))
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, math.log(200), 16)))
        self.enter = nn.Linear(FEATURES + HORIZON * JOINTS + HORIZON + 32, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(blocks)])
        self.first = nn.ModuleList([nn.Linear(width, width) for _ in range(blocks)])
        self.second = nn.ModuleList([nn.Linear(width, width) for _ in range(blocks)])
        self.times = nn.ModuleList([nn.Linear(32, width) for _ in range(blocks)])
        self.leave = nn.Linear(width, HORIZON * JOINTS)

    def condition(self, inputs: Inputs) -> Tensor:
        """Normalised features [B, F]."""
        return ((features(inputs) - self.feature_mean) / self.feature_scale).clamp(-LIMIT, LIMIT)

    def to_flow(self, chunk: Tensor, command: Tensor) -> Tensor:
        """Absolute targets [B, 20, 6] in the flow's own units."""
        return (chunk - command[:, None]) / self.chunk_scale

    def velocity(self, condition: Tensor, chunk: Tensor, when: Tensor, mask: Tensor) -> Tensor:
        """Velocity [B, 20, 6] at flow time ``when`` [B, 1], mask [B, 20] being 1 where a step is given."""
        angle = when * self.frequencies
        embedding = torch.cat([torch.sin(angle), torch.cos(angle)], dim=-1)
        h = self.enter(torch.cat([condition, chunk.flatten(1), mask, embedding], dim=-1))
        for norm, first, second, time in zip(self.norms, self.first, self.second, self.times, strict=True):
            h = h + second(nn.functional.silu(first(norm(h)) + time(embedding)))
        out: Tensor = self.leave(h).view(-1, HORIZON, JOINTS)
        return out

    def forward(self, inputs: Inputs, prefix: Tensor, mask: Tensor, noise: Tensor) -> Tensor:
        """The chunk [B, 20, 6] of absolute targets: five Euler steps from ``noise`` [B, 20, 6].

        ``prefix`` [B, 20, 6] (absolute) is kept where ``mask`` [B, 20] is 1.
        """
        condition = self.condition(inputs)
        given, free = mask[..., None], 1 - mask[..., None]
        known = self.to_flow(prefix, inputs.command)
        x = NOISE_SCALE * noise
        for step in range(FLOW_STEPS):
            when = torch.full_like(inputs.block_yaw, step / FLOW_STEPS)
            x = given * known + free * x
            x = x + self.velocity(condition, x, when, mask) / FLOW_STEPS
        return (given * known + free * x) * self.chunk_scale + inputs.command[:, None]
