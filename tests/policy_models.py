"""Tiny ONNX models for the card of ``robot_files``, each with its card beside it."""

import hashlib
import re

from onnx import TensorProto, helper
from robot_files import write_policy

from spinal.runtime.config.card import card_path, load_card
from spinal.runtime.config.load import load_robot

INPUTS = {
    "q": (1, 2),
    "block": (1, 3),
    "drift": (1, 3),
    "prefix": (1, 20, 2),
    "mask": (1, 20),
    "noise": (1, 20, 2),
}
STREAM_LINES = (
    '  {{ name = "block", stream = "stream:block.position", shape = [1, 3], unit = "m" }},\n'.format(),
    '  {{ name = "drift", stream = "stream:block.velocity", shape = [1, 3], unit = "m/s" }},\n'.format(),
)
NO_STREAMS = tuple((line, "") for line in STREAM_LINES)
"""Changes of the card for a model without the tensors of the block's stream."""

ECHO = [helper.make_node("Identity", ["prefix"], ["chunk"])]
"""Answers the prefix that it was given."""
ECHO_NOISE = [helper.make_node("Identity", ["noise"], ["chunk"])]
NOT_A_NUMBER = [
    helper.make_node("Sub", ["prefix", "prefix"], ["zero"]),
    helper.make_node("Div", ["zero", "zero"], ["chunk"]),
]
"""Answers NaN, whatever it is asked."""
UNKNOWN = [helper.make_node("NoSuchOp", ["prefix"], ["chunk"])]
"""Well-formed, and of an operator that the standard domain does not have."""
RATIO = [helper.make_node("Div", ["prefix", "prefix"], ["chunk"])]
"""Answers NaN to zeros, as a model that divides by a norm does, and ones to everything else."""
FAR_SIGHTED = [
    helper.make_node("Constant", [], ["near"], value_float=1e-3),
    helper.make_node("Mul", ["block_position", "block_position"], ["square"]),
    helper.make_node("ReduceMax", ["square"], ["far"], axes=[1], keepdims=1),
    helper.make_node("Sub", ["near", "far"], ["difference"]),
    helper.make_node("Sqrt", ["difference"], ["root"]),
    helper.make_node("Mul", ["prefix", "root"], ["chunk"]),
]
"""Answers NaN about every block that is not at its feet, and zeros to zeros."""


def model(nodes, output=(1, 20, 2), inputs=INPUTS):
    """A serialised model of ``nodes`` over ``inputs`` that answers ``chunk`` in the shape ``output``."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("chunk", TensorProto.FLOAT, output)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return made.SerializeToString()


def write_model(folder, nodes, *changes, streams=True, **shapes):
    """The model and its card in ``folder``; returns the model's path."""
    inputs = {name: shape for name, shape in INPUTS.items() if streams or name not in ("block", "drift")}
    left_out = () if streams else NO_STREAMS
    return write_policy(folder, *left_out, *changes, model=model(nodes, inputs=inputs, **shapes))


def write_model_for(folder, robot_file, nodes):
    """A model of ``nodes`` that fits the card of a robot's own policy, and that card beside it."""
    own = load_robot(robot_file).policy.model
    card = load_card(own)
    made = model(nodes, card.output.shape, {tensor.name: tensor.shape for tensor in card.inputs})
    path = folder / "other.onnx"
    path.write_bytes(made)
    digest = f'sha256 = "{hashlib.sha256(made).hexdigest()}"'
    text = re.sub(r'(?m)^sha256 = "[^"]*"', digest, card_path(own).read_text())
    card_path(path).write_text(re.sub(r'(?m)^(output = .*name = )"[^"]*"', r'\1"chunk"', text))
    return path
