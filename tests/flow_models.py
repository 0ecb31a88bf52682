"""Tiny models of one denoising step, with an encoder before it, and what they compute in numpy.

encoder   goal = q + 1
flow      velocity = (goal - x) (1 + time); the Jacobian of x + (1 - time) velocity is time squared
diffusion output = goal + 0.1 x
"""

import hashlib

import numpy as np
from decode_cards import card
from onnx import TensorProto, helper

from spinal.runtime.config.card.decoders import FlowDecoder

STEPS, CHANNELS = 20, 2
CHUNK = (1, STEPS, CHANNELS)


def write(folder, name, nodes, inputs, outputs, constants=()):
    """A model file; returns its SHA-256."""
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(key, floats, shape) for key, shape in inputs.items()],
        [helper.make_tensor_value_info(key, floats, shape) for key, shape in outputs.items()],
        [helper.make_tensor(key, kind, [len(values)], values) for key, kind, values in constants],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    content = made.SerializeToString()
    (folder / name).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def encoder(folder, outputs=("goal",)):
    """goal = q + 1."""
    nodes = [helper.make_node("Add", ["q", "one"], [outputs[0]])]
    shapes = dict.fromkeys(outputs, (1, CHANNELS))
    return write(
        folder, "encoder.onnx", nodes, {"q": (1, CHANNELS)}, shapes, [("one", TensorProto.FLOAT, [1.0])]
    )


def flow_card(folder, per_position=False, vjp=False, encoded=True, **settings):
    """(model, card) of a flow; without an encoder the goal is q itself."""
    card_settings = {key: settings.pop(key) for key in ("noise", "prefix") if key in settings}
    goal = "goal" if encoded else "q"
    inputs = {goal: (1, CHANNELS), "x": CHUNK, "time": (1, STEPS) if per_position else (1,)}
    outputs = {"velocity": CHUNK}
    nodes = [
        helper.make_node("Unsqueeze", [goal, "axis_1"], ["end"]),
        helper.make_node("Unsqueeze", ["time", "axes"], ["at"]),
        helper.make_node("Sub", ["end", "x"], ["towards"]),
        helper.make_node("Add", ["at", "one"], ["faster"]),
        helper.make_node("Mul", ["towards", "faster"], ["velocity"]),
    ]
    decoder = {"kind": "flow", "steps": 5, "noise_at": 0, "x": "x", "time": "time", "velocity": "velocity"}
    decoder |= {"time_per_position": per_position} | settings
    if vjp:
        inputs["error"], outputs["vjp"] = CHUNK, CHUNK
        nodes += [
            helper.make_node("Mul", ["at", "at"], ["square"]),
            helper.make_node("Mul", ["error", "square"], ["vjp"]),
        ]
        decoder |= {"error": "error", "vjp": "vjp"}
    if encoded:
        decoder["encoder"] = {"file": "encoder.onnx", "sha256": encoder(folder)}
    axes = [2] if per_position else [1, 2]
    constants = [
        ("one", TensorProto.FLOAT, [1.0]),
        ("axis_1", TensorProto.INT64, [1]),
        ("axes", TensorProto.INT64, axes),
    ]
    write(folder, "flow.onnx", nodes, inputs, outputs, constants)
    output = {"name": "velocity", "shape": list(CHUNK)}
    return folder / "flow.onnx", card(decoder, output=output, noise="normal", **card_settings)


def diffusion_card(folder, **settings):
    """(model, card) of a diffusion policy."""
    nodes = [
        helper.make_node("Unsqueeze", ["goal", "axis_1"], ["end"]),
        helper.make_node("Mul", ["x", "tenth"], ["share"]),
        helper.make_node("Mul", ["time", "nothing"], ["never"]),
        helper.make_node("Add", ["end", "share"], ["sum"]),
        helper.make_node("Add", ["sum", "never"], ["output"]),
    ]
    inputs = {"goal": (1, CHANNELS), "x": CHUNK, "time": (1,)}
    constants = [
        ("tenth", TensorProto.FLOAT, [0.1]),
        ("nothing", TensorProto.FLOAT, [0.0]),
        ("axis_1", TensorProto.INT64, [1]),
    ]
    write(folder, "diffusion.onnx", nodes, inputs, {"output": CHUNK}, constants)
    decoder = {"kind": "diffusion", "steps": 8, "x": "x", "time": "time", "output": "output"} | settings
    decoder["encoder"] = {"file": "encoder.onnx", "sha256": encoder(folder)}
    output = {"name": "output", "shape": list(CHUNK)}
    return folder / "diffusion.onnx", card(decoder, output=output, noise="normal")


def velocity(x, tau, q, decoder: FlowDecoder):
    """What the flow model computes, as a velocity of tau; its own time runs as ``noise_at`` says."""
    at = tau if decoder.noise_at == 0 else 1 - tau
    towards = (q + 1 - x) * (1 + at)
    return towards if decoder.noise_at == 0 else -np.asarray(towards)
