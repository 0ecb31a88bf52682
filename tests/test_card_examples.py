"""The examples of the card's page, run: each is a card, fits a model of its tensors, and travels inside it."""

import hashlib
import json
import re
import tomllib
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from spinal.runtime.cli.main import main
from spinal.runtime.config.card import load_card, parse_card
from spinal.runtime.config.card.examine import examine_policy
from spinal.runtime.config.card.schema import SCHEMA_FILE, card_schema_text

PAGE = Path(__file__).resolve().parents[1] / "runtime/config/card/README.md"
EXAMPLES = dict(re.findall(r"```toml\n# (\w+)\.card\.toml\n(.*?)```", PAGE.read_text(), re.S))
TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "uint8": TensorProto.UINT8}


def tensors_of(card):
    """(name, type, shape) of every input and output that a model of ``card`` has."""
    inputs = [(t.name, t.dtype, t.shape) for t in card.inputs]
    outputs = [(card.output.name, card.output.dtype, card.output.shape)]
    kept = {row.input: row.output for row in card.recurrent}
    outputs += [(kept[t.name], t.dtype, t.shape) for t in card.inputs if t.name in kept]
    if card.decoder.kind == "flow":
        inputs += [
            (card.decoder.x, "float32", (1, card.chunk.steps, card.channels)),
            (card.decoder.time, "float32", (1, card.chunk.steps)),
        ]
    return inputs, outputs


def model_of(card, **metadata):
    """A serialised model with the card's tensors, which answers zeros."""
    inputs, outputs = tensors_of(card)
    nodes = [
        helper.make_node(
            "ConstantOfShape",
            [f"{name}_shape"],
            [name],
            value=helper.make_tensor("v", TYPES[dtype], [1], [0]),
        )
        for name, dtype, _ in outputs
    ]
    weights = [
        helper.make_tensor(f"{name}_shape", TensorProto.INT64, [len(shape)], shape)
        for name, _, shape in outputs
    ]

    def declared(rows):
        return [helper.make_tensor_value_info(name, TYPES[dtype], shape) for name, dtype, shape in rows]

    graph = helper.make_graph(nodes, "example", declared(inputs), declared(outputs), weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    helper.set_model_props(made, metadata)
    return made.SerializeToString()


def test_the_page_has_its_examples():
    assert list(EXAMPLES) == ["act", "flow", "fast", "walker"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_a_card_and_goes_into_its_model(tmp_path, capsys, name):
    card = parse_card(tomllib.loads(EXAMPLES[name]), name)
    model, toml = tmp_path / f"{name}.onnx", tmp_path / f"{name}.card.toml"
    bare = model_of(card)
    model.write_bytes(bare)
    toml.write_text(EXAMPLES[name])
    (tmp_path / "tokenizer.json").write_bytes(b"")
    assert main(["policy", "stamp", str(model), str(toml), "--write-sha256"]) == 0
    assert load_card(model).model_copy(update={"sha256": None}) == card  # beside, with the digest written
    toml.unlink()
    found = examine_policy(model)
    assert (found.problems, found.warnings) == ((), ())
    assert found.file.source == "metadata"
    assert found.file.card.sha256 == hashlib.sha256(bare).hexdigest()
    assert found.file.card.model_copy(update={"sha256": None}) == card
    assert main(["policy", "show", str(model)]) == 0
    shown = capsys.readouterr().out
    assert f"{card.name} {card.version}" in shown
    for joint in card.joints:
        assert joint.name in shown
    assert main(["policy", "check", str(model), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"]
    assert told["card"]["name"] == card.name


def test_single_actions_stand_for_steps():
    card = parse_card(tomllib.loads(EXAMPLES["walker"]), "walker")
    assert (card.chunk.waypoints, card.chunk.duration_ms) == (4, 60)
    assert [(row.output, row.input) for row in card.recurrent] == [("h_out", "h_in")]
    assert card.starts_within_rad == 0.25


def test_the_published_schema_is_the_cards():
    assert SCHEMA_FILE.read_text() == card_schema_text(), "run: spinal policy schema --out " + str(
        SCHEMA_FILE
    )


def test_the_schema_goes_where_it_is_told(tmp_path, capsys):
    assert main(["policy", "schema", "--out", str(tmp_path / "s.json")]) == 0
    assert (tmp_path / "s.json").read_text() == card_schema_text()
    assert main(["policy", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["required"]
    assert schema["properties"]["schema"]["const"] == 1
