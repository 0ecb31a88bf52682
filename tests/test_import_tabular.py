"""openpi's and GR00T's files: their formulas, what only their Python says, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from import_files import graph, openpi_statistics
from import_files import groot_files as write_groot

from spinal.runtime.cli.main import main
from spinal.runtime.config.card import load_card
from spinal.runtime.errors import ConfigError, PolicyError
from spinal.runtime.importers import groot, groot_files, openpi, tabular

JOINTS = ("pan", "lift", "elbow", "flex", "roll", "wrist", "gripper")
PI = {"state": (1, 7), "image": (1, 3, 8, 12), "noise": (1, 10, 7)}
STREAMS = {"image": "camera:wrist", "noise": "noise"}


def pi(folder, **changed):
    settings = {
        "mode": "quantile",
        "joints": JOINTS,
        "delta": openpi.delta_mask("6,-1"),
        "horizon": 10,
        "step_ms": 20,
        "units": "rad",
        "gripper_units": "m",
        "tensors": STREAMS,
    }
    model = graph(folder / "pi.onnx", PI, ("actions", (1, 10, 7)))
    return model, openpi_statistics(folder / "norm_stats.json", 8), openpi.Answers(**{**settings, **changed})


@pytest.mark.parametrize("mode", ["quantile", "zscore"])
def test_openpi_statistics_become_a_card(tmp_path, mode):
    model, statistics, answers = pi(tmp_path, mode=mode)
    draft, results = openpi.import_openpi(model, statistics, answers)
    card = load_card(draft.write(tmp_path / "out"))
    assert card.representation == "relative"
    assert [joint.absolute for joint in card.joints] == [False] * 6 + [True]
    assert [joint.kind for joint in card.joints] == ["arm"] * 6 + ["gripper"]
    assert card.noise == "normal"
    assert [result.samples for result in results] == [100, 100]
    assert max(result.max_difference for result in results) < 1e-6


def test_openpi_without_a_delta_is_absolute(tmp_path):
    model, statistics, answers = pi(tmp_path, delta=openpi.delta_mask("-7"))
    draft, results = openpi.import_openpi(model, statistics, answers)
    assert draft.card().representation == "absolute"
    assert max(result.max_difference for result in results) < 1e-6


@pytest.mark.parametrize("text", ["", "6,x", "0", "6,,1", "1e3"])
def test_a_delta_mask_is_numbers(text):
    with pytest.raises(ValueError):  # noqa: PT011  whichever int() says
        openpi.delta_mask(text)


def test_make_bool_mask():
    assert openpi.delta_mask("2,-1,3") == (True, True, False, True, True, True)


def test_openpi_refuses_with_every_problem(tmp_path):
    model, statistics, answers = pi(
        tmp_path, joints=(*JOINTS, "a", "b"), tensors={"noise": "noise", "sound": "noise"}
    )
    with pytest.raises(ConfigError) as error:
        openpi.read_openpi(model, statistics, answers)
    said = str(error.value)
    for word in (
        "state has 8 channels, and --joints names 9",
        "state is [1, 7], and there are 9 joints",
        "actions is [1, 10, 7], and [1, 10, 9] is expected",
        "image [1, 3, 8, 12] is filled by nothing",
        "sound is no input of the model",
    ):
        assert word in said
    raw = json.loads(statistics.read_text())
    del raw["norm_stats"]["actions"]["q01"]
    raw["norm_stats"]["state"]["q99"][2] = float("nan")
    statistics.write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match=r"(?s)state\.q99 .*actions\.q01"):
        openpi.read_statistics(statistics, "quantile")


def test_openpi_by_command(tmp_path, capsys):
    model, statistics, _ = pi(tmp_path)
    command = [
        "policy",
        "import",
        "openpi",
        str(model),
        str(statistics),
        "--quantile",
        "--delta-mask",
        "6,-1",
    ]
    command += [
        "--horizon",
        "10",
        "--joints",
        ",".join(JOINTS),
        "--units",
        "rad",
        "--out",
        str(tmp_path / "out"),
    ]
    command += ["--tensor", "image=camera:wrist,noise=noise"]
    assert main(command) == 2
    assert "--step-ms is missing" in capsys.readouterr().err
    assert main([*command, "--step-ms", "20"]) == 0
    assert "openpi's formulas (quantile): 100 random observations" in capsys.readouterr().out
    assert main(["policy", "check", str(tmp_path / "out" / "pi.onnx")]) == 0


ARM = ("pan", "lift", "elbow", "flex", "roll")


def gr00t(folder, percentiles=True, **state):
    config, statistics = write_groot(folder, percentiles, **state)
    model = graph(folder / "n17.onnx", {"state": (1, 1, 6)}, ("action", (1, 8, 6)))
    answers = groot_files.Answers(
        tag="new_arm",
        joints={"arm": ARM, "hand": ("gripper",)},
        step_ms=50,
        units="rad",
        gripper_units="m",
    )
    return model, config, statistics, answers


@pytest.mark.parametrize("percentiles", [True, False])
def test_groot_groups_become_a_card(tmp_path, percentiles):
    draft, results = groot.import_groot(*gr00t(tmp_path, percentiles))
    card = load_card(draft.write(tmp_path / "out"))
    assert card.representation == "relative"
    assert [joint.absolute for joint in card.joints] == [False] * 5 + [True]
    assert card.output.normalise.clip == (-1.0, 1.0)
    assert card.chunk.steps == 8
    assert max(result.max_difference for result in results) < 1e-6
    low, high = ("q01", "q99") if percentiles else ("min", "max")
    moved = json.loads((tmp_path / "statistics.json").read_text())["new_arm"]["relative_action"]["arm"]
    reach = [(b - a) / 2 for a, b in zip(moved[low], moved[high], strict=True)]
    assert card.output.normalise.scale[:5] == pytest.approx(reach)
    assert card.inputs[0].parts[0].normalise.scale[2] == 0  # it never moved: 0 to the model, whatever it is


def test_groot_mean_and_std(tmp_path):
    model, config, statistics, answers = gr00t(tmp_path, mean_std_embedding_keys=["arm"])
    raw = json.loads(statistics.read_text())
    raw["new_arm"]["state"]["arm"]["std"][1] = 0.0
    statistics.write_text(json.dumps(raw))
    draft, results = groot.import_groot(model, config, statistics, answers)
    assert draft.card().inputs[0].parts[0].normalise.mask == (True, False, False, True, True)
    assert max(result.max_difference for result in results) < 1e-6


def test_groot_refuses_what_no_card_can_say(tmp_path):
    model, config, statistics, answers = gr00t(tmp_path, sin_cos_embedding_keys=["arm"])
    raw = json.loads(config.read_text())
    action = raw["processor_kwargs"]["modality_configs"]["new_arm"]["action"]
    action["action_configs"][0] = {"rep": "RELATIVE", "type": "EEF", "format": "XYZ_ROT6D"}
    action["action_configs"][1]["rep"] = "DELTA"
    raw["processor_kwargs"]["modality_configs"]["new_arm"]["state"]["delta_indices"] = [-1, 0]
    config.write_text(json.dumps(raw))
    with pytest.raises(ConfigError) as error:
        groot.read_groot(model, config, statistics, answers)
    said = str(error.value)
    for word in (
        "sines and cosines",
        "is a pose (XYZ_ROT6D)",
        "has rep DELTA",
        "state.delta_indices is not [0]",
    ):
        assert word in said
    with pytest.raises(ConfigError, match=r"--tag is one of: new_arm"):
        groot_files.read_embodiment(config, statistics, groot_files.Answers("other", {}, 50, "rad", "m"))


def test_groot_groups_from_the_dataset(tmp_path):
    info, modality = tmp_path / "info.json", tmp_path / "modality.json"
    names = [f"{name}.pos" for name in (*ARM, "gripper")]
    info.write_text(
        json.dumps({"fps": 20, "features": {k: {"names": names} for k in ("action", "observation.state")}})
    )
    stretches = {"arm": {"start": 0, "end": 5}, "hand": {"start": 5, "end": 6}}
    modality.write_text(json.dumps({"state": stretches, "action": stretches}))
    assert groot_files.groups_of({}, modality, info) == {"arm": ARM, "hand": ("gripper",)}
    assert groot_files.groups_of({"hand": "claw"}, modality, info)["hand"] == ("claw",)
    modality.write_text(json.dumps({"state": {"arm": {"start": 0, "end": 9}}}))
    with pytest.raises(ConfigError, match="has 6 names"):
        groot_files.groups_of({}, modality, info)


def test_a_wrong_formula_would_be_found(tmp_path, monkeypatch):
    theirs = groot.reference_actions
    monkeypatch.setattr(groot, "reference_actions", lambda *given: theirs(*given) + 2e-4)
    with pytest.raises(PolicyError, match="the actions' meaning differs"):
        groot.import_groot(*gr00t(tmp_path))


def test_an_answer_that_never_changes_proves_nothing():
    from spinal.runtime.importers.verify import compare

    with pytest.raises(PolicyError, match="answers the same"):
        compare("ours", "theirs", iter(range(200)), lambda _: np.ones(3), lambda _: np.ones(3))
    with pytest.raises(PolicyError, match="not finite"):
        compare("ours", "theirs", iter(range(200)), lambda _: np.full(3, np.nan), lambda _: np.ones(3))
    assert tabular.verify_formulas
