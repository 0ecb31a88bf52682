"""A small robot, its policy card and a file that passes for its model, for tests that break them."""

import hashlib
from pathlib import Path

ROBOT = """
schema = 1
name = "two"
[control]
servo_hz = 250
[policy]
model = "policy.onnx"
hz = 50
[execution]
blend_min_ms = 20
[buses.arm]
protocol = "feetech"
port = "sim"
baud = 1000000
reply_timeout_us = 2000
[[joints]]
name = "elbow"
kind = "arm"
bus = "arm"
id = 1
counts_per_turn = 4096
zero_count = 2048
direction = 1
limits = { position_min = -1.5, position_max = 1.5, velocity = 4.0, acceleration = 80.0, jerk = 4000.0, \
torque_fraction = 1.0 }
emergency = { acceleration = 120.0, jerk = 20000.0 }
[[joints]]
name = "gripper"
kind = "gripper"
bus = "arm"
id = 2
counts_per_turn = 4096
linkage = { closed_count = 2048, open_count = 3072, stroke_m = 0.022 }
limits = { position_min = 0.0, position_max = 0.022, velocity = 0.25, torque_fraction = 0.5 }
[streams.block]
kind = "pose"
source = "sim"
rate_hz = 100
max_age_ms = 100
filter = { kind = "alpha_beta", position_sigma_m = 0.001, acceleration_sigma_m_s2 = 1.5 }
[link]
# in its own directory
[sim]
world = "cartpick"
"""

CARD = """
schema = 1
name = "reach"
version = "0.1.0"
sha256 = "{sha256}"
robot = "two"
representation = "absolute"
noise = "normal"
chunk = {{ steps = 20, step_ms = 20 }}
prefix = {{ max_steps = 8 }}
joints = [
  {{ name = "elbow", kind = "arm", unit = "rad" }},
  {{ name = "gripper", kind = "gripper", unit = "m" }},
]
inputs = [
  {{ name = "q", stream = "joint_position", shape = [1, 2], unit = "joint" }},
  {{ name = "block", stream = "stream:block.position", shape = [1, 3], unit = "m" }},
  {{ name = "drift", stream = "stream:block.velocity", shape = [1, 3], unit = "m/s" }},
  {{ name = "prefix", stream = "prefix", shape = [1, 20, 2], unit = "joint" }},
  {{ name = "mask", stream = "mask", shape = [1, 20], unit = "1" }},
  {{ name = "noise", stream = "noise", shape = [1, 20, 2], unit = "1" }},
]
output = {{ name = "chunk", shape = [1, 20, 2] }}
"""

MODEL = b"\x08\x0a\x12\x07pytorch\x1a\x052.0.0:\x10 a graph would go"
"""Begins as every serialised ONNX model does: ir_version 10, then the producer."""


def edited(text: str, *changes: tuple[str, str]) -> str:
    """``text`` with each (old, new) replaced once; an old that is not there is a mistake of the test."""
    for old, new in changes:
        assert old in text, f"{old!r} is not in the file to break"
        text = text.replace(old, new, 1)
    return text


def write_robot(folder: Path, *changes: tuple[str, str]) -> Path:
    """The small robot's file, broken by ``changes``."""
    path = folder / "two.toml"
    path.write_text(edited(ROBOT, *changes))
    return path


def write_policy(folder: Path, *changes: tuple[str, str], model: bytes = MODEL) -> Path:
    """A model and its card, broken by ``changes``; returns the model's path."""
    path = folder / "policy.onnx"
    path.write_bytes(model)
    card = CARD.format(sha256=hashlib.sha256(model).hexdigest())
    (folder / "policy.card.toml").write_text(edited(card, *changes))
    return path
