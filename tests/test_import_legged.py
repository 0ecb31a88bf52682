"""Walking policies from mjlab, holosoma and unitree_rl_lab: orders, scales, histories, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from import_files import (
    ACTION_SCALE,
    DAMPING,
    DEFAULT,
    DEPLOYED,
    LEGS,
    STIFFNESS,
    csv,
    deploy_yaml,
    graph,
    mjlab_metadata,
)

from spinal.runtime.cli.main import main
from spinal.runtime.config.card import load_card
from spinal.runtime.errors import ConfigError, PolicyError
from spinal.runtime.importers.legged.card import Answers, read_legged
from spinal.runtime.importers.legged.importer import import_legged

MJLAB = 9 + 3 * 6 + 3


def mjlab(folder, **changed):
    return graph(folder / "walk.onnx", {"obs": (1, MJLAB)}, ("actions", (1, 6)), mjlab_metadata(**changed))


def deployed(folder, **kwargs):
    return graph(folder / "policy.onnx", {"obs": (1, DEPLOYED)}, ("actions", (1, 6)), **kwargs)


def test_mjlab_metadata_becomes_a_card(tmp_path):
    draft, results = import_legged(mjlab(tmp_path), None, Answers(step_ms=20))
    card = load_card(draft.write(tmp_path / "out"))
    assert [joint.name for joint in card.joints] == list(LEGS)
    assert [joint.default_position for joint in card.joints] == pytest.approx(DEFAULT)
    assert [joint.stiffness for joint in card.joints] == pytest.approx(STIFFNESS)
    assert [joint.damping for joint in card.joints] == pytest.approx(DAMPING)
    assert card.output.normalise.scale == pytest.approx(ACTION_SCALE)
    assert [part.stream for part in card.inputs[0].parts] == [
        "stream:base.velocity",
        "stream:base.angular_velocity",
        "stream:base.gravity",
        "joint_offset",
        "joint_velocity",
        "last_action",
        "goal:twist",
    ]
    assert [result.samples for result in results] == [100, 100]
    assert max(result.max_difference for result in results) < 1e-5
    assert min(result.largest for result in results) > 0.5


def test_an_open_batch_is_one(tmp_path):
    path = graph(
        tmp_path / "walk.onnx", {"obs": (1, MJLAB)}, ("actions", (1, 6)), mjlab_metadata(), batch="batch"
    )
    draft, _ = import_legged(path, None, Answers(step_ms=20))
    assert draft.card().output.shape == (1, 6)


def test_passive_joints_are_asked_for(tmp_path):
    names = csv((*LEGS[:3], "left_toe_joint", *LEGS[3:]))
    default = csv((*DEFAULT[:3], 9.0, *DEFAULT[3:]))
    path = mjlab(tmp_path, joint_names=names, default_joint_pos=default)
    with pytest.raises(ConfigError, match=r"lists 7 joints .* drives 6"):
        read_legged(path, None, Answers(step_ms=20))
    draft, _ = read_legged(path, None, Answers(step_ms=20, driven=LEGS))
    joints = draft.card().joints
    assert [joint.default_position for joint in joints] == pytest.approx(DEFAULT)
    assert [joint.stiffness for joint in joints] == pytest.approx(STIFFNESS)
    with pytest.raises(ConfigError, match="order of joint_names"):
        read_legged(path, None, Answers(step_ms=20, driven=LEGS[::-1]))


def test_sizes_that_do_not_add_up_are_shown(tmp_path):
    path = graph(tmp_path / "w.onnx", {"obs": (1, MJLAB + 3)}, ("actions", (1, 6)), mjlab_metadata())
    with pytest.raises(ConfigError, match="takes 33 numbers, and the terms give 30: base_lin_vel 3"):
        read_legged(path, None, Answers(step_ms=20))
    draft, _ = read_legged(path, None, Answers(step_ms=20, histories={"base_lin_vel": 2}))
    assert draft.card().inputs[0].parts[0].history == 2


def test_scales_that_no_file_says_are_taken(tmp_path):
    draft, results = import_legged(mjlab(tmp_path), None, Answers(step_ms=20, scales={"joint_vel": 0.05}))
    assert draft.card().inputs[0].parts[4].normalise.scale == (0.05,)
    assert results[0].max_difference < 1e-5


def test_motion_tracking_and_unknown_terms_are_refused(tmp_path):
    names = "command,motion_anchor_pos_b,joint_pos,joint_vel,actions,height_scan"
    with pytest.raises(ConfigError) as error:
        read_legged(mjlab(tmp_path, observation_names=names), None, Answers(step_ms=20))
    said = str(error.value)
    assert "term motion_anchor_pos_b compares the body with a reference motion" in said
    assert "term command compares" in said
    assert "term height_scan is not known here" in said
    path = graph(
        tmp_path / "t.onnx", {"obs": (1, 30), "time_step": (1, 1)}, ("actions", (1, 6)), mjlab_metadata()
    )
    with pytest.raises(ConfigError, match="time_step"):
        read_legged(path, None, Answers(step_ms=20))


def test_holosoma_gains_and_what_is_missing(tmp_path):
    metadata = {"kp": json.dumps(STIFFNESS), "kd": json.dumps(DAMPING)}
    path = deployed(tmp_path, metadata=metadata)
    with pytest.raises(ConfigError) as error:
        read_legged(path, None, Answers())
    said = str(error.value)
    for word in ("joints is in no file", "default", "action scale", "terms", "step ms"):
        assert word in said
    with pytest.raises(ConfigError, match="kp has 2 numbers for 6 actions"):
        read_legged(deployed(tmp_path, metadata={"kp": "[1, 2]"}), None, Answers())


def test_deploy_yaml_has_its_gains_in_the_sdks_order(tmp_path):
    pytest.importorskip("yaml")
    deploy = deploy_yaml(tmp_path / "deploy.yaml")
    draft, results = import_legged(deployed(tmp_path), deploy, Answers(joints=LEGS))
    card = load_card(draft.write(tmp_path / "out"))
    assert [joint.stiffness for joint in card.joints] == list(STIFFNESS)
    assert [joint.damping for joint in card.joints] == list(DAMPING)
    assert [joint.default_position for joint in card.joints] == list(DEFAULT)
    assert [part.history for part in card.inputs[0].parts] == [5] * 6
    clipped = card.inputs[0].parts[4].normalise
    assert clipped.scale == (0.05,)
    assert clipped.clip == pytest.approx((-0.15, 0.15))
    assert card.chunk.step_ms == 20
    assert card.chunk.steps == 1
    assert card.chunk.waypoints >= 4
    assert max(result.max_difference for result in results) < 1e-5


def test_gains_that_do_not_fit_the_map_are_left_out_and_said(tmp_path):
    pytest.importorskip("yaml")
    deploy = deploy_yaml(tmp_path / "deploy.yaml", "joint_ids_map: [0, 6, 12, 1, 7, 15]\n")
    draft, _ = read_legged(deployed(tmp_path), deploy, Answers(joints=LEGS))
    assert draft.card().joints[0].stiffness is None
    assert any("stiffness is left out" in note for note in draft.notes)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("x: !!python/object/apply:os.system [echo]\n", "cannot be read"),
        ("x: !!python/name:os.system\n", "cannot be read"),
        ("joint_ids_map: [0, 0, 1, 2, 3, 4]\n", "names a motor twice"),
        ("step_dt: -1\n", "step_dt is -1"),
        ("actions: {JointVelocityAction: {}}\n", "JointPositionAction alone"),
        (
            "observations: {use_gym_history: true, a: {history_length: 2}, b: {history_length: 2}}\n",
            "interleaves",
        ),
        ("default_joint_pos: [1, 2]\n", "is no list of 6 numbers"),
    ],
)
def test_deploy_yaml_is_refused(tmp_path, changed, said):
    pytest.importorskip("yaml")
    with pytest.raises(ConfigError, match=said):
        read_legged(deployed(tmp_path), deploy_yaml(tmp_path / "deploy.yaml", changed), Answers(joints=LEGS))


def test_bounds_of_targets_are_not_lost_silently(tmp_path):
    pytest.importorskip("yaml")
    actions = f"{{clip: [-1.5, 1.5], scale: {list(ACTION_SCALE)}, offset: {list(DEFAULT)}, joint_ids: null}}"
    deploy = deploy_yaml(tmp_path / "deploy.yaml", f"actions: {{JointPositionAction: {actions}}}\n")
    with pytest.raises(ConfigError, match="--without-clip"):
        read_legged(deployed(tmp_path), deploy, Answers(joints=LEGS))
    draft, _ = read_legged(deployed(tmp_path), deploy, Answers(joints=LEGS, without_clip=True))
    assert any("clip" in note for note in draft.notes)


def test_a_recurrent_policy_hands_its_state_to_itself(tmp_path):
    import onnx

    path = graph(
        tmp_path / "w.onnx", {"obs": (1, MJLAB), "h_in": (1, 1, 8)}, ("actions", (1, 6)), mjlab_metadata()
    )
    model = onnx.load(path)
    model.graph.node.append(onnx.helper.make_node("Tanh", ["h_in"], ["h_out"]))
    model.graph.output.append(onnx.helper.make_tensor_value_info("h_out", onnx.TensorProto.FLOAT, [1, 1, 8]))
    onnx.save(model, path)
    draft, _ = import_legged(path, None, Answers(step_ms=20))
    assert draft.card().recurrent[0].output == "h_out"


def test_the_command_writes_a_card_that_loads(tmp_path, capsys):
    code = main(
        [
            "policy",
            "import",
            "legged",
            str(mjlab(tmp_path)),
            "--step-ms",
            "20",
            "--out",
            str(tmp_path / "out"),
        ]
    )
    assert code == 0
    said = capsys.readouterr().out
    assert said.count("verified: ") == 2
    assert "100 random observations, max difference" in said
    card = load_card(tmp_path / "out" / "walk.onnx")
    assert card.name == "walk"
    assert main(["policy", "check", str(tmp_path / "out" / "walk.onnx")]) == 0


def test_a_wrong_assembly_would_be_found(tmp_path, monkeypatch):
    from spinal.runtime.importers.legged import importer

    theirs = importer._Walker.theirs_observed
    monkeypatch.setattr(
        importer._Walker, "theirs_observed", lambda self, seen: theirs(self, seen) + np.eye(30)[4] * 1e-3
    )
    with pytest.raises(PolicyError, match="differs from the exporter's assembly"):
        import_legged(mjlab(tmp_path), None, Answers(step_ms=20))
