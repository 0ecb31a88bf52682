"""[reflexes] of a robot file: what is accepted, what is refused and how, and what each joint is given."""

import math
from pathlib import Path

import pytest
from robot_files import write_robot

import spinal
from spinal.native.layout import Condition
from spinal.native.loop import ReflexLimits
from spinal.native.reflex import Reflex
from spinal.runtime.config import load_robot
from spinal.runtime.config.reflexes import GRIPPER_OFF, JointReflexes, ReflexSettings
from spinal.runtime.controller.plan import loop_plan
from spinal.runtime.errors import ConfigError

ROBOTS = Path(spinal.__file__).parent / "launch" / "robots"
M_PER_RAD = 0.022 / (1024 * 2 * math.pi / 4096)


def with_reflexes(folder, text):
    return write_robot(folder, ("[link]", f"{text}\n[link]"))


def limits_of(folder, text=""):
    """(elbow's, gripper's) thresholds."""
    return loop_plan(load_robot(with_reflexes(folder, text))).safety.reflexes


def test_the_defaults_judge_an_arm_in_rad_and_let_a_gripper_grasp(tmp_path):
    elbow, gripper = limits_of(tmp_path)
    assert isinstance(elbow, ReflexLimits)
    assert elbow == ReflexLimits(
        following_hold=0.25,
        following_stop=0.5,
        contact_hold=0.6,
        contact_stop=2.0,
        contact_drag=0.22,
        contact_inertia=0.013,
        temperature_hold=60.0,
        temperature_stop=66.0,
        voltage_hold=4.7,
        voltage_stop=4.3,
        lag_s=0.025,
        load_limit=1.0,
        frozen_travel=0.03,
        frozen_ns=100_000_000,
        following_ns=100_000_000,
        contact_ns=250_000_000,
        contact_long_ns=3_000_000_000,
        device_bits=0x2E,
        device_ns=50_000_000,
        clear_ns=500_000_000,
    )
    assert all(getattr(gripper, name) == 0 for name in GRIPPER_OFF)
    assert gripper.load_limit == 0.5
    assert gripper.device_bits == 0x06, "heat and encoder: it pushes, that is what it is for"
    assert gripper.frozen_travel == pytest.approx(0.03 * M_PER_RAD)
    assert gripper.contact_drag == pytest.approx(0.22 / M_PER_RAD)
    assert gripper.contact_inertia == pytest.approx(0.013 / M_PER_RAD)
    same = {
        "temperature_hold",
        "temperature_stop",
        "voltage_hold",
        "voltage_stop",
        "lag_s",
        "clear_ns",
        "device_ns",
        "frozen_ns",
    }
    assert all(getattr(gripper, name) == getattr(elbow, name) for name in same)


def test_a_joints_own_table_goes_before_the_one_for_all(tmp_path):
    elbow, gripper = limits_of(
        tmp_path,
        "[reflexes]\ncontact_hold = 0.5\nvoltage_hold = 10.5\n"
        "[reflexes.joints.elbow]\ncontact_hold = 0.3\nlag_ms = 40.0\n"
        "[reflexes.joints.gripper]\nfollowing_hold = 0.01\nfollowing_stop = 0.02\nfrozen_travel = 0.002\n",
    )
    assert (elbow.contact_hold, elbow.lag_s, elbow.voltage_hold) == (0.3, 0.04, 10.5)
    assert (gripper.contact_hold, gripper.following_hold, gripper.following_stop) == (0.0, 0.01, 0.02)
    assert (gripper.frozen_travel, gripper.lag_s, gripper.voltage_hold) == (0.002, 0.025, 10.5)


def test_a_joint_whose_torque_is_bounded_can_still_push_hard_enough_to_be_noticed(tmp_path):
    _, gripper = limits_of(tmp_path, "[reflexes.joints.gripper]\ncontact_hold = 0.6\n")
    assert (gripper.contact_hold, gripper.load_limit) == (0.3, 0.5)
    reflex = Reflex(gripper._replace(frozen_ns=0))
    got = [reflex.tick((k + 1) * 4_000_000, load=min(0.5, k / 2000)) for k in range(1200)]
    assert got[-1] == Condition.CONTACT, "however slowly it came to that"


def test_a_grade_can_be_switched_off(tmp_path):
    elbow, _ = limits_of(
        tmp_path, "[reflexes]\nfollowing_hold = 0\ncontact_stop = 0\nvoltage_stop = 0\ncontact_long_ms = 0\n"
    )
    assert (elbow.following_hold, elbow.contact_stop, elbow.voltage_stop, elbow.contact_long_ns) == (
        0,
        0,
        0,
        0,
    )


ELBOW, GRIPPER = "reflexes.joints.elbow", "reflexes.joints.gripper"
# the section, the path, a part of the message, a part of the hint
BAD = {
    "following crossed": (
        "[reflexes]\nfollowing_hold = 0.6\n",
        "reflexes.following_hold",
        "must be below following_stop (0.5), and is 0.6",
        "raise following_stop",
    ),
    "grades alike": (
        "[reflexes]\ntemperature_stop = 60.0\n",
        "reflexes.temperature_hold",
        "must be below temperature_stop (60), and is 60",
        "first grade comes first",
    ),
    "contact crossed": (
        "[reflexes]\ncontact_stop = 0.5\n",
        "reflexes.contact_hold",
        "must be below contact_stop (0.5), and is 0.6",
        "raise contact_stop",
    ),
    "voltage crossed": (
        "[reflexes]\nvoltage_stop = 9.5\n",
        "reflexes.voltage_hold",
        "must be above voltage_stop (9.5), and is 4.7",
        "lower voltage_stop",
    ),
    "one joint crossed": (
        "[reflexes.joints.elbow]\ntemperature_hold = 70.0\n",
        f"{ELBOW}.temperature_hold",
        "must be below temperature_stop (66), and is 70",
        "raise temperature_stop",
    ),
    "a gripper crossed": (
        "[reflexes.joints.gripper]\nfollowing_hold = 0.03\nfollowing_stop = 0.02\n",
        f"{GRIPPER}.following_hold",
        "must be below following_stop (0.02), and is 0.03",
        "lower following_hold",
    ),
    "a short contact for long": (
        "[reflexes]\ncontact_ms = 4000\n",
        "reflexes.contact_long_ms",
        "must be above reflexes.contact_ms (4000), and is 3000",
        "0 for never",
    ),
    "unknown joint": (
        "[reflexes.joints.elbov]\nlag_ms = 30.0\n",
        "reflexes.joints.elbov",
        "names a joint that is not there",
        "did you mean elbow?",
    ),
    "unknown joint, nothing near": (
        "[reflexes.joints.xyz]\nlag_ms = 30.0\n",
        "reflexes.joints.xyz",
        "names a joint that is not there",
        "elbow, gripper",
    ),
    "unknown key": (
        "[reflexes]\ncontact_hodl = 0.5\n",
        "reflexes.contact_hodl",
        "is not a known key",
        "did you mean contact_hold?",
    ),
    "unknown key of a joint": (
        "[reflexes.joints.elbow]\nwatch = 100\n",
        f"{ELBOW}.watch",
        "is not a known key",
        "the keys here are",
    ),
    "more than all": (
        "[reflexes]\ncontact_hold = 1.0\n",
        "reflexes.contact_hold",
        "must be at most 0.95, and is 1",
        "the torque it may use",
    ),
    "below nothing": (
        "[reflexes]\nvoltage_stop = -1.0\n",
        "reflexes.voltage_stop",
        "must be at least 0, and is -1",
        "at 4.0 an STS3215 gives up",
    ),
    "not a number": ("[reflexes]\nlag_ms = nan\n", "reflexes.lag_ms", "must be a finite number", "in ms"),
    "a word": (
        '[reflexes]\ncontact_hold = "much"\n',
        "reflexes.contact_hold",
        "must be a number",
        "the torque it may use",
    ),
    "true": (
        "[reflexes]\ncontact_hold = true\n",
        "reflexes.contact_hold",
        "is true",
        "the torque it may use",
    ),
}


@pytest.mark.parametrize(("text", "path", "message", "hint"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_is_refused_in_one_line_with_its_path_and_a_hint(tmp_path, text, path, message, hint):
    with pytest.raises(ConfigError) as caught:
        load_robot(with_reflexes(tmp_path, text))
    (problem,) = caught.value.problems
    assert problem.path == path
    assert message in problem.message
    assert hint in problem.hint


def test_all_of_it_is_said_at_once(tmp_path):
    text = "[reflexes]\nfollowing_hold = 0.9\nvoltage_stop = 9.0\n[reflexes.joints.elbov]\nlag_ms = 1.0\n"
    with pytest.raises(ConfigError) as caught:
        load_robot(with_reflexes(tmp_path, text + "[reflexes.joints.gripper]\ncontact_hold = 2.0\n"))
    assert {problem.path for problem in caught.value.problems} == {
        "reflexes.following_hold",
        "reflexes.voltage_hold",
        "reflexes.joints.elbov",
        "reflexes.joints.gripper.contact_hold",
    }


def test_a_joint_inherits_what_is_crossed_for_all_and_it_is_said_once(tmp_path):
    text = "[reflexes]\nfollowing_hold = 0.9\n[reflexes.joints.elbow]\nlag_ms = 1.0\n"
    with pytest.raises(ConfigError) as caught:
        load_robot(with_reflexes(tmp_path, text))
    assert [problem.path for problem in caught.value.problems] == ["reflexes.following_hold"]


@pytest.mark.parametrize("file", ["so101_sim.toml", "so101.toml"])
def test_every_joint_of_a_shipped_robot_has_reflexes_in_order(file):
    robot = load_robot(ROBOTS / file)
    reflexes = loop_plan(robot).safety.reflexes
    assert len(reflexes) == len(robot.joints)
    for joint, limits in zip(robot.joints, reflexes, strict=True):
        assert 0 < limits.temperature_hold < limits.temperature_stop < 70, "before the servo drops the arm"
        assert limits.voltage_hold > limits.voltage_stop > 4.0
        assert limits.frozen_travel > 0
        if joint.kind == "arm":
            assert 0 < limits.following_hold < limits.following_stop
            assert 0 < limits.contact_hold < 1 < limits.contact_stop


def test_every_key_says_what_it_is_and_the_ones_of_a_joint_are_among_those_of_all():
    for name, field in {**ReflexSettings.model_fields, **JointReflexes.model_fields}.items():
        assert len(field.description) > 20, name
    assert set(JointReflexes.model_fields) < set(ReflexSettings.model_fields)
