"""The policy card and its model: what is refused, and how a card is compared with a robot."""

import json
import os
import tomllib

import pytest
from robot_files import CARD, MODEL, write_policy, write_robot

from spinal.runtime.config import load_robot
from spinal.runtime.config.card import PolicyCard, load_card, parse_card_json
from spinal.runtime.config.match import match_card
from spinal.runtime.config.model_file import MAX_MODEL_BYTES, inspect_model
from spinal.runtime.errors import ConfigError


def refusal(model):
    with pytest.raises(ConfigError) as caught:
        load_card(model)
    return caught.value.problems


def pair(tmp_path, *, card=(), robot=()):
    return match_card(load_card(write_policy(tmp_path, *card)), load_robot(write_robot(tmp_path, *robot)))


def test_a_good_card_loads(tmp_path):
    card = load_card(write_policy(tmp_path))
    assert [joint.name for joint in card.joints] == ["elbow", "gripper"]
    assert (card.chunk.steps, card.chunk.step_ms, card.chunk.duration_ms) == (20, 20, 380)
    assert [tensor.sensor for tensor in card.inputs][:3] == [
        None,
        ("block", "position"),
        ("block", "velocity"),
    ]
    assert card.prefix.max_steps == 8


def test_a_card_embedded_in_a_model_is_the_same_card():
    raw = tomllib.loads(CARD.format(sha256=""))
    del raw["sha256"]  # a file cannot hold its own digest
    assert parse_card_json(json.dumps(raw), "policy.onnx") == PolicyCard.model_validate(raw)
    with pytest.raises(ConfigError, match="not JSON"):
        parse_card_json("{", "policy.onnx")
    with pytest.raises(ConfigError, match="chunk is missing"):
        parse_card_json(json.dumps({key: raw[key] for key in raw if key != "chunk"}), "policy.onnx")


INPUT_2 = "inputs[1] (block)"
BAD = {
    "shape": (('shape = [1, 3], unit = "m"', 'shape = [1, 2], unit = "m"'), f"{INPUT_2}.shape", "[1, 3]"),
    "unit": (
        ('shape = [1, 3], unit = "m"', 'shape = [1, 3], unit = "rad"'),
        f"{INPUT_2}.unit",
        'must be "m"',
    ),
    "output": (('"chunk", shape = [1, 20, 2]', '"chunk", shape = [1, 20, 6]'), "output.shape", "[1, 20, 2]"),
    "twice": (('name = "block"', 'name = "q"'), "inputs[1] (q).name", "also inputs[0]"),
    "prefix too long": (("max_steps = 8", "max_steps = 20"), "prefix.max_steps", "below chunk.steps (20)"),
    "no prefix input": (
        ('stream = "mask", shape = [1, 20]', 'stream = "noise", shape = [1, 20, 2]'),
        "prefix.max_steps",
        "no inputs take",
    ),
    "too many steps": (("steps = 20", "steps = 129"), "chunk.steps", "at most 127, and is 129"),
    "too few steps": (("steps = 20", "steps = 3"), "chunk.steps", "must leave 4 actions, and 3 less first"),
    "representation": (('"absolute"', '"sideways"'), "representation", 'and is "sideways"'),
    "digest": (('sha256 = "', 'sha256 = "x'), "sha256", "64 hexadecimal digits"),
    "unknown stream": (
        ("stream:block.velocity", "stream:block.speed"),
        "inputs[2] (drift).stream",
        "name of a stream",
    ),
    "unknown key": (("version =", "revision ="), "revision", "not a known key"),
}


@pytest.mark.parametrize("name", BAD)
def test_each_problem_of_a_card_is_told(tmp_path, name):
    change, path, message = BAD[name]
    problems = refusal(write_policy(tmp_path, change))
    found = [p for p in problems if p.path == f"policy.card.toml: {path}"]
    assert found, problems
    assert message in found[0].message


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04 a zip archive", "is not an ONNX model"),
        (b"\x08\x0a", "is not an ONNX model"),
        (b"\x08\x0a\xff\xff what no field begins with", "is not an ONNX model"),
        (b"\x0a\x0bno version first", "is not an ONNX model"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
    ],
)
def test_what_is_no_model_is_told(tmp_path, model, message):
    problems = refusal(write_policy(tmp_path, model=model))
    assert [problem.path for problem in problems] == ["policy.onnx"]
    assert message in problems[0].message


def test_a_real_export_begins_like_onnx(tmp_path):
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph([], "g", [], [])
    path = tmp_path / "real.onnx"
    onnx.save(onnx.helper.make_model(graph), str(path))
    assert inspect_model(path).problems == ()


def test_a_model_of_another_digest_is_refused(tmp_path):
    model = write_policy(tmp_path)
    model.write_bytes(MODEL + b"\x12\x01!")
    (problem,) = refusal(model)
    assert problem.path == "policy.card.toml: sha256"
    assert inspect_model(model).sha256 in problem.hint


def test_a_huge_model_is_refused_without_reading_it(tmp_path):
    model = write_policy(tmp_path)
    os.truncate(model, MAX_MODEL_BYTES + 1)  # a hole: no byte is on the disk
    facts = inspect_model(model)
    assert facts.sha256 == ""
    assert "more than 512" in facts.problems[0].message


def test_missing_model_and_missing_card_are_told_together(tmp_path):
    problems = refusal(tmp_path / "none.onnx")
    assert [(p.path, p.message) for p in problems] == [
        ("none.onnx", "is not there"),
        ("none.card.toml", "is missing beside the model"),
    ]


def test_a_card_matches_its_robot(tmp_path):
    match = pair(tmp_path)
    assert [row.difference for row in match.joints] == ["", ""]
    assert (match.problems, match.warnings) == ((), ())


def test_the_difference_is_shown_joint_by_joint(tmp_path):
    match = pair(
        tmp_path,
        card=[('name = "elbow", kind = "arm", unit = "rad"', 'name = "knee", kind = "arm", unit = "m"')],
    )
    assert [row.difference for row in match.joints] == ["name, unit", ""]
    (problem,) = match.problems
    assert problem.path == "joints[0]"
    assert "the card has knee (arm, m), the robot elbow (arm, rad)" in problem.message


def test_another_order_is_called_by_its_name(tmp_path):
    rows = [
        '  { name = "elbow", kind = "arm", unit = "rad" },\n',
        '  { name = "gripper", kind = "gripper", unit = "m" },\n',
    ]
    match = pair(tmp_path, card=[("".join(rows), "".join(reversed(rows)))])
    assert [row.difference for row in match.joints] == ["name, kind, unit"] * 2
    assert "another order: sort [[joints]] as gripper, elbow" in match.problems[0].hint


def test_a_joint_that_one_side_lacks(tmp_path):
    raw = tomllib.loads(CARD.format(sha256="0" * 64))
    card = PolicyCard.model_validate(
        raw
        | {
            "joints": raw["joints"][:1],
            "inputs": [{"name": "q", "stream": "command", "shape": [1, 1], "unit": "joint"}],
            "output": {"name": "chunk", "shape": [1, 20, 1]},
            "prefix": {"max_steps": 0},
        }
    )
    match = match_card(card, load_robot(write_robot(tmp_path)))
    assert [row.difference for row in match.joints] == ["", "the card ends before it"]
    assert match.joints[1].card == ""
    assert "the card has none, the robot gripper" in match.problems[0].message


def test_streams_that_the_robot_lacks(tmp_path):
    problems = pair(tmp_path, robot=[("[streams.block]", "[streams.black]")]).problems
    assert [problem.path for problem in problems] == ["streams.block", "streams.block"]
    assert "input block wants stream:block.position" in problems[0].message
    assert problems[0].hint == "did you mean black?"


def test_velocity_needs_a_filter(tmp_path):
    no_filter = (
        'filter = { kind = "alpha_beta", position_sigma_m = 0.001, acceleration_sigma_m_s2 = 1.5 }',
        "",
    )
    (problem,) = pair(tmp_path, robot=[no_filter]).problems
    assert problem.path == "streams.block.filter"
    assert "stream:block.velocity" in problem.message


def test_a_chunk_must_outlast_a_policy_period(tmp_path):
    (problem,) = pair(tmp_path, robot=[("\nhz = 50", "\nhz = 2")]).problems
    assert problem.path == "policy.hz"
    assert "3 Hz or more" in problem.hint
    assert pair(tmp_path, robot=[("\nhz = 50", "\nhz = 3")]).problems == ()


def test_another_embodiment_is_a_warning(tmp_path):
    (warning,) = pair(tmp_path, card=[('robot = "two"', 'robot = "three"')]).warnings
    assert "is two, and the policy was trained for three" in warning.message
    own = ('name = "two"', 'name = "two"\nembodiment = "three"')
    assert pair(tmp_path, card=[('robot = "two"', 'robot = "three"')], robot=[own]).warnings == ()
