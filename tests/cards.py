"""Policy cards and engines for tests: a card from a few words, an engine that is its buffers alone."""

import numpy as np

from spinal.runtime.config.card import parse_card

ARM = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")
JOINTS = [
    *({"name": name, "kind": "arm", "unit": "rad"} for name in ARM),
    {"name": "gripper", "kind": "gripper", "unit": "m"},
]


def joints(**changes):
    """The shipped arm's joints, each with ``changes``; a change by joint name belongs to that joint alone."""
    own = {name: changes.pop(name) for name in (*ARM, "gripper") if name in changes}
    return [joint | changes | own.get(joint["name"], {}) for joint in JOINTS]


def card(*inputs, steps=4, step_ms=20, joints=JOINTS, representation="absolute", normalise=None, **fields):
    """A card of the raw chunk for ``inputs``, each a dict; [1, 6] of joint positions without any."""
    q = {
        "name": "q",
        "stream": "joint_position",
        "shape": [1, len(joints)],
        "unit": "joint",
        "dtype": "float32",
    }
    channels = fields.pop("channels", len(joints))
    output = {"name": "chunk", "shape": [1, steps, channels]}
    raw = {
        "schema": 1,
        "name": "toy",
        "version": "0.1.0",
        "representation": representation,
        "chunk": {"steps": steps, "step_ms": step_ms, **fields.pop("chunk", {})},
        "joints": joints,
        "inputs": list(inputs) or [q],
        "output": output | ({"normalise": normalise} if normalise else {}),
        **fields,
    }
    return parse_card(raw, "toy.card.toml")


class Buffers:
    """An engine that answers what the test puts into ``outputs``."""

    providers = ("none",)

    def __init__(self, made, **outputs):
        self.inputs = {one.name: np.zeros(one.shape, one.dtype) for one in made.inputs}
        self.outputs = {"chunk": np.zeros(made.output.shape, np.float32), **outputs}
        self.runs = 0

    def run(self):
        self.runs += 1
