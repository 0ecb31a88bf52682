"""What a model's numbers mean for the robot: by hand, there and back, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from cards import ARM, card, joints
from hypothesis import given, settings
from hypothesis import strategies as st

import spinal.launch
from spinal.drivers.sim import arm6
from spinal.runtime.config.card import Normalisation
from spinal.runtime.config.load import load_robot
from spinal.runtime.decode import Meaning
from spinal.runtime.decode.kinematics import Chain
from spinal.runtime.decode.normalise import Scaling, scaling
from spinal.runtime.errors import PolicyError

ROBOT = load_robot(Path(spinal.launch.__path__[0]) / "robots" / "so101_sim.toml")
LOW, HIGH = (
    np.array([getattr(joint.limits, word) for joint in ROBOT.joints])
    for word in ("position_min", "position_max")
)
BASE = np.array([0.1, -0.2, 0.9, 0.4, -0.3, 0.01])
RNG = np.random.default_rng(0)
TURN = 4096


def reachable(share):
    """A chunk of 4 targets near the middle of the range."""
    middle = LOW + np.asarray(share) * (HIGH - LOW)
    return np.clip(middle + 0.05 * (HIGH - LOW) * np.sin(np.arange(4))[:, None], LOW, HIGH)


# --- by hand


def test_absolute_targets_are_the_answer_and_a_copy_of_it():
    answer = RNG.normal(size=(4, 6))
    meaning = Meaning(card())
    assert meaning.plain
    targets = meaning.to_joints(answer, BASE)
    assert (targets == answer).all()
    assert not np.shares_memory(targets, answer)


def test_relative_ones_are_added_to_the_base_but_for_the_gripper():
    meaning = Meaning(card(representation="relative", joints=joints(gripper={"absolute": True})), ROBOT)
    answer = np.tile([0.1, 0.0, -0.1, 0.0, 0.2, 0.02], (4, 1))
    targets = meaning.to_joints(answer, BASE)
    assert targets == pytest.approx(np.tile([0.2, -0.2, 0.8, 0.4, -0.1, 0.02], (4, 1)))


def test_deltas_are_summed_and_velocities_integrated():
    ramp = np.tile([0.01, 0.0, 0.0, 0.0, -0.02, 0.0], (4, 1))
    expected = BASE + np.arange(1, 5)[:, None] * ramp
    assert Meaning(card(representation="delta"), ROBOT).to_joints(ramp, BASE) == pytest.approx(expected)
    assert Meaning(card(representation="velocity"), ROBOT).to_joints(ramp / 0.02, BASE) == pytest.approx(
        expected
    )


@pytest.mark.parametrize("kind", ["absolute", "relative", "delta", "velocity"])
def test_what_is_executed_anyway_takes_the_place_of_the_first_steps_before_anything_is_summed(kind):
    """A model with a prefix answers nothing in particular there."""
    meaning = Meaning(card(representation=kind), ROBOT)
    targets = reachable([0.5] * 6)
    ahead = targets[:2]
    answer = meaning.to_model(targets, BASE)
    answer = np.concatenate([np.full((2, 6), 77.0), answer[2:]])
    assert meaning.to_joints(answer, BASE, ahead) == pytest.approx(targets, abs=1e-12)


def test_the_base_is_measured_or_commanded_as_the_card_says():
    class Seen:
        position, command = BASE, np.stack([BASE + 1, BASE, BASE], axis=1)

    assert (Meaning(card()).base(Seen) == BASE).all()
    assert (Meaning(card(relative_to="command")).base(Seen) == BASE + 1).all()


def test_degrees_and_percent_count_as_lerobot_does():
    """From raw encoder counts by its formulae: (raw - mid) * 360 / 4095, and percent of the calibrated range."""
    low, high = 900, 3300
    for name, zero, direction in (("shoulder_pan", 2048, 1), ("elbow_flex", 1135, 1)):
        span = tuple(direction * (raw - zero) * 2 * np.pi / TURN for raw in (low, high))
        for unit, theirs in (
            ("deg", lambda raw: (raw - (low + high) / 2) * 360 / 4095),
            ("signed_percent", lambda raw: 200 * (raw - low) / (high - low) - 100),
            ("percent", lambda raw: 100 * (raw - low) / (high - low)),
        ):
            meaning = Meaning(card(joints=joints(**{name: {"unit": unit, "range": span}})), ROBOT)
            index = ARM.index(name)
            for raw in (1000, 2100, 3000):
                target = np.tile(BASE, (4, 1))
                target[:, index] = direction * (raw - zero) * 2 * np.pi / TURN
                said = meaning.to_model(target, BASE)[0, index]
                assert said == pytest.approx(theirs(raw), rel=3e-4, abs=1e-9)
                back = meaning.to_joints(np.tile(meaning.to_model(target, BASE)[0], (4, 1)), BASE)
                assert back == pytest.approx(target, abs=1e-12)


def test_a_reversed_range_counts_the_other_way():
    span = (HIGH[0], LOW[0])
    for unit, expected in (("signed_percent", -100 * BASE[0] / HIGH[0]), ("deg", -np.degrees(BASE[0]))):
        meaning = Meaning(card(joints=joints(shoulder_pan={"unit": unit, "range": span})), ROBOT)
        assert meaning.to_model(BASE[None], BASE)[0, 0] == pytest.approx(expected)


def test_percent_of_the_robots_own_limits_and_degrees_from_its_zero_without_a_range():
    meaning = Meaning(
        card(
            joints=joints(
                shoulder_pan={"unit": "deg"}, gripper={"unit": "percent"}, elbow_flex={"unit": "percent"}
            )
        ),
        ROBOT,
    )
    said = meaning.to_model(BASE[None], BASE)[0]
    assert said[0] == pytest.approx(np.degrees(0.1))
    assert said[2] == pytest.approx(100 * (0.9 + 0.1) / 3.0)
    assert said[5] == pytest.approx(100 * 0.01 / 0.022)


def test_percent_end_at_the_ends_of_the_range():
    meaning = Meaning(card(joints=joints(gripper={"unit": "percent"})), ROBOT)
    answer = np.tile(BASE, (4, 1))
    answer[:, 5] = [-20, 50, 100, 400]
    assert meaning.to_joints(answer, BASE)[:, 5] == pytest.approx([0.0, 0.011, 0.022, 0.022])


def test_joints_that_the_card_does_not_name_hold_their_command():
    chosen = [joint for joint in joints() if joint["name"] in ("elbow_flex", "shoulder_pan")][::-1]
    meaning = Meaning(card(joints=chosen, representation="relative"), ROBOT)
    command = BASE + 0.5
    targets = meaning.to_joints(np.tile([0.1, 0.2], (4, 1)), BASE, command=command)
    expected = command.copy()
    expected[[2, 0]] = BASE[[2, 0]] + [0.1, 0.2]
    assert targets == pytest.approx(np.tile(expected, (4, 1)))
    assert meaning.to_model(targets, BASE) == pytest.approx(np.tile([0.1, 0.2], (4, 1)))


def test_an_answer_that_is_no_number_is_refused_before_it_means_anything():
    meaning = Meaning(card(representation="delta"), ROBOT)
    answer = np.zeros((4, 6))
    answer[3, 2] = np.nan
    with pytest.raises(PolicyError, match="not finite"):
        meaning.to_joints(answer, BASE)


@pytest.mark.parametrize(
    ("made", "robot", "said"),
    [
        (lambda: card(joints=joints(elbow_flex={"unit": "percent"})), None, "elbow_flex counts in percent"),
        (lambda: card(joints=[{"name": "knee", "kind": "arm", "unit": "rad"}]), ROBOT, "no joint knee"),
    ],
)
def test_a_card_that_does_not_fit_the_robot_is_refused(made, robot, said):
    with pytest.raises(PolicyError, match=said) as raised:
        Meaning(made(), robot)
    assert raised.value.hint


# --- there and back


UNITS = [
    {},
    {"unit": "deg"},
    {"gripper": {"unit": "percent"}, "unit": "deg", "range": (-2.0, 2.5)},
    {"unit": "signed_percent", "gripper": {"unit": "percent", "absolute": True}},
]
NORMALISED = [
    None,
    {"mode": "mean_std", "mean": [0.3] * 6, "std": [2.0, 1, 3, 4, 0.5, 1]},
    {"mode": "quantiles", "q01": [-2.0] * 6, "q99": [3.0] * 6, "mask": [True] * 5 + [False]},
    {"mode": "scale", "scale": [0.25], "offset": [0.5, 0, 0, 0, 0, 1]},
]


@pytest.mark.parametrize("kind", ["absolute", "relative", "delta", "velocity"])
@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("normalise", NORMALISED)
@settings(max_examples=8, deadline=None)
@given(share=st.lists(st.floats(0.1, 0.9), min_size=6, max_size=6))
def test_there_and_back(kind, units, normalise, share):
    changed = dict(units)
    if "gripper" not in changed and changed:
        changed["gripper"] = {"unit": "m"}
    meaning = Meaning(card(representation=kind, joints=joints(**changed), normalise=normalise), ROBOT)
    targets = reachable(share)
    said = meaning.to_model(targets, BASE)
    assert meaning.to_joints(said, BASE) == pytest.approx(targets, abs=1e-9)
    assert meaning.to_model(meaning.to_joints(said, BASE), BASE) == pytest.approx(said, abs=1e-7)


@pytest.mark.parametrize(
    ("chosen", "x", "z"),
    [
        ({"mode": "mean_std", "mean": (1.0,), "std": (2.0,), "eps": 0.5}, 6.0, 2.0),
        ({"mode": "min_max", "min": (1.0,), "max": (3.0,)}, 2.5, 0.5),
        ({"mode": "quantiles", "q01": (1.0,), "q99": (3.0,)}, 4.0, 2.0),
        ({"mode": "quantiles", "q01": (1.0,), "q99": (3.0,), "clip": (-1.0, 1.0)}, 4.0, 1.0),
        ({"mode": "scale", "scale": (0.25,), "offset": (1.0,)}, 3.0, 0.5),
        ({"mode": "identity", "clip": (-1.0, 1.0)}, 4.0, 1.0),
    ],
)
def test_each_mode_by_hand(chosen, x, z):
    assert Scaling(Normalisation(**chosen), 1, "x").into(np.array([x])) == pytest.approx([z])


def test_out_of_the_model_eps_is_left_out_and_the_clip_is_not():
    out = Scaling(Normalisation(mode="mean_std", mean=(1.0,), std=(2.0,), eps=0.5), 1, "x").out_of(
        np.array([3.0])
    )
    assert out == pytest.approx([7.0])
    chosen = Normalisation(mode="min_max", min=(1.0,), max=(3.0,), clip=(-1.0, 1.0))
    assert Scaling(chosen, 1, "x").out_of(np.array([9.0])) == pytest.approx([3.0])


def test_an_action_scale_multiplies_on_its_way_out():
    made = Scaling(Normalisation(mode="scale", scale=(0.25, 0.0), offset=(1.0, 2.0)), 2, "x")
    assert made.out_of(np.array([2.0, 9.0])) == pytest.approx([1.5, 2.0])
    assert made.answer_of(np.array([1.5, 2.0])) == pytest.approx([2.0, 0.0])


def test_a_masked_channel_is_left_as_it_is():
    chosen = Normalisation(mode="min_max", min=(0.0, 5.0), max=(2.0, 5.0), mask=(True, False))
    made = Scaling(chosen, 2, "x")
    assert made.into(np.array([[1.5, 7.0]])) == pytest.approx(np.array([[0.5, 7.0]]))
    assert made.out_of(np.array([[0.5, 7.0]])) == pytest.approx(np.array([[1.5, 7.0]]))


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"mode": "min_max", "min": (1.0, 1.0), "max": (2.0,)}, None),
        ({"mode": "quantiles", "q01": (1.0, 1.0), "q99": (1.0,), "mask": (False,)}, None),
        ({"mode": "quantiles", "q01": (1.0, 2.0), "q99": (2.0,)}, "channel 1 has no spread"),
        ({"mode": "mean_std", "mean": (1.0,) * 3, "std": (1.0,)}, "mean has 3 numbers for 2 channels"),
    ],
)
def test_statistics_that_cannot_be_used_are_refused(chosen, said):
    if said is None:
        assert np.isfinite(Scaling(Normalisation(**chosen), 2, "x").into(np.array([0.5, 0.5]))).all()
        return
    with pytest.raises(PolicyError, match=said):
        Scaling(Normalisation(**chosen), 2, "output.normalise")
    assert scaling(None, 2, "x") is None
    assert scaling(Normalisation(mode="identity"), 2, "x") is None


# --- poses


def pose_card(rotation="6d", relative="none", steps=4, **pose):
    sizes = {"6d": 6, "6d_rows": 6, "quaternion_wxyz": 4, "quaternion_xyzw": 4, "none": 0}
    spec = {"link": "hand", "rotation": rotation, "relative": relative, "point": (0, 0, arm6.HAND - 0.0611)}
    channels = 3 + sizes.get(rotation, 3) + 1
    return card(representation="pose", pose=spec | pose, channels=channels, steps=steps)


@pytest.mark.parametrize(
    "rotation", ["6d", "6d_rows", "quaternion_wxyz", "quaternion_xyzw", "rotation_vector", "euler_xyz"]
)
@pytest.mark.parametrize("relative", ["none", "base", "tool"])
def test_poses_there_and_back(rotation, relative):
    meaning = Meaning(pose_card(rotation, relative), ROBOT)
    start = np.array([0.1, 0.3, 1.2, 1.3, 0.4, 0.01])
    targets = start + np.linspace(0.2, 1, 4)[:, None] * [0.1, -0.05, 0.1, 0.08, -0.2, 0.004]
    said = meaning.to_model(targets, start)
    assert meaning.to_joints(said, start) == pytest.approx(targets, abs=1e-7)
    assert meaning.to_model(meaning.to_joints(said, start), start) == pytest.approx(said, abs=1e-7)
    assert meaning.residual.position_mm < 1e-6
    assert meaning.residual.rotation_deg < 1e-6


def test_a_pose_against_the_base_or_the_tool_is_seen_from_there():
    start = np.array([0.6, 0.3, 1.2, 1.3, 0.4, 0.01])
    chain = Chain(ROBOT, "hand", (0, 0, arm6.HAND - 0.0611))
    p0, r0 = chain.pose(start[None, :5])
    still = [1.0, 0, 0, 0, 1, 0, 0.02]
    for relative, moved in (("base", [0.01, 0.0, 0.0]), ("tool", r0[0] @ [0.01, 0.0, 0.0])):
        meaning = Meaning(pose_card("6d", relative), ROBOT)
        targets = meaning.to_joints(np.tile([0.01, 0, 0, *still], (4, 1)), start)
        p, _ = chain.pose(targets[:, :5])
        assert p - p0 == pytest.approx(np.tile(moved, (4, 1)), abs=1e-4)
        assert targets[:, 5] == pytest.approx(0.02)


def test_a_point_alone_leaves_the_rotation_free():
    meaning = Meaning(pose_card("none"), ROBOT)
    start = np.array([0.1, 0.3, 1.2, 1.3, 0.4, 0.01])
    points = arm6.fk(start[:5]) + np.linspace(0, 0.05, 4)[:, None] * [1.0, 0.5, -0.3]
    targets = meaning.to_joints(np.concatenate([points, np.full((4, 1), 0.02)], axis=1), start)
    assert arm6.fk(targets) == pytest.approx(points, abs=1e-9)


def test_what_is_executed_anyway_is_where_the_first_pose_is_reached_from():
    meaning = Meaning(pose_card("6d"), ROBOT)
    start = np.array([0.1, 0.3, 1.2, 1.3, 0.4, 0.01])
    targets = start + np.linspace(0.2, 1, 4)[:, None] * [0.1, -0.05, 0.1, 0.08, -0.2, 0.004]
    answer = meaning.to_model(targets, start)
    answer[:2] = 99.0  # out of reach, and nobody's answer
    assert meaning.to_joints(answer, start, targets[:2]) == pytest.approx(targets, abs=1e-7)


@pytest.mark.parametrize(
    ("change", "pose", "said"),
    [
        ({0: 0.9}, {}, r"pose 4 of hand is out of reach by [0-9]{3}\.[0-9] mm"),
        ({6: 1.0, 7: 0.0, 8: 0.0}, {"tolerance_deg": 10.0}, r"pose 4 of hand is out of reach by [0-9.]+ deg"),
        ({3: 0.0, 4: 0.0, 5: 0.0}, {}, "answered no pose: the first column"),
        ({0: np.nan}, {}, "not finite"),
    ],
)
def test_an_answer_with_a_pose_out_of_reach_is_no_answer(change, pose, said):
    meaning = Meaning(pose_card("6d", **pose), ROBOT)
    start = np.array([0.0, 0.3, 1.2, 1.3, 0.0, 0.01])
    answer = meaning.to_model(np.tile(start, (4, 1)), start)
    for column, value in change.items():
        answer[3, column] = value
    with pytest.raises(PolicyError, match=said) as raised:
        meaning.to_joints(answer, start)
    assert raised.value.hint


def test_poses_that_jump_are_no_motion():
    meaning = Meaning(pose_card("none"), ROBOT)
    start = np.array([-1.5, 0.3, 1.2, 1.3, 0.0, 0.01])
    left, right = arm6.fk(start), arm6.fk(start * [-1, 1, 1, 1, 1, 1])
    points = np.stack([left, left, right, right])
    with pytest.raises(PolicyError, match=r"a joint would turn by [0-9]+ deg between two poses"):
        meaning.to_joints(np.concatenate([points, np.full((4, 1), 0.01)], axis=1), start)


def test_poses_need_their_robot():
    with pytest.raises(PolicyError, match="poses need the robot"):
        Meaning(pose_card())
