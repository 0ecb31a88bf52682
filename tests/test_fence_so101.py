"""The fence of the shipped arm against the simulator's model, and the shipped task behind it."""

import mujoco
import numpy as np
import pytest

from spinal.drivers.sim import arm6
from spinal.runtime.config import load_robot
from spinal.runtime.config.fence_build import describe, fence_of, rest_pose
from spinal.runtime.rollout import Rollout, load_policy

LINKS = ("base", "shoulder", "upper", "lower", "wrist", "hand")
SURFACE = 15
FILES = ("launch/robots/so101_sim.toml", "launch/robots/so101.toml")


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(arm6.mjcf())


@pytest.fixture(scope="module")
def robot():
    return load_robot(FILES[0])


@pytest.mark.parametrize("file", FILES)
def test_links_stand_where_those_of_the_simulator_do(file, model):
    fence, data = fence_of(load_robot(file)), mujoco.MjData(model)
    rng = np.random.default_rng(0)
    for _ in range(300):
        joints = rng.uniform(arm6.LOWER, arm6.UPPER)
        data.qpos[:6] = joints
        mujoco.mj_kinematics(model, data)
        origins, rotations = fence.poses(joints)
        for k, link in enumerate(LINKS):
            body = model.body(link).id
            assert np.abs(origins[k] - data.xpos[body]).max() < 1e-9
            assert np.abs(rotations[k].ravel() - data.xmat[body]).max() < 1e-9


def surface(model, geom):
    """Points on a geometry [n, 3], in its own frame."""
    size, kind = model.geom_size[geom], model.geom_type[geom]
    angle = np.linspace(0, 2 * np.pi, 4 * SURFACE)
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, SURFACE)] * 3), -1).reshape(-1, 3)
        return grid[np.abs(grid).max(1) == 1] * size
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        rings = [
            (size[0] * np.cos(angle), size[0] * np.sin(angle), 0 * angle + h) for h in (-size[1], size[1])
        ]
        return np.concatenate([np.stack(ring, -1) for ring in rings])
    assert kind == mujoco.mjtGeom.mjGEOM_CAPSULE
    tilt = np.linspace(-np.pi / 2, np.pi / 2, SURFACE)
    around, up = (part.ravel() for part in np.meshgrid(angle, tilt))
    ball = size[0] * np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)], -1)
    return ball + np.outer(np.sign(ball[:, 2]), (0, 0, size[1]))


@pytest.mark.parametrize("jaw", [0.0, arm6.JAW_OPEN])
def test_capsules_hold_every_shape_of_the_simulator(model, robot, jaw):
    description, data = describe(robot.fence, robot.joints), mujoco.MjData(model)
    data.qpos[5:7] = jaw
    mujoco.mj_kinematics(model, data)
    origins, rotations = fence_of(robot).poses(np.append(np.zeros(5), jaw))
    seen = set()
    for geom in range(model.ngeom):
        name = model.body(model.geom_bodyid[geom]).name
        if name == "world":
            continue
        link = LINKS.index(name if name in LINKS else "hand")
        seen.add(name)
        points = data.geom_xpos[geom] + surface(model, geom) @ data.geom_xmat[geom].reshape(3, 3).T
        points = (points - origins[link]) @ rotations[link]
        outside = np.full(len(points), np.inf)
        for capsule in description.capsules:
            if capsule.link != link:
                continue
            start, way = np.array(capsule.start), np.subtract(capsule.end, capsule.start)
            share = np.clip((points - start) @ way / (way @ way), 0, 1)
            distance = np.linalg.norm(points - start - share[:, None] * way, axis=1)
            outside = np.minimum(outside, distance - capsule.radius)
        assert outside.max() <= 1e-9, (name, outside.max())
    assert seen == {*LINKS, "jaw_left", "jaw_right"}


def test_no_pair_is_checked_that_meets_at_the_rest_pose_and_neighbours_are_not(robot):
    description, fence = describe(robot.fence, robot.joints), fence_of(robot)
    links = [{description.capsules[k].link for k in pair} for pair in description.pairs]
    assert {0, 5} in links
    assert all(max(pair) - min(pair) >= 2 for pair in links)
    assert min(fence.clearance(rest_pose(robot.joints))) > 0


def test_a_folded_arm_touches_itself_and_a_low_one_the_table(robot):
    fence = fence_of(robot)
    assert fence.clearance([0, -1.75, 2.9, 2.1, 0, 0])[2] < 0
    assert fence.clearance([0, 1.7, 0.5, 0.5, 0, 0])[0] < 0


def test_the_shipped_task_is_not_disturbed(robot):
    policy = load_policy(robot)
    fenced, free = Rollout(robot, policy), Rollout(robot.model_copy(update={"fence": None}), policy)
    for seed in range(12):
        assert fenced.episode(seed) == free.episode(seed)
        assert fenced.robot.stats()["fenced_ticks"] == 0
