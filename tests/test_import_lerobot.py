"""LeRobot checkpoints: two that LeRobot itself wrote and answered (0.4.4, and 0.6.1 with relative actions)."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from spinal.runtime.cli.main import main
from spinal.runtime.config.card import card_path, load_card
from spinal.runtime.errors import ConfigError, PolicyError
from spinal.runtime.importers.draft import Draft
from spinal.runtime.importers.joints import infer_unit
from spinal.runtime.importers.lerobot.card import Answers, card_tables, channels_of
from spinal.runtime.importers.lerobot.checkpoint import ACTION, read_checkpoint
from spinal.runtime.importers.lerobot.dataset import read_dataset
from spinal.runtime.importers.lerobot.importer import refuse_type
from spinal.runtime.importers.lerobot.normalise import card_normalisation
from spinal.runtime.importers.lerobot.units import settle_units
from spinal.runtime.importers.ours import OurPath, observation, to_robot
from spinal.runtime.types import StreamValue

DATA = Path(__file__).parent / "data"
KINDS = {"lerobot_act": "tiny", "lerobot_act_relative": "rel"}
STREAMS = {"observation.environment_state": "stream:block.position"}


@pytest.fixture
def copy(tmp_path):
    """A checkpoint that may be changed."""

    def of(kind="lerobot_act"):
        folder = tmp_path / kind
        shutil.copytree(DATA / kind, folder)
        return folder

    return of


def change(path, *keys, to):
    raw = json.loads(path.read_text())
    table = raw
    for key in keys[:-1]:
        table = table[key]
    table[keys[-1]] = to
    path.write_text(json.dumps(raw))


def tables(folder, name, **answers):
    checkpoint, dataset = read_checkpoint(folder), read_dataset(folder)
    channels = channels_of(checkpoint, dataset, {}, None)
    given = Answers(units="deg", gripper_units="percent", streams=STREAMS, **answers)
    return card_tables(checkpoint, channels, dataset, given, name)


@pytest.mark.parametrize("kind", KINDS)
def test_the_card_is_made_again_from_the_checkpoint(kind):
    name = KINDS[kind]
    written = tomllib.loads(card_path(DATA / kind / f"{name}.onnx").read_text())
    del written["sha256"]
    assert tables(DATA / kind, name) == written
    assert load_card(DATA / kind / f"{name}.onnx").name == name


@pytest.mark.parametrize("kind", KINDS)
def test_our_path_answers_what_lerobot_answered(kind):
    name = KINDS[kind]
    draft = Draft(name, kind, tables(DATA / kind, name))
    draft.files[draft.model] = (DATA / kind / draft.model).read_bytes()
    path = OurPath(draft)
    assert path.stand_in
    runs = json.loads((DATA / kind / "answers.json").read_text())["runs"]
    for number, run in enumerate(runs):
        position = np.array(
            [float(to_robot(j, np.array(x))) for j, x in zip(path.card.joints, run["state"], strict=True)]
        )
        now_ns = (number + 1) * 10_000_000_000
        block = StreamValue(np.array(run["block"]), np.zeros(3), 0.0, now_ns)
        ours = path.answer(observation(now_ns, position, streams={"block": block}))
        actions = np.array(run["actions"])
        theirs = np.stack([to_robot(j, actions[:, i]) for i, j in enumerate(path.card.joints)], axis=1)
        assert np.abs(ours - theirs).max() < 2e-6
        assert np.abs(np.diff(theirs, axis=0)).max() > 1e-3


def test_relative_actions_leave_out_names_by_their_parts():
    made = tables(DATA / "lerobot_act_relative", "rel")
    assert made["representation"] == "relative"
    assert [row.get("absolute", False) for row in made["joints"]] == [False] * 5 + [True]


def test_relative_actions_are_added_by_position(copy):
    folder = copy("lerobot_act_relative")
    names = [
        f"{name}.pos"
        for name in ("shoulder_lift", "shoulder_pan", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
    ]
    change(folder / "meta" / "info.json", "features", "observation.state", "names", to=names)
    with pytest.raises(ConfigError, match="LeRobot itself would add the wrong joints"):
        tables(folder, "rel")


def test_a_state_in_another_order_names_its_joints(copy):
    folder = copy()
    names = [
        f"{name}.pos"
        for name in ("gripper", "shoulder_lift", "shoulder_pan", "elbow_flex", "wrist_flex", "wrist_roll")
    ]
    change(folder / "meta" / "info.json", "features", "observation.state", "names", to=names)
    state = tables(folder, "tiny")["inputs"][0]
    assert state["joints"] == [name.removesuffix(".pos") for name in names]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"class": "evil.module.Step", "config": {}}, r'steps\[1\] is the Python class "evil.module.Step"'),
        (
            {"registry_name": "xvla_rotation_6d_to_axis_angle"},
            'is "xvla_rotation_6d_to_axis_angle", which is not known',
        ),
        ({"registry_name": "tokenizer_processor"}, "prepares language"),
    ],
)
def test_steps_that_are_not_understood_are_refused_by_name(copy, step, said):
    folder = copy()
    change(folder / "policy_preprocessor.json", "steps", 1, to=step)
    with pytest.raises(ConfigError, match=said):
        read_checkpoint(folder)


def test_the_order_of_steps_matters(copy):
    folder = copy("lerobot_act_relative")
    path = folder / "policy_preprocessor.json"
    steps = json.loads(path.read_text())["steps"]
    words = [step["registry_name"] for step in steps]
    a, b = words.index("relative_actions_processor"), words.index("normalizer_processor")
    steps[a], steps[b] = steps[b], steps[a]
    change(path, "steps", to=steps)
    with pytest.raises(ConfigError, match="relative_actions_processor behind normalizer_processor"):
        read_checkpoint(folder)


@pytest.mark.parametrize("state", ["../model.safetensors", "/etc/passwd", 7])
def test_a_state_file_stays_in_the_folder(copy, state):
    folder = copy()
    change(folder / "policy_postprocessor.json", "steps", 0, "state_file", to=state)
    with pytest.raises(ConfigError, match="has its state in"):
        read_checkpoint(folder)


def test_a_broken_state_file_is_said(copy):
    folder = copy()
    state = next(folder.glob("policy_postprocessor*.safetensors"))
    for data in (b"", b"\xff" * 64, (2**40).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"[]"):
        state.write_bytes(data)
        with pytest.raises(ConfigError, match="is not a safetensors file"):
            read_checkpoint(folder)


def test_constant_channels_and_quantiles(copy):
    folder = copy()
    for name in ("policy_preprocessor.json", "policy_postprocessor.json"):
        raw = json.loads((folder / name).read_text())
        for step in raw["steps"]:
            if "norm_map" in step.get("config", {}):
                step["config"]["norm_map"]["ACTION"] = "QUANTILE10"
        (folder / name).write_text(json.dumps(raw))
    checkpoint = read_checkpoint(folder)
    low, high = (checkpoint.post.statistics[ACTION][word] for word in ("q10", "q90"))
    found = card_normalisation(checkpoint, ACTION, 6)
    assert found["mode"] == "min_max"
    assert low[5] == 0  # and the rest differ from each other
    assert found["min"] == low.tolist()
    assert found["max"] == high.tolist()
    low.setflags(write=True)
    low[2] = high[2]
    assert card_normalisation(checkpoint, ACTION, 6)["max"][2] == pytest.approx(high[2] + 1e-8, abs=1e-12)


def test_without_statistics_lerobot_does_not_normalise(copy):
    folder = copy()
    state = json.loads((folder / "policy_postprocessor.json").read_text())["steps"][0]
    del state["state_file"]
    change(folder / "policy_postprocessor.json", "steps", 0, to=state)
    assert card_normalisation(read_checkpoint(folder), ACTION, 6) is None


@pytest.mark.parametrize(
    ("low", "high", "unit", "impossible"),
    [
        ([-60, -119], [70, 80], "deg", {"signed_percent", "rad"}),
        ([-60, -100], [70, 99.9], "signed_percent", {"rad"}),
        ([-60, -80], [70, 70], "deg", {"rad"}),
        ([-1.5, -2.0], [1.5, 3.1], "rad", set()),
    ],
)
def test_the_unit_is_inferred(low, high, unit, impossible):
    found = infer_unit(["a", "b"], low, high)
    assert found.unit == unit
    assert set(found.impossible) == impossible


def test_units_are_shown_and_asked_for():
    checkpoint = read_checkpoint(DATA / "lerobot_act")
    channels = channels_of(checkpoint, read_dataset(DATA / "lerobot_act"), {}, None)
    with pytest.raises(ConfigError, match="look like deg"):
        settle_units(checkpoint, channels, None, None, None, print)
    asked: list[str] = []
    answer = settle_units(checkpoint, channels, None, None, lambda q: asked.append(q) or "", print)
    assert (answer.arm, answer.gripper) == ("deg", "percent")
    assert "Enter for deg" in asked[0]
    with pytest.raises(ConfigError, match="is rad, which cannot be"):
        settle_units(checkpoint, channels, "rad", None, None, print)


def test_the_command_without_units_says_what_it_infers(capsys):
    folder = str(DATA / "lerobot_act")
    assert main(["policy", "import", "lerobot", folder, "--dataset", folder]) == 2
    assert "say one of deg, signed_percent, rad" in capsys.readouterr().err


def test_channels_come_from_the_dataset_or_are_asked(copy):
    checkpoint = read_checkpoint(DATA / "lerobot_act")
    with pytest.raises(ConfigError, match="--dataset FOLDER"):
        channels_of(checkpoint, None, {}, None)
    given = dict.fromkeys("abcdef", "") | {c: f"joint_{c}" for c in "abcdef"}
    assert channels_of(checkpoint, None, given, ["joint_f"]).grippers == (False,) * 5 + (True,)
    folder = copy()
    change(folder / "meta" / "info.json", "features", "action", "names", to={"motors": ["a", "b"]})
    with pytest.raises(ConfigError, match=r"are 2 \(a, b\), and the model answers 6"):
        channels_of(checkpoint, read_dataset(folder), {}, None)


def test_policies_that_cannot_be_exported_are_refused_with_the_reason(copy):
    folder = copy()
    for kind, why in (
        ("smolvla", "vision-language model"),
        ("vqbet", "at random"),
        ("new", "not known here"),
    ):
        change(folder / "config.json", "type", to=kind)
        with pytest.raises(PolicyError) as error:
            refuse_type(read_checkpoint(folder))
        assert why in error.value.hint


def test_what_neither_joints_nor_camera_fills_is_asked_for():
    checkpoint, dataset = (read(DATA / "lerobot_act") for read in (read_checkpoint, read_dataset))
    channels = channels_of(checkpoint, dataset, {}, None)
    with pytest.raises(ConfigError, match=r"--stream observation\.environment_state=stream:NAME\.FIELD"):
        card_tables(checkpoint, channels, dataset, Answers(units="deg", gripper_units="percent"), "x")


def test_the_older_layout_has_its_statistics_in_the_model(copy):
    folder = copy()
    checkpoint = read_checkpoint(folder)
    for path in folder.glob("policy_*"):
        path.unlink()
    numbers = {
        "unnormalize_outputs.buffer_action.mean": checkpoint.post.statistics[ACTION]["mean"],
        "unnormalize_outputs.buffer_action.std": checkpoint.post.statistics[ACTION]["std"],
        "normalize_inputs.buffer_observation_environment_state.mean": np.arange(3.0),
        "normalize_inputs.buffer_observation_environment_state.std": np.ones(3),
    }
    header, body = {}, b""
    for name, values in numbers.items():
        data = np.asarray(values, "<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": [len(values)],
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + body)
    older = read_checkpoint(folder)
    assert older.layout == "buffers"
    assert older.pre.statistics["observation.environment_state"]["mean"].tolist() == [0, 1, 2]
    assert card_normalisation(older, ACTION, 6) == card_normalisation(checkpoint, ACTION, 6)


def test_whole_with_the_framework(tmp_path, capsys):
    """Exported and compared anew, where the extra is installed."""
    pytest.importorskip("lerobot")
    folder = str(DATA / "lerobot_act")
    command = [
        "policy",
        "import",
        "lerobot",
        folder,
        "--dataset",
        folder,
        "--units",
        "deg",
        "--out",
        str(tmp_path),
    ]
    command += ["--stream", "observation.environment_state=stream:block.position"]
    assert main(command) == 0
    assert "100 random observations, max difference" in capsys.readouterr().out


def test_a_calibration_gives_the_ranges(tmp_path):
    from spinal.runtime.config import load_robot
    from spinal.runtime.importers.lerobot.calibration import ranges_of
    from spinal.runtime.importers.lerobot.units import Units

    robot = load_robot(Path(__file__).parents[1] / "launch" / "robots" / "so101_sim.toml")
    checkpoint = read_checkpoint(DATA / "lerobot_act")
    channels = channels_of(checkpoint, read_dataset(DATA / "lerobot_act"), {}, None)
    raw = {
        name: {
            "id": i,
            "drive_mode": int(name == "gripper"),
            "homing_offset": 0,
            "range_min": 1000,
            "range_max": 3000,
        }
        for i, name in enumerate(channels.names)
    }
    path = tmp_path / "arm.json"
    path.write_text(json.dumps(raw))
    turn = 2 * np.pi / 4096
    found = ranges_of(path, robot, channels, Units("signed_percent", "percent"))
    assert found["shoulder_pan"] == pytest.approx(((1000 - 2048) * turn, (3000 - 2048) * turn))
    assert found["elbow_flex"] == pytest.approx(((1000 - 1135) * turn, (3000 - 1135) * turn))
    metre = 0.022 / 1024
    assert found["gripper"] == pytest.approx(((3000 - 2048) * metre, (1000 - 2048) * metre))
    assert set(ranges_of(path, robot, channels, Units("rad", "percent"))) == {"gripper"}
    raw["elbow_flex"]["range_max"] = 900
    path.write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match="elbow_flex has no range_min"):
        ranges_of(path, robot, channels, Units("deg", "percent"))
    with pytest.raises(ConfigError, match="needs a robot"):
        ranges_of(path, None, channels, Units("deg", "percent"))
