"""Tiny models for the shipped arm in simulation: a policy that is always off, and what runs beside it."""

import hashlib
from pathlib import Path

import numpy as np
from cards import ARM
from onnx import TensorProto, helper, numpy_helper

import spinal.launch
from spinal.runtime.config.load import load_robot

SHIPPED = Path(spinal.launch.__path__[0]) / "robots" / "so101_sim.toml"
JOINTS = [
    *(f'{{ name = "{name}", kind = "arm", unit = "rad" }}' for name in ARM),
    '{ name = "gripper", kind = "gripper", unit = "m" }',
]
STEPS = 20
Q = '{ name = "q", stream = "joint_position", shape = [1, 6], unit = "joint" }'
BASE = '{ name = "base", stream = "base_action", shape = [1, 6], unit = "joint" }'
INDEX = '{ name = "index", stream = "chunk_index", shape = [1, 1], unit = "1" }'


def write(folder, name, nodes, inputs, output, constants, head, lines, joints=JOINTS):
    """A model of ``nodes`` and the card that ``head`` and the input ``lines`` make; returns the model's path."""
    shapes = {"in": inputs, "out": {output[0]: output[1]}}
    ends = {
        end: [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in one.items()]
        for end, one in shapes.items()
    }
    given = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
    graph = helper.make_graph(nodes, name, ends["in"], ends["out"], given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    text = [
        f'schema = 1\nname = "{name}"\nversion = "0.1.0"\nsha256 = "{digest}"\n{head}',
        f"joints = [{', '.join(joints)}]",
        f"inputs = [{', '.join(lines)}]",
        f'output = {{ name = "{output[0]}", shape = {list(output[1])} }}' if "output" not in head else "",
    ]
    path.with_suffix(".card.toml").write_text("\n".join(text) + "\n")
    return path


def standing(folder, pose, name="standing", steps=STEPS):
    """A policy whose every action is ``pose`` [joint], whatever it sees."""
    rows = np.repeat(np.asarray(pose, np.float32)[None, None], steps, axis=1)
    nodes = [
        helper.make_node("Mul", ["q", "nothing"], ["zero"]),
        helper.make_node("Add", ["zero", "rows"], ["chunk"]),
    ]
    constants = {"nothing": np.float32([0.0]), "rows": rows}
    head = f'representation = "absolute"\nchunk = {{ steps = {steps}, step_ms = 20 }}'
    return write(folder, name, nodes, {"q": (1, 6)}, ("chunk", (1, steps, 6)), constants, head, [Q])


def towards(folder, goal, name="delta", head="", corrected=None, gain=1.0):
    """A residual that is ``gain`` times what lies between the policy's coming action and ``goal`` [joint]."""
    nodes = [
        helper.make_node("Sub", ["goal", "base"], ["off"]),
        helper.make_node("Mul", ["off", "gain"], ["all"]),
        helper.make_node("Gather", ["all", "which"], ["correction"], axis=1),
    ]
    names = [*ARM, "gripper"]
    which = [names.index(one) for one in (corrected or ARM)]
    constants = {
        "goal": np.asarray(goal, np.float32)[None],
        "gain": np.float32([gain]),
        "which": np.asarray(which, np.int64),
    }
    named = f"corrected = {list(corrected)}\n".replace("'", '"') if corrected else ""
    text = f'kind = "residual"\n{named}{head}'
    return write(
        folder, name, nodes, {"base": (1, 6)}, ("correction", (1, len(which))), constants, text, [BASE]
    )


def not_a_number(folder, name="nan"):
    """A residual that is finite for a resting arm's zeros, and NaN for every pose of the arm in the simulation."""
    nodes = [
        helper.make_node("Mul", ["base", "base"], ["square"]),
        helper.make_node("Neg", ["square"], ["below"]),
        helper.make_node("Sqrt", ["below"], ["root"]),
        helper.make_node("Gather", ["root", "which"], ["correction"], axis=1),
    ]
    constants = {"which": np.arange(5)}
    return write(
        folder, name, nodes, {"base": (1, 6)}, ("correction", (1, 5)), constants, 'kind = "residual"', [BASE]
    )


def turned(folder, at, name="watch", head="", steep=1000.0):
    """A detector of ``failure`` while the pan stands beyond ``at`` rad, and of ``success`` else."""
    nodes = [
        helper.make_node("Gather", ["q", "first"], ["pan"], axis=1),
        helper.make_node("Sub", ["pan", "at"], ["beyond"]),
        helper.make_node("Mul", ["beyond", "steep"], ["drive"]),
        helper.make_node("Sigmoid", ["drive"], ["failure"]),
        helper.make_node("Sub", ["one", "failure"], ["success"]),
        helper.make_node("Concat", ["failure", "success"], ["verdict"], axis=1),
    ]
    constants = {
        "first": np.asarray([0]),
        "at": np.float32([at]),
        "steep": np.float32([steep]),
        "one": np.float32([1.0]),
    }
    text = f'kind = "detector"\nlabels = ["failure", "success"]\n{head}'
    return write(folder, name, nodes, {"q": (1, 6)}, ("verdict", (1, 2)), constants, text, [Q])


def robot_with(residual=None, detector=None, hz=50, **settings):
    """The shipped robot with ``residual`` and ``detector`` tables beside its policy."""
    made = load_robot(SHIPPED)
    raw = made.model_dump(by_alias=True)
    raw["policy"] |= {"residual": residual, "detector": detector, "hz": hz} | settings
    return type(made).model_validate(raw)


def drifting(folder, pose, slope, name="drifting", steps=40):
    """A policy whose k-th action is ``pose`` and ``(k + 1) slope`` on the pan: wrong the more, the older it is."""
    rows = np.repeat(np.asarray(pose, np.float32)[None, None], steps, axis=1)
    rows[0, :, 0] += slope * np.arange(1, steps + 1, dtype=np.float32)
    nodes = [
        helper.make_node("Mul", ["q", "nothing"], ["zero"]),
        helper.make_node("Add", ["zero", "rows"], ["chunk"]),
    ]
    constants = {"nothing": np.float32([0.0]), "rows": rows}
    head = f'representation = "absolute"\nchunk = {{ steps = {steps}, step_ms = 20 }}'
    return write(folder, name, nodes, {"q": (1, 6)}, ("chunk", (1, steps, 6)), constants, head, [Q])


def by_index(folder, slope, name="by_index"):
    """A residual that takes ``drifting``'s drift back, at the action that it is asked about."""
    nodes = [
        helper.make_node("Add", ["index", "one"], ["count"]),
        helper.make_node("Mul", ["count", "slope"], ["correction"]),
    ]
    constants = {"one": np.float32([1.0]), "slope": np.float32([[-slope]])}
    head = 'kind = "residual"\ncorrected = ["shoulder_pan"]'
    return write(folder, name, nodes, {"index": (1, 1)}, ("correction", (1, 1)), constants, head, [INDEX])


def rowwise(folder, goal, rows, name="rowwise"):
    """As ``towards`` on the pan, with a row for each of ``rows`` coming waypoints."""
    nodes = [
        helper.make_node("Sub", ["goal", "base"], ["off"]),
        helper.make_node("Gather", ["off", "which"], ["correction"], axis=2),
    ]
    constants = {"goal": np.asarray(goal, np.float32)[None, None], "which": np.asarray([0], np.int64)}
    head = f'kind = "residual"\ncorrected = ["shoulder_pan"]\nsteps = {rows}'
    line = BASE.replace("[1, 6]", f"[1, {rows}, 6]")
    shapes = ({"base": (1, rows, 6)}, ("correction", (1, rows, 1)))
    return write(folder, name, nodes, *shapes, constants, head, [line])
