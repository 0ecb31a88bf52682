"""Tiny ONNX models for the card of ``robot_files``, each with its card beside it."""

from onnx import TensorProto, helper
from robot_files import write_policy

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
RATIO = [helper.make_node("Div", ["prefix", "prefix"], ["chunk"])]
"""Answers NaN where it is asked about zeros, as a norm does, and 1 elsewhere."""


def model(nodes, steps=20, inputs=INPUTS):
    """A serialised model of ``nodes`` over the card's inputs; its output has ``steps`` actions."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("chunk", TensorProto.FLOAT, (1, steps, 2))],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return made.SerializeToString()


def write_model(folder, nodes, *changes, streams=True, **shapes):
    """The model and its card in ``folder``; returns the model's path."""
    inputs = {name: shape for name, shape in INPUTS.items() if streams or name not in ("block", "drift")}
    left_out = () if streams else NO_STREAMS
    return write_policy(folder, *left_out, *changes, model=model(nodes, inputs=inputs, **shapes))
