"""The model file, read without running it: against the onnx package's own reading, and against files that lie."""

import hashlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, load_from_string, numpy_helper
from robot_files import MODEL

from spinal.runtime.config.model_file import inspect_model, printable
from spinal.runtime.config.onnx_graph import MAX_DEPTH, MAX_METADATA_BYTES, read_graph
from spinal.runtime.config.protobuf import MalformedError, Wire, varint, with_length
from spinal.runtime.errors import ConfigError, Problem


def info(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def made(nodes=(), inputs=(), outputs=(), weights=(), opsets=(("", 17),), functions=(), **metadata):
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), list(weights))
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(*opset) for opset in opsets],
        ir_version=10,
        functions=list(functions),
    )
    helper.set_model_props(model, metadata)
    return model


def outside(name="far"):
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    return tensor


def facts(tmp_path, model):
    path = tmp_path / "m.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return inspect_model(path)


names = st.text(min_size=1, max_size=20)
shapes = st.lists(st.one_of(st.integers(0, 2**40), st.none(), names), max_size=5)
KINDS = {"float32": 1, "uint8": 2, "int32": 6, "int64": 7, "bool": 9, "float16": 10, "float64": 11}


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(names, st.tuples(shapes, st.sampled_from(sorted(KINDS))), max_size=5),
    st.dictionaries(names, st.text(max_size=50), max_size=5),
)
def test_tensors_and_metadata_are_read_as_onnx_reads_them(tensors, metadata):
    model = made(
        inputs=[info(name, shape, KINDS[kind]) for name, (shape, kind) in tensors.items()], **metadata
    )
    graph = read_graph(model.SerializeToString())
    assert graph.metadata == metadata
    assert [tensor.name for tensor in graph.inputs] == list(tensors)
    for tensor, (shape, kind) in zip(graph.inputs, tensors.values(), strict=True):
        assert tensor.dtype == kind
        assert tensor.shape == tuple("?" if axis is None else axis for axis in shape)
        assert tensor.bound == all(isinstance(axis, int) for axis in shape)


def test_initialisers_among_the_inputs_need_not_be_filled():
    weight = numpy_helper.from_array(np.zeros(3, np.float32), "w")
    graph = read_graph(made(inputs=[info("x", [1]), info("w", [3])], weights=[weight]).SerializeToString())
    assert [tensor.name for tensor in graph.inputs] == ["x"]


def test_what_is_no_tensor_has_no_type():
    sequence = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    (tensor,) = read_graph(made(inputs=[sequence]).SerializeToString()).inputs
    assert (tensor.dtype, tensor.shape, tensor.bound) == ("", None, False)


def branch(node=None, weight=None):
    body = helper.make_graph([node] if node else [], "b", [], [], [weight] if weight else [])
    return helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)


FOREIGN = helper.make_node("Open", ["x"], ["y"], domain="their.ops")
OF_A_FUNCTION = helper.make_function(
    "local", "Inner", ["x"], ["y"], [FOREIGN], [helper.make_opsetid("their.ops", 1)]
)
CLEAN = helper.make_function(
    "local",
    "Clean",
    ["x"],
    ["y"],
    [helper.make_node("Relu", ["x"], ["y"])],
    [helper.make_opsetid("", 17)],
)


@pytest.mark.parametrize(
    "model",
    [
        made([FOREIGN], opsets=(("", 17), ("their.ops", 1))),
        made([branch(FOREIGN)], opsets=(("", 17), ("their.ops", 1))),
        made([helper.make_node("Inner", ["x"], ["y"], domain="local")], functions=[OF_A_FUNCTION]),
        made([helper.make_node("Unknown", ["x"], ["y"], domain="local")], functions=[CLEAN]),
    ],
    ids=["node", "branch", "function", "undefined function"],
)
def test_operators_of_others_are_refused_wherever_they_stand(tmp_path, model):
    (problem,) = facts(tmp_path, model).problems
    assert "operators that onnxruntime does not have" in problem.message
    assert "their.ops::Open" in problem.message or "local::Unknown" in problem.message


def test_functions_of_the_file_and_onnxruntimes_own_operators_are_taken(tmp_path):
    nodes = [
        helper.make_node("Clean", ["x"], ["y"], domain="local"),
        helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft"),
        helper.make_node("Scaler", ["x"], ["y"], domain="ai.onnx.ml"),
        helper.make_node("Relu", ["x"], ["y"], domain="ai.onnx"),
    ]
    found = facts(tmp_path, made(nodes, functions=[CLEAN], opsets=(("", 17), ("unused.domain", 1))))
    assert found.problems == ()
    assert found.graph.operators == {"com.microsoft": 1, "ai.onnx.ml": 1, "ai.onnx": 2}


def test_an_operator_that_loads_other_files_is_refused(tmp_path):
    node = helper.make_node(
        "EPContext", ["x"], ["y"], domain="com.microsoft", ep_cache_context="../../evil.bin"
    )
    cover = helper.make_function("com.microsoft", "EPContext", ["x"], ["y"], [], [])
    for functions in ([], [cover]):
        (problem,) = facts(tmp_path, made([node], functions=functions)).problems
        assert "com.microsoft::EPContext" in problem.message


@pytest.mark.parametrize(
    "model",
    [
        made(weights=[outside()]),
        made([branch(weight=outside())]),
        made([helper.make_node("Constant", [], ["y"], value=outside())]),
        made(
            functions=[
                helper.make_function(
                    "local", "F", [], ["y"], [helper.make_node("Constant", [], ["y"], value=outside())], []
                )
            ]
        ),
    ],
    ids=["initialiser", "branch", "attribute", "function"],
)
def test_weights_in_other_files_are_refused_wherever_they_stand(tmp_path, model):
    (problem,) = facts(tmp_path, model).problems
    assert problem.message == "keeps the data of far in other files"
    assert "external_data=False" in problem.hint


def test_sparse_weights_and_training_graphs_are_looked_into():
    weight = outside().SerializeToString()
    sparse = with_length(7, with_length(15, with_length(1, weight)))
    training = with_length(20, with_length(2, with_length(5, weight)))
    for tail in (sparse, training):
        assert read_graph(MODEL + tail).external == ("far",)


def test_every_place_of_a_tensor_is_looked_into():
    weight = outside().SerializeToString()
    of_node = with_length(7, with_length(1, with_length(5, with_length(22, with_length(1, weight)))))
    default = with_length(25, with_length(1, b"F") + with_length(11, with_length(5, weight)))
    named_only = outside()
    named_only.ClearField("data_location")
    without = with_length(7, with_length(5, named_only.SerializeToString()))
    for tail in (of_node, default, without):
        assert read_graph(MODEL + tail).external == ("far",)


def test_a_second_graph_of_a_file_is_looked_at_too():
    """protobuf merges messages that stand twice: what the second one adds is part of the model."""
    tail = made([FOREIGN], weights=[outside()]).graph.SerializeToString()
    data = MODEL + with_length(7, tail)
    assert [node.op_type for node in load_from_string(data).graph.node] == ["Identity", "Open"]
    graph = read_graph(data)
    assert (graph.external, graph.foreign) == (("far",), ("their.ops::Open",))


def test_a_card_inside_does_not_change_the_contents_digest(tmp_path):
    before = facts(tmp_path, MODEL)
    entry = with_length(14, with_length(1, b"spinal.card") + with_length(2, b"{}"))
    for data in (MODEL + entry, MODEL[:2] + entry + MODEL[2:]):
        after = facts(tmp_path, data)
        assert after.content_sha256 == before.sha256 == before.content_sha256
        assert after.sha256 == hashlib.sha256(data).hexdigest() != before.sha256
        assert after.card_text == "{}"
    assert "carries 2 cards" in facts(tmp_path, MODEL + 2 * entry).problems[0].message


# hostile files


def nested(depth):
    graph = b""
    for _ in range(depth):
        graph = with_length(1, with_length(5, with_length(6, graph)))
    return b"\x08\x0a\x12\x01x" + with_length(7, graph)


HOSTILE = {
    "deep": nested(300),
    "endless number": b"\x08\x0a\x12\x00" + b"\xff" * 20,
    "long number": b"\x08\x0a\x12\x00\x28" + b"\xff" * 10 + b"\x01",
    "longer than it is": MODEL + b"\x3a\xff\xff\xff\xff\x7f",
    "group": MODEL + b"\x3b\x3c",
    "no number": MODEL + b"\x02\x00",
    "long name": MODEL + with_length(7, with_length(11, with_length(1, b"n" * 1000))),
    "many axes": MODEL
    + with_length(
        7, with_length(11, with_length(2, with_length(1, with_length(2, with_length(1, b"") * 99))))
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_lies_is_refused_in_one_line(tmp_path, name):
    found = facts(tmp_path, HOSTILE[name])
    (problem,) = found.problems
    assert problem.message.startswith("is not an ONNX model: it ")
    assert "\n" not in problem.message
    assert found.graph is None


def test_depth_counts_and_is_not_the_interpreters():
    read_graph(nested(MAX_DEPTH))
    with pytest.raises(MalformedError, match="graphs inside graphs"):
        read_graph(nested(MAX_DEPTH + 2))
    read_graph(b"\x08\x0a\x12\x01x" + b"\x12\x00" * 1000)


def test_fields_of_a_file_are_counted():
    with pytest.raises(MalformedError, match="more fields"):
        list(Wire(b"\x12\x00" * 101, most=100).fields(0, 202))
    assert len(list(Wire(b"\x12\x00" * 100, most=100).fields(0, 200))) == 100


def test_metadata_is_bounded():
    value = with_length(14, with_length(1, b"k") + with_length(2, bytes(MAX_METADATA_BYTES // 2)))
    read_graph(MODEL + value)
    with pytest.raises(MalformedError, match="MiB of metadata"):
        read_graph(MODEL + value + value)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
@example(b"\x08\x0a\x3a\x00")
def test_random_bytes_are_refused_or_read(data):
    for candidate in (data, b"\x08\x0a\x12\x00" + data, MODEL + data, with_length(7, data)):
        with suppress(MalformedError):
            read_graph(candidate)


REAL = made(
    [branch(helper.make_node("Relu", ["x"], ["y"]), numpy_helper.from_array(np.ones(4, np.float32), "w"))],
    [info("x", [1, "n"])],
    [info("y", [1])],
    functions=[CLEAN],
    joint_names="a,b",
).SerializeToString()


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, len(REAL)),
    st.lists(st.tuples(st.integers(0, len(REAL) - 1), st.integers(0, 255)), max_size=4),
)
def test_a_real_model_cut_and_flipped_never_crashes_the_reader(cut, flips):
    data = bytearray(REAL)
    for at, byte in flips:
        data[at] = byte
    with suppress(MalformedError):
        read_graph(bytes(data[:cut]))


def test_every_cut_inside_a_field_is_seen():
    ends = {end for *_, end in Wire(REAL).fields(0, len(REAL))} | {0}
    for cut in range(len(REAL)):
        if cut in ends:
            read_graph(REAL[:cut])
        else:
            with pytest.raises(MalformedError):
                read_graph(REAL[:cut])


@given(st.integers(0, 2**64 - 1))
def test_a_varint_comes_back(value):
    ((number, wire, begin, found, end),) = Wire(b"\x08" + varint(value)).fields(0, 1 + len(varint(value)))
    assert (number, wire, begin, found, end) == (1, 0, 0, value, 1 + len(varint(value)))


def test_a_strangers_text_stays_on_its_line():
    assert printable("a\x1b[31mb\nc") == "a\N{REPLACEMENT CHARACTER}[31mb\N{REPLACEMENT CHARACTER}c"
    assert len(printable("x" * 1000)) == 120
    assert str(ConfigError([Problem("p", printable("\n"))])).count("\n") == 1
