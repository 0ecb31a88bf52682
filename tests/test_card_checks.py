"""Every cross-check of the card: what is wrong, where, with a hint; and all of it at once."""

import copy
import tomllib

import pytest
from test_card_examples import EXAMPLES

from spinal.runtime.config.card import PolicyCard, parse_card
from spinal.runtime.errors import ConfigError

BASE = {
    "schema": 1,
    "name": "reach",
    "version": "1",
    "representation": "absolute",
    "chunk": {"steps": 8, "step_ms": 20},
    "joints": [
        {"name": "elbow", "kind": "arm", "unit": "rad"},
        {"name": "gripper", "kind": "gripper", "unit": "m"},
    ],
    "inputs": [{"name": "q", "stream": "joint_position", "shape": [1, 2], "unit": "joint"}],
    "output": {"name": "chunk", "shape": [1, 8, 2]},
}
FLOW = {"kind": "flow", "steps": 4, "noise_at": 0, "x": "x", "time": "t", "velocity": "chunk"}
DIFFUSION = {"kind": "diffusion", "steps": 4, "x": "x", "time": "t", "output": "chunk"}
BEAST = {"kind": "beast", "controls": 5, "low": [-1.0], "high": [1.0]}
FAST = {"kind": "fast", "tokenizer": "t.json", "tokenizer_sha256": "0" * 64}
VQ = {
    "kind": "vq",
    "logits": "logits",
    "offsets": "offsets",
    "table": "v.safetensors",
    "table_sha256": "0" * 64,
}
TOKENS = {"name": "chunk", "dtype": "int64"}


def card(**changes):
    return {**copy.deepcopy(BASE), **changes}


def tensor(name="x", **rest):
    return {"name": name, "shape": [1, 2], **rest}


def with_input(**rest):
    return card(inputs=[tensor(**rest)])


def problems_of(raw):
    with pytest.raises(ConfigError) as caught:
        parse_card(raw, "card")
    return {problem.path: problem for problem in caught.value.problems}


def camera(shape, **image):
    return with_input(stream="camera:wrist", shape=shape, image=image)


def mean_std(*numbers):
    return {"mode": "mean_std", "mean": [0.0] * len(numbers), "std": list(numbers)}


GOOD = {
    "base": card(),
    "an instant may have an axis": with_input(stream="command", unit="joint", shape=[1, 1, 2]),
    "history": with_input(stream="joint_position", unit="joint", shape=[1, 3, 2], history=3),
    "some joints": with_input(stream="joint_position", unit="joint", shape=[1, 1], joints=["gripper"]),
    "chw": camera([1, 3, 24, 32]),
    "hwc": camera([1, 24, 32, 3], layout="hwc"),
    "grey": camera([1, 1, 24, 32], colours="grey"),
    "past pictures": with_input(stream="camera:wrist", shape=[1, 2, 3, 24, 32], history=2),
    "bytes": with_input(stream="camera:w", shape=[1, 3, 2, 2], dtype="uint8", image={"range": "0_255"}),
    "one statistic for all": with_input(
        stream="joint_position", unit="joint", normalise={"mode": "scale", "scale": [2.0]}
    ),
    "a masked channel may stand still": with_input(
        stream="command", unit="joint", normalise={**mean_std(1, 0), "mask": [True, False]}
    ),
    "statistics of a picture": with_input(stream="camera:w", shape=[1, 3, 2, 2], normalise=mean_std(1, 1, 1)),
    "parts": with_input(
        shape=[1, 7],
        parts=[
            {"stream": "joint_position", "unit": "joint", "history": 2},
            {"stream": "stream:block.yaw", "unit": "rad"},
            {"stream": "goal:latent", "size": 2},
        ],
    ),
    "whole chunk again": with_input(stream="last_action", shape=[1, 8, 2]),
    "bins flat": card(decoder={"kind": "bins"}, output={**TOKENS, "shape": [1, 16]}),
    "bins": card(decoder={"kind": "bins"}, output={**TOKENS, "shape": [1, 8, 2]}),
    "beast": card(decoder=BEAST, output={**TOKENS, "shape": [1, 10]}),
    "beast by control point": card(decoder=BEAST, output={**TOKENS, "shape": [1, 5, 2]}),
    "fast": card(decoder=FAST, output={**TOKENS, "shape": [1, 64]}),
    "vq": card(decoder=VQ, output={"name": "offsets", "shape": [1, 2, 16, 16]}),
    "flow": card(decoder=FLOW),
    "flow with x among the inputs": card(
        decoder=FLOW, inputs=[*BASE["inputs"], {"name": "x", "stream": "noise", "shape": [1, 8, 2]}]
    ),
    "prefix by the flow's time": card(decoder={**FLOW, "time_per_position": True}, prefix={"max_steps": 3}),
    "single actions": card(
        chunk={"steps": 1, "step_ms": 20, "repeat": 4}, output={"name": "chunk", "shape": [1, 2]}
    ),
    "short chunks, the last repeated": card(
        chunk={"steps": 2, "step_ms": 20, "repeat": 3}, output={"name": "chunk", "shape": [1, 2, 2]}
    ),
    "one number for each step and channel": card(
        output={**BASE["output"], "normalise": {"mode": "scale", "scale": [1.0] * 16}}
    ),
    "other decoder": card(decoder={"kind": "other", "name": "mine"}, output={"name": "z", "shape": [1, 3]}),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_right_is_taken(name):
    parse_card(GOOD[name], name)


BAD = {
    "batch": (with_input(stream="goal:latent", shape=[2, 4]), "inputs[0] (x).shape", "batch of 1"),
    "history shape": (
        with_input(stream="joint_position", unit="joint", shape=[1, 2], history=3),
        "inputs[0] (x).shape",
        "[1, 3, 2]",
    ),
    "no history of a mask": (
        with_input(stream="mask", shape=[1, 8], history=2),
        "inputs[0] (x).history",
        "mask has none",
    ),
    "history step alone": (
        with_input(stream="command", unit="joint", history_step_ms=5.0),
        "inputs[0] (x).history_step_ms",
        "not used",
    ),
    "unknown joint": (
        with_input(stream="command", unit="joint", joints=["elbow", "knee"]),
        "inputs[0] (x).joints[1]",
        "not there: knee",
    ),
    "joint twice": (
        with_input(stream="command", unit="joint", joints=["elbow", "elbow"]),
        "inputs[0] (x).joints[1]",
        "elbow again",
    ),
    "joints of a sensor": (
        with_input(stream="stream:b.position", unit="m", shape=[1, 3], joints=["elbow"]),
        "inputs[0] (x).joints",
        "not used",
    ),
    "no default pose": (
        with_input(stream="joint_offset", unit="joint"),
        "inputs[0] (x).stream",
        "default_position of elbow, gripper",
    ),
    "size of its own": (
        with_input(stream="command", unit="joint", size=3),
        "inputs[0] (x).size",
        "is 3, and command has 2",
    ),
    "picture layout": (camera([1, 24, 32, 3]), "inputs[0] (x).shape", "[1, 3, height, width] for chw"),
    "picture colours": (camera([1, 3, 24, 32], colours="grey"), "inputs[0] (x).shape", "[1, 1, height"),
    "picture of bytes": (
        with_input(stream="camera:w", shape=[1, 3, 2, 2], dtype="uint8"),
        "inputs[0] (x).image.range",
        '"0_255"',
    ),
    "image without a camera": (
        with_input(stream="command", unit="joint", image={}),
        "inputs[0] (x).image",
        "not used",
    ),
    "whole numbers of joints": (
        with_input(stream="command", unit="joint", dtype="int64"),
        "inputs[0] (x).dtype",
        "float32 or float16",
    ),
    "text is not float": (with_input(stream="goal:text"), "inputs[0] (x).dtype", "int64 or int32 or uint8"),
    "normalised whole numbers": (
        with_input(stream="goal:text", dtype="int64", normalise={"mode": "identity"}),
        "inputs[0] (x).normalise",
        "whole numbers",
    ),
    "statistics": (
        with_input(stream="command", unit="joint", normalise=mean_std(1, 1, 1)),
        "inputs[0] (x).normalise.std",
        "has 3 numbers, and there are 2 channels",
    ),
    "mask too long": (
        with_input(stream="command", unit="joint", normalise={"mode": "identity", "mask": [True] * 3}),
        "inputs[0] (x).normalise.mask",
        "has 3",
    ),
    "prefix normalised": (
        with_input(
            stream="prefix", unit="joint", shape=[1, 8, 2], normalise={"mode": "scale", "scale": [1.0]}
        ),
        "inputs[0] (x).normalise",
        "not used",
    ),
    "divided by nothing": (
        with_input(stream="command", unit="joint", normalise=mean_std(1, 0)),
        "inputs[0] (x).normalise.std[1]",
        "a standard deviation 0",
    ),
    "swapped": (
        card(output={**BASE["output"], "normalise": {"mode": "min_max", "min": [0, 1], "max": [1, 0]}}),
        "output.normalise.min[1]",
        "max less min -1",
    ),
    "file without digest": (
        card(output={**BASE["output"], "normalise": {"mode": "mean_std", "file": "s.json"}}),
        "output.normalise.sha256",
        "is missing",
    ),
    "optional joints": (
        with_input(stream="command", unit="joint", optional=True),
        "inputs[0] (x).optional",
        "not used",
    ),
    "old joints": (
        with_input(stream="command", unit="joint", max_age_ms=5.0),
        "inputs[0] (x).max_age_ms",
        "not used",
    ),
    "parts too short": (
        with_input(parts=[{"stream": "command", "unit": "joint"}, {"stream": "stream:b.yaw", "unit": "rad"}]),
        "inputs[0] (x).shape",
        "must be [1, 3], what its parts fill together",
    ),
    "parts and history of axes": (
        with_input(shape=[1, 2, 2], parts=[{"stream": "command", "unit": "joint", "history": 2}]),
        "inputs[0] (x).shape",
        "[1, 4]",
    ),
    "part's unit": (
        with_input(parts=[{"stream": "command", "unit": "m"}]),
        "inputs[0] (x).parts[0] (command).unit",
        '"joint"',
    ),
    "part without size": (
        with_input(parts=[{"stream": "goal:latent"}]),
        "inputs[0] (x).parts[0] (goal:latent).size",
        "is missing",
    ),
    "picture as a part": (
        with_input(parts=[{"stream": "camera:w"}]),
        "inputs[0] (x).parts[0] (camera:w).stream",
        "no stretch",
    ),
    "history of a tensor of parts": (
        with_input(history=2, parts=[{"stream": "command", "unit": "joint"}]),
        "inputs[0] (x).history",
        "belongs to a part",
    ),
    "statistics of all parts": (
        with_input(parts=[{"stream": "command", "unit": "joint"}], normalise=mean_std(1, 1, 1)),
        "inputs[0] (x).normalise.std",
        "there are 2 channels",
    ),
    "joint named twice": (
        card(joints=[BASE["joints"][0], BASE["joints"][0]]),
        "joints[1] (elbow).name",
        "also joints[0]",
    ),
    "empty range": (
        card(joints=[{**BASE["joints"][0], "unit": "deg", "range": [1.0, 1.0]}, BASE["joints"][1]]),
        "joints[0] (elbow).range",
        "is empty",
    ),
    "range of rad": (
        card(joints=[{**BASE["joints"][0], "range": [0.0, 1.0]}, BASE["joints"][1]]),
        "joints[0] (elbow).range",
        "not used by rad",
    ),
    "first": (card(chunk={"steps": 8, "step_ms": 20, "first": 8}), "chunk.first", "below chunk.steps (8)"),
    "few left": (card(chunk={"steps": 8, "step_ms": 20, "first": 5}), "chunk.steps", "must leave 4 actions"),
    "repeated too little": (
        card(chunk={"steps": 1, "step_ms": 20, "repeat": 3}, output={"name": "a", "shape": [1, 2]}),
        "chunk.steps",
        "must leave 4",
    ),
    "repeated too often": (card(chunk={"steps": 8, "step_ms": 20, "repeat": 121}), "chunk.repeat", "128"),
    "bins shape": (
        card(decoder={"kind": "bins"}, output={**TOKENS, "shape": [1, 15]}),
        "output.shape",
        "[1, 16] or [1, 8, 2]",
    ),
    "bins of floats": (card(decoder={"kind": "bins"}), "output.dtype", "int64 or int32 for bins"),
    "chunk of whole numbers": (card(output={**BASE["output"], "dtype": "int64"}), "output.dtype", "float32"),
    "fast shape": (card(decoder=FAST, output={**TOKENS, "shape": [1, 8, 2]}), "output.shape", "[1, tokens]"),
    "beast shape": (
        card(decoder=BEAST, output={**TOKENS, "shape": [1, 16]}),
        "output.shape",
        "[1, 10] or [1, 5, 2]",
    ),
    "beast bounds": (
        card(decoder={**BEAST, "low": [0.0, 0.0]}, output={**TOKENS, "shape": [1, 10]}),
        "decoder.low",
        "1 or 10",
    ),
    "beast crossed": (
        card(decoder={**BEAST, "low": [2.0]}, output={**TOKENS, "shape": [1, 10]}),
        "decoder.low[0]",
        "above high",
    ),
    "beast degree": (
        card(decoder={**BEAST, "controls": 4}, output={**TOKENS, "shape": [1, 8]}),
        "decoder.controls",
        "above degree (4)",
    ),
    "vq name": (
        card(decoder=VQ, output={"name": "chunk", "shape": [1, 2, 16]}),
        "output.name",
        "logits or offsets",
    ),
    "vq shape": (
        card(decoder=VQ, output={"name": "offsets", "shape": [1, 2, 16, 15]}),
        "output.shape",
        "[1, layers, codes, 16]",
    ),
    "velocity": (card(decoder={**FLOW, "velocity": "v"}), "output.name", "must be v"),
    "x is x": (card(decoder={**FLOW, "time": "x"}), "decoder.time", "is x again"),
    "time from a stream": (
        card(decoder=FLOW, inputs=[*BASE["inputs"], {"name": "t", "stream": "goal:latent", "shape": [1, 1]}]),
        "decoder.time",
        "inputs[1] too",
    ),
    "half a product": (card(decoder={**FLOW, "error": "e"}), "decoder.vjp", "is missing, and error is there"),
    "half a product, too": (card(decoder={**FLOW, "vjp": "e"}), "decoder.error", "is missing"),
    "product as velocity": (
        card(decoder={**FLOW, "error": "e", "vjp": "chunk"}),
        "decoder.vjp",
        "same tensor as velocity",
    ),
    "too many steps": (
        card(decoder={**DIFFUSION, "train_steps": 3}),
        "decoder.steps",
        "not be above train_steps (3)",
    ),
    "diffusion shape": (
        card(decoder=DIFFUSION, output={"name": "chunk", "shape": [1, 7, 2]}),
        "output.shape",
        "[1, 8, 2]",
    ),
    "statistics of actions": (
        card(output={**BASE["output"], "normalise": mean_std(1, 1, 1)}),
        "output.normalise.std",
        "there are 2 channels",
    ),
    "pose without its table": (card(representation="pose"), "pose", "is missing"),
    "table without pose": (card(pose={"link": "hand", "rotation": "6d"}), "pose", "is not used"),
    "pose of a gripper": (
        card(
            representation="pose",
            pose={"link": "hand", "rotation": "none"},
            joints=[BASE["joints"][1]],
            output={"name": "chunk", "shape": [1, 8, 4]},
        ),
        "joints",
        "no arm joint",
    ),
    "pose shape": (
        card(representation="pose", pose={"link": "hand", "rotation": "6d"}),
        "output.shape",
        "[1, 8, 10]",
    ),
    "quaternion shape": (
        card(representation="pose", pose={"link": "hand", "rotation": "quaternion_wxyz"}),
        "output.shape",
        "[1, 8, 8]",
    ),
    "state without an input": (
        card(recurrent=[{"output": "h", "input": "h_in"}]),
        "recurrent[0].input",
        "not among the inputs",
    ),
    "state from elsewhere": (
        card(recurrent=[{"output": "h", "input": "q"}]),
        "recurrent[0].input",
        'filled by "joint_position"',
    ),
    "state that is not kept": (
        card(inputs=[tensor("h_in", stream="recurrent:h")], recurrent=[]),
        "inputs[0] (h_in).stream",
        "not kept: h",
    ),
    "state of the chunk": (
        card(inputs=[tensor("h_in", stream="recurrent:chunk")]),
        "recurrent[0].output",
        "holds the chunk",
    ),
    "state twice": (
        card(inputs=[tensor("a", stream="recurrent:h"), tensor("b", stream="recurrent:h")]),
        "recurrent[1].output",
        "also that of recurrent[0]",
    ),
    "prefix beside a flow": (
        card(decoder=FLOW, prefix={"max_steps": 3}),
        "prefix.max_steps",
        "no inputs take",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_told_with_its_place_and_a_hint(name):
    raw, path, message = BAD[name]
    found = problems_of(raw)
    assert path in found, list(found)
    assert message in found[path].message
    assert found[path].hint


def test_nothing_else_is_said_of_a_card_with_one_problem():
    for name, (raw, path, _) in BAD.items():
        others = set(problems_of(raw)) - {path}
        assert len(others) <= 2, (name, others)


def test_fields_and_what_is_between_them_are_told_at_once():
    raw = card(
        name="Not A Name",
        chunk={"steps": 3, "step_ms": 20},
        inputs=[
            tensor("a", stream="sideways"),
            tensor("b", stream="command", unit="m", shape=[1, 5]),
        ],
    )
    found = problems_of(raw)
    assert {
        "name",
        "inputs[0] (a).stream",
        "inputs[1] (b).unit",
        "inputs[1] (b).shape",
        "chunk.steps",
        "output.shape",
    } == set(found)


def test_an_input_that_is_wrong_is_not_said_to_be_missing():
    raw = card(
        prefix={"max_steps": 3},
        inputs=[
            tensor("p", stream="prefix", shape=[0, 8, 2], unit="joint"),
            tensor("m", stream="mask", shape=[1, 8]),
        ],
    )
    assert set(problems_of(raw)) == {"inputs[0] (p).shape[0]"}


@pytest.mark.parametrize(
    ("decoder", "path", "message"),
    [
        ({"kind": "fasst"}, "decoder.kind", 'must be "chunk" or "ensemble"'),
        ({}, "decoder.kind", "is missing"),
        ({**FAST, "scale": 0}, "decoder.scale", "above 0"),
        ({**FAST, "scael": 1.0}, "decoder.scael", "not a known key"),
        ({"kind": "fast", "tokenizer": "t.json"}, "decoder.tokenizer_sha256", "is missing"),
        ({**FAST, "tokenizer": "../t.json"}, "decoder.tokenizer", "without a folder"),
        ({**FLOW, "encoder": {"file": "e.onnx"}}, "decoder.encoder.sha256", "is missing"),
        ({**BEAST, "low": [0.0, "x"]}, "decoder.low[1]", "must be a number"),
        ("fast", "decoder", "must be a table"),
    ],
)
def test_problems_inside_a_decoders_table_have_their_path(decoder, path, message):
    found = problems_of(card(decoder=decoder))
    assert path in found, list(found)
    assert message in found[path].message


@pytest.mark.parametrize("raw", [{}, {"inputs": 3}, {"inputs": [3, None]}, {"inputs": []}, {"joints": {}}])
def test_tables_that_are_none_are_told_not_crashed_on(raw):
    assert problems_of({**raw})
    assert problems_of({**copy.deepcopy(BASE), **raw, "name": 3})


def test_a_card_says_the_same_when_it_is_written_and_read():
    for name, text in EXAMPLES.items():
        one = parse_card(tomllib.loads(text), name)
        assert PolicyCard.model_validate(one.model_dump(by_alias=True)) == one
