"""A small robot, its policy card and its model, for tests that break them."""

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


def _field(number: int, payload: bytes) -> bytes:
    assert len(payload) < 1 << 14
    size = len(payload)
    return bytes((number << 3 | 2, *((size,) if size < 128 else (size & 127 | 128, size >> 7)))) + payload


def _tensor(name: str, *shape: int) -> bytes:
    axes = b"".join(_field(1, bytes((1 << 3, size))) for size in shape)
    return _field(1, name.encode()) + _field(2, _field(1, bytes((1 << 3, 1)) + _field(2, axes)))


MODEL = (
    b"\x08\x0a"
    + _field(2, b"pytorch")
    + _field(
        7,
        _field(1, _field(1, b"prefix") + _field(2, b"chunk") + _field(4, b"Identity"))
        + _field(2, b"tiny")
        + _field(11, _tensor("q", 1, 2))
        + _field(11, _tensor("block", 1, 3))
        + _field(11, _tensor("drift", 1, 3))
        + _field(11, _tensor("prefix", 1, 20, 2))
        + _field(11, _tensor("mask", 1, 20))
        + _field(11, _tensor("noise", 1, 20, 2))
        + _field(12, _tensor("chunk", 1, 20, 2)),
    )
    + _field(8, bytes((2 << 3, 17)))
)
"""The smallest ONNX model of the card's tensors: it answers its prefix."""
UNLOADABLE = MODEL.replace(b"Identity", b"NoSuchOp")
"""Well-formed, and of an operator that the standard domain does not have."""


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
