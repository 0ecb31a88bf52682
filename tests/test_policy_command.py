"""spinal policy show, check and stamp; and where a card is read from."""

import hashlib
import json
import os
import tomllib
from contextlib import suppress

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_models import model as tiny_model
from robot_files import CARD, MODEL, edited, write_policy, write_robot
from test_card_examples import EXAMPLES, model_of

from spinal.runtime.cli.main import main
from spinal.runtime.config.card import CARD_KEY, load_card, parse_card, parse_card_json, read_policy
from spinal.runtime.config.protobuf import with_length
from spinal.runtime.config.stamp import card_json, replace_file, stamped, with_sha256
from spinal.runtime.errors import ConfigError

DIGEST = hashlib.sha256(MODEL).hexdigest()
CARD_OF_MODEL = parse_card(tomllib.loads(CARD.format(sha256=DIGEST)), "card")


def spinal(capsys, *arguments):
    """(exit code, stdout, stderr)"""
    code = main(["policy", *map(str, arguments)])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out, said.err


def metadata(data, key="note", value="kept"):
    return data + with_length(14, with_length(1, key.encode()) + with_length(2, value.encode()))


# stamp


def test_a_stamped_model_is_the_model_and_its_card():
    model = metadata(MODEL)
    made = stamped(model, CARD_OF_MODEL)
    assert made.startswith(model)
    one, other = onnx.load_from_string(model), onnx.load_from_string(made)
    assert {p.key for p in other.metadata_props} == {"note", CARD_KEY}
    del other.metadata_props[1]
    assert one == other
    onnx.checker.check_model(other)


def test_stamping_again_replaces_the_card_and_keeps_every_other_byte():
    before = stamped(MODEL, CARD_OF_MODEL)
    grown = metadata(before)  # somebody appends behind the card
    again = stamped(grown, CARD_OF_MODEL.model_copy(update={"version": "0.2.0"}))
    assert again.startswith(metadata(MODEL))
    (found,) = [p for p in onnx.load_from_string(again).metadata_props if p.key == CARD_KEY]
    card = parse_card_json(found.value, "again")
    assert card.version == "0.2.0"
    assert card.sha256 == hashlib.sha256(metadata(MODEL)).hexdigest()
    assert stamped(again, card) == again


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_cards_json_is_the_card(name):
    card = parse_card(tomllib.loads(EXAMPLES[name]), name)
    assert parse_card_json(card_json(card), name) == card


def test_stamp_command(tmp_path, capsys):
    model, out = write_policy(tmp_path), tmp_path / "out.onnx"
    toml = tmp_path / "policy.card.toml"
    os.chmod(model, 0o640)
    code, said, _ = spinal(capsys, "stamp", model, toml, "--out", out)
    assert code == 0
    assert model.read_bytes() == MODEL
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    assert f"sha256 {digest}" in said
    assert DIGEST in said
    assert load_card(out) == CARD_OF_MODEL
    code, said, _ = spinal(capsys, "stamp", model, toml)
    assert "wins over the card inside" in said
    assert (model.read_bytes(), model.stat().st_mode & 0o777) == (out.read_bytes(), 0o640)
    code, said, _ = spinal(capsys, "stamp", model, toml)
    assert "in the place of the one before" in said
    assert model.read_bytes() == out.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.onnx", "policy.card.toml", "policy.onnx"]


def test_a_card_of_another_model_is_not_stamped(tmp_path, capsys):
    model = write_policy(tmp_path, ('sha256 = "', 'sha256 = "'), model=MODEL)
    toml = tmp_path / "policy.card.toml"
    toml.write_text(CARD.format(sha256="0" * 64))
    code, _, told = spinal(capsys, "stamp", model, toml)
    assert code == 2
    assert "--write-sha256" in told
    assert model.read_bytes() == MODEL
    code, said, _ = spinal(capsys, "stamp", model, toml, "--write-sha256")
    assert code == 0
    assert "sha256 written" in said
    assert toml.read_text() == CARD.format(sha256=DIGEST)
    assert load_card(model) == CARD_OF_MODEL


def test_nothing_is_stamped_that_would_not_fit(tmp_path, capsys):
    model = write_policy(
        tmp_path, model=tiny_model([onnx.helper.make_node("Identity", ["prefix"], ["chunk"])], (1, 19, 2))
    )
    before = model.read_bytes()
    code, _, told = spinal(capsys, "stamp", model, tmp_path / "policy.card.toml")
    assert code == 2
    assert "policy.card.toml: output.shape is [1, 20, 2], and the model has float32 [1, 19, 2]" in told
    assert model.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ('sha256 = "old"\nx = 1', 'sha256 = "new"\nx = 1'),
        ("sha256='old' # why\n[t]\nsha256 = 'inner'", "sha256=\"new\" # why\n[t]\nsha256 = 'inner'"),
        (
            'version = "1" # one\n[t]\nsha256 = "inner"',
            'version = "1" # one\nsha256 = "new"\n[t]\nsha256 = "inner"',
        ),
        ("x = 1", 'sha256 = "new"\nx = 1'),
    ],
)
def test_a_digest_is_set_in_its_line_alone(text, changed):
    assert with_sha256(text, "new", "card") == changed


@pytest.mark.parametrize(
    "text", ['"sha256" = "old"', 'sha256 = """old"""', 'text = """\nsha256 = "old"\n"""']
)
def test_a_digest_that_cannot_be_set_is_left_to_the_person(text):
    with pytest.raises(ConfigError, match="write it yourself"):
        with_sha256(text, "new", "card")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError("disk")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


# where a card is read from


def embed(folder, card=CARD_OF_MODEL, model=MODEL):
    path = folder / "policy.onnx"
    path.write_bytes(stamped(model, card))
    return path


def test_a_card_inside_is_read_when_none_stands_beside(tmp_path):
    found = read_policy(embed(tmp_path))
    assert (found.problems, found.warnings, found.source) == ((), (), "metadata")
    assert found.card == CARD_OF_MODEL


def test_one_beside_wins_and_the_difference_is_told(tmp_path):
    model = embed(tmp_path, CARD_OF_MODEL.model_copy(update={"version": "9", "noise": "zero"}))
    toml = tmp_path / "policy.card.toml"
    toml.write_text(CARD.format(sha256=DIGEST))
    found = read_policy(model)
    assert (found.problems, found.source, found.card) == ((), "policy.card.toml", CARD_OF_MODEL)
    (warning,) = found.warnings
    assert warning.message == "says otherwise than policy.card.toml of version, noise"
    toml.write_text(CARD.format(sha256=hashlib.sha256(model.read_bytes()).hexdigest()))
    assert load_card(model)  # the digest of the whole file is good, too


def test_a_model_that_was_changed_behind_its_card_is_refused(tmp_path):
    model = embed(tmp_path)
    model.write_bytes(metadata(model.read_bytes()))
    (problem,) = read_policy(model).problems
    assert problem.path == "spinal.card: sha256"
    assert "changed behind its card" in problem.hint


def test_a_card_beside_needs_its_digest(tmp_path):
    model = write_policy(tmp_path, (f'sha256 = "{DIGEST}"\n', ""))
    (problem,) = read_policy(model).problems
    assert problem.message == f"is missing, and the model's is {DIGEST}"
    assert DIGEST in problem.hint


def test_a_card_inside_needs_no_digest(tmp_path):
    text = card_json(CARD_OF_MODEL.model_copy(update={"sha256": None}))
    path = tmp_path / "policy.onnx"
    path.write_bytes(metadata(MODEL, CARD_KEY, text))
    assert load_card(path).sha256 is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", "[" * 100_000, '{"schema": 2}', '{"inputs": {}}']
)
def test_a_card_inside_that_is_none_is_told(tmp_path, text):
    path = tmp_path / "policy.onnx"
    path.write_bytes(metadata(MODEL, CARD_KEY, text))
    problems = read_policy(path).problems
    assert problems
    assert all(problem.path.startswith("policy.onnx") for problem in problems)
    (tmp_path / "policy.card.toml").write_text(CARD.format(sha256=DIGEST))
    found = read_policy(path)
    assert found.problems == ()
    assert "cannot be used" in found.warnings[0].message


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["kind", "name", "inputs", "normalise", "file", "mode", "stream", "shape"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(["inputs", "joints", "decoder", "output", "chunk", "pose", "recurrent", "prefix"]),
)
def test_any_tables_are_a_card_or_told(value, key):
    raw = tomllib.loads(CARD.format(sha256=DIGEST)) | {key: value}
    with suppress(ConfigError):
        parse_card(raw, "card")


def test_another_engines_model_need_not_be_onnx(tmp_path):
    plan = b"a plan of another engine"
    model = write_policy(tmp_path, ('robot = "two"', 'robot = "two"\nengine = "tensorrt"'), model=plan)
    assert load_card(model).engine == "tensorrt"
    model.write_bytes(plan + b"!")
    assert [problem.path for problem in read_policy(model).problems] == ["policy.card.toml: sha256"]


# show and check


def test_check_tells_all_of_it_and_leaves_with_2(tmp_path, capsys):
    model = write_policy(
        tmp_path,
        ('name = "q"', 'name = "Q"'),
        ('"elbow", kind = "arm", unit = "rad"', '"knee", kind = "arm", unit = "m"'),
    )
    robot = write_robot(tmp_path)
    code, said, told = spinal(capsys, "check", model, "--robot", robot)
    assert code == 2
    assert "name, unit" in said
    assert ": 3 problems" in told
    assert "is not an input of the model: Q" in told
    assert "the card has knee (arm, m), the robot elbow (arm, rad)" in told
    assert f"next: correct this and run: spinal policy check {model} --robot {robot}" in told
    code, said, _ = spinal(capsys, "check", model, "--robot", robot, "--json")
    report = json.loads(said)
    assert (code, report["ok"], report["joints"][0]["difference"]) == (2, False, "name, unit")
    assert {"path", "message", "hint"} == set(report["problems"][0])


def test_check_of_a_good_pair(tmp_path, capsys):
    model, robot = write_policy(tmp_path), write_robot(tmp_path)
    code, said, told = spinal(capsys, "check", model, "--robot", robot)
    assert (code, told) == (0, "")
    assert "ok: model and card agree, and it fits two." in said
    code, said, told = spinal(capsys, "check", model)
    assert "next: spinal policy check" in said


def test_check_of_a_bad_robot_file(tmp_path, capsys):
    model, robot = write_policy(tmp_path), write_robot(tmp_path, ("servo_hz = 250", "servo_hz = 2"))
    code, _, told = spinal(capsys, "check", model, "--robot", robot)
    assert (code, "control.servo_hz" in told) == (2, True)
    code, said, _ = spinal(capsys, "check", model, "--robot", robot, "--json")
    assert (code, json.loads(said)["ok"]) == (2, False)


@pytest.mark.parametrize("action", ["show", "check"])
def test_a_file_that_is_no_model(tmp_path, capsys, action):
    code, _, told = spinal(capsys, action, tmp_path / "none.onnx")
    assert (code, "none.onnx is not there" in told) == (2, True)
    (tmp_path / "zip.onnx").write_bytes(b"PK\x03\x04")
    code, said, told = spinal(capsys, action, tmp_path / "zip.onnx")
    if action == "check":
        assert (code, "zip.onnx is not an ONNX model" in told) == (2, True)
    else:
        assert (code, "2 problems. next: spinal policy check" in said) == (0, True)


def test_show_of_a_model_without_a_card_lists_its_tensors(tmp_path, capsys):
    walker = parse_card(tomllib.loads(EXAMPLES["walker"]), "walker")
    model = tmp_path / "w.onnx"
    model.write_bytes(
        model_of(walker, joint_names="hip_l,knee_l", joint_stiffness="40,60", run_path="a\x1b[2Jb")
    )
    code, said, told = spinal(capsys, "show", model)
    assert (code, told) == (0, "")
    for word in ("no card", "float32 [1, 30]", "h_out", "output", "hip_l", "run_path", "1 problem."):
        assert word in said
    assert "\x1b" not in said
    code, said, _ = spinal(capsys, "show", model, "--json")
    assert json.loads(said)["exporter"]["joints"][1] == {
        "name": "knee_l",
        "default_position": None,
        "stiffness": 60.0,
        "damping": None,
        "action_scale": None,
    }


def test_square_brackets_are_shown_as_they_are(tmp_path, capsys):
    model = write_policy(tmp_path)
    _, said, _ = spinal(capsys, "show", model)
    for shape in ("[1, 2]", "[1, 20, 2]"):
        assert shape in said


def test_the_robots_check_compares_tensors_too(tmp_path, capsys):
    write_policy(tmp_path, ('name = "q"', 'name = "Q"'))
    assert main(["check", str(write_robot(tmp_path))]) == 2
    assert (
        "policy.model: policy.card.toml: inputs[0] (Q) is not an input of the model"
        in capsys.readouterr().err
    )


def test_another_encoder_than_the_cards_is_refused(tmp_path, capsys):
    encoder = '\nencoder = { file = "e.onnx", sha256 = "DIGEST" }\n'
    text = edited(EXAMPLES["flow"], ("time_per_position = true\n", f"time_per_position = true{encoder}"))
    flow = parse_card(tomllib.loads(edited(text, ("DIGEST", "0" * 64))), "flow")
    inside, before = model_of(flow), tiny_model([], inputs={})
    (tmp_path / "f.onnx").write_bytes(inside)
    (tmp_path / "e.onnx").write_bytes(before)
    own = ('version = "0.3.0"', f'version = "0.3.0"\nsha256 = "{hashlib.sha256(inside).hexdigest()}"')
    for digest, code in (("0" * 64, 2), (hashlib.sha256(before).hexdigest(), 0)):
        (tmp_path / "f.card.toml").write_text(edited(text, ("DIGEST", digest), own))
        found, _, told = spinal(capsys, "check", tmp_path / "f.onnx")
        assert found == code, told
        assert ("decoder.encoder.sha256 is 0000" in told) == bool(code)


def test_files_that_a_decoder_names_are_looked_for(tmp_path, capsys):
    fast = parse_card(tomllib.loads(EXAMPLES["fast"]), "fast")
    data = model_of(fast)
    (tmp_path / "f.onnx").write_bytes(data)
    toml = edited(
        EXAMPLES["fast"],
        ('version = "2.1.0"', f'version = "2.1.0"\nsha256 = "{hashlib.sha256(data).hexdigest()}"'),
    )
    (tmp_path / "f.card.toml").write_text(toml)
    code, _, told = spinal(capsys, "check", tmp_path / "f.onnx")
    assert (code, "decoder.tokenizer tokenizer.json is not there" in told) == (2, True)
    (tmp_path / "tokenizer.json").write_bytes(b"other")
    code, _, told = spinal(capsys, "check", tmp_path / "f.onnx")
    assert (code, "decoder.tokenizer_sha256 is e3b0c" in told) == (2, True)
    (tmp_path / "tokenizer.json").write_bytes(b"")
    assert spinal(capsys, "check", tmp_path / "f.onnx")[0] == 0
