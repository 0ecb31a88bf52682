"""Two policies, blind: a coin for each goal, labels in every report, names only when they are asked for."""

from pathlib import Path

import numpy as np
import pytest
from robot_files import write_robot
from test_exchange import SEED, SHIPPED, moved

from spinal.runtime.config.load import load_robot
from spinal.runtime.config.policy import BlindSettings
from spinal.runtime.errors import ConfigError
from spinal.runtime.policy.background import AtOnce
from spinal.runtime.policy.blind import LABELS, BlindTest, blind_test
from spinal.runtime.policy.exchange import Exchange
from spinal.runtime.policy.live_step import LiveStep
from spinal.runtime.policy.loaded import load
from spinal.runtime.rollout import Rollout

MS = 1_000_000


@pytest.fixture(scope="module")
def robot(tmp_path_factory):
    made = load_robot(SHIPPED)
    own = Path(made.policy.model)
    other = moved(own, tmp_path_factory.mktemp("ab"), "other", [0.05] * 5 + [0.001])
    ab = BlindSettings(model=str(other), seed=3)
    return made.model_copy(update={"policy": made.policy.model_copy(update={"ab": ab})})


@pytest.fixture
def exchange(robot):
    return Exchange(robot, load(robot), lambda path: load(robot, 0, path), AtOnce())


def choices(test, exchange, goals):
    chosen = []
    for goal in goals:
        test.choose(goal)
        chosen.append((test.report["choice"], exchange.active.model.name))
    return chosen


def test_a_goal_keeps_its_policy_and_both_get_their_turns(robot, exchange):
    test = blind_test(robot, exchange, 0)
    chosen = choices(test, exchange, range(1, 201))
    names = {model for _, model in chosen}
    assert len(names) == 2
    assert len(set(chosen)) == 2, "a label is always the same policy"
    assert 70 < sum(model == "other.onnx" for _, model in chosen) < 130
    assert choices(test, exchange, range(200, 0, -1)) == chosen[::-1]


def test_the_labels_give_nothing_away(exchange):
    pair = (exchange.active, exchange.active)
    first = [BlindTest(exchange, pair, seed, 0)._label(0) for seed in range(200)]
    assert 70 < first.count(LABELS[0]) < 130


def test_names_stand_nowhere_until_they_are_revealed(robot, exchange):
    test = blind_test(robot, exchange, 0)
    test.choose(1)
    told = f"{test.report} {test.name}"
    for word in ("other", "cartpick", "seed"):
        assert word not in told
    said = test.reveal()
    assert "other.onnx (other 0.2.0)" in said
    assert "cartpick.onnx" in said
    assert test.report["names"][test.report["choice"]].startswith(exchange.active.model.name)
    assert test.name == exchange.active.name


def test_turns_are_taken_at_a_continuous_seam_and_the_other_stays_warm(robot, exchange):
    test = blind_test(robot, exchange, 0)
    rollout = Rollout(robot, LiveStep(exchange))
    rollout.begin(SEED)
    warmed = []
    for policy in test._pair:
        policy.keep_warm = lambda policy=policy: warmed.append(policy is exchange.active)
    turns = set()
    for step in range(60):
        test.choose(1 + step // 6)
        rollout.step()
        test.end_step(rollout.robot.now_ns)
        turns.add(exchange.active.name)
    assert len(turns) == 2
    assert not any(warmed), "what runs needs no keeping warm"
    assert 4 <= len(warmed) <= 7, "five times a second"
    assert max(rollout.robot.stats()["seam"].values()) <= 1e-9
    assert rollout.robot.stats()["starved_ticks"] == 0
    assert np.isfinite(rollout.robot.state().commanded).all()


def test_a_policy_of_another_robot_is_refused_before_anything_moves(robot, exchange, tmp_path):
    own = Path(robot.policy.model)
    stranger = moved(own, tmp_path, "stranger", np.zeros(6), ('name = "elbow_flex"', 'name = "elbow"'))
    ab = BlindSettings(model=str(stranger))
    changed = robot.model_copy(update={"policy": robot.policy.model_copy(update={"ab": ab})})
    with pytest.raises(ConfigError, match="elbow"):
        blind_test(changed, exchange, 0)


def test_the_file_names_the_other_model_beside_itself(tmp_path):
    made = load_robot(write_robot(tmp_path, ("[execution]", '[policy.ab]\nmodel = "b.onnx"\n[execution]')))
    assert made.policy.ab.model == str((tmp_path / "b.onnx").resolve())
