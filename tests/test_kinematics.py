"""Where links are and how joints get them there: against the fence's native code and the arm's own formulae."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spinal.launch
from spinal.drivers.sim import arm6
from spinal.native.fence import Fence
from spinal.runtime.config.fence import FenceSettings
from spinal.runtime.config.fence_build import describe
from spinal.runtime.config.load import load_robot
from spinal.runtime.decode.inverse import InverseKinematics
from spinal.runtime.decode.kinematics import Chain
from spinal.runtime.decode.rotations import from_euler, to_vector
from spinal.runtime.errors import PolicyError

ROBOT = load_robot(Path(spinal.launch.__path__[0]) / "robots" / "so101_sim.toml")
TOOL = (0.0, 0.0, arm6.HAND - 0.0611)
CHAIN = Chain(ROBOT, "hand", TOOL)
LOW, HIGH = (
    np.array([getattr(joint.limits, word) for joint in ROBOT.joints[:5]])
    for word in ("position_min", "position_max")
)
INVERSE = InverseKinematics(CHAIN, LOW, HIGH)
RNG = np.random.default_rng(3)
POSES = RNG.uniform(LOW, HIGH, (40, 5))


def crooked():
    """The shipped robot with a tree of links that turn about every axis, some of them rigid, in another order."""
    axes = [[0, 0, 1], [1, 2, -0.5], [0, -1, 0], [0.3, 0, 1], [1, 0, 0]]
    links = [{"name": "floor", "rpy": (0.2, -0.4, 0.1), "xyz": (0.1, 0.0, 0.3)}]
    for k, axis in enumerate(axes):
        turned = {"rpy": tuple(RNG.uniform(-2, 2, 3)), "xyz": tuple(RNG.uniform(-0.2, 0.2, 3))}
        name = ROBOT.joints[(k * 2) % 5].name
        links.append(
            {"name": f"l{k}", "parent": links[-1]["name"], "joint": name, "axis": tuple(axis), **turned}
        )
        links.append({"name": f"r{k}", "parent": f"l{k}", "xyz": (0.0, 0.05, 0.1), "rpy": (0.5, 0.3, -0.2)})
    links.append({"name": "aside", "parent": "l1", "joint": "gripper"})
    links[0]["capsules"] = ({"from": (0, 0, 0), "to": (0, 0, 0.1), "radius": 0.01},)
    return ROBOT.model_copy(update={"fence": FenceSettings.model_validate({"links": tuple(links)})})


# --- forward


def test_the_tool_is_where_the_arms_own_formula_puts_it():
    p, _ = CHAIN.pose(POSES)
    assert np.abs(p - arm6.fk(POSES)).max() < 1e-12


@pytest.mark.parametrize("robot", [ROBOT, crooked()])
def test_every_link_is_where_the_fence_sees_it(robot):
    fence = Fence(describe(robot.fence, robot.joints), len(robot.joints))
    checked = 0
    for index, link in enumerate(robot.fence.links):
        try:
            chain = Chain(robot, link.name)
        except PolicyError:
            continue
        for q in RNG.uniform(-2, 2, (5, 6)):
            points, turned = fence.poses(q)
            p, r = chain.pose(q[None, list(chain.joints)])
            assert np.abs(p[0] - points[index]).max() < 1e-12
            assert np.abs(r[0] - np.reshape(turned[index], (3, 3))).max() < 1e-12
        checked += 1
    assert checked >= 5


@pytest.mark.parametrize("chain", [CHAIN, Chain(crooked(), "r4", (0.02, -0.03, 0.1))])
def test_the_jacobian_is_the_derivative(chain):
    q, h = RNG.uniform(-2, 2, (8, 5)), 1e-6
    _, _, table = chain.jacobian(q)
    for joint in range(5):
        step = h * np.eye(5)[joint]
        (p1, r1), (p0, r0) = chain.pose(q + step), chain.pose(q - step)
        assert np.abs((p1 - p0) / (2 * h) - table[:, :3, joint]).max() < 1e-8
        turned = to_vector(r1 @ r0.transpose(0, 2, 1)) / (2 * h)
        assert np.abs(turned - table[:, 3:, joint]).max() < 1e-8


@pytest.mark.parametrize(
    ("robot", "link", "said"),
    [
        (ROBOT, "flange", "no link flange"),
        (ROBOT.model_copy(update={"fence": None}), "hand", "no link hand"),
        (ROBOT, "base", "moved by no joint"),
        (crooked(), "aside", "hangs on the gripper gripper"),
    ],
)
def test_a_link_that_no_pose_can_be_of_is_refused(robot, link, said):
    with pytest.raises(PolicyError, match=said) as raised:
        Chain(robot, link)
    assert raised.value.hint


# --- inverse


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.03, 0.97), min_size=5, max_size=5),
    st.lists(st.floats(-0.25, 0.25), min_size=5, max_size=5),
)
def test_what_is_in_reach_and_near_is_reached(share, change):
    start = LOW + np.array(share) * (HIGH - LOW)
    path = np.clip(start + np.linspace(0, 1, 11)[1:, None] * change, LOW, HIGH)
    points, turned = CHAIN.pose(path)
    solution = INVERSE.solve(points, turned, start)
    p, r = CHAIN.pose(solution.joints)
    assert ((solution.joints >= LOW) & (solution.joints <= HIGH)).all()
    assert solution.position_m == pytest.approx(np.linalg.norm(points - p, axis=1), abs=1e-15)
    angle = np.linalg.norm(to_vector(turned @ r.transpose(0, 2, 1)), axis=1)
    assert solution.rotation_rad == pytest.approx(angle, abs=1e-12)
    assert solution.position_m.max() < 2e-3


def test_nearly_every_path_through_the_range_is_followed_exactly():
    missed = 0
    for _ in range(60):
        start = RNG.uniform(0.9 * LOW, 0.9 * HIGH)
        path = start + np.linspace(0, 1, 21)[1:, None] * RNG.uniform(-0.3, 0.3, 5)
        path = np.clip(path, LOW, HIGH)
        solution = INVERSE.solve(*CHAIN.pose(path), start)
        missed += solution.position_m.max() > 1e-6 or solution.rotation_rad.max() > 1e-6
    assert missed <= 2


def test_an_arm_with_five_axes_reaches_the_point_and_comes_near_in_rotation():
    start = arm6.ik(0.22, 0.02, 0.06, 0.1)
    p, r = CHAIN.pose(start[None])
    solution = INVERSE.solve(
        p + np.array([0.02, 0.0, 0.01]), r @ from_euler(np.array([[0.0, 0.0, 0.2]])), start
    )
    assert solution.position_m[0] < 1e-5  # about the tool's own axis: the roll does it
    sideways = from_euler(np.array([[0.15, 0.0, 0.0]])) @ r
    solution = INVERSE.solve(p, sideways, start)
    assert solution.position_m[0] < 2e-4
    assert 0.02 < solution.rotation_rad[0] < 0.16


def test_out_of_reach_the_residual_is_what_is_missing():
    start = arm6.ik(0.2, 0.0, 0.1, 0.0)
    far = np.array([[0.9, 0.0, arm6.SHOULDER_HEIGHT]])
    solution = InverseKinematics(CHAIN, LOW, HIGH, rotate=False).solve(far, None, start)
    longest = arm6.SHOULDER_OFFSET + arm6.UPPER_ARM + arm6.FOREARM + arm6.HAND
    assert solution.position_m[0] == pytest.approx(0.9 - longest, abs=2e-3)


def test_a_joint_at_the_end_of_its_range_is_left_out():
    tight = InverseKinematics(CHAIN, LOW, np.where(np.arange(5) == 1, 0.3, HIGH), rotate=False)
    start = np.array([0.0, 0.29, 0.9, 1.2, 0.0])
    p, _ = CHAIN.pose(np.array([[0.0, 0.3, 1.5, 0.4, 0.0]]))
    free = InverseKinematics(CHAIN, LOW, HIGH, rotate=False).solve(p, None, start)
    assert free.joints[0, 1] > 0.3
    solution = tight.solve(p, None, start)
    assert solution.joints[0, 1] == 0.3
    assert solution.position_m[0] < 1e-8


def test_neighbours_stay_on_one_branch():
    """A circle of 12 cm: each pose alone has two elbows."""
    angle = np.linspace(0, 2 * np.pi, 40)
    points = np.stack(
        [0.22 + 0.06 * np.cos(angle), 0.06 * np.sin(angle), 0.12 + 0.03 * np.sin(2 * angle)], -1
    )
    start = arm6.ik(0.28, 0.0, 0.12, 0.0)
    solution = InverseKinematics(CHAIN, LOW, HIGH, rotate=False).solve(points, None, start)
    assert solution.position_m.max() < 1e-8
    assert solution.apart_rad < 0.3
    assert solution.apart_rad == pytest.approx(
        np.abs(np.diff(np.concatenate([start[None], solution.joints]), axis=0)).max()
    )


def test_what_the_batch_misses_or_finds_elsewhere_is_led_there(monkeypatch):
    """Wide paths through the range: from the start alone, some of them end on another branch or in a corner."""

    def followed():
        good = 0
        for seed in range(25):
            rng = np.random.default_rng(seed)
            start = rng.uniform(0.95 * LOW, 0.95 * HIGH)
            path = np.linspace(start, np.clip(start + rng.uniform(-2, 2, 5), LOW, HIGH), 21)[1:]
            solution = INVERSE.solve(*CHAIN.pose(path), start)
            good += solution.position_m.max() < 1e-6 and solution.apart_rad < 0.61
        return good

    assert followed() >= 23
    monkeypatch.setattr("spinal.runtime.decode.inverse.ROUNDS", 0)
    assert followed() <= 21
